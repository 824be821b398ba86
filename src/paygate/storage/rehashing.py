"""Look-ups hashed anew under the newest index key, and how many there are under each key.

What is done is told by the key's id before the hash (`rewriting`); before one with the first key,
there is none.
"""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from paygate.crypto.blind_index import INDEX_BYTES, KEY_BYTES
from paygate.storage.connections.database import own_connection, reading
from paygate.storage.connections.session import Connect
from paygate.storage.records import Records
from paygate.storage.rewriting import Anew, Count, Rewriting, rewriting
from paygate.storage.stored import Column, Stored
from paygate.storage.tables import STORED


class Rehashing:
    """Where runs begin, and counts are made."""

    def __init__(self, connect: Connect, records: Records) -> None:
        self._connect = connect
        self._records = records

    @property
    def primary(self) -> int:
        """The id of the key that this process hashes look-ups with now."""
        return self._records.index.primary

    def session(self) -> AbstractAsyncContextManager[Rewriting]:
        """A run, whose connection ends with it."""
        return rewriting(self._connect, self._anew)

    async def counts(self) -> list[Count]:
        """How many rows of every table have a hash under each key. Every row is looked at, none is
        opened.
        """
        found: list[Count] = []
        async with own_connection(self._connect) as (connection, waiting):
            for stored in rotated_tables():
                with reading(), waiting():
                    rows = await connection.fetch(_count(stored), self._records.index.first)
                found += [Count(stored.name, row["key"], row["rows"]) for row in rows]
        return found

    def _anew(self, stored: Stored[Any]) -> Anew:
        name = _column(stored).name
        return Anew(
            target=name,
            is_left=f"(substr({name}, 1, length($1::bytea)) <> $1"
            f" OR length({name}) <> length($1) + {INDEX_BYTES})",
            head=self._records.index.head,
            wanted=stored.columns[:-1],
            made=self._records.hash_anew,
        )


def rotated_tables() -> Iterator[Stored[Any]]:
    """Every table with a hash that moves to another index key."""
    return (stored for stored in STORED.values() if stored.rotated is not None)


def _column(stored: Stored[Any]) -> Column:
    assert stored.rotated is not None, "asked for such tables alone"
    return stored.rotated


# Only names that are declared (`tables`) reach this text; every value is a parameter.


def _count(stored: Stored[Any]) -> str:
    name = _column(stored).name
    return (
        f"SELECT key, count(*) AS rows FROM (SELECT CASE length({name})"  # noqa: S608
        f" WHEN {INDEX_BYTES} THEN $1::bigint WHEN {KEY_BYTES + INDEX_BYTES}"
        f" THEN ('x' || encode(substr({name}, 1, {KEY_BYTES}), 'hex'))::bit(32)::bigint"
        f" END AS key FROM {stored.name} WHERE {name} IS NOT NULL) k GROUP BY key ORDER BY key"
    )
