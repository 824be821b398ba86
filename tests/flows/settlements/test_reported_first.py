"""A report that comes before the provider's own list: it is compared with that before anything is
closed, whatever it sums to.
"""

from pathlib import Path

import pytest

from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.report_import import ImportStatus
from paygate.domain.settlements.settlement import Matching
from paygate.flows.ledger.verify import verify_ledger
from paygate.flows.settlements.withdraw_import import withdraw_import
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, payout, pays
from tests.flows.settlements.reporting import bring, report
from tests.flows.settlements.stories import alerts, kinds, run, settle, stands
from tests.flows.settlements.test_reported_twice import bring_generic
from tests.flows.world import World


async def test_a_report_that_was_cut_closes_nothing_and_goes_when_the_provider_tells(
    world: World, tmp_path: Path
) -> None:
    """With a row of its own for what was left, it balances in itself."""
    first, second = charged(await paid(world)), charged(await paid(world))
    done = await bring(world, tmp_path, report({"po_1": [first]}))
    of = await stands(world)
    assert (of.matching, of.is_open) == (Matching.BALANCED, True)
    pays(world, "po_1", first, second)
    await run(world)
    of = await stands(world)
    assert (of.amount, of.residual, of.refused_lines, of.is_open) == (3880, 0, 1, True)
    await withdraw_import(world.ctx, world.caller, done.id)
    await run(world)
    of = await stands(world)
    assert (of.counts.lines, of.residual, of.is_open) == (3, 0, False)
    found = await verify_ledger(world.ctx, world.caller, progress=lambda *_: None)
    assert found.mismatches == ()


async def test_lines_of_a_report_that_the_provider_does_not_list_keep_a_payout_open(
    world: World, tmp_path: Path
) -> None:
    """Two that come to nothing: sum, amount and every line that is known are right. Whether they
    come before the list or after it.
    """
    charge = charged(await paid(world))
    made_up = [line(f"txn_{n}", n * 500, C.TOPUP, source_reference=None) for n in (1, -1)]
    pays(world, "po_1", charge, status=PayoutStatus.IN_TRANSIT)
    done = await bring(world, tmp_path, report({"po_1": [charge, *made_up]}))
    changed(world, "po_1", status=PayoutStatus.PAID)
    await settle(world)
    of = await stands(world)
    assert (of.matching, of.is_open, of.lines_in_doubt) == (Matching.DISCREPANT, True, 2)
    await withdraw_import(world.ctx, world.caller, done.id)
    changed(world, "po_1", status=PayoutStatus.IN_TRANSIT)
    await settle(world)
    assert (await stands(world)).matching is Matching.BALANCED
    await bring(world, tmp_path, report({"po_1": [charge, *made_up]}))
    changed(world, "po_1", status=PayoutStatus.PAID)
    await run(world)
    of = await stands(world)
    assert (of.matching, of.is_open, of.counts.lines) == (Matching.DISCREPANT, True, 4)


async def test_a_report_of_a_payout_on_its_way_does_not_say_that_it_was_paid(
    world: World, tmp_path: Path
) -> None:
    charge = charged(await paid(world))
    pays(world, "po_1", charge, status=PayoutStatus.IN_TRANSIT, lines_complete=False)
    await bring(world, tmp_path, report({"po_1": [charge]}))
    of = await stands(world)
    assert (of.status, of.matching, of.is_open) == (
        PayoutStatus.IN_TRANSIT, Matching.BALANCED, True,
    )  # fmt: skip
    asked = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'settle_payout'"
    assert await world.connection.fetchval(asked) == 1, "so that its list is read"
    pays(world, "po_1", charge)
    await run(world)
    of = await stands(world)
    assert (of.status, of.is_open, of.counts.lines) == (PayoutStatus.PAID, False, 2)


async def test_a_provider_that_is_silent_is_asked_by_the_run_where_the_report_has_the_amount(
    world: World, tmp_path: Path
) -> None:
    charge = charged(await paid(world))
    pays(world, "po_1", charge)
    paying(world).payouts_silent = True
    done = await bring(world, tmp_path, report({"po_1": [charge]}))
    of = await stands(world)
    assert (done.status, of.matching, of.is_open) == (
        ImportStatus.COMPLETED, Matching.BALANCED, True,
    )  # fmt: skip
    with pytest.raises(Exception, match="did not tell"):
        await bring(world, tmp_path, report({"po_2": [charged(await paid(world))]}, own=False))
    paying(world).payouts_silent = False
    await run(world)
    assert not (await stands(world)).is_open


async def test_what_the_provider_never_has_stays_open_and_can_be_withdrawn(
    world: World, tmp_path: Path
) -> None:
    """As a report of another account: in the provider's own format, and none of its payouts."""
    done = await bring(world, tmp_path, report({"po_1": [charged(await paid(world))]}))
    await run(world)
    of = await stands(world)
    assert (of.matching, of.is_open, of.payout) == (Matching.BALANCED, True, None)
    await withdraw_import(world.ctx, world.caller, done.id)
    assert (await stands(world)).counts.lines == 0


async def test_a_banks_report_has_closed_what_the_provider_paid_out_otherwise(
    world: World, tmp_path: Path
) -> None:
    """It was asked, and had no such payout. That is told by the run and by the nightly check."""
    await bring_generic(
        world, tmp_path, ("a", "po_1", "fee", "19.40"), ("b", "po_1", "payout", "-19.40")
    )
    closed = await stands(world)
    assert not closed.is_open
    paying(world).payouts["po_1"] = payout(3880)
    await settle(world)
    await settle(world)
    assert await kinds(world) == {"payout_total_mismatch": 1}
    assert await alerts(world) == [("settlement_discrepancy", None)]
    assert await stands(world) == closed
    found = await verify_ledger(world.ctx, world.caller, progress=lambda *_: None)
    said = "the provider paid out 3880 eur, and we have 1940 eur"
    assert [each.what for each in found.mismatches if each.intent == closed.id] == [said]
