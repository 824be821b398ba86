"""The one door to the disk: changes that arrive together are written together.

Queued changes are shared out among the free lanes (`lane`). A lane writes its share in one
statement and gives each change its verdict after the commit.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from paygate.storage.change import OutcomeUnknown, Overloaded, Unavailable, Verdict
from paygate.storage.commit.lane import Fence, Lane, Pending
from paygate.storage.commit.statement import Section
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection
from paygate.telemetry import log

__all__ = ["DRIVER_FAULTS", "Committer", "Connect", "Connection", "Lane"]

BATCH_CAP: Final = 256
"""The most changes in a batch: beyond, a batch only adds latency (throughput is flat from 128)."""
QUEUE_LIMIT: Final = 4096
"""The most changes that wait: about a quarter of a second of work."""
LANES: Final = 1
"""Lanes of one process. Changes that come while a lane writes are its next batch; more lanes split
the batches, and most of a batch's cost is the same whatever is in it.
"""
CLOSE_WITHIN_SECONDS: Final = 10.0
"""The time to close in: as long as callers wait, and shorter than a supervisor does."""


class Committer:
    """Gathers changes and writes them through its lanes."""

    def __init__(
        self,
        connect: Connect,
        *,
        fence: Fence | None = None,
        lanes: int = LANES,
        batch_cap: int = BATCH_CAP,
        queue_limit: int = QUEUE_LIMIT,
        close_within_seconds: float = CLOSE_WITHIN_SECONDS,
    ) -> None:
        self._lanes = [Lane(connect, fence) for _ in range(lanes)]
        self._batch_cap = batch_cap
        self._queue_limit = queue_limit
        self._close_within_seconds = close_within_seconds
        self._queue: deque[Pending] = deque()
        self._some = asyncio.Event()
        self._free = lanes
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._unwritten: set[Pending] = set()
        self._written = asyncio.Event()
        self._cut_off = 0
        """Changes that were sent, and got no answer before the end."""

    async def open(self) -> None:
        """Connect every lane."""
        for lane in self._lanes:
            await lane.open()
        self._tasks = [asyncio.create_task(self._serve(lane)) for lane in self._lanes]

    async def close(self) -> None:
        """Write the queued changes, then stop. New changes are refused.

        The wait for a database that is away has an end: changes that were sent then fail as
        unknown, the others as not written.
        """
        self._closing = True
        self._some.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._close_within_seconds)
            if late:
                await self._give_up(late)
        for lane in self._lanes:
            await lane.close()

    async def _give_up(self, late: set[asyncio.Task[None]]) -> None:
        """End the lanes whose database does not answer, and fail their changes."""
        given_up = len(self._queue)
        while self._queue:
            pending = self._queue.popleft()
            self._unwritten.discard(pending)
            pending.fail(Unavailable("the gateway stopped before this was sent"))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        given_up += self._cut_off
        log.logger().error("committer_gave_up", waiting=given_up)

    @property
    def waiting(self) -> int:
        """How many changes are queued."""
        return len(self._queue)

    def submit(
        self, change_id: str, merchant: str, rows: Sequence[tuple[Section, tuple[Any, ...]]]
    ) -> asyncio.Future[Verdict]:
        """Queue a change; returns the future of its verdict. A caller that stops waiting cancels
        nothing.

        Raises:
            Overloaded: the queue is full, or the committer is closing.
        """
        if self._closing or len(self._queue) >= self._queue_limit:
            raise Overloaded("too many changes are waiting for the database")
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        verdict.add_done_callback(_retrieve)
        pending = Pending(change_id, merchant, rows, verdict)
        self._unwritten.add(pending)
        self._queue.append(pending)
        self._some.set()
        return verdict

    async def drained(self) -> None:
        """Wait until every change that was submitted before now is written, or certainly will not
        be; whether its caller still waits is no matter.
        """
        before = set(self._unwritten)
        while not before.isdisjoint(self._unwritten):
            self._written.clear()
            await self._written.wait()

    async def _serve(self, lane: Lane) -> None:
        while self._queue or not self._closing:
            await self._some.wait()
            # Changes that come in this turn of the loop join the batch.
            await asyncio.sleep(0)
            batch = self._take()
            if batch:
                self._free -= 1
                try:
                    await lane.write(batch)
                except asyncio.CancelledError:
                    lane.hang_up()
                    for pending in batch:
                        self._cut_off += not pending.verdict.done()
                        pending.fail(OutcomeUnknown("the gateway stopped before the answer came"))
                    raise
                except Exception as error:  # noqa: BLE001 -- a bug: still nobody waits for ever
                    log.logger().error("lane_failed", error=error)
                    lane.hang_up()
                    for pending in batch:
                        pending.fail(OutcomeUnknown("the write went wrong in an unforeseen way"))
                finally:
                    self._free += 1
                    self._unwritten.difference_update(batch)
                    self._written.set()

    def _take(self) -> list[Pending]:
        """The next batch of a lane: the queue, split among the free lanes."""
        share = -(-len(self._queue) // max(self._free, 1))
        batch = [self._queue.popleft() for _ in range(min(share, self._batch_cap))]
        if not self._queue and not self._closing:
            self._some.clear()
        return batch


def _retrieve(verdict: asyncio.Future[Verdict]) -> None:
    """Take the error of a verdict whose caller stopped waiting, lest the loop complain."""
    if not verdict.cancelled():
        verdict.exception()
