"""A report that is taken back: as if it had never been brought, where nothing is closed."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.exports import ExportKind
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.report_import import ImportStatus, LineRefusal, ReportFormat
from paygate.domain.settlements.settlement import Matching
from paygate.domain.settlements.settlement import advanced as advanced_settlement
from paygate.domain.timeline.entry import Kind
from paygate.flows.exports.export import Wanted, export
from paygate.flows.ledger.verify import verify_ledger
from paygate.flows.settlements import report_share
from paygate.flows.settlements.decide import match_line
from paygate.flows.settlements.import_report import Report, new_import
from paygate.flows.settlements.withdraw_import import withdraw_import
from paygate.flows.timeline.explain import explain_payment
from paygate.storage.change import Change
from tests.domain.settlements.reports.reading import csv_of
from tests.flows.settlements.paying import C, charged, line, paid, pays
from tests.flows.settlements.reporting import bring, report
from tests.flows.settlements.stories import kinds, lines_of, settle, stands
from tests.flows.world import World
from tests.making import START, make_audit

GENERIC = {
    "reference": "id", "payout": "batch", "category": "kind", "currency": "currency",
    "gross": "amount", "available_on": "day", "payment": "payment",
}  # fmt: skip


async def held(world: World) -> set[int]:
    """What every account holds by settlements."""
    sums = Counter[object]()
    for transfer in await world.all(AccountTransfer):
        for entry in transfer.entries:
            sums[entry.account, transfer.currency_of(entry)] += entry.amount
    return set(sums.values())


async def agrees(world: World) -> bool:
    found = await verify_ledger(world.ctx, world.caller, progress=lambda *_: None)
    return found.mismatches == ()


async def test_a_file_read_by_a_wrong_mapping_is_withdrawn_and_brought_by_the_right_one(
    world: World, tmp_path: Path
) -> None:
    intents = [await paid(world) for _ in range(2)]
    header = ("id", "batch", "kind", "currency", "amount", "day", "payment")
    rows = [
        (f"r{n}", "B1", "charge", "EUR", "1999", "2026-01-05", each.provider_reference or "")
        for n, each in enumerate(intents)
    ]
    content = csv_of(header, *rows, ("own", "B1", "payout", "EUR", "-3998", "2026-01-05", ""))
    generic = ReportFormat.GENERIC
    wrong = await bring(world, tmp_path, content, generic, GENERIC)
    assert (wrong.status, await kinds(world)) == (ImportStatus.COMPLETED, {"amount_mismatch": 2})
    right = GENERIC | {"units": "minor"}
    refused = await bring(world, tmp_path, content, generic, right)
    assert {each.code for each in refused.refused} == {LineRefusal.DIFFERS}
    assert (await stands(world, "B1")).is_open

    taken_back = await withdraw_import(world.ctx, world.caller, wrong.id)
    assert (taken_back.withdrawn_at, taken_back.version) == (world.clock(), 3)
    of = await stands(world, "B1")
    assert (of.counts.lines, of.amount, of.totals) == (0, None, ())
    assert await kinds(world) == {}
    assert await agrees(world)
    # Its payments are without a line once more.
    every = await world.ctx.settlement_facts.payments_unsettled(
        "default", START - timedelta(days=1), START + timedelta(days=1), None, 10
    )
    assert {each.id for each in every.records} == {each.id for each in intents}
    await withdraw_import(world.ctx, world.caller, refused.id)

    done = await bring(world, tmp_path, content, generic, right)
    assert (done.status, done.lines_new, done.refused_count) == (ImportStatus.COMPLETED, 3, 0)
    of = await stands(world, "B1")
    assert (of.amount, of.counts.matched, of.is_open) == (3998, 2, False)
    assert await kinds(world) == {}
    assert await agrees(world)


async def test_no_timeline_and_no_export_has_what_was_withdrawn(
    world: World, tmp_path: Path
) -> None:
    """Neither by the line's own ids nor by a person's match."""
    named, chosen = [await paid(world) for _ in range(2)]
    header = ("id", "batch", "kind", "currency", "amount", "day", "payment")
    rows = [
        (f"r{n}", "B1", "charge", "EUR", "19.99", "2026-11-24", reference)
        for n, reference in enumerate((named.provider_reference or "", ""))
    ]
    done = await bring(world, tmp_path, csv_of(header, *rows), ReportFormat.GENERIC, GENERIC)
    of = await stands(world, "B1")
    (line_id,) = [each.id for each in await lines_of(world, "B1") if each.candidates]
    await match_line(world.ctx, world.caller, of.id, line_id, chosen.id, None)

    async def shown() -> tuple[list[str | None], int]:
        told = [
            entry.provider_reference
            for intent in (named, chosen)
            for entry in (await explain_payment(world.ctx, world.caller, intent.id)).entries
            if entry.kind is Kind.SETTLEMENT
        ]
        wanted = Wanted(ExportKind.SETTLEMENT_LINES)
        written = await export(world.ctx, world.caller, wanted, len, lambda *_: None)
        return told, written.rows

    assert await shown() == (["B1", "B1"], 2)
    await withdraw_import(world.ctx, world.caller, done.id)
    assert await shown() == ([], 0)


async def test_what_was_posted_is_reversed_and_the_provider_tells_its_own_lines(
    world: World, tmp_path: Path
) -> None:
    charge = charged(await paid(world))
    pays(world, "po_1", charge, status=PayoutStatus.IN_TRANSIT, lines_complete=False)
    said = replace(charge, fee=0, net=1999)
    gone = line("txn_less", -59, C.FEE, source_reference=None)
    done = await bring(world, tmp_path, report({"po_1": [said, gone]}, own=False))
    assert (await stands(world)).matching is Matching.BALANCED
    assert await held(world) != {0}
    settling = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'settle_payout'"
    asked = await world.connection.fetchval(settling)
    await withdraw_import(world.ctx, world.caller, done.id)
    await withdraw_import(world.ctx, world.caller, done.id)
    assert await world.connection.fetchval(settling) == asked + 1
    pays(world, "po_1", charge)
    await settle(world)
    of = await stands(world)
    assert (of.counts.lines, of.residual, of.is_open, of.refused_lines) == (2, 0, False, 0)
    assert await agrees(world)
    entries = [e for e in await world.all(AuditEntry) if e.action == "settlement_import.withdraw"]
    assert {e.subject.object for e in entries if e.subject} == {"settlement_import", "settlement"}


async def test_lines_of_other_reports_stay(world: World, tmp_path: Path) -> None:
    first, second = charged(await paid(world)), charged(await paid(world))
    pays(world, "po_1", first, second, status=PayoutStatus.PENDING, lines_complete=False)
    kept = await bring(world, tmp_path, report({"po_1": [first]}, own=False))
    other = await bring(world, tmp_path, report({"po_1": [second]}, own=False))
    assert (await stands(world)).residual == 0
    await withdraw_import(world.ctx, world.caller, other.id)
    again = await bring(world, tmp_path, report({"po_1": [second]}, own=False))
    assert (again.id != other.id, again.lines_new, again.refused_count) == (True, 1, 0)
    of = await stands(world)
    assert (of.residual, of.counts.lines) == (0, 2)
    assert kept.id not in {other.id, again.id}


async def test_refused_lines_of_a_report_go_with_it(world: World, tmp_path: Path) -> None:
    lines = [charged(await paid(world)) for _ in range(2)]
    pays(world, "po_1", *lines, status=PayoutStatus.PENDING)
    await settle(world)
    other = replace(lines[0], fee=0, net=1999)
    done = await bring(world, tmp_path, report({"po_1": [other, lines[1]]}, own=False))
    assert (await stands(world)).refused_lines == 1
    await withdraw_import(world.ctx, world.caller, done.id)
    await settle(world)
    of = await stands(world)
    assert (of.refused_lines, of.matching, of.counts.lines) == (0, Matching.BALANCED, 3)


async def test_what_is_closed_or_being_read_is_not_withdrawn(world: World, tmp_path: Path) -> None:
    charge = charged(await paid(world))
    pays(world, "po_1", charge)
    done = await bring(world, tmp_path, report({"po_1": [charge]}))
    await settle(world)
    before = await stands(world)
    assert not before.is_open
    begun = new_import(world.ctx, world.caller, Report(ReportFormat.GENERIC, GENERIC, bytes(32), 1))
    await world.store(begun)
    for known, code in (
        (done.id, ErrorCode.STATE_CONFLICT),
        (begun.id, ErrorCode.STATE_CONFLICT),
        ("si_nope", ErrorCode.RESOURCE_MISSING),
    ):
        with pytest.raises(Refusal) as refused:
            await withdraw_import(world.ctx, world.caller, known)
        assert refused.value.code is code
    assert await stands(world) == before


async def test_one_that_failed_as_it_was_read_is_withdrawn_with_the_lines_that_are_there(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of too many payouts: the first was written before the second was seen."""
    lines = [charged(await paid(world)) for _ in range(5)]
    content = report({"po_1": lines, "po_2": [charged(await paid(world))]})
    with monkeypatch.context() as bounds:
        bounds.setattr(report_share, "MOST_IN_HAND", 0)
        bounds.setattr(report_share, "MOST_PAYOUTS", 1)
        failed = await bring(world, tmp_path, content)
    assert (failed.status, failed.settlements) == (ImportStatus.FAILED, ())
    assert await lines_of(world) != []
    taken_back = await withdraw_import(world.ctx, world.caller, failed.id)
    assert taken_back.withdrawn_at is not None
    assert taken_back.settlements == ((await stands(world)).id,)
    assert (await stands(world)).counts.lines == 0
    done = await bring(world, tmp_path, content)
    assert (done.status, done.lines_new, done.refused_count) == (ImportStatus.COMPLETED, 8, 0)
    pays(world, "po_1", *lines)
    await settle(world)
    assert not (await stands(world)).is_open
    assert await agrees(world)
    # Brought again, it is withdrawn no more: what it is in is closed, and the first is over.
    assert await withdraw_import(world.ctx, world.caller, failed.id) == taken_back


