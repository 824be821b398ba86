"""A report shows the money of a payout to have come back: told as when the provider says so."""

from pathlib import Path

import pytest

from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.report_import import ImportStatus
from paygate.flows.settlements import reported_payout
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, pays
from tests.flows.settlements.reporting import bring, report
from tests.flows.settlements.stories import alerts, kinds, settle, stands, told
from tests.flows.world import World


async def paid_out(world: World, folder: Path) -> None:
    """A payout that was paid, and is closed by a report."""
    charge = charged(await paid(world))
    pays(world, "po_1", charge)
    await bring(world, folder, report({"po_1": [charge]}))
    assert not (await stands(world)).is_open


def back(amount: int = 1940, payout: str = "po_1") -> bytes:
    """A report in which a payout came back, and went out with the next."""
    returned = line(f"txn_back_{payout}", amount, C.PAYOUT_FAILURE, source_reference=payout)
    return report({"po_2": [returned]})


async def test_a_payout_that_failed_is_a_discrepancy_and_an_alert_by_a_report_too(
    world: World, tmp_path: Path
) -> None:
    await paid_out(world, tmp_path)
    changed(world, "po_1", status=PayoutStatus.FAILED, failure_code="account_closed")
    assert (await bring(world, tmp_path, back())).status is ImportStatus.COMPLETED
    assert await kinds(world) == {"payout_failed": 1}
    assert await alerts(world) == [("payout_failed", None)]
    assert (await told(world)).count("settlement.failed") == 1
    # The run and a second report say no more than that.
    await settle(world)
    await bring(world, tmp_path, back() + b"\n")
    assert await kinds(world) == {"payout_failed": 1}
    assert (await told(world)).count("settlement.failed") == 1


async def test_one_of_the_same_report_does_not_close_as_if_it_had_been_paid(
    world: World, tmp_path: Path
) -> None:
    charge = charged(await paid(world))
    pays(world, "po_1", charge, status=PayoutStatus.FAILED)
    content = report({"po_1": [charge]}) + back().partition(b"\n")[2]
    await bring(world, tmp_path, content)
    of = await stands(world)
    assert (of.status, of.is_open) == (PayoutStatus.FAILED, True)
    assert await kinds(world) == {"payout_failed": 1}


async def test_one_that_was_cancelled_or_is_not_the_provider_s_is_none(
    world: World, tmp_path: Path
) -> None:
    await paid_out(world, tmp_path)
    changed(world, "po_1", status=PayoutStatus.CANCELLED)
    await bring(world, tmp_path, back())
    await bring(world, tmp_path, back(10, "po_none"))
    assert await kinds(world) == {}
    assert await alerts(world) == []


async def test_a_provider_that_does_not_tell_is_waited_for(world: World, tmp_path: Path) -> None:
    await paid_out(world, tmp_path)
    changed(world, "po_1", status=PayoutStatus.FAILED)
    paying(world).payouts_silent = True
    with pytest.raises(Exception, match="did not tell"):
        await bring(world, tmp_path, back())
    paying(world).payouts_silent = False
    assert (await bring(world, tmp_path, back())).status is ImportStatus.COMPLETED
    assert await kinds(world) == {"payout_failed": 1}


async def test_so_many_are_asked_for_and_no_more(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reported_payout, "MOST_BACK", 0)
    await paid_out(world, tmp_path)
    changed(world, "po_1", status=PayoutStatus.FAILED)
    await bring(world, tmp_path, back())
    assert await kinds(world) == {}
