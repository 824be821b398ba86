"""Who waits for a reply of the server waits under a watch, so that nobody waits for a dead one.

TCP tells late, or never, that a host is gone. The server itself can be asked, over another
connection: as long as it is at work on what was sent, it may take its time (a lock, a full disk
queue, a standby that is far away), and cutting it short would make a slow commit an unknown one.
Once it is not, no reply will come.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from paygate.storage.connections.session import (
    CONNECT_WITHIN_SECONDS,
    DRIVER_FAULTS,
    Connect,
    Connection,
)

ASK_AFTER_SECONDS: Final = 1.0
"""Replies take milliseconds; the server is asked about those that take longer than this."""
ASK_AGAIN_SECONDS: Final = 0.5
LOOK_EVERY_SECONDS: Final = 0.5
BEAT_SECONDS: Final = 2.0
"""How often a connection that waits to be told something is tried. The death of one that died
without a word is known two seconds later."""

Ask = Callable[[], Awaitable[bool]]
"""Asks the server whether it is at work on what was sent."""


class Watch:
    """Looks after all waits of one owner. While replies are prompt, a wait costs next to nothing:
    there is one timer for all of them, and none is left behind by a wait that comes alone.
    """

    def __init__(self, *, at_most: float | None = None) -> None:
        self._at_most = at_most
        self._waits: set[_Wait] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._last_since = 0.0
        self._alone = False
        """The last wait had none shortly before it."""

    def over(self, connection: Connection, ask: Ask) -> "_Wait":
        """Around a wait. A connection on which no reply can come is cut, and so is one that takes
        longer than `at_most`; the wait then ends with one of `DRIVER_FAULTS`.

        Nothing is cancelled: asyncpg would ask the server to cancel, and wait for its word.
        """
        return _Wait(self, connection, ask)

    def _begin(self, wait: "_Wait") -> None:
        self._waits.add(wait)
        self._alone = wait.since - self._last_since >= LOOK_EVERY_SECONDS
        self._last_since = wait.since
        if self._timer is None:
            self._look_in(ASK_AFTER_SECONDS)

    def _end(self, wait: "_Wait") -> None:
        self._waits.discard(wait)
        if self._alone and not self._waits and self._timer is not None:
            self._timer.cancel()  # it would wake an idle process for nothing
            self._timer = None

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            wait.look(now, self._at_most)
        if self._waits:
            self._look_in(LOOK_EVERY_SECONDS)


class _Wait:
    """One wait for one reply."""

    __slots__ = ("_ask", "_asking", "_connection", "_watch", "since")

    def __init__(self, watch: Watch, connection: Connection, ask: Ask) -> None:
        self._watch = watch
        self._connection = connection
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self.since = asyncio.get_running_loop().time()

    def __enter__(self) -> None:
        self._watch._begin(self)  # noqa: SLF001 -- the two are one thing

    def __exit__(self, *_: object) -> None:
        self._watch._end(self)  # noqa: SLF001
        if self._asking is not None:
            self._asking.cancel()

    def look(self, now: float, at_most: float | None) -> None:
        """Ask, if it is time and no question is under way; give up, if it is time for that."""
        waited = now - self.since
        if at_most is not None and waited >= at_most:
            self._connection.terminate()
        elif waited >= ASK_AFTER_SECONDS and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._doubt())

    async def _doubt(self) -> None:
        try:
            if await self._ask():
                return
            # The reply may have passed our question on its way: a second no is proof.
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            if not await self._ask():
                self._connection.terminate()
        except (OSError, *DRIVER_FAULTS):
            pass  # nobody answers: whether the reply will come is not known yet


async def at_work(connect: Connect, connection: Connection) -> bool:
    """Whether the server is at work for this connection."""
    return await ask_server(connect, _IS_AT_WORK, connection.get_server_pid())


def watched(connect: Connect, connection: Connection) -> Callable[[], _Wait]:
    """For whoever has a connection alone: what each of the waits on it is put into."""
    return partial(Watch().over, connection, partial(at_work, connect, connection))


async def keep_hearing(
    connect: Connect, connection: Connection, beat: Callable[[], Awaitable[object]]
) -> None:
    """Have a connection that only listens speak, for ever: its silence may be that of the dead.

    `beat` says anything over it. Raises one of `DRIVER_FAULTS` once the connection is lost.
    """
    watch, ask = Watch(), partial(at_work, connect, connection)
    closed = asyncio.Event()
    connection.add_termination_listener(lambda _: closed.set())
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await closed.wait()  # who is told of the end need not ask
        with watch.over(connection, ask):
            await beat()


async def ask_server(connect: Connect, question: str, *arguments: object) -> bool:
    """One question over a connection of its own, which is made and left for it."""
    connection = await connect()
    try:
        async with asyncio.timeout(CONNECT_WITHIN_SECONDS):
            return bool(await connection.fetchval(question, *arguments))
    finally:
        connection.terminate()


# A backend of which nothing is told (a foreign role's, activities not tracked) may be at work.
_IS_AT_WORK: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND coalesce(state, '') NOT LIKE 'idle%'"
)
