"""Waiting for a request with the same idempotency key, and deleting keys that are past their time.

Whoever ends or gives up a key tells it by `NOTIFY`, from a trigger, so a waiter on any node hears
of it when it is committed. Whoever
lost the connection that tells it wakes everyone: they look again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from paygate.storage.change import Unavailable
from paygate.storage.committer import DRIVER_FAULTS, Connect, Connection
from paygate.storage.database import Pool
from paygate.storage.reader import QUERIES
from paygate.telemetry import log

CHANNEL: Final = "paygate_idempotency_key"
REDIAL_SECONDS: Final = 1.0


class IdempotencyKeys:
    """One listening connection for all who wait in this process, dialled when first needed."""

    def __init__(self, connect: Connect, pool: Pool) -> None:
        self._connect = connect
        self._pool = pool
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listening: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def waiting(self, key_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the key may have changed; look up after entering, then wait."""
        event = asyncio.Event()
        self._waiting.setdefault(key_id, set()).add(event)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        try:
            yield event
        finally:
            self._waiting[key_id].discard(event)
            if not self._waiting[key_id]:
                del self._waiting[key_id]

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` finished keys made before a time; how many there were.

        Not through the commit door: what is deleted is a cache of answers, and no fact.

        Raises:
            Unavailable: the database does not answer.
        """
        try:
            return len(await self._pool.fetch(QUERIES["purge_idempotency_keys"], before, limit))
        except (OSError, *DRIVER_FAULTS) as error:
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from error

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            try:
                connection = await self._connect()
                try:
                    await self._hear(connection)
                finally:
                    connection.terminate()
            except (OSError, *DRIVER_FAULTS) as error:
                log.logger().warning("key_listener_lost", error=error)
            self._ring_all()
            await asyncio.sleep(REDIAL_SECONDS)

    async def _hear(self, connection: Connection) -> None:
        """Ring for what is told, until the connection is lost."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        await connection.add_listener(CHANNEL, self._ring)
        self._ring_all()  # for what was told before we listened
        await lost.wait()

    def _ring(self, _: object, __: int, ___: str, key_id: object) -> None:
        for event in self._waiting.get(str(key_id), ()):
            event.set()

    def _ring_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
