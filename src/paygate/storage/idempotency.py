"""Finding idempotency keys, waiting for them, and deleting those that are past their time.

Whoever ends or gives up a key tells it by `NOTIFY`, from a trigger, so a waiter on any node hears
of it when it is committed. Whoever
lost the connection that tells it wakes everyone: they look again.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, NamedTuple

from paygate.domain.idempotency import IdempotencyKey
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection
from paygate.storage.connections.watch import Watch, at_work, keep_hearing
from paygate.storage.look_ups import LookUps
from paygate.storage.records import Records
from paygate.telemetry import log, timing

CHANNEL: Final = "paygate_idempotency_key"
REDIAL_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 30.0
"""When nobody has waited for so long, nobody listens: two requests with one key are seldom."""


class Found(NamedTuple):
    """A key, and for how many seconds its lease still runs. None: there is none of that name, and
    `earlier` payment intents were created under one that there was.
    """

    key: IdempotencyKey | None
    lease_left: float = 0.0
    earlier: int = 0


class _Quiet(Exception):
    """Nobody waits for a key."""


def _machine_time() -> datetime:
    return datetime.now(UTC)


class IdempotencyKeys:
    """Finds keys, and has one listening connection for all who wait here."""

    def __init__(
        self,
        connect: Connect,
        pool: Pool,
        records: Records,
        *,
        machine_time: Callable[[], datetime] = _machine_time,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        """`machine_time` is this machine's own clock, whatever time a command plays."""
        self._machine_time = machine_time
        self._connect = connect
        self._pool = pool
        self._records = records
        self._look_ups = LookUps(pool, QUERIES["idempotency_key_standing"])
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._quiet_seconds = quiet_seconds
        self._quiet_since = -math.inf
        """Means something while nobody waits."""

    async def find(self, merchant: str, key_id: str) -> Found:
        """The key, if there is one.

        Raises:
            Unavailable: the database does not answer.
        """
        with timing.spent(timing.Part.DATABASE):
            row = await self._look_ups.find(merchant, key_id)
        assert row is not None, "a key that is not there is told of as well"
        lease_left, earlier = row[-2:]
        if earlier is not None:
            return Found(None, earlier=earlier)
        return Found(self._records.open(IdempotencyKey, row[:-2]), lease_left or 0.0)

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
            self._quiet_since = asyncio.get_running_loop().time()

    async def clock_ahead(self) -> timedelta:
        """How far this machine's clock is ahead of the database's, and no less than that.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading():
            row = await self._pool.fetchrow(QUERIES["database_time"])
        assert row is not None, "a clock answers"
        theirs: datetime = row["now"]
        return self._machine_time() - theirs

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` finished keys made before a time; how many there were.

        Not through the commit door: what is deleted is a cache of answers, and no fact.

        Raises:
            Unavailable: the database does not answer.
        """
        with reading():
            return len(await self._pool.fetch(QUERIES["purge_idempotency_keys"], before, limit))

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        while not self._is_quiet():
            try:
                connection = await self._connect()
                try:
                    await self._hear(connection)
                finally:
                    connection.terminate()
            except _Quiet:
                break
            except (OSError, *DRIVER_FAULTS) as error:
                log.logger().warning("key_listener_lost", error=error)
            self._ring_all()
            await asyncio.sleep(REDIAL_SECONDS)
        self._listening = None  # who comes now has another listen, and looks again when it does

    async def _hear(self, connection: Connection) -> None:
        """Ring for what is told, until the connection is lost."""
        with Watch().over(connection, partial(at_work, self._connect, connection)):
            await connection.add_listener(CHANNEL, self._ring)
        self._ring_all()  # for what was told before we listened

        async def beat() -> None:
            if self._is_quiet():
                raise _Quiet
            await connection.execute("SELECT")

        await keep_hearing(self._connect, connection, beat)

    def _is_quiet(self) -> bool:
        quiet = asyncio.get_running_loop().time() - self._quiet_since
        return not self._waiting and quiet >= self._quiet_seconds

    def _ring(self, _: object, __: int, ___: str, key_id: object) -> None:
        for event in self._waiting.get(str(key_id), ()):
            event.set()

    def _ring_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()
