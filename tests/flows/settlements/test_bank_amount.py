"""The bank tells what it received when it has it: mostly of a payout that is closed by then."""

import asyncio

import pytest

from paygate.domain.settlements.discrepancy import DecisionAction, Discrepancy
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.alerts.close import close_alerts
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.read import read_settlement
from paygate.flows.settlements.record_bank_amount import record_bank_amount
from tests.flows.settlements.paying import changed, charged, paid, pays
from tests.flows.settlements.stories import alerts, kinds, run, settle, stands, told
from tests.flows.settlements.test_decide import refused, work
from tests.flows.world import World

CONFLICT = "state_conflict"


async def closed(world: World) -> Settlement:
    """A payout of 19.40 that closed as soon as it was read."""
    pays(world, "po_1", charged(await paid(world)))
    await settle(world)
    of = await stands(world)
    assert not of.is_open
    return of


async def test_a_closed_payout_of_which_the_bank_received_less(world: World) -> None:
    """A discrepancy beside it, told once; the payout itself is as it was handed over."""
    of = await closed(world)
    said = await record_bank_amount(world.ctx, world.caller, of.id, 1890)
    assert (said.bank_amount, said.closed_at) == (1890, of.closed_at)
    assert await stands(world) == of
    assert (await read_settlement(world.ctx, world.caller, of.id)).bank_amount == 1890
    (found,) = await world.all(Discrepancy)
    assert (found.kind, found.status, found.settlement) == ("payout_total_mismatch", "open", of.id)
    assert found.what.difference == -50
    assert await alerts(world) == [("settlement_discrepancy", None)]
    assert (await told(world))[-1] == "discrepancy.opened"
    await run(world)
    assert await kinds(world) == {"payout_total_mismatch": 1}, "no run takes it back"
    await resolve_discrepancy(
        world.ctx, world.caller, found.id, DecisionAction.RESOLVE, "the bank's fee"
    )
    await work(world)
    await close_alerts(world.ctx, "run_1")
    assert await alerts(world) == []
    assert await stands(world) == of


@pytest.mark.parametrize("first", [1940, 1890])
async def test_of_a_closed_payout_the_bank_tells_once(world: World, first: int) -> None:
    """The same, or another amount: what was told stands, right or wrong, until it is decided on."""
    of = await closed(world)
    await record_bank_amount(world.ctx, world.caller, of.id, first)
    for again in (first, 1940, 1):
        late = record_bank_amount(world.ctx, world.caller, of.id, again)
        assert await refused(late) == CONFLICT
    assert (await read_settlement(world.ctx, world.caller, of.id)).bank_amount == first
    assert await kinds(world) == ({} if first == 1940 else {"payout_total_mismatch": 1})


async def test_the_right_amount_alerts_nobody(world: World) -> None:
    of = await closed(world)
    await record_bank_amount(world.ctx, world.caller, of.id, 1940)
    (compared,) = await world.all(Discrepancy)
    assert (compared.status, compared.what.difference) == ("resolved", 0)
    assert await alerts(world) == []
    assert "discrepancy.opened" not in await told(world)


async def test_what_was_told_before_it_closed_is_told(world: World) -> None:
    pays(world, "po_1", charged(await paid(world)), status=PayoutStatus.IN_TRANSIT)
    await settle(world)
    of = await stands(world)
    for amount in (1890, 1940):
        await record_bank_amount(world.ctx, world.caller, of.id, amount)
    await work(world)
    changed(world, "po_1", status=PayoutStatus.PAID)
    await settle(world)
    assert not (await stands(world)).is_open
    assert await refused(record_bank_amount(world.ctx, world.caller, of.id, 1890)) == CONFLICT


async def test_several_tell_at_once_and_one_is_heard(world: World) -> None:
    of = await closed(world)
    done = await asyncio.gather(
        *(record_bank_amount(world.ctx, world.caller, of.id, 1800 + n) for n in range(5)),
        return_exceptions=True,
    )
    assert sum(not isinstance(each, Exception) for each in done) == 1
    assert await kinds(world) == {"payout_total_mismatch": 1}
