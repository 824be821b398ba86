"""The one door to the disk: changes that arrive together are written together.

What is queued is shared out among the lanes that are free (`lane`); each writes its share in one
statement and tells each change its verdict after the commit.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from paygate.storage.change import OutcomeUnknown, Overloaded, Verdict
from paygate.storage.lane import Lane, Pending
from paygate.storage.session import DRIVER_FAULTS, Connect, Connection
from paygate.storage.statement import Section
from paygate.telemetry import log

__all__ = ["DRIVER_FAULTS", "Committer", "Connect", "Connection", "Lane"]

BATCH_CAP: Final = 256
"""Beyond it a batch only adds latency: throughput is flat from 128 on."""
QUEUE_LIMIT: Final = 4096
"""About a quarter of a second of work; more waiting would be longer than callers wait."""
LANES: Final = 2
"""One writes while the other gathers; more of them split the batches and gain nothing."""


class Committer:
    """Gathers changes and writes them through its lanes."""

    def __init__(
        self,
        connect: Connect,
        *,
        lanes: int = LANES,
        batch_cap: int = BATCH_CAP,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._lanes = [Lane(connect) for _ in range(lanes)]
        self._batch_cap = batch_cap
        self._queue_limit = queue_limit
        self._queue: deque[Pending] = deque()
        self._some = asyncio.Event()
        self._free = lanes
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def open(self) -> None:
        """Connect every lane."""
        for lane in self._lanes:
            await lane.open()
        self._tasks = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]

    async def close(self) -> None:
        """Write what is queued, then stop. New changes are refused."""
        self._closing = True
        self._some.set()
        await asyncio.gather(*self._tasks)
        for lane in self._lanes:
            await lane.close()

    @property
    def waiting(self) -> int:
        """How many changes are queued."""
        return len(self._queue)

    def submit(
        self, change_id: str, merchant: str, rows: Sequence[tuple[Section, tuple[Any, ...]]]
    ) -> asyncio.Future[Verdict]:
        """Queue a change. The future is the committer's: to stop waiting is not to cancel.

        Raises:
            Overloaded: the queue is full, or the committer is closing.
        """
        if self._closing or len(self._queue) >= self._queue_limit:
            raise Overloaded("too many changes are waiting for the database")
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        verdict.add_done_callback(_retrieve)
        self._queue.append(Pending(change_id, merchant, rows, verdict))
        self._some.set()
        return verdict

    async def _serve(self, lane: Lane) -> None:
        while self._queue or not self._closing:
            await self._some.wait()
            # Whoever is ready in this turn of the loop joins the batch.
            await asyncio.sleep(0)
            batch = self._take()
            if batch:
                self._free -= 1
                try:
                    await lane.write(batch)
                except Exception as error:  # noqa: BLE001 -- a bug: still nobody waits for ever
                    log.logger().error("lane_failed", error=error)
                    lane.hang_up()
                    for pending in batch:
                        pending.fail(OutcomeUnknown("the write went wrong in an unforeseen way"))
                finally:
                    self._free += 1

    def _take(self) -> list[Pending]:
        """This lane's share: what is queued, split among the lanes that are free."""
        share = -(-len(self._queue) // max(self._free, 1))
        batch = [self._queue.popleft() for _ in range(min(share, self._batch_cap))]
        if not self._queue and not self._closing:
            self._some.clear()
        return batch


def _retrieve(verdict: asyncio.Future[Verdict]) -> None:
    """A caller who stopped waiting leaves an error that nobody else will look at."""
    if not verdict.cancelled():
        verdict.exception()
