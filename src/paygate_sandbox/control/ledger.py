"""The books for the judge: everything that was ever done, whatever was answered.

It must never leave anything out, nor look like an API object.
"""

from collections.abc import Callable, Iterator

import msgspec

from paygate_sandbox.control.payouts import tell
from paygate_sandbox.parts import Parts
from paygate_sandbox.store.objects import JsonObject, Record

_encode = msgspec.json.Encoder().encode

_CHARGE_MEMBERS = (
    "id",
    "payment_intent",
    "amount",
    "currency",
    "status",
    "captured",
    "amount_captured",
    "amount_refunded",
    "metadata",
    "created",
)


_REFUND_MEMBERS = ("id", "charge", "payment_intent", "amount", "status", "metadata", "created")
_DISPUTE_MEMBERS = (
    "id",
    "charge",
    "payment_intent",
    "amount",
    "currency",
    "status",
    "reason",
    "metadata",
    "created",
)
_ROW_MEMBERS = ("id", "amount", "fee", "net", "currency", "reporting_category")
_LINE_MEMBERS = (*_ROW_MEMBERS, "type", "source", "description", "available_on", "created")
_FILE_MEMBERS = ("id", "purpose", "filename", "size", "type", "created")


def ledger(parts: Parts) -> Iterator[bytes]:
    """The document in pieces, so that a large one neither fills memory nor holds the loop."""
    begins = b'{"'
    for name, kind, line in _LISTS:
        yield begins + name + b'":['
        separator = b""
        for batch in parts.objects.all(kind):
            yield separator + b",".join([_encode(line(record)) for record in batch])
            separator = b","
        begins = b'],"'
    yield b'],"payouts":['
    separator = b""
    for batch in parts.objects.all("payout"):
        for payout in batch:
            yield separator
            yield from _payout(parts, payout)
            separator = b","
    yield b"]}"


def _payout(parts: Parts, payout: Record) -> Iterator[bytes]:
    """One with its lines, of which there may be very many. Its own row is none of them."""
    yield _encode(tell(payout))[:-1] + b',"lines":['
    separator = b""
    for batch in parts.balance_rows.lines(payout.id):
        told = [
            _encode({member: row[member] for member in _LINE_MEMBERS})
            for row in batch
            if row["id"] != payout.body["balance_transaction"]
        ]
        if told:
            yield separator + b",".join(told)
            separator = b","
    yield b"]}"


def _dispute(record: Record) -> JsonObject:
    body = record.body
    line = {member: body[member] for member in _DISPUTE_MEMBERS}
    details = body["evidence_details"]
    line["due_by"], line["submission_count"] = details["due_by"], details["submission_count"]
    line["evidence"] = {name: value for name, value in body["evidence"].items() if value}
    line["rows"] = [{m: row[m] for m in _ROW_MEMBERS} for row in body["balance_transactions"]]
    return line


def _file(record: Record) -> JsonObject:
    line = {member: record.body[member] for member in _FILE_MEMBERS}
    line["sha256"] = record.private["sha256"]
    return line


def _refund(record: Record) -> JsonObject:
    line = {member: record.body[member] for member in _REFUND_MEMBERS}
    line["idempotency_key"] = record.private["idempotency_key"]
    return line


def _charge(record: Record) -> JsonObject:
    line = {member: record.body[member] for member in _CHARGE_MEMBERS}
    line["idempotency_key"] = record.private["idempotency_key"]
    return line


_LISTS: tuple[tuple[bytes, str, Callable[[Record], JsonObject]], ...] = (
    (b"charges", "charge", _charge),
    (b"refunds", "refund", _refund),
    (b"disputes", "dispute", _dispute),
    (b"files", "file", _file),
)
"""Each list of the document: its name, the kind of its objects, and what is told of one."""