async def test_one_that_failed_and_left_nothing_is_in_no_settlement(
    world: World, tmp_path: Path
) -> None:
    await bring(world, tmp_path, report({"po_1": [charged(await paid(world))]}, own=False))
    assert (await stands(world)).is_open
    bare = report({"po_2": [charged(await paid(world))]}).partition(b"\n")[0]
    failed = await bring(world, tmp_path, bare)
    assert failed.status is ImportStatus.FAILED
    with pytest.raises(Refusal) as refused:
        await withdraw_import(world.ctx, world.caller, failed.id)
    assert refused.value.code is ErrorCode.STATE_CONFLICT


async def test_one_of_a_version_that_did_not_say_which_lines_are_whose_is_refused_and_says_so(
    world: World, tmp_path: Path
) -> None:
    """Of before migration 0033: its page names no import, and was written while it was read."""
    pays(world, "po_1", charged(await paid(world)), status=PayoutStatus.IN_TRANSIT)
    await settle(world)
    older = new_import(world.ctx, world.caller, Report(ReportFormat.GENERIC, {}, bytes(32), 1))
    world.clock.forward(5)
    pays(world, "po_2", charged(await paid(world)), status=PayoutStatus.IN_TRANSIT)
    await settle(world, "po_2")
    world.clock.forward(5)
    brought = tuple(sorted([(await stands(world, po)).id for po in ("po_1", "po_2")]))
    done = replace(
        older,
        status=ImportStatus.COMPLETED,
        lines_new=2,
        settlements=brought,
        finished_at=world.clock(),
    )
    await world.store(done)
    before = await stands(world, "po_2")
    with pytest.raises(
        Refusal, match="before it was written down which lines are whose"
    ) as refused:
        await withdraw_import(world.ctx, world.caller, done.id)
    assert refused.value.code is ErrorCode.STATE_CONFLICT
    assert await stands(world, "po_2") == before
    # One that brought nothing of its own is withdrawn, though the provider's lines are there.
    of = (await stands(world)).id
    known = world.ctx.new_id("settlement_import")
    bare = replace(done, id=known, content_hash=bytes(32), settlements=(of,))
    await world.store(bare)
    assert (await withdraw_import(world.ctx, world.caller, bare.id)).withdrawn_at is not None


async def test_a_withdrawal_that_died_on_its_way_goes_on(world: World, tmp_path: Path) -> None:
    """Its pages are gone, and the import does not say so yet."""
    done = await bring(world, tmp_path, report({"po_1": [charged(await paid(world))]}))
    of = await stands(world)
    waiting = advanced_settlement(of, world.clock(), matching=Matching.WAITING, concluded_at=None)
    audit = make_audit()
    await world.ctx.door.commit(Change(audit, advances=(waiting,)))
    pages = [page.version async for page in world.ctx.settlement_pages.every("default", of.id)]
    await world.ctx.settlement_pages.withdraw("default", of.id, pages)
    assert (await withdraw_import(world.ctx, world.caller, done.id)).withdrawn_at is not None
    assert (await stands(world)).counts.lines == 0
