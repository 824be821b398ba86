"""A payout whose lines come again, otherwise or from elsewhere: nothing is written over, added
twice or taken for balanced by it.
"""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.line import LinePage
from paygate.domain.settlements.outcome import Line, PayoutStatus
from paygate.domain.settlements.report_import import ImportStatus, LineRefusal, ReportFormat
from paygate.domain.settlements.settlement import Matching
from paygate.flows.settlements.import_report import NONE_TAKEN
from paygate.flows.settlements.settle import Outcome
from tests.domain.settlements.reports.reading import csv_of
from tests.flows.settlements.paying import C, charged, line, paid, paying, payout, pays
from tests.flows.settlements.reporting import bring, report
from tests.flows.settlements.stories import kinds, lines_of, settle, stands
from tests.flows.world import World
from tests.making import START

R = LineRefusal
GENERIC = {
    "reference": "id", "payout": "batch", "category": "kind", "currency": "currency",
    "gross": "amount", "available_on": "day",
}  # fmt: skip


async def bring_generic(world: World, folder: Path, *rows: tuple[str, ...], **more: str) -> Any:
    header = ("id", "batch", "kind", "currency", "amount", "day")
    whole = [(*each, "EUR", amount, "2026-01-05") for *each, amount in rows]
    content = csv_of(header, *whole)
    return await bring(world, folder, content, ReportFormat.GENERIC, GENERIC | more)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"gross": 2000, "net": 1941}, "gross"),
        ({"fee": 58, "net": 1941}, "fee"),
        ({"currency": "usd"}, "currency"),
        ({"category": C.FEE, "provider_category": "fee"}, "category"),
        ({"source_reference": "ch_other"}, "source"),
        ({"payment_reference": "pi_other"}, "payment"),
    ],
)
async def test_a_known_line_that_comes_otherwise_is_listed_and_keeps_its_payout_open(
    world: World, tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    """Whoever was first: what the provider told, what a report had."""
    lines = [charged(await paid(world)), charged(await paid(world))]
    pays(world, "po_1", *lines, lines_complete=True, status=PayoutStatus.PENDING)
    await settle(world)
    before = await stands(world)
    assert before.matching is Matching.BALANCED
    other = replace(lines[0], **changes)
    done = await bring(world, tmp_path, report({"po_1": [other, lines[1]]}, own=False))
    assert [(each.line, each.code) for each in done.refused] == [(2, R.DIFFERS)]
    assert done.refused[0].message == f"known with another {what}"
    after = await stands(world)
    assert (after.matching, after.refused_lines) == (Matching.DISCREPANT, 1)
    assert (after.totals, after.amount, after.residual) == (before.totals, before.amount, 0)
    assert len(await lines_of(world)) == 3
    # All of it, as it is known, settles it.
    content = report({"po_1": lines})
    assert (await bring(world, tmp_path, content)).status is ImportStatus.COMPLETED
    after = await stands(world)
    assert (after.matching, after.refused_lines) == (Matching.BALANCED, 0)


async def test_a_line_that_the_provider_tells_otherwise_than_a_report_keeps_its_payout_open(
    world: World, tmp_path: Path
) -> None:
    """The fee and the gross are wrong together: the sum is right."""
    told = charged(await paid(world))
    other = charged(await paid(world))
    pays(world, "po_1", told, other, lines_complete=False, status=PayoutStatus.PENDING)
    paying(world).lines["po_1"] = []
    said = [replace(told, gross=2000, fee=60), other]
    await bring(world, tmp_path, report({"po_1": said}, own=False))
    pays(world, "po_1", told, other)
    done = await settle(world)
    assert done.outcome is Outcome.CONCLUDED
    after = await stands(world)
    assert (after.refused_lines, after.residual, after.is_open) == (1, 0, True)
    # Told otherwise for once, it goes on.
    pays(world, "po_1", *said)
    await settle(world)
    assert (await stands(world)).refused_lines == 0


async def test_a_line_of_another_payout_is_listed(world: World, tmp_path: Path) -> None:
    first, second = charged(await paid(world)), charged(await paid(world))
    await bring(world, tmp_path, report({"po_1": [first]}))
    done = await bring(world, tmp_path, report({"po_2": [first, second]}))
    assert [(each.line, each.code) for each in done.refused] == [(2, R.ELSEWHERE)]
    of = await stands(world, "po_2")
    assert (of.refused_lines, of.residual, of.matching) == (1, 1940, Matching.DISCREPANT)


async def test_a_line_twice_in_a_file_is_one_unless_they_differ(
    world: World, tmp_path: Path
) -> None:
    said = charged(await paid(world))
    done = await bring(world, tmp_path, report({"po_1": [said, said]}, own=False))
    assert (done.lines_new, done.refused_count) == (1, 0)
    said = charged(await paid(world))
    other = replace(said, fee=0, net=said.gross)
    done = await bring(world, tmp_path, report({"po_2": [said, other]}, own=False))
    assert [(each.line, each.code) for each in done.refused] == [(3, R.DIFFERS)]


async def test_another_report_leaves_the_refused_lines_of_the_first(
    world: World, tmp_path: Path
) -> None:
    lines = [charged(await paid(world)) for _ in range(2)]
    good = report({"po_1": lines})
    bad = good.replace(b",19.99,0.59,19.40,", b',"19,99",0.59,19.40,', 1)
    await bring(world, tmp_path, bad)
    assert (await stands(world)).refused_lines == 1
    # It fills the gap, and is not the line that was refused.
    more = line("txn_more", 1940, C.ADJUSTMENT, source_reference=None)
    await bring(world, tmp_path, report({"po_1": [more]}, own=False))
    of = await stands(world)
    assert (of.residual, of.refused_lines, of.is_open) == (0, 1, True)
    # The bad one once more is not another one.
    await bring(world, tmp_path, bad)
    assert (await stands(world)).refused_lines == 1
    # What was there when it was mended is all that counts.
    whole = report({"po_1": [*lines, more]}, own=False)
    await bring(world, tmp_path, whole)
    of = await stands(world)
    assert (of.residual, of.refused_lines) == (-1940, 1), "its own row is not in it"
    await bring(world, tmp_path, whole + report({"po_1": lines}).split(b"\n")[-2] + b"\n")
    assert (await stands(world)).refused_lines == 0


async def test_a_report_with_ids_of_its_own_adds_nothing_to_what_the_provider_itemises(
    world: World, tmp_path: Path
) -> None:
    """Neither when it comes first, nor afterwards."""
    charge = charged(await paid(world))
    pays(world, "po_1", charge)
    rows = [("a", "po_1", "fee", "19.40"), ("b", "po_1", "payout", "-19.40")]
    for n in range(2):
        done = await bring_generic(world, tmp_path, *rows, (f"z{n}", f"B{n}", "fee", "1.00"))
        assert [(each.line, each.code) for each in done.refused] == [
            (2, R.OTHER_SOURCE),
            (3, R.OTHER_SOURCE),
        ]
        assert done.lines_new == 1
        await settle(world)
        of = await stands(world)
        assert (of.counts.lines, of.residual, of.is_open) == (2, 0, False)
    assert await kinds(world) == {}
    alone = await bring_generic(world, tmp_path, *rows)
    assert (alone.status, alone.failure) == (ImportStatus.FAILED, NONE_TAKEN)


async def test_a_report_with_the_providers_ids_is_compared_with_what_it_itemises(
    world: World, tmp_path: Path
) -> None:
    charge = charged(await paid(world))
    pays(world, "po_1", charge, status=PayoutStatus.PENDING)
    await settle(world)
    row = (charge.provider_reference, "po_1", "charge")
    done = await bring_generic(world, tmp_path, (*row, "19.40"))
    assert [each.code for each in done.refused] == [R.DIFFERS]
    done = await bring_generic(world, tmp_path, (*row, "19.99"), fee="day")
    assert done.refused[0].code is R.UNREADABLE, "a day is no fee"


async def test_where_the_provider_itemises_nothing_the_report_is_the_one_source(
    world: World, tmp_path: Path
) -> None:
    """Of a payout by hand: no guess is added to what a report says, and the other way round."""
    charge = charged(await paid(world), available_on=START.date())
    provider = paying(world)
    provider.balance = [charge]
    rows = [("a", "po_1", "fee", "19.40"), ("b", "po_1", "payout", "-19.40")]
    provider.payouts["po_1"] = payout(1940, itemised=False, automatic=False)
    await bring_generic(world, tmp_path, *rows)
    await settle(world)
    of = await stands(world)
    assert (of.counts.lines, of.residual, of.is_open) == (2, 0, False)
    provider.payouts["po_2"] = payout(1941, "po_2", itemised=False, automatic=False)
    await settle(world, "po_2")
    rows = [("c", "po_2", "fee", "19.40"), ("d", "po_2", "fee", "1.40")]
    done = await bring_generic(world, tmp_path, *rows)
    assert [each.code for each in done.refused] == [R.OTHER_SOURCE] * 2


async def test_what_a_report_has_told_the_provider_does_not_double(
    world: World, tmp_path: Path
) -> None:
    """The provider knew nothing of it when the report came, and itemises it all the same."""
    rows = [("a", "po_1", "fee", "19.40"), ("b", "po_1", "payout", "-18.40")]
    await bring_generic(world, tmp_path, *rows)
    charge = charged(await paid(world))
    pays(world, "po_1", charge)
    done = await settle(world)
    assert done.outcome is Outcome.WAITING
    of = await stands(world)
    assert (of.ids_of_report, of.is_open, of.has_two_sources) == (True, True, True)
    assert len(await lines_of(world)) == 2
    # Nor does a report with the provider's ids.
    done_import = await bring(world, tmp_path, report({"po_1": [charge]}))
    assert {each.code for each in done_import.refused} == {R.OTHER_SOURCE}


async def test_a_file_waits_for_a_provider_that_does_not_tell(world: World, tmp_path: Path) -> None:
    """Whether it itemises the payout: nothing is read before that is known."""
    paying(world).payouts_silent = True
    with pytest.raises(Refusal) as refused:
        await bring_generic(world, tmp_path, ("a", "B1", "fee", "1.00"))
    assert refused.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert await world.all(LinePage) == []
    paying(world).payouts_silent = False
    done = await bring_generic(world, tmp_path, ("a", "B1", "fee", "1.00"))
    assert (done.status, done.lines_new) == (ImportStatus.COMPLETED, 1)


def unlike(said: Line) -> Line:
    return replace(said, fee=0, net=said.gross)


async def test_what_is_closed_is_compared_and_stays(world: World, tmp_path: Path) -> None:
    said = charged(await paid(world))
    pays(world, "po_1", said)
    await settle(world)
    before = await stands(world)
    assert not before.is_open
    late = line("txn_late", 0, C.FEE, fee=5, source_reference=None)
    done = await bring(world, tmp_path, report({"po_1": [unlike(said), late]}, own=False))
    found = [(each.line, each.code) for each in done.refused]
    assert found == [(2, R.DIFFERS), (3, R.CLOSED)]
    assert await stands(world) == before
