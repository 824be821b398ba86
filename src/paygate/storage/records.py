"""Domain values to sealed rows, and back. What stands in clear is compared on opening.

One entry of `_KINDS` says everything about a record: its table, and its columns in clear as
a function of the value. Writing and opening use the same function, so the two cannot differ.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.seal import SealedPlace, Sealer
from paygate.domain.alert import Alert
from paygate.domain.api_key import ApiKey
from paygate.domain.attempt import Attempt
from paygate.domain.audit import AuditEntry
from paygate.domain.correction import Correction
from paygate.domain.customer import Customer
from paygate.domain.events import Event
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Transfer
from paygate.domain.payment_intent import PaymentIntent
from paygate.domain.provider_event import ProviderEvent
from paygate.jobs import messages
from paygate.storage import tables
from paygate.storage.change import Change, Outdated, Record
from paygate.storage.statement import Mode, Section
from paygate.storage.tables import Table

R = TypeVar("R", bound=msgspec.Struct)
Clear = Callable[[Any, BlindIndex], tuple[Any, ...]]

JOB_TABLE: Final = Table(
    "pgqueuer", (("entrypoint", "text"), ("payload", "bytea"), ("delay", "interval"))
)
_ENQUEUE: Final = Section(JOB_TABLE, Mode.ENQUEUE)
_APPEND_ONLY_VERSION: Final = 1


class Tampered(Exception):
    """A row is not as this version would have left it."""


class _Kind:
    """A record's table, its clear columns after merchant and id, and its coders."""

    def __init__(self, record: type[msgspec.Struct], table: Table, clear: Clear) -> None:
        self.table = table
        self.clear = clear
        self.encode = msgspec.msgpack.Encoder().encode
        self.decode = msgspec.msgpack.Decoder(record).decode
        self.insert = Section(table, Mode.CLAIM if table.claimed_by else Mode.INSERT)
        self.advance = Section(table, Mode.ADVANCE)


def reference_index(index: BlindIndex, merchant: str, reference: str) -> bytes:
    """How a merchant's own reference is looked up."""
    return index.of(merchant, "reference", reference)


def provider_reference_index(index: BlindIndex, merchant: str, reference: str) -> bytes:
    """How a provider's id is looked up: theirs are never in clear."""
    return index.of(merchant, "provider_reference", reference)


_KINDS: Final[dict[type, _Kind]] = {
    PaymentIntent: _Kind(
        PaymentIntent,
        tables.PAYMENT_INTENT,
        lambda r, index: (
            r.version,
            r.status,
            r.created_at,
            r.updated_at,
            None if r.reference is None else reference_index(index, r.merchant, r.reference),
            r.customer,
            r.money_seq,
        ),
    ),
    Attempt: _Kind(
        Attempt,
        tables.ATTEMPT,
        lambda r, _: (
            r.version,
            r.intent,
            r.number,
            r.operation,
            r.state,
            r.first_sent_at,
            r.updated_at,
            r.close_at,
        ),
    ),
    IdempotencyKey: _Kind(
        IdempotencyKey,
        tables.IDEMPOTENCY_KEY,
        lambda r, _: (r.version, r.state, r.holder, r.lease, r.created_at, r.updated_at),
    ),
    ProviderEvent: _Kind(
        ProviderEvent,
        tables.PROVIDER_EVENT,
        lambda r, index: (
            r.version,
            r.status,
            provider_reference_index(index, r.merchant, r.provider_reference),
            r.received_at,
            r.updated_at,
        ),
    ),
    ApiKey: _Kind(
        ApiKey,
        tables.API_KEY,
        lambda r, _: (
            r.version,
            r.secret_hash,
            r.expires_at,
            r.revoked_at,
            r.created_at,
            r.updated_at,
        ),
    ),
    Alert: _Kind(
        Alert,
        tables.ALERT,
        lambda r, _: (r.version, r.status, r.stands_as, r.created_at, r.updated_at),
    ),
    Customer: _Kind(
        Customer, tables.CUSTOMER, lambda r, _: (r.version, r.created_at, r.updated_at)
    ),
    Correction: _Kind(
        Correction,
        tables.CORRECTION,
        lambda r, _: (r.intent, r.intent_version, r.from_status, r.to_status, r.at),
    ),
    Transfer: _Kind(
        Transfer, tables.LEDGER_TRANSFER, lambda r, _: (r.intent, r.money_seq, r.posted_at)
    ),
    Event: _Kind(Event, tables.EVENT, lambda r, _: (r.data.id, r.created_at)),
    AuditEntry: _Kind(AuditEntry, tables.AUDIT_ENTRY, lambda r, _: (r.at,)),
}


class Records:
    """Seals what goes to the database and opens what comes back."""

    def __init__(self, sealer: Sealer, index: BlindIndex) -> None:
        self._sealer = sealer
        self.index = index

    def reference_indexes(self, merchant: str, reference: str) -> list[bytes]:
        """Under which values a merchant's reference may stand, while the index key is rotated."""
        return list(self.index.candidates(merchant, "reference", reference))

    def rows(self, change: Change) -> list[tuple[Section, tuple[Any, ...]]]:
        """The rows of a change, sealed."""
        kinds = _KINDS
        rows = [(kinds[AuditEntry].insert, self._row(kinds[AuditEntry], change.audit))]
        for record in change.creates:
            kind = kinds[type(record)]
            rows.append((kind.insert, self._row(kind, record)))
        for record in change.advances:
            kind = kinds[type(record)]
            rows.append((kind.advance, self._row(kind, record)))
        for job in change.jobs:
            name = messages.entrypoint(type(job.message))
            rows.append((_ENQUEUE, (name, messages.encode(job.message), job.delay)))
        sections = [section for section, _ in rows]
        assert len(set(sections)) == len(sections), "one record of a table each way in a change"
        assert sum(s.mode is Mode.CLAIM for s in sections) <= 1, "two claims could be half held"
        return rows

    def open(self, record: type[R], row: Sequence[Any]) -> R:
        """The record in a row of all its table's columns, in their order.

        Raises:
            SealError: the bytes were not sealed for this place.
            Outdated: it was sealed for this place, in a shape that this version does not know.
            Tampered: the clear columns are not the record's own.
        """
        kind = _KINDS[record]
        merchant, record_id = row[0], row[1]
        plain = self._sealer.open(_place(kind, row), row[-1])
        try:
            value = kind.decode(plain)
        except msgspec.MsgspecError:  # its words would quote what it found
            name = f"{kind.table.name} {record_id}"
            raise Outdated(f"{name} was written by a newer version of paygate") from None
        if (merchant, record_id, *kind.clear(value, self.index)) != tuple(row[:-1]):
            raise Tampered(f"{kind.table.name} {record_id}: clear columns and record differ")
        assert isinstance(value, record)
        return value

    def _row(self, kind: _Kind, record: Record) -> tuple[Any, ...]:
        clear = (record.merchant, record.id, *kind.clear(record, self.index))
        return (*clear, self._sealer.seal(_place(kind, clear), kind.encode(record)))


def _place(kind: _Kind, row: Sequence[Any]) -> SealedPlace:
    versioned = kind.table.columns[2][0] == "version"
    version = row[2] if versioned else _APPEND_ONLY_VERSION
    return SealedPlace(row[0], kind.table.name, row[1], version)
