"""Payouts that the provider does not itemise: the oldest lines that fit, and a residual that is
named, told of, and never taken for balanced.
"""

from datetime import timedelta

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.ledger import Account
from paygate.domain.settlements.discrepancy import Amount, DecisionAction, Discrepancy
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Matching
from paygate.flows.alerts.close import close_alerts
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.settle import Outcome
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, payout, pays
from tests.flows.settlements.stories import alerts, kinds, lines_of, run, settle, stands
from tests.flows.settlements.test_decide import work
from tests.flows.spoilt import mend, spoil
from tests.flows.world import World
from tests.making import START

AT = START + timedelta(days=5)


async def provider_holds(world: World) -> int:
    """What the ledger says that the provider owes, but for what payments themselves posted."""
    every: list[AccountTransfer] = await world.all(AccountTransfer)
    return sum(
        entry.amount
        for transfer in every
        for entry in transfer.entries
        if entry.account is Account.PROVIDER
    )


async def test_all_that_is_available_balances(world: World) -> None:
    """Every line is taken, and that they make the amount to the cent is no construction."""
    intents = [await paid(world) for _ in range(3)]
    own = line("txn_po", -3 * 1940, C.PAYOUT, source_reference="po_1", customer_amount=None)
    paying(world).balance = [*(charged(each) for each in intents), own]
    paying(world).payouts["po_1"] = payout(
        3 * 1940, itemised=False, automatic=False, created_at=AT, lines_complete=False
    )
    assert (await settle(world)).outcome is Outcome.CLOSED
    of = await stands(world)
    assert (of.counts.matched, of.residual, of.automatic) == (3, 0, False)


async def test_the_oldest_that_fit_and_a_residual(world: World) -> None:
    intents = [await paid(world) for _ in range(3)]
    paying(world).balance = [charged(each) for each in intents]
    paying(world).payouts["po_1"] = payout(
        5000, itemised=False, automatic=False, created_at=AT, lines_complete=False
    )
    assert (await settle(world)).outcome is Outcome.CONCLUDED
    of = await stands(world)
    assert (of.counts.matched, of.residual) == (2, 5000 - 2 * 1940)
    assert of.matching is Matching.DISCREPANT
    assert await kinds(world) == {"payout_total_mismatch": 1}
    assert await alerts(world) == [("settlement_discrepancy", None)]
    # Money that comes to be available later changes nothing of what was taken.
    paying(world).balance.append(charged(await paid(world), reference="txn_0"))
    await run(world)
    assert (await stands(world)).counts.matched == 2
    # All of the amount has left the provider, whatever it was made of; the fees of two are known.
    assert await provider_holds(world) == -5000 - 2 * 59
    # A person who says what the rest is closes it: it is named still, and was never balanced.
    (rest,) = await world.all(Discrepancy)
    assert (rest.what.expected, rest.what.found) == (Amount(5000, "eur"), Amount(3880, "eur"))
    for action, is_open in ((DecisionAction.EXPLAIN, True), (DecisionAction.RESOLVE, False)):
        await resolve_discrepancy(world.ctx, world.caller, rest.id, action, "the float")
        await work(world)
        assert (await stands(world)).is_open is is_open
    of = await stands(world)
    assert (of.matching, of.residual) == (Matching.DISCREPANT, 5000 - 2 * 1940)
    await close_alerts(world.ctx, "run_1")
    assert await alerts(world) == []


async def test_a_schedule_that_begins_later_says_nothing_of_a_payout_by_hand(world: World) -> None:
    """Whenever it is looked at, it is of the same lines; what is told comes before the guess."""
    first, second = await paid(world), await paid(world)
    paying(world).balance = [charged(first)]
    paying(world).payouts["po_1"] = payout(
        1940, itemised=False, automatic=False, created_at=AT, lines_complete=False
    )
    pays(world, "po_2", charged(second), created_at=AT + timedelta(days=20))
    world.clock.forward(30 * 86400)
    await run(world)
    by_hand = await stands(world)
    assert (by_hand.counts.matched, by_hand.residual, by_hand.is_open) == (1, 0, False)
    assert not (await stands(world, "po_2")).is_open
    assert await kinds(world) == {}


async def instant(world: World) -> None:
    paying(world).payouts["po_1"] = payout(
        3000,
        itemised=False,
        automatic=False,
        created_at=START,
        lines_complete=False,
        own_reference="txn_po_1",
    )


