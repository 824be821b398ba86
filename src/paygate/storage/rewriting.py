"""Rows written anew where they stand, page by page: nothing but one column of each changes, and
nobody waits for it.

What is done is told by that column, so nothing is remembered of how far a run came: the next one
begins at the start and finds what is left. A row is written only while its bytes are those that
were read, and a row that somebody else holds is left for later, so nobody waits for a page but for
the few milliseconds of its commit.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final, NamedTuple

from paygate.storage.commit.lane import PLANS
from paygate.storage.connections.database import own_connection, reading
from paygate.storage.connections.session import Connect, Connection
from paygate.storage.stored import Column, Stored
from paygate.storage.tables import AUDIT_ENTRY, EVENT, PROVIDER_EVENT_BODY
from paygate.storage.unreadable import UNREAD, Unread

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
    """So many rows of a table are under a key. None: their bytes name no key at all."""

    table: str
    key: int | None
    rows: int


class Anew(NamedTuple):
    """What is written anew in the rows of a table: `target`, where `is_left` is true of a row. That
    is SQL, and may ask for `head`, its only parameter. `wanted` are the columns that `made` needs
    before the sealed record, to make the new bytes; they begin with `key_columns`.
    """

    target: str
    is_left: str
    head: bytes
    wanted: tuple[Column, ...]
    made: Callable[[Stored[Any], Sequence[Any]], bytes]
    """Raises SealBroken, Outdated, Tampered."""


class Page(NamedTuple):
    """Rows that were looked at: those to write anew, each with the columns that were wanted and its
    sealed bytes last, and the key of the last row; None: there was none.
    """

    rows: Sequence[tuple[Any, ...]]
    last: tuple[Any, ...] | None


class Rewritten(NamedTuple):
    """What became of a page: rows that were written, and rows that were not read."""

    written: int
    unread: Sequence[Unread]


class Rewriting:
    """One run's connection. Raises `Unavailable` when the database does not answer."""

    def __init__(
        self,
        connection: Connection,
        anew: Callable[[Stored[Any]], Anew],
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._connection = connection
        self._anew = anew
        self._waiting = waiting

    async def page(self, stored: Stored[Any], after: tuple[Any, ...] | None) -> Page:
        """The next rows of a table, those behind a key."""
        key, anew = stored.key, self._anew(stored)
        place = after or tuple(_FROM_START[column.sql_type] for column in key)
        with reading(), self._waiting():
            rows = await self._connection.fetch(
                _page(stored, anew), anew.head, PAGE, PAGE_BYTES, *place
            )
        found = [tuple(row) for row in rows]
        last = found[-1][: len(key)] if found else None
        return Page([row for row in found if row[-1] is not None], last)

    async def rewrite(self, stored: Stored[Any], rows: Sequence[tuple[Any, ...]]) -> Rewritten:
        """Write those rows anew that are as they were read."""
        anew, width = self._anew(stored), len(key_columns(stored))
        target = [*(column.name for column in anew.wanted), "sealed"].index(anew.target)
        made: list[tuple[Any, ...]] = []
        unread: list[Unread] = []
        for row in rows:
            try:
                after = anew.made(stored, row)
            except UNREAD as fault:
                unread.append(fault)
                continue
            made.append((*row[:width], row[target], after))
        if not made:
            return Rewritten(0, unread)
        lists = [list(column) for column in zip(*made, strict=True)]
        with reading(), self._waiting():
            written = await self._connection.fetchval(_rewrite(stored, anew.target), *lists)
        return Rewritten(written, unread)


@asynccontextmanager
async def rewriting(
    connect: Connect, anew: Callable[[Stored[Any]], Anew]
) -> AsyncIterator[Rewriting]:
    """A run, whose connection ends with it."""
    async with own_connection(connect) as (connection, waiting):
        with reading(), waiting():
            await connection.execute(PLANS)
        yield Rewriting(connection, anew, waiting)


def key_columns(stored: Stored[Any]) -> tuple[Column, ...]:
    """The columns that lead to a row."""
    at = _AT.get(stored.name)
    return stored.key if at is None else (*stored.key, at)


# Only names that are declared (`tables`) reach these texts; every value is a parameter.


def _page(stored: Stored[Any], anew: Anew) -> str:
    names = ", ".join(column.name for column in anew.wanted)
    key = ", ".join(column.name for column in stored.key)
    behind = ", ".join(
        f"${number}::{column.sql_type}" for number, column in enumerate(stored.key, start=4)
    )
    # The length of what lies beside the row is known without reading it.
    return (
        f"SELECT {names}, CASE WHEN is_left THEN sealed END AS sealed FROM ("  # noqa: S608
        f"SELECT *, sum(CASE WHEN is_left THEN length(sealed) ELSE 0 END) OVER (ORDER BY {key}"
        " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM ("
        f"SELECT {names}, sealed, {anew.is_left} AS is_left"
        f" FROM {stored.name} WHERE ({key}) > ({behind}) ORDER BY {key} LIMIT $2"
        f") r) p WHERE coalesce(before, 0) < $3 ORDER BY {key}"
    )


def _rewrite(stored: Stored[Any], target: str) -> str:
    columns = key_columns(stored)
    names = [*(column.name for column in columns), "before", "after"]
    types = [*(column.sql_type for column in columns), "bytea", "bytea"]
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, start=1))
    same = " AND ".join(f"t.{column.name} = n.{column.name}" for column in columns)
    kept = ", ".join(f"n.{column.name}" for column in columns)
    # One row at a time by its key, as the commit door does it; and none is waited for.
    return (
        f"WITH n AS MATERIALIZED (SELECT * FROM unnest({arrays}) AS n ({', '.join(names)})),"  # noqa: S608
        f" held AS MATERIALIZED (SELECT {kept}, n.before, n.after FROM n CROSS JOIN LATERAL"
        f" (SELECT FROM {stored.name} t WHERE {same} AND t.{target} = n.before"
        " FOR NO KEY UPDATE SKIP LOCKED) t),"
        f" written AS (UPDATE {stored.name} t SET {target} = n.after FROM held n"
        f" WHERE {same} AND t.{target} = n.before RETURNING true)"
        " SELECT count(*) FROM written"
    )
