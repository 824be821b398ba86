"""The embedded PostgreSQL of `paygate up`: started again when it was killed, and no more often than
a server dies that can live.
"""

import asyncio
from collections import deque
from typing import Final

from paygate.embedded.server import EmbeddedPostgres, EmbeddedPostgresError
from paygate.telemetry import log

LOOK_SECONDS: Final = 0.5
DEATHS: Final = 5
WITHIN_SECONDS: Final = 60.0
"""So many deaths in so short a time, and starting it again mends nothing."""


class OwnDatabase:
    """A server of ours, and who looks after it."""

    def __init__(self, postgres: EmbeddedPostgres, *, deaths: int = DEATHS) -> None:
        self.dsn = postgres.dsn
        self._postgres = postgres
        self._deaths: deque[float] = deque(maxlen=deaths)
        self._reviving: asyncio.Task[None] | None = None

    async def keep(self) -> None:
        """Start the server again whenever it has died; the others' connections come back by
        themselves.

        Raises:
            EmbeddedPostgresError: it dies again and again, or does not start.
        """
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._postgres.runs():
                self._count()
                log.logger().warning("database_died")
                self._reviving = asyncio.create_task(asyncio.to_thread(self._postgres.revive))
                await asyncio.shield(self._reviving)
                log.logger().warning("database_started_again")

    async def stop(self) -> None:
        """End the server; one that is just started again is waited for."""
        if self._reviving is not None:
            await asyncio.wait([self._reviving])
        await asyncio.to_thread(self._postgres.stop)

    def _count(self) -> None:
        now, deaths = asyncio.get_running_loop().time(), self._deaths
        if len(deaths) == deaths.maxlen and now - deaths[0] < WITHIN_SECONDS:
            raise EmbeddedPostgresError(
                f"PostgreSQL was started again {len(deaths)} times within a minute and died again:"
                f" {self._postgres.log} may say why"
            )
        deaths.append(now)
