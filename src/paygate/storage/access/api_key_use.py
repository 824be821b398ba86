"""When each API key was last used: noted in memory by every request, written once a minute.

It does not go through the door. A use is no fact of record, so it needs no audit entry, no seal
and no place in a request's commit; and as part of the key's own record it would make every
request a write, and a rotation a race against them. One upsert for many keys, in the
background: what fails is tried again a minute later, and no request ever waits for it.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from paygate.storage.blocks import QUERIES
from paygate.storage.connections.pool import Pool
from paygate.telemetry import log

EVERY_SECONDS: Final = 60.0
"""Between two writes for one key: whoever asks whether a key is still in use needs no more."""
WRITE_WITHIN_SECONDS: Final = 5.0
"""A database that takes longer is ill, and a stop must not wait for it."""


class ApiKeyUse:
    """The uses that this process has seen. At most one entry for each key that exists."""

    def __init__(self, pool: Pool, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._pool = pool
        self._every_seconds = every_seconds
        self._latest: dict[str, datetime] = {}
        self._tried: dict[str, float] = {}
        self._some_due = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def note(self, key_id: str, at: datetime) -> None:
        """The key was used. A key's first use is written at once, in the background."""
        self._latest[key_id] = at
        if self._due(key_id, time.monotonic()):
            self._some_due.set()

    async def close(self) -> None:
        """Write what was noted since, and stop."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._write(list(self._latest))

    def _due(self, key_id: str, now: float) -> bool:
        tried = self._tried.get(key_id)
        return tried is None or now - tried >= self._every_seconds

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every_seconds):
                    await self._some_due.wait()
            except TimeoutError:
                pass  # a later use of a known key is found by looking
            self._some_due.clear()
            now = time.monotonic()
            await self._write([key for key in self._latest if self._due(key, now)])

    async def _write(self, keys: Iterable[str]) -> None:
        uses = {key: self._latest[key] for key in keys}
        if not uses:
            return
        # Before the try, so that an outage is not asked again by every request.
        self._tried.update(dict.fromkeys(uses, time.monotonic()))
        try:
            async with asyncio.timeout(WRITE_WITHIN_SECONDS):
                await self._pool.execute(
                    QUERIES["note_api_key_uses"], list(uses), list(uses.values())
                )
        except Exception as error:  # noqa: BLE001 -- whatever it was, requests go on
            log.logger().warning("api_key_use_not_written", error=error)
            return
        for key, at in uses.items():
            if self._latest.get(key) == at:
                del self._latest[key]
