"""Amounts that no money has: refused where they come in, so that records keep every sum."""

from pathlib import Path

from paygate.domain.settlements.report_import import (
    ImportStatus,
    LineRefusal,
    ReportFormat,
    SettlementImport,
)
from paygate.domain.settlements.reports.numbers import MOST_UNITS
from paygate.domain.settlements.settlement import Matching
from paygate.domain.settlements.totals import MOST_BROUGHT, MOST_MOVED
from paygate.flows.alerts.close import close_alerts
from paygate.flows.settlements.settle import Outcome
from paygate.flows.settlements.withdraw_import import withdraw_import
from tests.domain.settlements.reports.reading import csv_of
from tests.flows.settlements.paying import line, pays
from tests.flows.settlements.reporting import bring
from tests.flows.settlements.stories import alerts, lines_of, run, settle, stands
from tests.flows.world import World

MAPPING = {
    "reference": "id", "payout": "batch", "category": "kind", "currency": "currency",
    "gross": "amount", "available_on": "day", "units": "minor",
}  # fmt: skip
MOST_LINES = MOST_BROUGHT // MOST_UNITS


async def fees(
    world: World, folder: Path, name: str, lines: int, amount: int = -MOST_UNITS
) -> SettlementImport:
    """A report of so many fees, of one payout."""
    header = ("id", "batch", "kind", "currency", "amount", "day")
    rows = [(f"{name}{n}", "B1", "fee", "EUR", str(amount), "2026-01-05") for n in range(lines)]
    content = csv_of(header, *rows)
    return await bring(world, folder, content, ReportFormat.GENERIC, MAPPING)


async def test_hundreds_of_lines_of_what_no_money_is_are_refused_each(
    world: World, tmp_path: Path
) -> None:
    done = await fees(world, tmp_path, "r", 1000, -(10**16) + 1)
    assert (done.status, done.lines_new, done.refused_count) == (ImportStatus.FAILED, 0, 1000)
    assert {each.code for each in done.refused} == {LineRefusal.UNREADABLE}
    assert await run(world) is not None


async def test_lines_that_come_to_more_than_a_payout_can_are_refused_by_number(
    world: World, tmp_path: Path
) -> None:
    done = await fees(world, tmp_path, "r", MOST_LINES + 2)
    assert (done.status, done.lines_new) == (ImportStatus.COMPLETED, MOST_LINES)
    assert [(each.line, each.code) for each in done.refused] == [
        (MOST_LINES + 2, LineRefusal.TOO_MUCH),
        (MOST_LINES + 3, LineRefusal.TOO_MUCH),
    ]
    of = await stands(world, "B1")
    assert (of.matching, of.refused_lines) == (Matching.DISCREPANT, 2)
    assert [total.net for total in of.totals] == [-MOST_BROUGHT]


async def test_a_provider_s_list_that_comes_to_more_is_one_that_cannot_be_read(
    world: World,
) -> None:
    lines = [line(f"txn_{n}", MOST_UNITS // 2) for n in range(MOST_LINES + 2)]
    pays(world, "po_1", *lines, amount=1940)
    assert (await settle(world)).outcome is Outcome.HELD
    assert len(await lines_of(world)) == MOST_LINES
    ran = await run(world)
    assert (ran.settled, ran.failed) == (1, 0)
    assert (await stands(world)).concluded_at is None


async def test_reports_that_come_to_more_together_are_not_summed_until_one_is_withdrawn(
    world: World, tmp_path: Path
) -> None:
    most = MOST_MOVED // MOST_BROUGHT
    brought = [await fees(world, tmp_path, f"r{n}_", MOST_LINES) for n in range(most)]
    before = await stands(world, "B1")
    assert (before.counts.lines, before.matching) == (most * MOST_LINES, Matching.DISCREPANT)
    last = await fees(world, tmp_path, "last", 1, -1)
    assert (last.status, last.lines_new) == (ImportStatus.COMPLETED, 1)
    of = await stands(world, "B1")
    assert (of.matching, of.concluded_at, of.totals) == (Matching.WAITING, None, before.totals)
    assert ("settlement_discrepancy", "too_much") in await alerts(world)
    await run(world)
    await withdraw_import(world.ctx, world.caller, last.id)
    assert (await stands(world, "B1")).totals == before.totals
    await withdraw_import(world.ctx, world.caller, brought[0].id)
    of = await stands(world, "B1")
    assert of.counts.lines == (most - 1) * MOST_LINES
    await close_alerts(world.ctx, "run_1")
    assert ("settlement_discrepancy", "too_much") not in await alerts(world)
