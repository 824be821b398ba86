"""Every kind exported: exact, whole or failed, and never a formula."""

import csv
import io
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from paygate.domain.access.roles import Action
from paygate.domain.audit import AuditEntry
from paygate.domain.exports import ExportKind, Money, csv_lines
from paygate.domain.refunds.refund import Refund
from paygate.flows.exports.export import Exported, NotWhole, Wanted, export
from paygate.storage.change import Change, Committed
from tests.flows.settlements.paying import C, PayingProvider, charged, line, paid, pays
from tests.flows.settlements.stories import settle, stands
from tests.flows.world import World
from tests.making import make_audit
from tests.storage.filled import planted
from tests.storage.loose import loosen
from tools.bench.seed import Seeded, seed


async def exported(
    world: World, kind: ExportKind, **wanted: Any
) -> tuple[list[dict[str, str]], Exported, str]:
    """The rows by their columns' names, what was said of them, and the text."""
    text = io.StringIO()
    asked = Wanted(kind, **wanted)
    done = await export(world.ctx, world.caller, asked, text.write, lambda *_: None)
    rows = list(csv.DictReader(io.StringIO(text.getvalue(), newline="")))
    assert len(rows) == done.rows
    return rows, done, text.getvalue()


@pytest.fixture
def paying_world(world: World) -> World:
    world.provider = PayingProvider()
    world.use(provider=world.provider)
    return world


async def _settled(world: World) -> None:
    odd = line("txn_odd", -85, C.UNKNOWN, customer_amount=None)
    pays(world, "po_1", charged(await paid(world)), odd)
    await settle(world)


async def test_payments_are_exact_and_their_texts_calculate_nothing(world: World) -> None:
    texts = ["=1+1", "@x", "-12.00", "plain, with a comma", '\u00e9 "quoted"', "+49"]
    for text in texts:
        await world.create(description=text)
    rows, done, written = await exported(world, ExportKind.PAYMENTS)
    assert sorted(row["description"] for row in rows) == sorted(
        f"'{text}" if text[0] in "=@-+" else text for text in texts
    )
    assert {(row["amount"], row["currency"]) for row in rows} == {("19.99", "eur")}
    assert (done.summed, done.totals) == ("amount_received", {"eur": 0})
    assert written.count("\r\n") == len(texts) + 1


async def test_lines_keep_their_signs_and_stand_as_people_decided(paying_world: World) -> None:
    await _settled(paying_world)
    rows, done, text = await exported(paying_world, ExportKind.SETTLEMENT_LINES)
    by = {row["provider_reference"]: row for row in rows}
    assert (by["txn_odd"]["gross"], by["txn_odd"]["match"]) == ("-0.85", "unmatched")
    of = await stands(paying_world)
    assert {row["settlement"] for row in rows} == {of.id}
    assert sum(Decimal(row["net"]) for row in rows) == Decimal(done.totals["eur"]) / 100 == 0
    pays(paying_world, "po_2", charged(await paid(paying_world)))
    await settle(paying_world, "po_2")
    _, _, after = await exported(paying_world, ExportKind.SETTLEMENT_LINES)
    first = [each for each in after.splitlines() if each.startswith(of.id)]
    assert first == [each for each in text.splitlines() if each.startswith(of.id)]


async def test_the_ledger_balances_in_each_currency_transfer_by_transfer(
    paying_world: World,
) -> None:
    await _settled(paying_world)
    rows, done, _ = await exported(paying_world, ExportKind.LEDGER)
    left: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        assert (row["debit"] == "") != (row["credit"] == "")
        moved = Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0)
        left[row["transfer"], row["currency"]] += moved
    assert not any(left.values())
    kinds = {row["kind"] for row in rows}
    assert {"capture", "fees", "payout", "unexplained"} <= kinds
    assert sum(Decimal(row["debit"] or 0) for row in rows) * 100 == done.totals["eur"]


async def test_settlements_and_discrepancies(paying_world: World) -> None:
    await _settled(paying_world)
    of = await stands(paying_world)
    (row,), done, _ = await exported(paying_world, ExportKind.SETTLEMENTS)
    assert (row["id"], row["residual"], row["lines"]) == (of.id, "0.00", "3")
    assert done.totals == {"eur": of.amount}
    (wrong,), _, _ = await exported(paying_world, ExportKind.DISCREPANCIES)
    assert (wrong["kind"], wrong["status"], wrong["about"]) == (
        "unexpected_adjustment",
        "open",
        "txn_odd",
    )
    assert (wrong["found"], wrong["found_currency"]) == ("-0.85", "eur")


async def test_refunds_and_disputes_of_every_merchant(world: World) -> None:
    refund = planted(Refund, "x", merchant="shop", currency="jpy", amount=500)
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('shop')")
    await loosen(world.connection)
    change = Change(make_audit(), creates=(refund,))
    assert await world.ctx.door.commit(change) == Committed()
    (row,), done, _ = await exported(world, ExportKind.REFUNDS)
    assert (row["merchant"], row["amount"], done.totals) == ("shop", "500", {"jpy": 500})
    assert (await exported(world, ExportKind.REFUNDS, merchant="default"))[1].rows == 0
    assert (await exported(world, ExportKind.DISPUTES))[1].rows == 0


async def test_a_time_is_from_its_first_moment_and_before_its_last(world: World) -> None:
    made = (await world.create()).created_at
    for since, until, count in (
        (made, None, 1),
        (None, made, 0),
        (made, made + timedelta(milliseconds=1), 1),
        (made + timedelta(milliseconds=1), None, 0),
    ):
        _, done, _ = await exported(world, ExportKind.PAYMENTS, since=since, until=until)
        assert done.rows == count


async def test_ten_thousand_and_one_rows_are_all_there(world: World, tmp_path: Path) -> None:
    await seed(world.ctx, tmp_path, Seeded(10_001))
    rows, done, _ = await exported(world, ExportKind.PAYMENTS)
    assert done.rows == len({row["id"] for row in rows}) == 10_001


async def test_a_record_that_cannot_be_read_fails_the_export(world: World) -> None:
    await world.create()
    await world.connection.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    await world.connection.execute("UPDATE payment_intent SET sealed = sealed || 'x'::bytea")
    with pytest.raises(NotWhole, match="the export is not whole: payment_intent pi_"):
        await exported(world, ExportKind.PAYMENTS)


async def test_an_export_is_audited_before_its_first_row_and_at_its_end(world: World) -> None:
    await world.create()
    await exported(world, ExportKind.PAYMENTS, merchant="default")
    entries: list[AuditEntry] = await world.all(AuditEntry)
    first, last = (entry.details for entry in entries if entry.action is Action.EXPORT)
    assert first == {"kind": "payments", "merchant": "default"}
    assert last == {**first, "rows": "1", "amount_received": "0.00 eur"}


def test_amounts_are_decimals_by_their_currency_and_as_large_as_they_are() -> None:
    row = (Money(2**53 + 1, "idr"), Money(-1235, "kwd"), Money(500, "jpy"), Money(None, "eur"))
    assert csv_lines([row]) == "90071992547409.93,-1.235,500,\r\n"
    assert csv_lines([("-12.00", Money(-1200, "eur"), "\tx", "a\r\nb", True, None)]) == (
        "'-12.00,-12.00,'\tx,\"a\r\nb\",true,\r\n"
    )
