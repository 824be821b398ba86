"""Domain values to sealed rows, and back. What stands in clear is compared on opening.

Writing and opening make the columns in clear by the same declaration (`tables`), so the two cannot
differ.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import Keyring
from paygate.crypto.seal import Sealer, SealError
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.jobs import messages
from paygate.storage.change import Change, Outdated, Record
from paygate.storage.commit.statement import Mode, Section
from paygate.storage.stored import Column, Hash, Stored, Table
from paygate.storage.tables import (
    DISPUTE_REFERENCE,
    EVENT_TYPE,
    PAYMENT,
    PAYOUT,
    PROVIDER_REFERENCE,
    REFERENCE,
    REFUND_REFERENCE,
    STANDING_INTENT,
    STORED,
)
from paygate.storage.unreadable import UNREAD, SealBroken, Tampered, Unread

R = TypeVar("R", bound=msgspec.Struct)
S = TypeVar("S", bound=msgspec.Struct)
P = TypeVar("P", PaymentIntent, Refund, Dispute)

JOB_TABLE: Final = Table(
    "pgqueuer",
    Column("entrypoint", "text"),
    Column("payload", "bytea"),
    Column("delay", "interval"),
)
_ENQUEUE: Final = Section(JOB_TABLE, Mode.ENQUEUE)
_STAND: Final = Section(STANDING_INTENT, Mode.STAND)


class _Kind(NamedTuple):
    """What is stored of a kind of record, and the sections that write it."""

    stored: Stored[Any]
    insert: Section
    advance: Section


def _creation(stored: Stored[Any]) -> Mode:
    if not stored.claimed_by:
        return Mode.INSERT
    return Mode.RESERVE if stored.looked_up_by else Mode.CLAIM


_KINDS: Final = {
    record: _Kind(
        stored,
        Section(stored, _creation(stored)),
        Section(stored, Mode.ADVANCE),
    )
    for record, stored in STORED.items()
}


def _decoded(record: type[R], row: Sequence[Any], content: bytes) -> R:
    """Raises Outdated for a shape that this version does not know."""
    stored: Stored[R] = STORED[record]
    try:
        return stored.decode(content)
    except msgspec.MsgspecError:  # its words would quote what it found
        raise Outdated(
            f"{stored.name} {row[1]} was written by a newer version of paygate"
        ) from None


class Records:
    """Seals what goes to the database and opens what comes back."""

    def __init__(self, sealer: Sealer, index: BlindIndex) -> None:
        self._sealer = sealer
        self.index = index

    def turn_to(self, keyring: Keyring) -> None:
        """Use the keys of this keyring from now on: of the same installation, with other keys."""
        self._sealer.turn_to(keyring)
        self.index.turn_to(keyring)

    def reference_indexes(self, merchant: str, reference: str) -> list[bytes]:
        """Under which values a merchant's reference may stand, while the index key is rotated."""
        return REFERENCE.candidates(self.index, merchant, reference)

    def payment_indexes(self, provider_reference: str) -> list[bytes]:
        """Under which values a payment of the provider's may stand, while the key is rotated."""
        return PAYMENT.candidates(self.index, "", provider_reference)

    def refund_indexes(self, provider_reference: str) -> list[bytes]:
        """The same for a refund of the provider's."""
        return REFUND_REFERENCE.candidates(self.index, "", provider_reference)

    def dispute_indexes(self, provider_reference: str) -> list[bytes]:
        """The same for a dispute of the provider's."""
        return DISPUTE_REFERENCE.candidates(self.index, "", provider_reference)

    def payout_indexes(self, provider_reference: str) -> list[bytes]:
        """The same for a payout of the provider's."""
        return PAYOUT.candidates(self.index, "", provider_reference)

    def provider_reference_indexes(self, merchant: str, reference: str) -> list[bytes]:
        """The same for the provider's id of an event."""
        return PROVIDER_REFERENCE.candidates(self.index, merchant, reference)

    def event_type_indexes(self, merchant: str, kind: str) -> list[bytes]:
        """The same for the provider's name of what happened."""
        return EVENT_TYPE.candidates(self.index, merchant, kind)

    def rows(self, change: Change) -> list[tuple[Section, tuple[Any, ...]]]:
        """The rows of a change, sealed."""
        kinds = _KINDS
        rows: list[tuple[Section, tuple[Any, ...]]] = []
        for record in (change.audit, *change.creates):
            kind = kinds[type(record)]
            rows.append((kind.insert, self._row(kind.stored, record)))
        for record in change.advances:
            kind = kinds[type(record)]
            rows.append((kind.advance, self._row(kind.stored, record)))
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

    def named(self, table: str) -> Stored[Any] | None:
        """What a table holds; None when this version knows no such table."""
        return next((stored for stored in STORED.values() if stored.name == table), None)

    def open(self, record: type[R], row: Sequence[Any]) -> R:
        """The record in a row of all its table's columns, in their order.

        Raises:
            SealBroken: the bytes were not sealed for this place.
            Outdated: it was sealed for this place, in a shape that this version does not know.
            Tampered: the clear columns are not the record's own.
        """
        return self.read(record, row, self.content(record, row))

    def content(self, record: type[msgspec.Struct], row: Sequence[Any]) -> bytes:
        """The record in such a row as it was encoded, opened and not read.

        Raises:
            SealBroken: the bytes were not sealed for this place.
        """
        place = STORED[record].place(row)
        try:
            return self._sealer.open(place, row[-1])
        except SealError as error:
            raise SealBroken(place.table, place.merchant, place.id, str(error)) from None

    def read(self, record: type[R], row: Sequence[Any], content: bytes) -> R:
        """The record of a row whose content was opened.

        Raises:
            Outdated: its shape is one that this version does not know.
            Tampered: the clear columns are not the record's own.
        """
        value = _decoded(record, row, content)
        if not STORED[record].shows(row, value, self.index):
            raise Tampered(STORED[record].name, row[0], row[1], "clear columns and record differ")
        return value

    def open_found(self, record: type[P], row: Sequence[Any], found_by: Hash, asked: str) -> P:
        """The record in a row of its key, the hash that it was found by, and the seal. The seal is
        for the key alone, so it is all that is believed: what else stands in clear is not asked.

        Raises:
            SealBroken, Outdated: as `open`.
            Tampered: the record was not `asked` for: the hash in its row is another's.
        """
        value = _decoded(record, row, self.content(record, row))
        own = str(value.provider_reference)
        # Two values have one hash only where Unicode takes them for the same.
        if own != asked and row[-2] not in found_by.found_by(self.index, [own]):
            raise Tampered(STORED[record].name, row[0], row[1], "it is found by another's hash")
        return value

    @property
    def primary(self) -> int:
        """The id of the key that records are sealed under now."""
        return self._sealer.primary

    def seal_anew(self, stored: Stored[Any], row: Sequence[Any]) -> bytes:
        """The record of such a row sealed for its place under the primary key, and opened again to
        see that it is there. What is in it is not read, so its shape may be of any version.

        Raises:
            SealBroken: the bytes were not sealed for this place.
        """
        place = stored.place(row)
        try:
            content = self._sealer.open(place, row[-1])
            sealed = self._sealer.seal(place, content)
            if self._sealer.open(place, sealed) == content:
                return sealed
            why = "what was sealed anew is not what was opened"
        except SealError as error:
            why = str(error)
        raise SealBroken(place.table, place.merchant, place.id, why)

    def hash_anew(self, stored: Stored[Any], row: Sequence[Any]) -> bytes:
        """The hash in such a row that is rotated, under the primary index key.

        Raises:
            SealBroken, Outdated, Tampered: as `open`.
        """
        clear = stored.clear(self.open(stored.record, row), self.index)
        assert stored.rotated is not None, "asked for tables that have one"
        made: bytes = clear[stored.columns.index(stored.rotated)]
        return made

    def open_both(self, first: type[R], second: type[S], row: Sequence[Any]) -> tuple[R, S]:
        """The records in a row of all columns of the one, and all columns of the other."""
        width = len(STORED[first].columns)
        return self.open(first, row[:width]), self.open(second, row[width:])

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

    def columns(self, records: Sequence[Record]) -> list[list[Any]]:
        """The sealed rows of records of one kind, column by column: what `rows from` in a block
        takes.
        """
        rows = [self._row(STORED[type(record)], record) for record in records]
        return [list(column) for column in zip(*rows, strict=True)]

    def _row(self, stored: Stored[Any], record: Record) -> tuple[Any, ...]:
        clear = stored.clear(record, self.index)
        return (*clear, self._sealer.seal(stored.place(clear), stored.encode(record)))
