"""A report that somebody brings: read into settlements once, whatever is brought again."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest
from msgspec import json
from msgspec.structs import replace

from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.discrepancy import DecisionAction, Discrepancy
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.report_import import (
    ImportStatus,
    RefusedLine,
    ReportFormat,
    SettlementImport,
)
from paygate.domain.settlements.settlement import Matching, Settlement, Source
from paygate.flows.ledger.verify import verify_ledger
from paygate.flows.settlements import report_share
from paygate.flows.settlements.conclude import conclude
from paygate.flows.settlements.decide import resolve_discrepancy
from paygate.flows.settlements.import_report import (
    NONE_TAKEN,
    Report,
    layout_of,
    new_import,
)
from paygate.flows.settlements.upload_report import (
    ReportUpload,
    import_uploaded,
    read_import,
    read_report_as_asked,
    sweep_report_files,
)
from paygate.jobs.messages import ReadSettlementReport
from paygate.worker.report_hands import own_hands
from tests.domain.settlements.reports.reading import csv_of
from tests.flows.settlements.paying import C, charged, line, paid, paying, payout, pays
from tests.flows.settlements.reporting import bring, own_row, report, row
from tests.flows.settlements.stories import kinds, lines_of, settle, stands, told
from tests.flows.spoilt import mend, spoil
from tests.flows.world import World

GENERIC = {
    "reference": "id", "payout": "batch", "category": "kind", "currency": "currency",
    "gross": "amount", "available_on": "day", "payment": "payment",
}  # fmt: skip


async def test_a_report_is_read_into_the_settlements_of_its_payouts(
    world: World, tmp_path: Path
) -> None:
    first, second = [charged(await paid(world)) for _ in range(3)], [charged(await paid(world))]
    fee = line("txn_fee", 0, C.FEE, fee=100, source_reference=None)
    done = await bring(world, tmp_path, report({"po_1": [*first, fee], "po_2": second}))
    assert (done.status, done.lines_read, done.lines_new) == (ImportStatus.COMPLETED, 7, 7)
    one, two = await stands(world, "po_1"), await stands(world, "po_2")
    assert sorted(done.settlements) == sorted([one.id, two.id])
    assert (one.source, one.amount, one.residual) == (Source.REPORT, 3 * 1940 - 100, 0)
    assert [each.matching for each in (one, two)] == [Matching.BALANCED] * 2
    assert one.is_open, "the provider has not told of it"
    assert two.is_open
    assert (one.counts.matched, one.counts.provider_only, one.counts.lines) == (3, 2, 5)
    assert await kinds(world) == {}
    assert (await told(world)).count("settlement.created") == 2


async def test_the_same_file_is_the_same_import_and_changes_nothing(
    world: World, tmp_path: Path
) -> None:
    content = report({"po_1": [charged(await paid(world))]})
    done = await bring(world, tmp_path, content)
    before = await world.counts()
    assert await bring(world, tmp_path, content) == done
    # But for the audit entry of whoever brought it.
    assert await world.counts() | {AuditEntry: before[AuditEntry]} == before
    # As another file, with a space behind it, it is another import of the same lines.
    again = await bring(world, tmp_path, content + b"\n")
    assert (again.id != done.id, again.lines_read, again.lines_new) == (True, 2, 0)
    assert len(await lines_of(world)) == 2


async def test_a_refused_line_keeps_its_payout_from_balancing_until_it_is_brought_mended(
    world: World, tmp_path: Path
) -> None:
    lines = [charged(await paid(world)) for _ in range(3)]
    good = report({"po_1": lines, "po_2": [charged(await paid(world))]})
    bad = good.replace(b",19.99,0.59,19.40,", b',"19,99",0.59,19.40,', 1)
    done = await bring(world, tmp_path, bad)
    assert (done.status, done.lines_read, done.lines_new) == (ImportStatus.COMPLETED, 6, 5)
    assert done.refused == (RefusedLine(2, "gross is no decimal amount of its currency"),)
    of = await stands(world)
    assert (of.matching, of.residual, of.refused_lines) == (Matching.DISCREPANT, 1940, 1)
    assert (await stands(world, "po_2")).matching is Matching.BALANCED
    mended = await bring(world, tmp_path, good)
    assert (mended.lines_new, mended.refused_count) == (1, 0)
    of = await stands(world)
    assert (of.matching, of.residual, of.refused_lines) == (Matching.BALANCED, 0, 0)
    assert len(await lines_of(world)) == 4
    pays(world, "po_1", *lines)
    await settle(world)
    assert not (await stands(world)).is_open


async def test_a_line_that_names_no_payout_keeps_all_of_its_file_from_balancing(
    world: World, tmp_path: Path
) -> None:
    lines = [charged(await paid(world))]
    content = report({"po_1": lines}) + b'po_1,"never closed\n'
    done = await bring(world, tmp_path, content)
    assert [each.line for each in done.refused] == [4]
    of = await stands(world)
    assert (of.residual, of.refused_lines, of.matching) == (0, 1, Matching.DISCREPANT)


async def test_a_file_of_which_no_line_is_taken_fails(world: World, tmp_path: Path) -> None:
    good = report({"po_1": [charged(await paid(world))]})
    bad = good.replace(b"19.40", b'"19,40"')
    done = await bring(world, tmp_path, bad)
    assert (done.status, done.failure) == (ImportStatus.FAILED, NONE_TAKEN)
    assert (done.lines_read, done.refused_count, len(done.refused)) == (2, 2, 2)
    # As every import that failed, it is no longer in the way of the same file.
    assert (await bring(world, tmp_path, bad)).id != done.id


@pytest.mark.parametrize("own", [None, 50_00])
async def test_a_report_whose_lines_make_no_amount_posts_nothing(
    world: World, tmp_path: Path, own: int | None
) -> None:
    """Not before it is known what the payout is, and a person has said why it is another sum."""
    fee = line("txn_fee", -9 * 10**13, C.FEE, source_reference=None)
    said = [fee] if own is None else [fee, line("txn_own", -own, C.PAYOUT, source_reference="po_1")]
    await bring(world, tmp_path, report({"po_1": said}, own=False))
    of = await stands(world)
    assert (of.matching, of.amount) == (Matching.DISCREPANT, own)
    assert await world.all(AccountTransfer) == []
    found = await verify_ledger(world.ctx, world.caller, progress=lambda *_: None)
    assert found.mismatches == ()
    if own is None:
        return
    (wrong,) = await world.all(Discrepancy)
    decided = resolve_discrepancy(world.ctx, world.caller, wrong.id, DecisionAction.EXPLAIN, "so")
    await decided
    await conclude(world.ctx, world.caller, of.id)
    posted = {str(each.kind) for each in await world.all(AccountTransfer)}
    assert posted == {"fees", "payout", "unexplained"}
    found = await verify_ledger(world.ctx, world.caller, progress=lambda *_: None)
    assert found.mismatches == ()


async def test_what_was_posted_of_a_report_is_reversed_when_it_makes_no_amount_any_more(
    world: World, tmp_path: Path
) -> None:
    pays(world, "po_1", status=PayoutStatus.IN_TRANSIT, amount=1940, itemised=True)
    paying(world).lines.clear()
    lines = [charged(await paid(world))]
    await bring(world, tmp_path, report({"po_1": lines}, own=False))
    assert (await stands(world)).matching is Matching.BALANCED
    before = await world.all(AccountTransfer)
    assert before
    more = line("txn_more", 0, C.FEE, fee=7, source_reference=None)
    await bring(world, tmp_path, report({"po_1": [more]}, own=False))
    held = Counter[object]()
    for transfer in await world.all(AccountTransfer):
        for entry in transfer.entries:
            held[entry.account, transfer.currency_of(entry)] += entry.amount
    assert len(await world.all(AccountTransfer)) > len(before)
    assert set(held.values()) == {0}
    found = await verify_ledger(world.ctx, world.caller, progress=lambda *_: None)
    assert found.mismatches == ()


async def test_a_payout_whose_amount_nobody_says_never_balances(
    world: World, tmp_path: Path
) -> None:
    lines = {"po_1": [charged(await paid(world))]}
    await bring(world, tmp_path, report(lines, own=False))
    of = await stands(world)
    assert (of.amount, of.residual, of.matching) == (None, None, Matching.DISCREPANT)
    assert of.is_open


async def test_the_provider_says_an_amount_that_the_report_does_not(
    world: World, tmp_path: Path
) -> None:
    paying(world).payouts["po_1"] = payout(1940)
    await bring(world, tmp_path, report({"po_1": [charged(await paid(world))]}, own=False))
    of = await stands(world)
    assert (of.amount, of.residual, of.matching) == (1940, 0, Matching.BALANCED)
    assert of.payout is not None


async def test_lines_of_many_payouts_in_any_order_each_find_theirs(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_share, "MOST_IN_HAND", 10)  # pages are written before they are full
    payouts = {
        f"po_{n}": [line(f"txn_{n}_{m}", 0, C.FEE, fee=m, source_reference=None) for m in range(7)]
        for n in range(9)
    }
    whole = {name: [*lines, own_row(name, lines)] for name, lines in payouts.items()}
    rows = [row(name, lines[at]) for at in range(8) for name, lines in whole.items()]
    header = report({}).decode().split("\n")[0].split(",")
    done = await bring(world, tmp_path, csv_of(header, *rows))
    assert (done.lines_read, done.lines_new, len(done.settlements)) == (72, 72, 9)
    every: list[Settlement] = await world.all(Settlement)
    assert {each.residual for each in every} == {0}
    assert {each.counts.lines for each in every} == {8}


async def test_what_the_provider_told_before_a_report_adds_nothing_to(
    world: World, tmp_path: Path
) -> None:
    lines = [charged(await paid(world)) for _ in range(2)]
    pays(world, "po_1", *lines)
    await settle(world)
    before = await stands(world)
    done = await bring(world, tmp_path, report({"po_1": lines}))
    assert (done.status, done.lines_new) == (ImportStatus.COMPLETED, 0)
    assert await stands(world) == before
    # A line that the closed settlement does not have is refused, and it stays as it is.
    late = line("txn_late", 0, C.FEE, fee=5, source_reference=None)
    done = await bring(world, tmp_path, report({"po_1": [*lines, late]}, own=False))
    assert [each.message for each in done.refused] == [report_share.CLOSED]
    assert await stands(world) == before


async def test_a_record_that_cannot_be_read_is_waited_for(world: World, tmp_path: Path) -> None:
    intents = [await paid(world) for _ in range(2)]
    content = report({"po_1": [charged(each) for each in intents]})
    await spoil(world, "payment_intent", intents[0].id)
    failed = await bring(world, tmp_path, content)
    await mend(world, "payment_intent", intents[0].id)
    assert failed.status is ImportStatus.FAILED
    assert "1 lines name records that cannot be read" in (failed.failure or "")
    assert (await stands(world)).concluded_at is None
    done = await bring(world, tmp_path, content)
    assert (done.status, done.lines_new) == (ImportStatus.COMPLETED, 1)
    assert (await stands(world)).matching is Matching.BALANCED


async def test_a_file_of_too_many_payouts_fails(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_share, "MOST_PAYOUTS", 2)
    lines = {f"po_{n}": [line(f"txn_{n}", 0, C.FEE, fee=1)] for n in range(3)}
    done = await bring(world, tmp_path, report(lines))
    assert done.status is ImportStatus.FAILED
    assert "bring them in several files" in (done.failure or "")


async def test_a_generic_report_is_matched_by_the_ids_that_its_mapping_names(
    world: World, tmp_path: Path
) -> None:
    intent = await paid(world)
    header = ("id", "batch", "kind", "currency", "amount", "day", "payment")
    rows = [
        ("a", "B1", "charge", "EUR", "19.99", "2026-01-05", intent.provider_reference or ""),
        ("b", "B1", "payout", "EUR", "-19.99", "2026-01-05", ""),
    ]
    generic = ReportFormat.GENERIC
    done = await bring(world, tmp_path, csv_of(header, *rows), generic, GENERIC)
    assert done.status is ImportStatus.COMPLETED
    of = await stands(world, "B1")
    assert (of.counts.matched, of.residual, of.matching) == (1, 0, Matching.BALANCED)
    # The same content by another mapping is another import.
    other = await bring(world, tmp_path, csv_of(header, *rows), generic, GENERIC | {"fee": "day"})
    assert other.id != done.id


async def test_reports_are_of_the_account_and_of_a_format_that_is_known(world: World) -> None:
    brought = Report(ReportFormat.GENERIC, GENERIC, bytes(32), 1)
    other = replace(world.caller, merchant="second")
    with pytest.raises(Refusal) as refused:
        new_import(world.ctx, other, brought)
    assert refused.value.code is ErrorCode.RESOURCE_MISSING
    for given, param in (
        ((ReportFormat.GENERIC, {}), "mapping"),
        ((ReportFormat.STRIPE_ITEMIZED, GENERIC), "mapping"),
    ):
        with pytest.raises(Refusal) as refused:
            layout_of(world.ctx, *given)
        assert (refused.value.code, refused.value.param) == (ErrorCode.PARAMETER_INVALID, param)
    assert await world.all(SettlementImport) == []


async def uploaded(world: World, content: bytes, **parts: bytes) -> ReportUpload:
    """A file that was taken in, as the API takes it."""
    upload = ReportUpload(world.ctx, world.caller)
    said = {"format": b"generic", "mapping": json.encode(GENERIC), **parts}
    for at in range(0, len(content), 7):
        await upload.take(said, [content[at : at + 7]])
    await upload.end(said | {"file": b""})
    return upload


async def test_an_upload_keeps_the_cells_that_are_read_and_no_card_number(world: World) -> None:
    header = ("id", "batch", "kind", "currency", "amount", "day", "payment", "note")
    card = "4242 4242 4242 4242"
    row = ("a", "B1", "charge", "EUR", "19.99", "2026-01-05", card, "Ana Example")
    upload = await uploaded(world, csv_of(header, row))
    kept = await world.ctx.settlement_imports.chunk("default", upload.import_id, 1)
    assert b"************4242" in kept
    assert upload.masked == 1
    for hidden in (b"4242 4242", b"42424242", b"Ana"):
        assert hidden not in kept
    # Nobody reads it: a day later it is gone.
    assert await sweep_report_files(world.ctx) == 0
    world.clock.forward(25 * 3600)
    assert await sweep_report_files(world.ctx) == 1
    assert await world.ctx.settlement_imports.chunks("default", upload.import_id) == 0


async def test_card_numbers_in_a_report_are_masked_and_counted(
    world: World, tmp_path: Path
) -> None:
    """However it comes: an upload's as it comes in, a local file's as it is read."""
    header = ("id", "batch", "kind", "currency", "amount", "day", "payment")
    row = ("fee", "EUR", "-1.00", "2026-01-05")
    iban = "DE89 3704 0044 0532 0130 00"
    rows = [
        ("a", "B1", *row, "4242 4242 4242 4242"),
        ("b", "B1", *row, iban),
        ("c", "B1", *row, ""),
    ]
    content = csv_of(header, *rows)
    done = await bring(world, tmp_path, content, ReportFormat.GENERIC, GENERIC)
    assert (done.lines_new, done.card_numbers_masked) == (3, 2)
    said = {line.said.payment_reference for line in await lines_of(world, "B1")}
    assert said == {"************4242", "(card data)", None}
    content = content.replace(b"B1", b"B2").replace(b"\na,", b"\nd,")
    upload = await uploaded(world, content)
    begun = await import_uploaded(world.ctx, world.caller, upload, hashlib.sha256(content).digest())
    message = ReadSettlementReport("default", begun.id)
    await read_report_as_asked(world.ctx, message, own_hands)
    assert (await read_import(world.ctx, world.caller, begun.id)).card_numbers_masked == 2
    entries = [e for e in await world.all(AuditEntry) if e.action == "settlement_import.create"]
    assert [
        e.details["card_numbers_masked"] for e in entries if e.details.get("card_numbers_masked")
    ] == ["2"]


async def test_no_line_is_known_by_what_is_left_of_card_data(world: World, tmp_path: Path) -> None:
    """Two numbers that end alike would be one line, and two IBANs. However the file comes."""
    header = ("id", "batch", "kind", "currency", "amount", "day", "payment")
    said = ("B1", "fee", "EUR", "-1.00", "2026-01-05", "")
    ids = ("4242424242424242", "5555555555554444", "4111111110064444", "DE89370400440532013000")
    content = csv_of(header, ("a", *said), *[(each, *said) for each in ids])
    done = await bring(world, tmp_path, content, ReportFormat.GENERIC, GENERIC)
    content = content.replace(b"B1", b"B2").replace(b"\na,", b"\nb,")
    upload = await uploaded(world, content)
    begun = await import_uploaded(world.ctx, world.caller, upload, hashlib.sha256(content).digest())
    await read_report_as_asked(world.ctx, ReadSettlementReport("default", begun.id), own_hands)
    kept = await read_import(world.ctx, world.caller, begun.id)
    why = "reference holds what looks like a card number or an IBAN"
    for each in (done, kept):
        assert (each.lines_new, each.refused_count) == (1, 4)
        assert [(line.line, line.message) for line in each.refused] == [
            (number, why) for number in (3, 4, 5, 6)
        ]
    assert [(await stands(world, po)).refused_lines for po in ("B1", "B2")] == [4, 4]


async def test_an_upload_of_what_a_killed_command_began_is_gone_on_with(
    world: World, tmp_path: Path
) -> None:
    header = ("id", "batch", "kind", "currency", "amount", "day", "payment")
    rows = [(f"a{n}", "B1", "fee", "EUR", "-1.00", "2026-01-05", "") for n in range(3)]
    content = csv_of(header, *rows)
    digest = hashlib.sha256(content).digest()
    brought = Report(ReportFormat.GENERIC, GENERIC, digest, len(content))
    begun = new_import(world.ctx, world.caller, brought)
    await world.store(begun)
    upload = await uploaded(world, content)
    done = await import_uploaded(world.ctx, world.caller, upload, digest)
    assert (done.id, done.status) == (begun.id, ImportStatus.RUNNING)
    assert await world.ctx.settlement_imports.chunks("default", upload.import_id) == 0
    message = ReadSettlementReport("default", begun.id)
    assert await read_report_as_asked(world.ctx, message, own_hands) is None
    read = await read_import(world.ctx, world.caller, begun.id)
    assert (read.status, read.lines_new) == (ImportStatus.COMPLETED, 3)
    assert await world.ctx.settlement_imports.chunks("default", begun.id) == 0
    # The job twice, and of an import that is not there.
    assert await read_report_as_asked(world.ctx, message, own_hands) is None
    unknown = ReadSettlementReport("default", "si_nope")
    assert await read_report_as_asked(world.ctx, unknown, own_hands) is None
