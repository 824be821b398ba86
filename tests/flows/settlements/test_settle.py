"""A payout from its first news to its end: settled to the cent, in whatever order it is told."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.ledger import Account
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.discrepancy import DecisionAction, Discrepancy
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Matching
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.read_lines import read_page
from paygate.flows.settlements.settle import Outcome
from paygate.providers.absence import ProviderSilent
from paygate.storage.settlements.pages import SettlementPages
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, pays
from tests.flows.settlements.stories import alerts, kinds, lines_of, run, settle, stands, told
from tests.flows.world import World


async def test_a_payout_is_settled_to_the_cent_and_closed(world: World) -> None:
    intents = [await paid(world) for _ in range(3)]
    fee = line("txn_monthly", 0, C.FEE, fee=100, customer_amount=None)
    pays(world, "po_1", *(charged(each) for each in intents), fee)
    done = await settle(world)
    assert done.outcome is Outcome.CLOSED
    of = await stands(world)
    assert (of.matching, of.residual, of.amount) == (Matching.BALANCED, 0, 3 * 1940 - 100)
    assert of.counts.lines == of.counts.matched + of.counts.provider_only == 5
    assert await kinds(world) == {}
    assert await alerts(world) == []
    assert await told(world) == ["settlement.created", "settlement.paid", "settlement.balanced"]
    transfers: list[AccountTransfer] = await world.all(AccountTransfer)
    moved = dict.fromkeys(Account, 0)
    for transfer in transfers:
        for entry in transfer.entries:
            moved[entry.account] += entry.amount
    # What the captures debited to the provider is all gone, to the bank and in fees.
    assert moved[Account.PROVIDER] == -3 * 1999
    assert (moved[Account.BANK], moved[Account.FEES]) == (of.amount, 3 * 59 + 100)
    # Settled once more, and by a run, nothing is written.
    before = await world.counts()
    assert (await settle(world)).outcome is Outcome.CLOSED
    await run(world)
    assert await world.counts() == before


async def test_lines_that_come_late_are_waited_for(world: World) -> None:
    """Paid at once: no lines for hours, then three of five, then all."""
    intents = [await paid(world) for _ in range(4)]
    pays(world, "po_1", *(charged(each) for each in intents), lines_complete=False)
    every = paying(world).lines["po_1"]
    paying(world).lines["po_1"] = []
    assert (await settle(world)).outcome is Outcome.WAITING
    assert (await stands(world)).matching is Matching.WAITING
    # The provider says that they are complete, and shows but three: the rest is a residual, named.
    paying(world).lines["po_1"] = every[:3]
    changed(world, "po_1", lines_complete=True)
    assert (await settle(world)).outcome is Outcome.CONCLUDED
    assert (await stands(world)).residual == 1940
    assert await kinds(world) == {"payout_total_mismatch": 1}
    # When they are there, it heals by itself.
    paying(world).lines["po_1"] = every
    assert (await run(world)).closed == 1
    assert await kinds(world) == {}
    (healed,) = await world.all(Discrepancy)
    assert healed.decision.actor == "settle-payouts"
    assert (await told(world))[-2:] == ["discrepancy.resolved", "settlement.balanced"]


async def test_news_of_a_payout_in_any_order(world: World) -> None:
    """An older answer moves nothing, and a trace id that comes late needs no news."""
    pays(world, "po_1", charged(await paid(world)), lines_complete=False)
    await settle(world)
    assert await told(world) == ["settlement.created", "settlement.paid"]
    older = world.clock() - timedelta(hours=1)
    changed(world, "po_1", status=PayoutStatus.IN_TRANSIT, as_of=older)
    await settle(world)
    assert (await stands(world)).status is PayoutStatus.PAID
    changed(world, "po_1", status=PayoutStatus.PAID, as_of=world.clock(), trace_id="bank-1")
    await run(world)
    of = await stands(world)
    assert of.payout is not None
    assert of.payout.trace_id == "bank-1"


async def test_a_payout_fails_after_it_was_paid_and_is_paid_again(world: World) -> None:
    """Its money comes back as one line of the next; the bank shows the second alone."""
    first, second = await paid(world), await paid(world)
    pays(world, "po_1", charged(first))
    assert (await settle(world)).outcome is Outcome.CLOSED
    changed(world, "po_1", status=PayoutStatus.FAILED, failure_code="account_closed")
    await run(world)
    assert await kinds(world) == {"payout_failed": 1}
    assert await alerts(world) == [("payout_failed", None)]
    back = line("txn_back", 1940, C.PAYOUT_FAILURE, source_reference="po_1", customer_amount=None)
    pays(world, "po_2", charged(second), back)
    assert (await settle(world, "po_2")).outcome is Outcome.CLOSED
    assert [each.payment_intent for each in await lines_of(world)] == [first.id, None]
    bank = sum(
        entry.amount
        for transfer in await world.all(AccountTransfer)
        for entry in transfer.entries
        if entry.account is Account.BANK
    )
    assert bank == 1940 + 1940, "what failed came back, and went out with the next"


async def test_a_payout_that_failed_before_it_was_known(world: World) -> None:
    pays(world, "po_1", charged(await paid(world)), status=PayoutStatus.FAILED)
    await settle(world)
    await settle(world)
    assert await kinds(world) == {"payout_failed": 1}
    assert await alerts(world) == [("payout_failed", None)]
    assert await told(world) == ["settlement.created", "settlement.failed", "discrepancy.opened"]
    (failed,) = await world.all(Discrepancy)
    await resolve_discrepancy(
        world.ctx, world.caller, failed.id, DecisionAction.EXPLAIN, "the account is new"
    )
    await settle(world)
    assert not (await stands(world)).is_open


async def test_the_provider_falls_silent_halfway(world: World) -> None:
    """Nothing is concluded from a part; the next run goes on, and reads no line twice."""
    intents = [await paid(world) for _ in range(4)]
    pays(world, "po_1", *(charged(each) for each in intents))
    paying(world).breaks_after = 3
    with pytest.raises(ProviderSilent):
        await settle(world)
    assert (await stands(world)).matching is Matching.WAITING
    with pytest.raises(ProviderSilent):
        await run(world)
    assert ("settlement_discrepancy", "no_progress") in await alerts(world)
    paying(world).breaks_after = None
    assert (await run(world)).closed == 1
    assert len(await lines_of(world)) == 5


async def test_a_line_that_cannot_be_read_holds_the_payout_open(world: World) -> None:
    pays(world, "po_1", charged(await paid(world)))
    lines = paying(world).lines["po_1"]
    paying(world).lines["po_1"] = [*lines, Unknown("txn_odd cannot be read")]
    assert (await settle(world)).outcome is Outcome.HELD
    of = await stands(world)
    assert (of.matching, of.concluded_at) == (Matching.WAITING, None)
    world.clock.forward(10 * 86400)
    await run(world)
    assert ("settlement_discrepancy", "waiting") in await alerts(world)
    paying(world).lines["po_1"] = lines
    assert (await settle(world)).outcome is Outcome.CLOSED


async def test_two_workers_settle_the_same_payout(world: World) -> None:
    intents = [await paid(world) for _ in range(5)]
    pays(world, "po_1", *(charged(each) for each in intents))
    done = await asyncio.gather(*(settle(world) for _ in range(4)))
    assert all(each.settlement is not None for each in done)
    of = await stands(world)
    assert (of.is_open, of.counts.lines) == (False, 6)
    assert len(await lines_of(world)) == 6
    ids = [transfer.id for transfer in await world.all(AccountTransfer)]
    assert len(ids) == len(set(ids)) == 2
    assert sorted(await told(world)) == [
        "settlement.balanced",
        "settlement.created",
        "settlement.paid",
    ]


async def test_a_line_written_while_it_is_concluded_is_counted(world: World) -> None:
    """Whoever concludes counts the pages once more before anything is closed."""
    first, second = await paid(world), await paid(world)
    pays(world, "po_1", charged(first), charged(second))
    lines = paying(world).lines["po_1"]
    paying(world).lines["po_1"] = [lines[0], lines[2]]
    changed(world, "po_1", amount=1940)  # as if the part were all
    late = asyncio.Event()

    async def other_worker() -> None:
        """It has seen the whole list."""
        if not late.is_set():
            late.set()
            paying(world).amid_lines = None
            paying(world).lines["po_1"] = lines
            changed(world, "po_1", amount=2 * 1940)
            await settle(world)

    paying(world).amid_lines = other_worker
    await settle(world)
    await run(world)
    of = await stands(world)
    assert (of.counts.lines, of.amount, of.is_open) == (4 - 1, 3880, False)


class GrowingPages(SettlementPages):
    """Another worker writes a page as soon as all pages were read."""

    late: Callable[[], Awaitable[object]] | None = None

    async def every(
        self, merchant: str, settlement_id: str, after: int = 0, *, withdrawn: bool = False
    ) -> Any:
        async for page in super().every(merchant, settlement_id, after):
            yield page
        late, self.late = self.late, None
        if late is not None:
            await late()


async def test_a_page_written_after_all_were_read_is_summed_before_it_closes(world: World) -> None:
    pays(world, "po_1", charged(await paid(world)))
    read = world.ctx.settlement_pages
    pages = GrowingPages(read._pool, read._searches, read._records)
    other = line("txn_late", 0, C.FEE, customer_amount=None)

    async def late() -> None:
        await read_page(world.ctx, world.caller, await stands(world), [other])

    pages.late = late
    world.use(settlement_pages=pages)
    await settle(world)
    assert (await stands(world)).counts.lines == 3


async def test_a_payment_that_is_paid_out_twice_in_two_payouts(world: World) -> None:
    intent = await paid(world)
    pays(world, "po_1", charged(intent))
    assert (await settle(world)).outcome is Outcome.CLOSED
    pays(world, "po_2", charged(intent, reference="txn_twice"))
    assert (await settle(world, "po_2")).outcome is Outcome.CONCLUDED
    assert await kinds(world) == {"duplicate_at_provider": 1}
