"""Records sealed anew under the newest key, page by page, and how many there are under each key.

What is done is told by the key's id in the sealed bytes, so nothing is remembered of how far a run
came: the next one begins at the start and finds what is left. A row is written only while its bytes
are those that were opened, and a row that somebody else holds is left for later, so nobody waits
for a page but for the few milliseconds of its commit.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final, NamedTuple

from paygate.crypto.seal import OVERHEAD_BYTES, PREFIX_BYTES
from paygate.storage.commit.lane import PLANS
from paygate.storage.connections.database import own_connection, reading
from paygate.storage.connections.session import Connect, Connection
from paygate.storage.records import Records
from paygate.storage.stored import Column, Stored
from paygate.storage.tables import (
    AUDIT_ENTRY,
    EVENT,
    PROVIDER_EVENT_BODY,
    STORED,
)
from paygate.storage.unreadable import SealBroken

PAGE: Final = 250
"""Rows of a page: some ten milliseconds, in which a payment finds a row of it held."""
PAGE_BYTES: Final = 2 * 1024 * 1024
"""Sealed bytes of a page, without its last row's: bodies and files have up to half a megabyte."""
_AT: Final = {
    AUDIT_ENTRY.name: Column("at", "timestamptz"),
    EVENT.name: Column("created_at", "timestamptz"),
    PROVIDER_EVENT_BODY.name: Column("received_at", "timestamptz"),
}
"""The time by which a table is partitioned: who names it is led to one month."""
_FROM_START: Final = {"text": "", "int4": 0}


class Count(NamedTuple):
    """So many rows of a table are sealed under a key. None: their bytes name no key at all."""

    table: str
    key: int | None
    rows: int


class Page(NamedTuple):
    """Rows that were looked at: those to seal anew, each as `Stored.place` takes it with its sealed
    bytes last, and the key of the last row; None: there was none.
    """

    rows: Sequence[tuple[Any, ...]]
    last: tuple[Any, ...] | None


class Rewritten(NamedTuple):
    """What became of a page: rows that were written, and rows that do not open."""

    written: int
    unread: Sequence[SealBroken]


class ResealingSession:
    """One run's connection. Raises `Unavailable` when the database does not answer."""

    def __init__(
        self,
        connection: Connection,
        records: Records,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._connection = connection
        self._records = records
        self._waiting = waiting

    async def page(self, stored: Stored[Any], after: tuple[Any, ...] | None) -> Page:
        """The next rows of a table, those behind a key."""
        key = stored.key
        place = after or tuple(_FROM_START[column.sql_type] for column in key)
        head = b"\x01" + self._records.primary.to_bytes(PREFIX_BYTES - 1)
        with reading(), self._waiting():
            rows = await self._connection.fetch(_page(stored), head, PAGE, PAGE_BYTES, *place)
        found = [tuple(row) for row in rows]
        last = found[-1][: len(key)] if found else None
        return Page([row for row in found if row[-1] is not None], last)

    async def rewrite(self, stored: Stored[Any], rows: Sequence[tuple[Any, ...]]) -> Rewritten:
        """Seal rows anew, and write those that are as they were read."""
        sealed: list[tuple[Any, ...]] = []
        unread: list[SealBroken] = []
        for row in rows:
            try:
                sealed.append((*row, self._records.seal_anew(stored, row)))
            except SealBroken as fault:
                unread.append(fault)
        if not sealed:
            return Rewritten(0, unread)
        columns = [list(column) for column in zip(*sealed, strict=True)]
        with reading(), self._waiting():
            written = await self._connection.fetchval(_rewrite(stored), *columns)
        return Rewritten(written, unread)


class Resealing:
    """Where runs begin, and counts are made."""

    def __init__(self, connect: Connect, records: Records) -> None:
        self._connect = connect
        self._records = records

    @property
    def primary(self) -> int:
        """The id of the key that this process seals under now."""
        return self._records.primary

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ResealingSession]:
        """A run, whose connection ends with it."""
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                await connection.execute(PLANS)
            yield ResealingSession(connection, self._records, waiting)

    async def counts(self, tell: Callable[[int, int], None] = lambda *_: None) -> list[Count]:
        """How many rows of every table are under each key. Every row is looked at. `tell` hears how
        many tables are counted, and of how many.
        """
        found: list[Count] = []
        async with own_connection(self._connect) as (connection, waiting):
            for number, stored in enumerate(tables(), start=1):
                with reading(), waiting():
                    rows = await connection.fetch(_count(stored))
                found += [Count(stored.name, row["key"], row["rows"]) for row in rows]
                tell(number, len(STORED))
        return found


def tables() -> Iterator[Stored[Any]]:
    """Every table that holds sealed records."""
    return iter(STORED.values())


# Only names that are declared (`tables`) reach these texts; every value is a parameter.


def _columns(stored: Stored[Any]) -> tuple[Column, ...]:
    at = _AT.get(stored.name)
    return stored.key if at is None else (*stored.key, at)


def _page(stored: Stored[Any]) -> str:
    names = ", ".join(column.name for column in _columns(stored))
    key = ", ".join(column.name for column in stored.key)
    behind = ", ".join(
        f"${number}::{column.sql_type}" for number, column in enumerate(stored.key, start=4)
    )
    # The length of what lies beside the row is known without reading it.
    return (
        f"SELECT {names}, CASE WHEN is_left THEN sealed END AS sealed FROM ("  # noqa: S608
        f"SELECT *, sum(CASE WHEN is_left THEN length(sealed) ELSE 0 END) OVER (ORDER BY {key}"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM ("
        f"SELECT {names}, sealed, substr(sealed, 1, {PREFIX_BYTES}) <> $1 AS is_left"
        f" FROM {stored.name} WHERE ({key}) > ({behind}) ORDER BY {key} LIMIT $2"
        f") r) p WHERE coalesce(before, 0) < $3 ORDER BY {key}"
    )


def _rewrite(stored: Stored[Any]) -> str:
    columns = _columns(stored)
    names = [*(column.name for column in columns), "before", "after"]
    types = [*(column.sql_type for column in columns), "bytea", "bytea"]
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, start=1))
    same = " AND ".join(f"t.{column.name} = n.{column.name}" for column in columns)
    kept = ", ".join(f"n.{column.name}" for column in columns)
    # One row at a time by its key, as the commit door does it; and none is waited for.
    return (
        f"WITH n AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS n ({', '.join(names)})),"  # noqa: S608
        f" held AS MATERIALIZED (SELECT {kept}, n.before, n.after FROM n CROSS JOIN LATERAL"
        f" (SELECT FROM {stored.name} t WHERE {same} AND t.sealed = n.before"
        " FOR NO KEY UPDATE SKIP LOCKED) t),"
        f" written AS (UPDATE {stored.name} t SET sealed = n.after FROM held n"
        f" WHERE {same} AND t.sealed = n.before RETURNING true)"
        " SELECT count(*) FROM written"
    )


def _count(stored: Stored[Any]) -> str:
    return (
        "SELECT key, count(*) AS rows FROM (SELECT CASE"  # noqa: S608
        f" WHEN length(sealed) >= {OVERHEAD_BYTES} AND substr(sealed, 1, 1) = '\\x01'"
        f" THEN ('x' || encode(substr(sealed, 2, {PREFIX_BYTES - 1}), 'hex'))::bit(32)::bigint"
        f" END AS key FROM {stored.name}) k GROUP BY key ORDER BY key"
    )
