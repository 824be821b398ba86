"""Connections: how one is made, and the pool that reads use."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar, cast

import asyncpg

from paygate.storage.change import Unavailable
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection, dial
from paygate.storage.connections.watch import Watch, at_work
from paygate.storage.schema.versions import ANNOUNCED
from paygate.telemetry import timing

T = TypeVar("T")

READ_CONNECTIONS: Final = 4
"""A read holds one for less than a millisecond; more of them only crowd the server."""
ACQUIRE_WITHIN_SECONDS: Final = 2.0
"""Thousands of reads end in it; who waits longer waits for something that is locked or gone."""
READ_WITHIN_SECONDS: Final = 4.0
"""For the server; with the wait for a connection, shorter than callers wait for an answer."""
SEARCH_WITHIN_SECONDS: Final = 10.0
"""A page of a list on a busy server, with an unlucky filter."""
IDLE_SECONDS: Final = 30.0
"""A connection that a burst needed is left when nothing has needed it for so long; what is used
again and again is the one that was used last.
"""
GRACE_SECONDS: Final = 1.0
"""How much longer than the server we wait: what the server ends leaves the connection whole."""


def connector(dsn: str, *, name: str) -> Connect:
    """A function that connects; `name` is what the server's own views show."""
    return functools.partial(dial, dsn, name=name, **ANNOUNCED)


class Pool:
    """Connections for reads, each with a deadline. Faults are the driver's: see `answering`."""

    def __init__(
        self, connect: Connect, within_seconds: float, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._connect = connect
        self._watch = Watch(at_most=within_seconds + GRACE_SECONDS)
        self._at_work = functools.partial(at_work, connect)
        self._free = asyncio.Semaphore(READ_CONNECTIONS)
        self._pool = asyncpg.create_pool(
            connect=self._dial,
            min_size=0,
            max_size=READ_CONNECTIONS,
            max_inactive_connection_lifetime=idle_seconds,
            # Reads leave no state behind: the default reset would be a round trip for each of them.
            reset=_leave_as_it_is,
        )

    async def open(self) -> None:
        """Connects nothing yet, so an outage does not stop a start."""
        await self._pool

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows."""
        return await self.run(lambda connection: connection.fetch(query, *arguments))

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """The first row, or None."""
        return await self.run(lambda connection: connection.fetchrow(query, *arguments))

    async def execute(self, query: str, *arguments: object) -> None:
        """For what answers nothing."""
        await self.run(lambda connection: connection.execute(query, *arguments))

    async def run(self, statement: Callable[[Connection], Awaitable[T]]) -> T:
        """What one statement answers, or a fault when it takes too long."""
        if self._free.locked():
            async with asyncio.timeout(ACQUIRE_WITHIN_SECONDS):
                await self._free.acquire()
        else:
            await self._free.acquire()
        try:
            lent = await self._pool.acquire()
            connection = cast("Connection", lent)  # asyncpg lends a proxy, one but for its type
            try:
                ask = functools.partial(self._at_work, connection)
                with self._watch.over(connection, ask):
                    return await statement(connection)
            except asyncio.CancelledError:
                # Who stopped waiting left a query behind, and a dead server never says it ended.
                connection.terminate()
                raise
            finally:
                await self._pool.release(lent)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Leave every connection; those that are in use or dead are cut."""
        self._pool.terminate()

    async def _dial(self, *_: Any, **__: Any) -> Connection:
        return await self._connect()


async def open_pool(dsn: str, *, name: str, plan_each: bool = False) -> Pool:
    """A pool for reads. It connects when it is first used.

    `plan_each` is for searches, whose best plan depends on which filters are given.
    """
    plans = {"plan_cache_mode": "force_custom_plan"} if plan_each else {"enable_seqscan": "off"}
    within = SEARCH_WITHIN_SECONDS if plan_each else READ_WITHIN_SECONDS
    limit = {"statement_timeout": f"{within:.0f}s"}
    given = {**plans, **limit, **ANNOUNCED}
    pool = Pool(functools.partial(dial, dsn, name=name, jit="off", **given), within)
    await pool.open()
    return pool


@contextmanager
def answering() -> Iterator[None]:
    """Around a read: it is timed, and a database that does not answer is `Unavailable`."""
    try:
        with timing.spent(timing.Part.DATABASE):
            yield
    except (OSError, *DRIVER_FAULTS) as error:
        raise Unavailable(f"the database does not answer: {type(error).__name__}") from error


async def _leave_as_it_is(_: Connection) -> None:
    return None
