"""Look-ups of single rows by key, made together: one statement for all that are asked for at once.

A look-up is a millisecond's work of which a row is the least part. Those that come in one turn of
the loop, or while the statement before is under way, share the next statement. No look-up joins a
statement that was begun before it: whoever saw a commit acknowledged sees what was committed.
"""

import asyncio
import re
from collections.abc import Sequence
from contextvars import Context
from typing import Any, Final, TypeAlias

import asyncpg

from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool

Row: TypeAlias = tuple[Any, ...]

HOLD_SECONDS: Final = 0.01
"""How long those that come wait for the statement before theirs: several times what it takes. Then
theirs is begun beside it; where the pool must make a connection for that, it waits a little longer.
"""
KEYS_AT_ONCE: Final = 256
"""Beyond it a statement only adds latency, as a batch of commits does."""

_BAD_KEY: Final = (asyncpg.DataError, ValueError)
"""What a key is answered that the server (a NUL) or the driver (half a surrogate pair) takes for no
text. It is for its own asker to hear, so the keys that it came with are asked for by halves.
"""
_PARAMETER: Final = re.compile(r"\$(\d+)")


def for_many(block: str, kind: str = "text") -> str:
    """A block that finds one row by its parameters, all of one type, for an array of each: its
    row for every key that has one, after the key's place, counted from 1.
    """
    count = max(int(number) for number in _PARAMETER.findall(block))
    arrays = ", ".join(f"${number}::{kind}[]" for number in range(1, count + 1))
    names = ", ".join(f"key_{number}" for number in range(1, count + 1))
    one = _PARAMETER.sub(r"wanted.key_\1", block)
    # One row at a time by its key, whatever the statistics are: that is what OFFSET 0 is for.
    return (
        f"SELECT wanted.place, found.*\nFROM unnest({arrays})"
        f" WITH ORDINALITY AS wanted ({names}, place)\nCROSS JOIN LATERAL (\n{one}\nOFFSET 0) found"
    )


class _Wanted:
    """A key, and the row that its asker awaits."""

    __slots__ = ("key", "row")

    def __init__(self, key: Sequence[str | bytes], row: asyncio.Future[Row | None]) -> None:
        self.key = key
        self.row = row


class LookUps:
    """The look-ups by one block."""

    def __init__(self, pool: Pool, block: str, kind: str = "text") -> None:
        """`block` finds at most one row by its parameters, which are all of type `kind`."""
        self._pool = pool
        self._query = for_many(block, kind)
        self._wanted: list[_Wanted] = []
        self._next: asyncio.Handle | None = None
        """Begins the next statement, or ends the hold of the one before; None: nothing is held."""
        self._looking: set[asyncio.Task[None]] = set()
        self._nobodys = Context()
        """A statement is nobody's: its time and its log lines belong to no single request."""

    def find(self, *key: str | bytes) -> asyncio.Future[Row | None]:
        """The row as it is now or later, or None. Whoever stops waiting harms no other.

        The future's error is `Unavailable` when the database does not answer.
        """
        row: asyncio.Future[Row | None] = asyncio.get_running_loop().create_future()
        self._wanted.append(_Wanted(key, row))
        if self._next is None:
            self._begin_soon()
        return row

    def _begin_soon(self) -> None:
        """Whoever is ready in this turn of the loop joins."""
        loop = asyncio.get_running_loop()
        self._next = loop.call_soon(self._begin, context=self._nobodys)

    def _begin(self) -> None:
        wanted, self._wanted = self._wanted[:KEYS_AT_ONCE], self._wanted[KEYS_AT_ONCE:]
        loop = asyncio.get_running_loop()
        hold = self._next = loop.call_later(HOLD_SECONDS, self._begin_next)
        looking = loop.create_task(self._look(wanted, hold))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    def _begin_next(self) -> None:
        self._next = None
        if self._wanted:
            self._begin_soon()

    async def _look(self, wanted: Sequence[_Wanted], hold: asyncio.Handle) -> None:
        try:
            await self._read(wanted)
        finally:
            if self._next is hold:
                hold.cancel()
                self._begin_next()

    async def _read(self, wanted: Sequence[_Wanted]) -> None:
        keys = zip(*(one.key for one in wanted), strict=True)
        try:
            with reading():
                rows = await self._pool.fetch(self._query, *keys)
        except Exception as error:  # noqa: BLE001 -- each of them is told, whatever it is
            if len(wanted) > 1 and isinstance(error.__cause__, _BAD_KEY):
                half = len(wanted) // 2
                await self._read(wanted[:half])
                await self._read(wanted[half:])
                return
            for one in wanted:
                if not one.row.done():
                    one.row.set_exception(error)
        else:
            found = {row[0]: row[1:] for row in rows}
            for place, one in enumerate(wanted, start=1):
                if not one.row.done():
                    one.row.set_result(found.get(place))
