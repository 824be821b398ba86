"""The deliverer: sends every event to every endpoint that wants it until a 2xx answers.

At least once, in no promised order, each attempt signed anew in real time. What is owed stands
in the store, written with the event itself; a restart takes it up again. It must never hold up a
request, and never touch an object.
"""

import asyncio
import heapq
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import aiohttp

from paygate_sandbox.clock import real_time
from paygate_sandbox.faults import Fault, Faults
from paygate_sandbox.ids import Ids
from paygate_sandbox.store.database import Database
from paygate_sandbox.store.events import EventLog
from paygate_sandbox.webhooks.payload import event_json, signature
from paygate_sandbox.webhooks.subscriptions import Subscription, Subscriptions

# Seconds between attempts. Stripe takes hours to days; a developer waits for minutes.
RETRY_SECONDS = (1, 5, 25, 60, 300, 900, 3600, 3 * 3600)
# As long as Stripe lets a receiver take.
TIMEOUT_SECONDS = 10.0
# Per endpoint: enough for thousands of events a minute at 100 ms each, and a hanging endpoint
# takes only its own slots.
SLOTS = 32
_BATCH = 200
# Outcomes are written together: losing the last ones in a crash only repeats deliveries.
_FLUSH_SECONDS = 0.02

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Parcel:
    due: float
    seq: int
    event: str
    attempts: int
    spared: bool = False  # a fault has had its turn with it


class Deliverer:
    def __init__(
        self,
        database: Database,
        events: EventLog,
        *,
        subscriptions: Subscriptions,
        faults: Faults,
        ids: Ids,
        session: aiohttp.ClientSession,
    ) -> None:
        self._database = database
        self._events = events
        self._session = session
        self.subscriptions = subscriptions
        self.faults = faults
        self.ids = ids
        self._lanes: dict[str, Lane] = {}
        self._outcomes: list[tuple[int, str, int, float, str]] = []
        self._flush_handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.wake(self._events.pending_endpoints())

    def wake(self, endpoints: Iterable[str]) -> None:
        for endpoint in endpoints:
            lane = self._lanes.get(endpoint)
            if lane is None:
                lane = self._lanes[endpoint] = Lane(endpoint, self)
            lane.wake()

    async def stop(self) -> None:
        for lane in self._lanes.values():
            await lane.stop()
        self._flush()

    async def owed(self, endpoint: str, after: int) -> list[Parcel]:
        """The next ones on disk: an event must not be out before its change is safe."""
        await self._database.committed()
        rows = self._events.pending(endpoint, after, _BATCH)
        return [Parcel(row.due, row.seq, row.event, row.attempts) for row in rows]

    def note_outcome(self, parcel: Parcel, state: str) -> None:
        self._outcomes.append((parcel.seq, parcel.event, parcel.attempts, parcel.due, state))
        if self._flush_handle is None:
            loop = asyncio.get_running_loop()
            self._flush_handle = loop.call_later(_FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if self._outcomes:
            outcomes, self._outcomes = self._outcomes, []
            with self._database.transaction():
                self._events.write_outcomes(outcomes)

    async def send(self, parcel: Parcel, subscription: Subscription, *, forged: bool) -> bool:
        event = self._events.to_deliver(parcel.event)
        secret = subscription.secret
        if forged:
            event = replace(event, id=self.ids.new("evt"))
            secret = "whsec_" + self.ids.token(32)
        payload = event_json(event)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Cache-Control": "no-cache",
            "Stripe-Signature": signature(payload, secret, int(real_time())),
        }
        try:
            async with self._session.post(
                subscription.url, data=payload, headers=headers, allow_redirects=False
            ) as response:
                return 200 <= response.status < 300  # noqa: PLR2004 - the 2xx class
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _log.info("delivery of %s to %s failed: %s", event.id, subscription.url, error)
            return False


class Lane:
    """One endpoint's deliveries, so that a dead endpoint delays no other."""

    def __init__(self, endpoint: str, deliverer: Deliverer) -> None:
        self._endpoint = endpoint
        self._deliverer = deliverer
        self._waiting: list[Parcel] = []
        self._held: list[Parcel] = []
        self._cursor = 0
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(SLOTS)
        self._attempts: set[asyncio.Task[None]] = set()
        self._loop = asyncio.create_task(self._run())

    def wake(self) -> None:
        self._news.set()

    async def stop(self) -> None:
        tasks = [self._loop, *self._attempts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._news.clear()
            if self._waiting and self._waiting[0].due <= real_time():
                await self._slots.acquire()
                parcel = heapq.heappop(self._waiting)
                task = asyncio.create_task(self._attempt(parcel))
                self._attempts.add(task)
                task.add_done_callback(self._finished)
                continue
            fresh = await self._deliverer.owed(self._endpoint, self._cursor)
            for parcel in fresh:
                heapq.heappush(self._waiting, parcel)
                self._cursor = parcel.seq
            if not fresh:
                await self._sleep()

    async def _sleep(self) -> None:
        pause = self._waiting[0].due - real_time() if self._waiting else None
        try:
            await asyncio.wait_for(self._news.wait(), pause)
        except TimeoutError:
            return

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._attempts.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a delivery attempt broke", exc_info=error)

    async def _attempt(self, parcel: Parcel) -> None:
        subscription = self._deliverer.subscriptions.get(self._endpoint)
        if subscription is None:
            self._deliverer.note_outcome(parcel, "abandoned")
            return
        fault = None if parcel.spared else self._deliverer.faults.draw("webhook", "delivery")
        if fault is not None and self._set_aside(parcel, fault):
            return
        if fault is not None and fault.kind == "forge":
            await self._deliverer.send(parcel, subscription, forged=True)
        delivered = await self._deliverer.send(parcel, subscription, forged=False)
        if fault is not None and fault.kind == "duplicate":
            await self._deliverer.send(parcel, subscription, forged=False)
        self._end_attempt(parcel, delivered=delivered)
        self._release_held()

    def _set_aside(self, parcel: Parcel, fault: Fault) -> bool:
        """Faults that keep the parcel from going now."""
        later = replace(parcel, due=real_time() + fault.seconds, spared=True)
        match fault.kind:
            case "lose":
                self._deliverer.note_outcome(parcel, "lost")
            case "delay":
                self._push(later)
            case "reorder":
                self._held.append(later)
                asyncio.get_running_loop().call_later(fault.seconds, self._release_held)
            case _:
                return False
        return True

    def _release_held(self) -> None:
        held, self._held = self._held, []
        for parcel in held:
            self._push(replace(parcel, due=real_time()))

    def _end_attempt(self, parcel: Parcel, *, delivered: bool) -> None:
        attempts = parcel.attempts + 1
        if delivered:
            self._deliverer.note_outcome(replace(parcel, attempts=attempts), "delivered")
        elif attempts > len(RETRY_SECONDS):
            self._deliverer.note_outcome(replace(parcel, attempts=attempts), "abandoned")
        else:
            again = real_time() + RETRY_SECONDS[attempts - 1]
            retry = replace(parcel, attempts=attempts, due=again, spared=False)
            self._deliverer.note_outcome(retry, "pending")
            self._push(retry)

    def _push(self, parcel: Parcel) -> None:
        heapq.heappush(self._waiting, parcel)
        self._news.set()
