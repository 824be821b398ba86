"""How records are stored, as data: a table, its columns, and what a record says in each.

`tables` declares every record in these words. Rows, statements and the columns of queries are
made from its declaration, so a column is added there and in a migration, and nowhere else.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.seal import SealedPlace

R = TypeVar("R", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Hash:
    """How a value is looked up that is never in clear: by its keyed hash under this label."""

    label: str
    across_merchants: bool = False
    """For those who look up without knowing the merchant."""
    rotated: bool = False
    """It moves to another index key. Not for a column that is unique: two writers who use different
    keys would both have the value."""

    def of(self, index: BlindIndex, merchant: str, value: str) -> bytes:
        """What stands in the column."""
        whose = "" if self.across_merchants else merchant
        if self.rotated:
            return index.candidates(whose, self.label, value)[0]
        return index.name_of(whose, self.label, value)

    def candidates(self, index: BlindIndex, merchant: str, value: str) -> list[bytes]:
        """What may stand in the column; several while another index key is moved to."""
        whose = "" if self.across_merchants else merchant
        if self.rotated:
            return list(index.candidates(whose, self.label, value))
        return [index.name_of(whose, self.label, value)]

    def found_by(self, index: BlindIndex, values: Iterable[str]) -> dict[bytes, str]:
        """Values by what may stand in the column, which is across merchants: for a page of them,
        each asked for once.
        """
        assert self.across_merchants, "whose they are is not known"
        if self.rotated:
            return {each: v for v in values for each in index.candidates("", self.label, v)}
        return index.names_of("", self.label, values)


@dataclass(frozen=True, slots=True)
class Column:
    """`field` is the record's attribute that the column shows, a path of them with dots; the one
    of the column's own name when left out.
    """

    name: str
    sql_type: str
    field: str = ""
    hashed: Hash | None = None
    """The column holds this hash of the field; of None, null."""
    added_later: bool = False
    """The column is null in rows of before, until they next advance."""

    @property
    def source(self) -> str:
        """Where in the record the value is."""
        return self.field or self.name


class Table:
    """A table that a change may write, and its columns in the order of a row."""

    def __init__(
        self,
        name: str,
        *columns: Column,
        claimed_by: tuple[str, ...] = (),
        looked_up_by: str | None = None,
    ) -> None:
        """`claimed_by` names the unique columns whose conflict refuses a creation, instead of being
        a fault; `looked_up_by` a function of the schema's that tells whether a row has them.
        """
        self.name: Final = name
        self.columns: Final = columns
        self.names: Final = tuple(column.name for column in columns)
        self.claimed_by: Final = claimed_by
        self.looked_up_by: Final = looked_up_by


KEY: Final = (Column("merchant", "text"), Column("id", "text"))
VERSIONED: Final = (*KEY, Column("version", "int4"))
_SEALED: Final = Column("sealed", "bytea")
_APPEND_ONLY_VERSION: Final = 1


class Stored(Table, Generic[R]):
    """A kind of record: its table and its coder. A row begins with the record's key, its version
    too when it has one, and ends with the sealed record.
    """

    def __init__(
        self,
        record: type[R],
        name: str,
        *clear: Column,
        claimed_by: tuple[str, ...] = (),
        looked_up_by: str | None = None,
        within: Callable[[R], object] | None = None,
    ) -> None:
        """`clear` are the columns in clear beside the key. `within` decodes what a record keeps
        encoded, so that a shape in there that is not known is found when the record is read.
        """
        self._versioned: Final = hasattr(record, "version")
        columns = (*(VERSIONED if self._versioned else KEY), *clear)
        for column in columns:
            assert hasattr(record, column.source.partition(".")[0]), (name, column)
        super().__init__(name, *columns, _SEALED, claimed_by=claimed_by, looked_up_by=looked_up_by)
        self.record: Final = record
        self.encode: Final = msgspec.msgpack.Encoder().encode
        self._decode: Final = msgspec.msgpack.Decoder(record).decode
        self._within: Final = within
        self._values: Final = attrgetter(*(column.source for column in columns))
        self._hashes: Final = [(n, c.hashed) for n, c in enumerate(columns) if c.hashed]

    def decode(self, content: bytes) -> R:
        """The record; msgspec's own errors for a shape that is not known."""
        record = self._decode(content)
        if self._within is not None:
            self._within(record)
        return record

    def clear(self, record: R, index: BlindIndex) -> tuple[Any, ...]:
        """The record's row, but for what is sealed."""
        values = self._values(record)
        if not self._hashes:
            return values
        row = list(values)
        for place, hashed in self._hashes:
            if row[place] is not None:
                row[place] = hashed.of(index, row[0], row[place])
        return tuple(row)

    @property
    def key(self) -> tuple[Column, ...]:
        """The columns that tell a row from all others, in the order of the table's key."""
        return VERSIONED if self._versioned else KEY

    def place(self, row: Sequence[Any]) -> SealedPlace:
        """Where the record of a row is sealed."""
        version = row[2] if self._versioned else _APPEND_ONLY_VERSION
        return SealedPlace(row[0], self.name, row[1], version)

    def shows(self, row: Sequence[Any], record: R, index: BlindIndex) -> bool:
        """Whether a row's columns in clear are the record's; those that were added later may be
        null, and a hash may be under any enabled key.
        """
        clear = self.clear(record, index)
        return clear == row[:-1] or all(
            theirs == ours
            or (theirs is None and column.added_later)
            or (
                column.hashed is not None
                and ours is not None
                and theirs in column.hashed.candidates(index, row[0], value)
            )
            for column, theirs, ours, value in zip(
                self.columns, row, clear, self._values(record), strict=False
            )
        )

    def row_found_by(self, name: str) -> tuple[Column, ...]:
        """The columns of a row that is found by a hash, and of which the seal alone is believed:
        the key, that hash and the seal.
        """
        column = next(column for column in self.columns if column.name == name)
        assert column.hashed is not None, f"{name} is no hash"
        return (*self.key, column, _SEALED)

    @property
    def rotated(self) -> Column | None:
        """The column whose hash moves to another index key; no table has two."""
        return next((c for c in self.columns if c.hashed is not None and c.hashed.rotated), None)
