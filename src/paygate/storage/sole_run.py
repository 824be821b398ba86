"""One run of a job at a time, on all nodes of one database.

The runs of a process hold session advisory locks on a connection of their own, one for all that are
at work just now, and the process gives signs of life over it. A node that stands still or is cut
off gives none, and the server ends its session, so that nobody waits for a run that is none any
longer. Should such a node come back, its runs go on beside the next ones: the lock saves calls, and
what a run does is guarded by the version of each record.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection
from paygate.storage.connections.watch import watched

SIGN_OF_LIFE_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 40.0
"""Three signs were missed, and then some: a busy event loop is not a dead one."""

RELEASE_SECONDS: Final = 5.0


class SoleRuns:
    """Gives out the turns."""

    def __init__(self, connect: Connect, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._connect = connect
        self._silent_milliseconds = int(silent_seconds * 1000)
        self._dialling = asyncio.Lock()
        self._session: _Session | None = None
        self._at_work: set[str] = set()

    @asynccontextmanager
    async def alone(self, job: str) -> AsyncIterator[bool]:
        """Whether no other run of the job is at work, and none begins until the end of the block.

        Raises:
            Unavailable: the database does not answer.
        """
        if job in self._at_work:  # the lock knows sessions, and would be given to ours once more
            yield False
            return
        self._at_work.add(job)
        try:
            async with self._lent() as session:
                with reading():
                    alone = await session.claim(job)
                try:
                    yield alone
                finally:
                    if alone:
                        await session.release(job)
        finally:
            self._at_work.discard(job)

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator["_Session"]:
        """The session of all runs that are at work; made by the first, left by the last."""
        async with self._dialling:
            if self._session is None or self._session.is_lost():
                with reading():
                    session = _Session(self._connect, await self._connect())
                    try:
                        await session.begin(self._silent_milliseconds)
                    except BaseException:
                        session.leave()
                        raise
                self._session = session
            session = self._session
            session.runs += 1
        try:
            yield session
        finally:
            session.runs -= 1
            if session.runs == 0:
                session.leave()
                if self._session is session:
                    self._session = None


class _Session:
    """A connection and the turns that it holds."""

    def __init__(self, connect: Connect, connection: Connection) -> None:
        self.runs = 0
        self._connection = connection
        self._waiting = watched(connect, connection)
        self._speaking = asyncio.Lock()
        self._living: asyncio.Task[None] | None = None

    async def begin(self, silent_milliseconds: int) -> None:
        """Have the server end the session when it is silent for so long, and speak before."""
        with self._waiting():
            await self._connection.execute(QUERIES["end_when_silent"], silent_milliseconds)
        self._living = asyncio.create_task(self._live())

    def is_lost(self) -> bool:
        """Whether the connection is known to be gone, and with it every turn."""
        return self._connection.is_closed()

    async def claim(self, job: str) -> bool:
        """Whether the turn is ours now."""
        async with self._speaking:
            try:
                with self._waiting():
                    return bool(await self._connection.fetchval(QUERIES["claim_job"], job))
            except BaseException:
                # Whether the turn was given is not known; who was cut off left an answer behind.
                self._connection.terminate()
                raise

    async def release(self, job: str) -> None:
        """Give the turn back at once; the end of a session is noticed a moment later."""
        async with self._speaking:
            try:
                with suppress(OSError, TimeoutError, *DRIVER_FAULTS):
                    # The driver's own limit would not do: before it counts, it waits for the server
                    # to answer what was cut off.
                    async with asyncio.timeout(RELEASE_SECONDS):
                        with self._waiting():
                            await self._connection.execute(QUERIES["release_job"], job)
                            return
            except asyncio.CancelledError:
                self._connection.terminate()
                raise
            self._connection.terminate()

    def leave(self) -> None:
        """Cut the connection: nothing of it is at work."""
        if self._living is not None:
            self._living.cancel()
        self._connection.terminate()

    async def _live(self) -> None:
        """Give signs of life, until the connection is lost."""
        with suppress(OSError, *DRIVER_FAULTS):
            while True:
                await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
                async with self._speaking:
                    with self._waiting():
                        await self._connection.execute("SELECT")
        self._connection.terminate()
