"""One run of a job at a time, on all nodes of one database.

The run holds a session advisory lock on a connection of its own, and gives signs of life over it.
A node that stands still or is cut off gives none, and the server ends its session, so that nobody
waits for a run that is none any longer. Should such a node come back, its run goes on beside the
next one: the lock saves calls, and what a run does is guarded by the version of each record.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Final

from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection
from paygate.storage.connections.watch import watched

SIGN_OF_LIFE_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 40.0
"""Three signs were missed, and then some: a busy event loop is not a dead one."""

RELEASE_SECONDS: Final = 5.0

Waiting = Callable[[], AbstractContextManager[None]]


class SoleRuns:
    """Gives out the turns."""

    def __init__(self, connect: Connect, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._connect = connect
        self._silent_milliseconds = int(silent_seconds * 1000)

    @asynccontextmanager
    async def alone(self, job: str) -> AsyncIterator[bool]:
        """Whether no other run of the job is at work, and none begins until the end of the block.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading():
            connection = await self._connect()
        waiting = watched(self._connect, connection)
        living: asyncio.Task[None] | None = None
        try:
            with reading(), waiting():
                await connection.fetchval(QUERIES["end_when_silent"], self._silent_milliseconds)
                alone = bool(await connection.fetchval(QUERIES["claim_job"], job))
            if alone:
                living = asyncio.create_task(_live(connection, waiting))
            yield alone
        finally:
            try:
                if living is not None:
                    living.cancel()
                    await asyncio.gather(living, return_exceptions=True)
                    await _release(connection, waiting)
            finally:
                connection.terminate()


async def _release(connection: Connection, waiting: Waiting) -> None:
    """Give the turn back at once; the end of a session is noticed a moment later."""
    with suppress(OSError, TimeoutError, *DRIVER_FAULTS):
        # The driver's own limit would not do: before it counts, it waits for the server to answer
        # what was cut off.
        async with asyncio.timeout(RELEASE_SECONDS):
            with waiting():
                await connection.execute(QUERIES["release_jobs"])


async def _live(connection: Connection, waiting: Waiting) -> None:
    with suppress(OSError, *DRIVER_FAULTS):
        while True:
            await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
            with waiting():
                await connection.execute("SELECT")
