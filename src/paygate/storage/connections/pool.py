"""The connections for reads: as many as are needed just now, and none that nothing needs."""

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

import asyncpg

from paygate.storage.connections.session import Connect, Connection, dial
from paygate.storage.connections.watch import Watch, at_work
from paygate.storage.schema.versions import ANNOUNCED

T = TypeVar("T")
Given: TypeAlias = "Connection | None"

READ_CONNECTIONS: Final = 4
"""A read holds one for less than a millisecond; more of them only crowd the server."""
WAIT_SECONDS: Final = 0.05
"""How long a read waits for the connections there are before it makes another: many times what a
read takes, so that a burst shares one, and a read that takes long holds up nobody.
"""
ACQUIRE_WITHIN_SECONDS: Final = 2.0
"""Thousands of reads end in it; who waits longer waits for something that is locked or gone."""
READ_WITHIN_SECONDS: Final = 4.0
"""For the server; with the wait for a connection, shorter than callers wait for an answer."""
SEARCH_WITHIN_SECONDS: Final = 10.0
"""A page of a list on a busy server, with an unlucky filter."""
SEARCH_WAIT_SECONDS: Final = 0.5
"""The minute's jobs search all at once, and no payment waits for a list."""
IDLE_SECONDS: Final = 300.0
"""A connection is left when nothing has needed it for so long: a payment that comes once a minute
waits for none to be made. What is used again and again is the one that was used last.
"""
GRACE_SECONDS: Final = 1.0
"""How much longer than the server we wait: what the server ends leaves the connection whole."""


class Pool:
    """Connections for reads, each with a deadline. Faults are the driver's: see `reading`.

    A read leaves no state behind, so a connection is lent and given back as it is.
    """

    def __init__(
        self,
        connect: Connect,
        within_seconds: float,
        *,
        idle_seconds: float = IDLE_SECONDS,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Connects nothing yet, so an outage does not stop a start."""
        self._connect = connect
        self._watch = Watch(at_most=within_seconds + GRACE_SECONDS)
        self._at_work = functools.partial(at_work, connect)
        self._idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._connections: set[Connection] = set()
        self._dialling = 0
        self._free: list[tuple[Connection, float]] = []
        """With the time since when; the one that was used last is at the end."""
        self._waiting: deque[asyncio.Future[Given]] = deque()
        self._leaving: asyncio.TimerHandle | None = None
        self._closed = False

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
        connection = await self._take()
        try:
            with self._watch.over(connection, functools.partial(self._at_work, connection)):
                return await statement(connection)
        except asyncio.CancelledError:
            # Who stopped waiting left a query behind, and a dead server never says it ended.
            connection.terminate()
            raise
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Leave every connection; those that are in use or dead are cut."""
        self._closed = True
        if self._leaving is not None:
            self._leaving.cancel()
        for connection in self._connections:
            connection.terminate()

    async def _take(self) -> Connection:
        while self._free:
            connection, _ = self._free.pop()
            if not connection.is_closed():
                return connection
            self._connections.discard(connection)
        time = asyncio.get_running_loop().time
        end, patience = time() + ACQUIRE_WITHIN_SECONDS, self._wait_seconds
        while self._open:
            given = await self._turn(patience)
            if given is not None:
                return given
            if self._open < READ_CONNECTIONS:
                break
            patience = end - time()
            if patience <= 0:
                raise TimeoutError("every connection for reads is in use")
        return await self._dial()

    @property
    def _open(self) -> int:
        return len(self._connections) + self._dialling

    async def _dial(self) -> Connection:
        if self._closed:
            raise asyncpg.InterfaceError("the pool is closed")
        self._dialling += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._dialling -= 1
            self._hand_on(None)
            raise
        self._dialling -= 1
        self._connections.add(connection)
        return connection

    async def _turn(self, within_seconds: float) -> Given:
        """A connection that another read gave back; None: none in time, or there is room for one
        more.
        """
        turn: asyncio.Future[Given] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait({turn}, timeout=within_seconds)
        except asyncio.CancelledError:
            if turn.done():
                self._hand_on(turn.result())
            raise
        finally:
            turn.cancel()  # one that was not given is passed over from now on
        return None if turn.cancelled() else turn.result()

    def _give_back(self, connection: Connection) -> None:
        if connection.is_closed():
            self._connections.discard(connection)
            self._hand_on(None)
        else:
            self._hand_on(connection)

    def _hand_on(self, connection: Given) -> None:
        """To the read that waits longest. None: there is room for one more."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is not None:
            self._free.append((connection, asyncio.get_running_loop().time()))
            if self._leaving is None:
                self._leave_in(self._idle_seconds)

    def _leave_in(self, seconds: float) -> None:
        self._leaving = asyncio.get_running_loop().call_later(seconds, self._leave_idle)

    def _leave_idle(self) -> None:
        self._leaving = None
        long_ago = asyncio.get_running_loop().time() - self._idle_seconds
        while self._free and self._free[0][1] <= long_ago:
            connection, _ = self._free.pop(0)
            self._connections.discard(connection)
            connection.terminate()
        if self._free:
            self._leave_in(self._free[0][1] - long_ago)


def open_pool(
    dsn: str,
    *,
    name: str,
    plan_each: bool = False,
    guarded: Callable[[Connect], Connect] | None = None,
) -> Pool:
    """A pool for reads. It connects when it is first used.

    `plan_each` is for searches, whose best plan depends on which filters are given. `guarded` makes
    another way to connect of the one that there is.
    """
    plans = {"plan_cache_mode": "force_custom_plan"} if plan_each else {"enable_seqscan": "off"}
    within = SEARCH_WITHIN_SECONDS if plan_each else READ_WITHIN_SECONDS
    limit = {"statement_timeout": f"{within:.0f}s"}
    given = {**plans, **limit, **ANNOUNCED}
    patience = SEARCH_WAIT_SECONDS if plan_each else WAIT_SECONDS
    connect = functools.partial(dial, dsn, name=name, jit="off", **given)
    return Pool(guarded(connect) if guarded else connect, within, wait_seconds=patience)
