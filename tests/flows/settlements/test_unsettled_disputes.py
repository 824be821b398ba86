"""The rows of disputes that are booked here: what no payout shows in time is told of, by row."""

from msgspec.structs import replace

from paygate.domain.disputes.dispute import Dispute
from paygate.domain.settlements.discrepancy import Amount, Discrepancy
from paygate.domain.settlements.outcome import Line
from tests.domain.disputes.made import BACK, TAKEN
from tests.flows.disputes.stories import disputed
from tests.flows.settlements.paying import C, charged, line, paid, paying, pays
from tests.flows.settlements.stories import alerts, kinds, run
from tests.flows.world import World

DAY = 86400.0


async def a_dispute(world: World) -> Dispute:
    """A payment in a payout, and a chargeback of it, 34.99 with its fee."""
    pays(world, "po_1", charged(await paid(world)))
    await run(world)
    return await disputed(world, "needs_response", TAKEN)


def shown(dispute: Dispute, number: int = 0, **more: object) -> Line:
    """The line of one of its rows, as the provider lists it."""
    row = dispute.rows[number]
    known: dict[str, object] = {
        "fee": row.fee,
        "source_reference": dispute.provider_reference,
        "customer_amount": None,
    }
    category = C.DISPUTE if row.amount < 0 else C.DISPUTE_REVERSAL
    return line(row.provider_reference, row.amount, category, **(known | more))


async def test_a_row_that_the_balance_never_had_is_missing(world: World) -> None:
    """After the window, once; and it heals when a payout has it."""
    dispute = await a_dispute(world)
    await run(world)
    assert (await kinds(world), paying(world).asked_lines) == ({}, [])
    world.clock.forward(9 * DAY)
    await run(world)
    assert paying(world).asked_lines == [TAKEN.provider_reference]
    (found,) = await world.all(Discrepancy)
    assert (found.kind, found.status) == ("missing_at_provider", "open")
    assert (found.what.about, found.payment_intent) == (f"{dispute.id}:txn_1", dispute.intent)
    assert (found.what.expected, found.what.found) == (Amount(-3499, "eur"), Amount(0, "eur"))
    assert ("settlement_discrepancy", "missing_at_provider") in await alerts(world)
    before = await world.counts()
    await run(world)
    assert await world.counts() == before
    pays(world, "po_2", charged(await paid(world)), shown(dispute), created_at=world.clock())
    await run(world)
    await run(world)
    assert await kinds(world) == {}


async def test_a_row_that_is_on_the_balance_and_in_no_payout_is_late(world: World) -> None:
    dispute = await a_dispute(world)
    paying(world).balance = [shown(dispute)]
    world.clock.forward(9 * DAY)
    await run(world)
    assert await kinds(world) == {"late": 1}
    # The provider loses it: missing, and no more late.
    paying(world).balance = []
    world.clock.forward(2 * DAY)
    await run(world)
    assert await kinds(world) == {"missing_at_provider": 1}


async def test_of_two_rows_the_one_without_a_line_is_missed(world: World) -> None:
    """Won: the withdrawal is settled, and what was given back is not."""
    dispute = await a_dispute(world)
    pays(world, "po_2", charged(await paid(world)), shown(dispute))
    await run(world)
    won = await disputed(world, "won", TAKEN, BACK)
    world.clock.forward(9 * DAY)
    await run(world)
    (found,) = await world.all(Discrepancy)
    assert (found.what.about, found.what.expected) == (f"{won.id}:txn_2", Amount(1999, "eur"))


async def test_a_report_with_ids_of_its_own_settles_a_row_by_what_it_moves(world: World) -> None:
    dispute = await a_dispute(world)
    world.clock.forward(9 * DAY)
    await run(world)
    assert await kinds(world) == {"missing_at_provider": 1}
    other = replace(shown(dispute), provider_reference="row 7")
    pays(world, "po_2", charged(await paid(world)), other, created_at=world.clock())
    await run(world)
    await run(world)
    assert await kinds(world) == {}
