"""Domain values to sealed rows, and back. What stands in clear is compared on opening.

One entry of `_KINDS` says everything about a record: its table, and its columns in clear as
a function of the value. Writing and opening use the same function, so the two cannot differ.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.seal import SealedPlace, Sealer, SealError
from paygate.domain.access.api_key import ApiKey
from paygate.domain.alert import Alert, Occurrence
from paygate.domain.audit import AuditEntry
from paygate.domain.customer import Customer
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.events import Event
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.provider_event import ProviderEvent
from paygate.jobs import messages
from paygate.storage import tables
from paygate.storage.change import Change, Outdated, Record
from paygate.storage.commit.statement import Mode, Section
from paygate.storage.tables import Table
from paygate.storage.unreadable import UNREAD, SealBroken, Tampered, Unread

R = TypeVar("R", bound=msgspec.Struct)
Clear = Callable[[Any, BlindIndex], tuple[Any, ...]]

JOB_TABLE: Final = Table(
    "pgqueuer", (("entrypoint", "text"), ("payload", "bytea"), ("delay", "interval"))
)
_ENQUEUE: Final = Section(JOB_TABLE, Mode.ENQUEUE)
_STAND: Final = Section(tables.STANDING_INTENT, Mode.STAND)
_APPEND_ONLY_VERSION: Final = 1


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


def payment_index(index: BlindIndex, provider_reference: str) -> bytes:
    """How an intent is looked up by the provider's id of its payment: whoever asks by that does not
    know the merchant.
    """
    return index.of("", "payment", provider_reference)


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
            None if r.provider_reference is None else payment_index(index, r.provider_reference),
            r.create_key,
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
    Occurrence: _Kind(Occurrence, tables.ALERT_OCCURRENCE, lambda r, _: (r.version, r.at)),
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
    ProviderAccount: _Kind(ProviderAccount, tables.PROVIDER_ACCOUNT, lambda r, _: (r.created_at,)),
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

    def payment_indexes(self, provider_reference: str) -> list[bytes]:
        """Under which values a payment of the provider's may stand, while the key is rotated."""
        return list(self.index.candidates("", "payment", provider_reference))

    def provider_reference_indexes(self, merchant: str, reference: str) -> list[bytes]:
        """The same for the provider's id of an event."""
        return list(self.index.candidates(merchant, "provider_reference", reference))

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
        if (intent := change.stands) is not None:
            rows.append((_STAND, (intent.merchant, intent.id, intent.version)))
        for job in change.jobs:
            name = messages.entrypoint(type(job.message))
            rows.append((_ENQUEUE, (name, messages.encode(job.message), job.delay)))
        guards = [section for section, _ in rows if section.guards]
        # The statement asks whether a change holds a guard, not how many of its rows do.
        assert len(set(guards)) == len(guards), "two guards of a table could be half held"
        assert sum(s.mode is Mode.CLAIM for s in guards) <= 1, "two claims could be half held"
        return rows

    def named(self, table: str) -> tuple[type[Record], Table] | None:
        """The kind of record that a table holds; None when this version knows no such table."""
        return next(((r, k.table) for r, k in _KINDS.items() if k.table.name == table), None)

    def open(self, record: type[R], row: Sequence[Any]) -> R:
        """The record in a row of all its table's columns, in their order.

        Raises:
            SealBroken: the bytes were not sealed for this place.
            Outdated: it was sealed for this place, in a shape that this version does not know.
            Tampered: the clear columns are not the record's own.
        """
        kind = _KINDS[record]
        merchant, record_id = row[0], row[1]
        name = (kind.table.name, merchant, record_id)
        try:
            value = kind.decode(self._sealer.open(_place(kind, row), row[-1]))
        except SealError as error:
            raise SealBroken(*name, str(error)) from None
        except msgspec.MsgspecError:  # its words would quote what it found
            table = kind.table.name
            raise Outdated(
                f"{table} {record_id} was written by a newer version of paygate"
            ) from None
        clear = (merchant, record_id, *kind.clear(value, self.index))
        if clear != tuple(row[:-1]) and clear != _filled(kind.table, row, clear):
            raise Tampered(*name, "clear columns and record differ")
        assert isinstance(value, record)
        return value

    def open_each(
        self, record: type[R], rows: Iterable[Sequence[Any]]
    ) -> tuple[list[R], list[Unread]]:
        """The records in rows, and why others of them were not read: none stops the rest."""
        opened: list[R] = []
        unread: list[Unread] = []
        for row in rows:
            try:
                opened.append(self.open(record, tuple(row)))
            except UNREAD as fault:
                unread.append(fault)
        return opened, unread

    def _row(self, kind: _Kind, record: Record) -> tuple[Any, ...]:
        clear = (record.merchant, record.id, *kind.clear(record, self.index))
        return (*clear, self._sealer.seal(_place(kind, clear), kind.encode(record)))


def _filled(table: Table, row: Sequence[Any], clear: tuple[Any, ...]) -> tuple[Any, ...]:
    """The columns in clear of a row, with those that it was written without."""
    names = table.names[:-1]
    return tuple(
        ours if theirs is None and name in table.added_later else theirs
        for name, theirs, ours in zip(names, row, clear, strict=False)
    )


def _place(kind: _Kind, row: Sequence[Any]) -> SealedPlace:
    versioned = kind.table.columns[2][0] == "version"
    version = row[2] if versioned else _APPEND_ONLY_VERSION
    return SealedPlace(row[0], kind.table.name, row[1], version)
