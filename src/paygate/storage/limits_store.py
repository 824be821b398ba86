"""The store that many processes and nodes count in: Valkey, or Redis, through `limits`.

The store may be slow, or gone: a request waits a moment, and then no request for a while.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from valkey.asyncio import ConnectionPool
from valkey.exceptions import ValkeyError

from paygate.telemetry import log

ANSWER_SECONDS: Final = 0.25
"""The deadline of a call: a hundred times what it takes; a payer does not notice one."""
PAUSE_SECONDS: Final = 5.0
"""The pause after silence: then one request finds out whether the store is back."""
CONNECTIONS: Final = 32
"""The connections of one process, each held for a round trip; more requests wait a moment."""

T = TypeVar("T")


class Limit(Protocol):
    """About `quota` in any `seconds`, counted under its name. A value: equal ones are the same."""

    @property
    def name(self) -> str: ...
    @property
    def quota(self) -> int: ...
    @property
    def seconds(self) -> int: ...


class Room(NamedTuple):
    """What a limit still takes, and how long until it takes one more."""

    left: int
    wait_seconds: float


class LimitsStore:
    """Counts in the store. Every result may be None: the store did not answer."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`url` as PAYGATE_LIMITS_URL; nothing is connected yet."""
        # The library's own time limits would cost as much as the rest: one is set around each call.
        self._pool = ConnectionPool.from_url(url, max_connections=CONNECTIONS)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        pool: Any = self._pool  # which the library's annotation leaves out
        storage = RedisStorage(
            f"async+{url}", implementation="valkey", key_prefix="paygate", connection_pool=pool
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._items: dict[tuple[str, int, int], RateLimitItem] = {}
        self._clock = clock
        self._away = False
        self._silent_until = 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.disconnect()

    async def hit(self, limit: Limit, subject: str, *, count: int = 1) -> bool | None:
        """Count so many more, all or none: when that would be too many, False."""
        return await self._ask(
            lambda: self._limiter.hit(self._item(limit), limit.name, subject, cost=count)
        )

    async def room(self, limit: Limit, subject: str) -> Room | None:
        """How much room there is."""
        stats = await self._ask(
            lambda: self._limiter.get_window_stats(self._item(limit), limit.name, subject)
        )
        return stats and Room(stats.remaining, stats.reset_time - time.time())

    def _item(self, limit: Limit) -> RateLimitItem:
        key = (limit.name, limit.quota, limit.seconds)
        item = self._items.get(key)
        if item is None:
            item = RateLimitItemPerSecond(limit.quota, limit.seconds, namespace="limit")
            self._items[key] = item
        return item

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        now = self._clock()
        if self._away:
            if now < self._silent_until:
                return None
            self._silent_until = now + PAUSE_SECONDS  # for the others, while this one tries
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._turns:
                result = await ask()
        except (ValkeyError, OSError) as error:  # a timeout is an OSError
            if not self._away:
                log.logger().error("limits_store_away", error=error)
            self._away, self._silent_until = True, now + PAUSE_SECONDS
            return None
        if self._away:
            self._away = False
            log.logger().warning("limits_store_back")
        return result
