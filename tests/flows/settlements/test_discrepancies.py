"""Every kind of discrepancy, as a run finds it; and nothing in books that are clean."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from paygate.domain.payments.outcome import Declined, PaymentError
from paygate.domain.settlements.discrepancy import Discrepancy, DiscrepancyKind
from paygate.domain.settlements.fees import parse_fee_rules
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Matching
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.settlements.read import LineFilters, list_lines
from tests.flows.settlements.paying import C, charged, line, paid, paying, pays
from tests.flows.settlements.stories import alerts, kinds, run, stands
from tests.flows.world import World

DAY = 86400.0
Story = Callable[[World], Awaitable[None]]


async def no_story(world: World) -> None:
    """Nothing is wrong: a capture in two rows, a refund, fees, reserves, foreign charges."""
    whole, part = await paid(world), await paid(world)
    refund = await refund_payment_intent(world.ctx, world.caller, whole.id, NewRefund(500, None))
    back = line(
        "txn_back",
        -500,
        C.REFUND,
        source_reference=refund.provider_reference,
        payment_reference=whole.provider_reference,
    )
    rest = replace(
        charged(part, fee=0, reference="txn_rest", gross=-1000, customer_amount=-1000),
        category=C.PARTIAL_CAPTURE_REVERSAL,
    )
    held = charged(part, gross=1999 + 1000, customer_amount=2999)
    others = (
        line("txn_reserve", -300, C.RESERVE, customer_amount=None),
        line("txn_tax", -20, C.TAX, customer_amount=None),
        line("txn_foreign", 4200, C.CHARGE, payment_reference="pi_else", source_reference="ch_e"),
        line("txn_connected", 700, C.CHARGE, connected_account="acct_other"),
    )
    pays(world, "po_1", charged(whole), held, rest, back, *others)


async def missing_at_provider(world: World) -> None:
    await paid(world)


async def late(world: World) -> None:
    paying(world).balance.append(charged(await paid(world)))


async def missing_internally(world: World) -> None:
    intent = await paid(world)
    ghost = charged(intent, reference="txn_ghost")
    ghost = replace(
        ghost, payment_reference="pi_ghost", source_reference="ch_ghost", attempt="at_unknown"
    )
    pays(world, "po_1", charged(intent), ghost)


async def amount_mismatch(world: World) -> None:
    pays(world, "po_1", charged(await paid(world), gross=1994, customer_amount=1994))


async def currency_mismatch(world: World) -> None:
    intent = await paid(world)
    pays(world, "po_1", charged(intent, customer_currency="usd", customer_amount=1999))


async def fee_mismatch(world: World) -> None:
    rules = '[[rule]]\ncurrency = "eur"\npercent = "1.5"\nfixed = 25\ntolerance = 1\n'
    world.use(policy=replace(world.ctx.policy, fee_rules=parse_fee_rules(rules)))
    pays(world, "po_1", charged(await paid(world), fee=99))


async def status_mismatch(world: World) -> None:
    said = Declined(PaymentError("card_declined", "no"))
    intent, attempt = await world.confirming(said)
    taken = charged(intent, gross=1999, customer_amount=1999)
    pays(world, "po_1", replace(taken, attempt=attempt.id))


async def duplicate_at_provider(world: World) -> None:
    intent = await paid(world)
    pays(world, "po_1", charged(intent), charged(intent, reference="txn_twice"))


async def refund_mismatch(world: World) -> None:
    intent = await paid(world)
    back = line(
        "txn_back",
        -700,
        C.REFUND,
        source_reference="re_nobodys",
        payment_reference=intent.provider_reference,
    )
    pays(world, "po_1", charged(intent), back)


async def unexpected_chargeback(world: World) -> None:
    intent = await paid(world)
    taken = line(
        "txn_taken",
        -1999,
        C.DISPUTE,
        fee=1500,
        source_reference="du_nobodys",
        payment_reference=intent.provider_reference,
    )
    pays(world, "po_1", charged(intent), taken)


async def unexpected_adjustment(world: World) -> None:
    odd = line("txn_odd", -70, C.UNKNOWN, provider_category="lunar_fee", customer_amount=None)
    pays(world, "po_1", charged(await paid(world)), odd)


async def payout_total_mismatch(world: World) -> None:
    pays(world, "po_1", charged(await paid(world)), amount=1900)


async def payout_failed(world: World) -> None:
    pays(world, "po_1", charged(await paid(world)), status=PayoutStatus.FAILED)


STORIES: dict[str, Story] = {
    kind: globals()[kind] for kind in (str(each) for each in DiscrepancyKind)
}


async def after_a_month(world: World) -> None:
    """A run when everything that is only under way would have come."""
    world.clock.forward(10 * DAY)
    await run(world)


async def test_nothing_is_flagged_in_clean_books(world: World) -> None:
    await no_story(world)
    await after_a_month(world)
    assert await kinds(world) == {}
    of = await stands(world)
    assert (of.matching, of.is_open) == (Matching.BALANCED, False)
    assert of.counts.lines == 9
    assert (of.counts.matched, of.counts.foreign, of.counts.provider_only) == (4, 2, 3)
    assert [a for a in await alerts(world) if a[0] == "settlement_discrepancy"] == []


@pytest.mark.parametrize("kind", STORIES)
async def test_each_kind_is_found_once_and_alone(world: World, kind: str) -> None:
    """In a run and in ten; told of by an alert, and never closed over."""
    await STORIES[kind](world)
    await after_a_month(world)
    expected = {kind: 1}
    found: list[Discrepancy] = await world.all(Discrepancy)
    ours = [each for each in found if each.kind == kind]
    assert await kinds(world) == expected, [each.what for each in found]
    types = {a for a, _ in await alerts(world)}
    assert ("payout_failed" if kind == "payout_failed" else "settlement_discrepancy") in types
    before = await world.counts()
    await run(world)
    await run(world)
    assert await world.counts() == before
    if ours[0].settlement is not None:
        assert (await stands(world)).is_open


async def test_the_lines_of_a_payment_are_also_those_that_nothing_stands_behind(
    world: World,
) -> None:
    """Whoever looks at a discrepancy asks for its payment's lines, and sees what it is about."""
    await refund_mismatch(world)
    await run(world)
    (found,) = await world.all(Discrepancy)
    of, wanted = await stands(world), LineFilters(payment_intent=found.payment_intent)
    first = await list_lines(world.ctx, world.caller, of.id, wanted, 1, None, "")
    rest = await list_lines(world.ctx, world.caller, of.id, wanted, 9, first.items[0].id, "")
    seen = sorted(each.said.provider_reference for each in (*first.items, *rest.items))
    assert seen == ["txn_back", "txn_ref_1"]
    assert (first.has_more, rest.has_more) == (True, False)