async def test_an_instant_payout_beside_an_automatic_one(world: World) -> None:
    """What was charged is the automatic one's, whose list has the other's row; both are paid."""
    intents = [await paid(world) for _ in range(2)]
    await instant(world)
    row = line("txn_po_1", -3000, C.PAYOUT, source_reference="po_1", customer_amount=None)
    fee = line("txn_fee", -45, C.FEE, source_reference=None, customer_amount=None)
    pays(world, "po_2", *(charged(each) for each in intents), row, fee)
    await run(world)
    first, automatic = await stands(world), await stands(world, "po_2")
    assert (first.counts.lines, first.residual) == (0, 3000)
    assert (first.matching, first.is_open) == (Matching.DISCREPANT, False)
    assert (automatic.is_open, automatic.residual) == (False, 0)
    assert await lines_of(world) == []
    assert await kinds(world) == {}
    assert await provider_holds(world) == -2 * 1999


async def test_an_instant_payout_whose_row_no_list_has(world: World) -> None:
    """It is waited for as long as the provider may take to pay out the next time, then told."""
    pays(world, "po_2", charged(await paid(world)))
    await instant(world)
    await run(world)
    assert await kinds(world) == {}
    assert (await stands(world)).is_open
    world.clock.forward(36 * 86400)
    await run(world)
    assert await kinds(world) == {"payout_total_mismatch": 1}


async def test_a_payout_that_is_cancelled_before_it_is_settled(world: World) -> None:
    """It left the balance and came back, between the lines of another: nothing of it is at the
    bank, and the provider owes nothing more.
    """
    paying(world).payouts["po_1"] = payout(
        300,
        itemised=False,
        automatic=False,
        lines_complete=False,
        status=PayoutStatus.CANCELLED,
    )
    row = line("txn_po_1", -300, C.PAYOUT, source_reference="po_1", customer_amount=None)
    back = line("txn_back", 300, C.PAYOUT_FAILURE, source_reference="po_1", customer_amount=None)
    pays(world, "po_2", charged(await paid(world)), row, back)
    await run(world)
    for of in (await stands(world), await stands(world, "po_2")):
        assert of.is_open is False
    assert await kinds(world) == {}
    assert await provider_holds(world) == -1999


async def test_a_guess_that_was_cut_off_is_gone_on_with(world: World) -> None:
    """A record that cannot be read holds its line back; once it is mended the line is taken, as the
    others were.
    """
    intents = [await paid(world) for _ in range(3)]
    own = line("txn_po", -3 * 1940, C.PAYOUT, source_reference="po_1", customer_amount=None)
    paying(world).balance = [*(charged(each) for each in intents), own]
    paying(world).payouts["po_1"] = payout(
        3 * 1940, itemised=False, automatic=False, created_at=AT, lines_complete=False
    )
    await spoil(world, "payment_intent", intents[1].id)
    assert (await settle(world)).outcome is Outcome.HELD
    await mend(world, "payment_intent", intents[1].id)
    assert (await settle(world)).outcome is Outcome.CLOSED
    of = await stands(world)
    assert (of.counts.matched, of.residual) == (3, 0)


async def test_what_a_payout_costs_is_a_fee_wherever_its_row_is(world: World) -> None:
    """On its own row, and on the row between the lines of another: once for each payout."""
    intents = [await paid(world) for _ in range(2)]
    row = line("txn_po_1", -3000, C.PAYOUT, fee=30, source_reference="po_1", customer_amount=None)
    paying(world).payouts["po_1"] = payout(
        3000, itemised=False, automatic=False, created_at=START, lines_complete=False
    )
    pays(world, "po_2", *(charged(each) for each in intents), row)
    await run(world)
    assert (await stands(world, "po_2")).is_open is False
    assert await provider_holds(world) == -2 * 1999


async def test_what_an_own_row_costs_is_a_fee(world: World) -> None:
    amount = 1940 - 30
    own = line("txn_po", -amount, C.PAYOUT, fee=30, source_reference="po_1", customer_amount=None)
    paying(world).balance = [charged(await paid(world)), own]
    paying(world).payouts["po_1"] = payout(
        amount, itemised=False, automatic=False, created_at=AT, lines_complete=False
    )
    await settle(world)
    # The line does not fit what was paid out: all of the amount has left, and what that cost.
    assert await provider_holds(world) == -amount - 30


async def test_a_payout_by_hand_that_failed_closes_once_it_is_seen_to(world: World) -> None:
    intents = [await paid(world) for _ in range(2)]
    paying(world).balance = [charged(each) for each in intents]
    paying(world).payouts["po_1"] = payout(
        3000, itemised=False, automatic=False, created_at=AT, lines_complete=False
    )
    await settle(world)
    assert await kinds(world) == {"payout_total_mismatch": 1}
    changed(world, "po_1", status=PayoutStatus.FAILED)
    await settle(world)
    assert await kinds(world) == {"payout_failed": 1}, "of what came back no rest is asked for"
    (failed,) = [d for d in await world.all(Discrepancy) if d.status == "open"]
    explain = DecisionAction.EXPLAIN
    await resolve_discrepancy(world.ctx, world.caller, failed.id, explain, "the account is new")
    await work(world)
    assert not (await stands(world)).is_open
    before = await world.counts()
    await run(world)
    assert await world.counts() == before
