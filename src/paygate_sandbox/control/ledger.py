"""The books for the judge: everything that was ever done, whatever was answered.

It must never leave anything out, nor look like an API object.
"""

from collections.abc import Iterator

import msgspec

from paygate_sandbox.store.objects import JsonObject, Objects, Record

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


def ledger(objects: Objects) -> Iterator[bytes]:
    """The document in pieces, so that a large one neither fills memory nor holds the loop."""
    yield b'{"charges":['
    separator = b""
    for batch in objects.all("charge"):
        yield separator + b",".join([_encode(_charge(record)) for record in batch])
        separator = b","
    yield b'],"refunds":['
    separator = b""
    for batch in objects.all("refund"):
        yield separator + b",".join([_encode(_refund(record)) for record in batch])
        separator = b","
    # Nothing disputes or pays out yet, so nothing of it was ever done.
    yield b'],"disputes":[],"payouts":[]}'


def _refund(record: Record) -> JsonObject:
    line = {member: record.body[member] for member in _REFUND_MEMBERS}
    line["idempotency_key"] = record.private["idempotency_key"]
    return line


def _charge(record: Record) -> JsonObject:
    line = {member: record.body[member] for member in _CHARGE_MEMBERS}
    line["idempotency_key"] = record.private["idempotency_key"]
    return line
