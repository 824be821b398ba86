"""A report shows the money of a payout to have come back: told as when the provider says so."""

from pathlib import Path

import pytest

from paygate.domain.alert import Alert
from paygate.domain.settlements.discrepancy import Amount, DecisionAction, Discrepancy
from paygate.domain.settlements.outcome import Line, PayoutStatus
from paygate.domain.settlements.report_import import ImportStatus, ReportFormat
from paygate.flows.settlements import reported_payout
from paygate.flows.settlements.decide import resolve_discrepancy
from tests.domain.settlements.reports.reading import csv_of
from tests.flows.settlements.paying import C, changed, charged, line, paid, paying, pays
from tests.flows.settlements.reporting import bring, report
from tests.flows.settlements.stories import alerts, kinds, run, settle, stands, told
from tests.flows.world import World


async def paid_out(world: World, folder: Path) -> None:
    """A payout that was paid, and is closed."""
    charge = charged(await paid(world))
    pays(world, "po_1", charge)
    await bring(world, folder, report({"po_1": [charge]}))
    await settle(world)
    assert not (await stands(world)).is_open


def back_line() -> Line:
    """The line by which a payout came back."""
    return line("txn_back", 1940, C.PAYOUT_FAILURE, source_reference="po_1")


def back() -> bytes:
    """A report in which a payout came back, and went out with the next."""
    return report({"po_2": [back_line()]})


async def bring_bank(world: World, folder: Path, *rows: tuple[str, ...]) -> None:
    """A bank's report: lines with a payout, a category, an amount and what they are for."""
    mapping = {
        "reference": "id", "payout": "batch", "category": "kind", "gross": "amount",
        "source": "of", "currency.always": "eur", "available_on": "day",
    }  # fmt: skip
    header = ("id", "batch", "kind", "amount", "of", "day")
    content = csv_of(header, *[(*each, "2026-01-05") for each in rows])
    done = await bring(world, folder, content, ReportFormat.GENERIC, mapping)
    assert (done.status, done.refused_count) == (ImportStatus.COMPLETED, 0)


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


async def test_one_that_was_cancelled_is_nothing_to_see_to(world: World, tmp_path: Path) -> None:
    charge = charged(await paid(world))
    pays(world, "po_1", charge, status=PayoutStatus.CANCELLED)
    await settle(world)
    await bring(world, tmp_path, back())
    assert await kinds(world) == {}
    assert await alerts(world) == []


async def test_one_that_the_provider_does_not_have_has_failed_by_the_report_alone(
    world: World, tmp_path: Path
) -> None:
    """Whether a report alone has told of it, or nobody, or it is not even named."""
    bank = [("own", "B1", "payout", "-19.40", ""), ("fee", "B1", "fee", "19.40", "")]
    await bring_bank(world, tmp_path, *bank)
    assert await kinds(world) == {}
    for batch, named in (("B2", "B1"), ("B3", "B_none"), ("B4", "")):
        back_row = (f"back{batch}", batch, "payout_failure", "19.40", named)
        await bring_bank(world, tmp_path, back_row, (f"own{batch}", batch, "payout", "-19.40", ""))
        of = await stands(world, batch)
        assert (of.is_open, of.open_discrepancies) == (True, 1)
    assert await kinds(world) == {"payout_failed": 3}
    of = await stands(world, "B4")
    every: list[Alert] = await world.all(Alert)
    assert {(a.problem.type, a.problem.subject.object) for a in every} == {
        ("payout_failed", "settlement")
    }
    assert len(every) == 3
    # Seen to, it closes, and nobody is told again.
    (found,) = [d for d in await world.all(Discrepancy) if d.settlement == of.id]
    assert (found.what.expected, found.what.found) == (Amount(1940, "eur"), Amount(0, "eur"))
    await resolve_discrepancy(
        world.ctx, world.caller, found.id, DecisionAction.RESOLVE, "the bank has it"
    )
    await run(world)
    assert await kinds(world) == {"payout_failed": 2}
    assert not (await stands(world, "B4")).is_open


@pytest.mark.parametrize("status", [PayoutStatus.PAID, PayoutStatus.IN_TRANSIT])
async def test_one_that_the_provider_has_otherwise_is_a_mismatch_until_it_says_so_too(
    world: World, tmp_path: Path, status: PayoutStatus
) -> None:
    """By a report, and by the provider's own list."""
    pays(world, "po_1", charged(await paid(world)), status=status)
    await settle(world)
    await bring(world, tmp_path, back())
    assert await kinds(world) == {"status_mismatch": 1}
    assert await alerts(world) == [("settlement_discrepancy", None)]
    (found,) = await world.all(Discrepancy)
    assert (found.what.expected, found.what.found) == (Amount(0, "eur"), Amount(1940, "eur"))
    pays(world, "po_2", back_line())
    await settle(world, "po_2")
    assert await kinds(world) == {"status_mismatch": 1}
    changed(world, "po_1", status=PayoutStatus.FAILED)
    await run(world)
    assert await kinds(world) == {"payout_failed": 1}
    assert not (await stands(world, "po_2")).is_open


async def test_the_providers_own_list_has_a_payout_asked_for_that_came_back(world: World) -> None:
    """One of long ago, which no run lists any more."""
    pays(world, "po_1", charged(await paid(world)))
    await settle(world)
    changed(world, "po_1", status=PayoutStatus.FAILED)
    pays(world, "po_2", back_line())
    await settle(world, "po_2")
    assert await kinds(world) == {"payout_failed": 1}
    assert (await told(world)).count("settlement.failed") == 1


async def test_one_that_was_reversed_came_back_by_right(world: World) -> None:
    pays(world, "po_1", charged(await paid(world)), reversed_by="po_r")
    await settle(world)
    pays(world, "po_2", back_line())
    await settle(world, "po_2")
    assert await kinds(world) == {}


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
    assert await kinds(world) == {"status_mismatch": 1}, "as it is known here"
    await run(world)
    assert await kinds(world) == {"payout_failed": 1}
