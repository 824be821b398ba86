"""Records sealed anew under the newest key, and how many there are under each key.

What is done is told by the key's id in the sealed bytes (`rewriting`).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

from paygate.crypto.seal import OVERHEAD_BYTES, PREFIX_BYTES
from paygate.storage.connections.database import own_connection, reading
from paygate.storage.connections.session import Connect
from paygate.storage.records import Records
from paygate.storage.rewriting import Anew, Count, Rewriting, key_columns, rewriting
from paygate.storage.stored import Stored
from paygate.storage.tables import STORED


class Resealing:
    """Where runs begin, and counts are made."""

    def __init__(self, connect: Connect, records: Records) -> None:
        self._connect = connect
        self._records = records

    @property
    def primary(self) -> int:
        """The id of the key that this process seals under now."""
        return self._records.primary

    def session(self) -> AbstractAsyncContextManager[Rewriting]:
        """A run, whose connection ends with it."""
        return rewriting(self._connect, self._anew)

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

    def _anew(self, stored: Stored[Any]) -> Anew:
        return Anew(
            target="sealed",
            is_left=f"substr(sealed, 1, {PREFIX_BYTES}) <> $1",
            head=b"\x01" + self._records.primary.to_bytes(PREFIX_BYTES - 1),
            wanted=key_columns(stored),
            made=self._records.seal_anew,
        )


def tables() -> Iterator[Stored[Any]]:
    """Every table that holds sealed records."""
    return iter(STORED.values())


def _count(stored: Stored[Any]) -> str:
    return (
        "SELECT key, count(*) AS rows FROM (SELECT CASE"  # noqa: S608
        f" WHEN length(sealed) >= {OVERHEAD_BYTES} AND substr(sealed, 1, 1) = '\\x01'"
        f" THEN ('x' || encode(substr(sealed, 2, {PREFIX_BYTES - 1}), 'hex'))::bit(32)::bigint"
        f" END AS key FROM {stored.name}) k GROUP BY key ORDER BY key"
    )
