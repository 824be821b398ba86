"""Restores of the database: declared by a person, or noticed because the server is another one than
before, or on another timeline. A standby that took over looks the same, and is treated so.

A copy of the data directory that was put back shows nothing: for that there is `paygate restored`.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.connections.session import Connect, Connection, hang_up
from paygate.storage.connections.watch import watched
from paygate.storage.schema.order import keep_order
from paygate.storage.schema.versions import with_rights


class Restore(msgspec.Struct, frozen=True):
    """What happened between the two moments may be forgotten here."""

    taken_at: datetime
    noticed_at: datetime


class Restores:
    """The restores that this database has gone through."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def all(self) -> Sequence[Restore]:
        """All of them, the newest first. Raises `Unavailable` when the database does not answer."""
        with reading():
            rows = await self._pool.fetch(QUERIES["restores"])
        return [Restore(row["taken_at"], row["noticed_at"]) for row in rows]

    async def declare(self, now: datetime, taken_at: datetime | None) -> Restore:
        """Write down that the database was restored. Where nobody says to which moment: to the
        newest one that it remembers from before the server was started, if that was today; what was
        written since then is of after the restore.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading():
            await keep_order(self._ask)
            row = await self._pool.fetchrow(QUERIES["declare_restore"], now, taken_at)
        assert row is not None, "what is written down is told"
        return Restore(row["taken_at"], now)

    async def _ask(self, statement: str) -> object:
        (row,) = await self._pool.fetch(statement)
        return row[0]


async def notice_restore(connect: Connect, now: datetime) -> bool:
    """Whether the server is another one than before; that is written down, so only once. The order
    of events is kept then.

    Before anything else is written: the newest moment that the database remembers is then the one
    that it was put back to.

    Raises:
        MigrationError: the order is to be kept, and the role lacks a right to that.
    """
    connection = await connect()
    try:
        with watched(connect, connection)(), with_rights():
            await keep_order(connection.fetchval)
            return await _notice(connection, now)
    finally:
        await hang_up(connection)


async def _notice(connection: Connection, now: datetime) -> bool:
    async with connection.transaction():
        try:
            async with connection.transaction():
                server = await connection.fetchrow(QUERIES["server"])
        except asyncpg.PostgresError:
            return False  # who may not ask is not told; a person may still declare it
        before = await connection.fetchrow(QUERIES["server_before"])
        if server is None or before is None or tuple(server) == tuple(before):
            return False
        await connection.execute(QUERIES["remember_server"], *server)
        if before["timeline"] is None:
            return False  # the first start that looks
        await connection.execute(QUERIES["add_restore"], now, "timeline")
        return True
