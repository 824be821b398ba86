"""The itemised payout report as a file: a line for each balance transaction of each payout.

Only what lists tell of a payout is in it. It must never hold a whole report in memory.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from paygate_sandbox.books import Books
from paygate_sandbox.resources.reports.columns import Cell, Line, cell
from paygate_sandbox.store.objects import JsonObject


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines and columns: of one payout, or of those that took effect within an interval, its
    end excluded.
    """

    columns: Sequence[str]
    zone: tzinfo
    payout: str | None
    since: int | None
    until: int | None
    currency: str | None
    category: str | None


@dataclass(frozen=True, slots=True)
class Written:
    size: int
    sha256: str


def write(books: Books, wanted: Wanted, path: Path) -> Written:
    """Write the file, whole; one of the same name is written over."""
    cells = [_known(name) for name in wanted.columns]
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(wanted.columns)
        for payout in _payouts(books, wanted):
            for row in _rows(books, payout, wanted):
                line = _line(books, row, payout, wanted.zone)
                writer.writerow([read(line) for read in cells])
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256")
    return Written(path.stat().st_size, digest.hexdigest())


def _known(name: str) -> Cell:
    found = cell(name)
    assert found is not None, "the run was refused otherwise"
    return found


def _payouts(books: Books, wanted: Wanted) -> Iterator[JsonObject]:
    if wanted.payout is not None:
        found = books.find("payout", wanted.payout)
        assert found is not None, "a payout is never deleted"
        yield found.body
        return
    assert wanted.since is not None, "a run without a payout has an interval"
    assert wanted.until is not None, "as above"
    for batch in books.objects.all("payout"):
        for record in batch:
            body = record.body
            if body["automatic"] and wanted.since <= body["arrival_date"] < wanted.until:
                yield body


def _rows(books: Books, payout: JsonObject, wanted: Wanted) -> Iterator[JsonObject]:
    if wanted.currency not in {None, payout["currency"]}:
        return
    for batch in books.balance_rows.lines(payout["id"], shown=True):
        for row in batch:
            if row["id"] == payout["balance_transaction"]:
                continue
            if wanted.category in {None, row["reporting_category"]}:
                yield row


def _line(books: Books, row: JsonObject, payout: JsonObject, zone: tzinfo) -> Line:
    source = row["source"] or ""
    refund = _body(books, "refund", source)
    dispute = _body(books, "dispute", source)
    about = refund or dispute
    charge = _body(books, "charge", source if about is None else about["charge"])
    customer = _body(books, "customer", (charge or {}).get("customer") or "")
    return Line(row, payout, zone, charge, refund, dispute, customer)


def _body(books: Books, kind: str, object_id: str) -> JsonObject | None:
    record = books.find(kind, object_id) if object_id else None
    return None if record is None else record.body
