"""The courier: takes deliveries that are due, sends them, and writes down what became of them.

One runs in every worker. What it has leased is its own for a minute; should it die, or stand
still, another takes it then. It never waits for one receiver with what is for another.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.webhooks.delivery import (
    Delivery,
    WebhookBody,
    attempted,
    given_up,
    put_off,
    wait_before,
)
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.domain.webhooks.shares import BYTES_MOST, shared
from paygate.domain.webhooks.window import Window, after_failure, after_success
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.webhooks.send import Sent, over_for, send_delivery
from paygate.flows.webhooks.tell import BodyOf, tell_events
from paygate.flows.webhooks.watch import disable_gone, note_failure, note_success
from paygate.storage.unreadable import UNREAD, Unreadable
from paygate.storage.webhooks.outbox import LEASE, Parcel, Target
from paygate.telemetry import log

IDLE_SECONDS: Final = 0.5
"""How often somebody looks for events when there are endpoints."""
DUE_SECONDS: Final = 1.0
"""How often it is looked what is due when nothing was: what is new wakes us, and what is sent again
has waited for seconds."""
TIDY_SECONDS: Final = 5.0
"""How often it is looked what waits for endpoints that are disabled or deleted."""
NOBODY_SECONDS: Final = 1.0
"""How often it is looked for a first endpoint when something was written, and how old the answer to
that may be: the sealer of the audit log asks more often."""
LOOK_SECONDS: Final = 0.2
"""How often it is looked which endpoints are due while there is work."""
SOON_SECONDS: Final = 0.02
"""How often somebody looks for events right after there were some; the longer there are none, the
seldomer."""
TOGETHER_SECONDS: Final = 0.005
"""How long what is over waits for others: they are leased and written down together."""
PAUSED_SECONDS: Final = 5.0
"""How long a pause is heeded unasked: looks that began before it was written down are over then.
From there on the database alone says, where somebody may have ended it."""
AGAIN_SECONDS: Final = 1.0
"""After a fault of the database's."""
FINISH_SECONDS: Final = 5.0
"""What is under way is given so long when the worker is to stop; the rest is sent again."""
ENDED_AT_ONCE: Final = 100


class _Lane:
    """What is known here of an endpoint."""

    def __init__(self, failures: int = 0) -> None:
        self.window = Window(failures=failures)
        self.in_hand = 0
        self.paused_until = 0.0
        """By the loop's clock."""
        self.paused = failures > 0
        self.noting = asyncio.Lock()


class Courier:
    """`run` is its only way in."""

    def __init__(self, ctx: Context, body_of: BodyOf) -> None:
        self._ctx = ctx
        self._body_of = body_of
        self._run = ctx.new_id("run")
        self._lanes: dict[Target, _Lane] = {}
        self._hungry: set[Target] = set()
        self._looked_at = 0.0
        self._somebody = asyncio.Event()
        """There is an endpoint, or there was one: for ever."""
        self._bytes: Counter[str] = Counter()
        """Of bodies under way, by merchant."""
        self._sending: set[asyncio.Task[None]] = set()
        self._ahead = timedelta(0)
        """How far this machine's clock is ahead of the database's, which says what is due."""
        self._over: list[Delivery] = []
        self._woken = asyncio.Event()
        self._some_over = asyncio.Event()
        self._ended = False
        """Nothing is over any more that is not over now."""
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`. An outage of the database is waited out."""
        self._stop = stop
        writing = asyncio.create_task(self._again(self._write_over))
        telling = [asyncio.create_task(self._again(loop)) for loop in (self._begin, self._tell)]
        sending = asyncio.create_task(self._again(self._send))
        await stop.wait()
        self._somebody.set()
        self._woken.set()
        for loop in telling:
            loop.cancel()
        # Not cut off: what it has just leased would lie there until the lease is out.
        await asyncio.gather(sending, *telling, return_exceptions=True)
        if self._sending:
            await asyncio.wait(self._sending, timeout=FINISH_SECONDS)
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        # Nor what it is writing down: that would be sent once more.
        self._ended = True
        self._some_over.set()
        await asyncio.wait({writing}, timeout=FINISH_SECONDS)
        writing.cancel()

    async def _again(self, loop: Callable[[], Awaitable[None]]) -> None:
        """Go on with a loop that a fault has ended, after a while; it may end by itself."""
        while True:
            try:
                return await loop()
            except Exception as error:  # noqa: BLE001 -- whatever it was, merchants are to be told
                log.logger().error("webhooks_held_up", error=error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _begin(self) -> None:
        """What failed before we came begins as it ended: with one request."""
        for target, failures in (await self._ctx.outbox.pauses()).items():
            self._lanes.setdefault(target, _Lane(failures))

    async def _wait_for_somebody(self) -> None:
        nobody: str | None = None
        while not self._somebody.is_set():
            written = await self._ctx.outbox.written(within_seconds=NOBODY_SECONDS)
            if written.until != nobody and await self._ctx.outbox.anybody():
                self._somebody.set()
                break
            nobody = written.until if written.whole else None
            await asyncio.sleep(NOBODY_SECONDS)

    async def _tell(self) -> None:
        await self._wait_for_somebody()
        loop = asyncio.get_running_loop()
        pause, tidied_at = SOON_SECONDS, -math.inf
        told_all: str | None = None
        while True:
            written = await self._ctx.outbox.written()
            if written.until != told_all:
                told = await tell_events(self._ctx, self._run, self._body_of)
                if told:
                    self._looked_at = 0.0
                    self._woken.set()
                    pause = SOON_SECONDS
                told_all = written.until if written.whole and not told else None
            if loop.time() - tidied_at >= TIDY_SECONDS:
                tidied_at = loop.time()
                await self._end_waiting()
            await asyncio.sleep(pause)
            pause = min(2 * pause, IDLE_SECONDS)

    async def _end_waiting(self) -> None:
        """What waits for endpoints that are disabled or deleted has failed."""
        for target in await self._ctx.outbox.ended():
            try:
                await self._end_all_of(target)
            except UNREAD as fault:
                await report_unreadable(self._ctx, self._caller(target.merchant), fault)

    async def _end_all_of(self, target: Target) -> None:
        endpoint = await self._ctx.webhooks.webhook_endpoint(*target)
        failure = over_for(endpoint)
        while failure is not None:
            leased = await self._ctx.outbox.lease(self._run, [(target, ENDED_AT_ONCE)], all_=True)
            if not leased.parcels:
                return
            now = self._ctx.now()
            ended = [given_up(parcel.delivery, failure, now) for parcel in leased.parcels]
            await self._ctx.outbox.write(self._run, ended)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        await self._somebody.wait()
        while not self._stop.is_set():
            self._woken.clear()
            if not self._hungry or loop.time() - self._looked_at >= LOOK_SECONDS:
                self._looked_at = loop.time()
                self._hungry = set(await self._ctx.outbox.due())
            taken = await self._take()
            within = LOOK_SECONDS if taken or self._hungry else DUE_SECONDS
            if self._stop.is_set():
                return
            try:
                async with asyncio.timeout(within):
                    await self._woken.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(TOGETHER_SECONDS)

    async def _take(self) -> int:
        """Claim what there is room for, and begin to send it."""
        now = asyncio.get_running_loop().time()
        room: dict[tuple[str, str], int] = {}
        for target in self._hungry:
            if self._bytes[target.merchant] >= BYTES_MOST:
                continue
            lane = self._lanes.setdefault(target, _Lane())
            if lane.paused_until <= now and lane.in_hand < lane.window.size:
                room[target] = lane.window.size - lane.in_hand
        in_hand: Counter[str] = Counter()
        for target, lane in self._lanes.items():
            in_hand[target.merchant] += lane.in_hand
        places = [(Target(*target), n) for target, n in shared(room, in_hand).items()]
        if not places:
            return 0
        leased = await self._ctx.outbox.lease(self._run, places)
        if leased.leased_at is not None:
            self._ahead = max(timedelta(0), self._ctx.now() - leased.leased_at)
        got: dict[Target, list[Parcel]] = defaultdict(list)
        for parcel in leased.parcels:
            got[Target(parcel.delivery.merchant, parcel.delivery.endpoint)].append(parcel)
        for target, parcels in got.items():
            self._start(target, parcels)
        self._hungry -= {target for target, n in places if len(got[target]) < n}
        for fault in leased.unread:
            await report_unreadable(self._ctx, self._caller(""), fault)
        return len(leased.parcels)

    def _start(self, target: Target, parcels: Sequence[Parcel]) -> None:
        lane = self._lanes[target]
        # Read once for all that is sent to it now, and after the lease: as it stands.
        endpoint = asyncio.ensure_future(self._ctx.webhooks.webhook_endpoint(*target))
        for parcel in parcels:
            lane.in_hand += 1
            self._bytes[target.merchant] += _size(parcel)
            task = asyncio.create_task(self._deliver(target, lane, parcel, endpoint))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _deliver(
        self,
        target: Target,
        lane: _Lane,
        parcel: Parcel,
        endpoint: asyncio.Future[WebhookEndpoint | None],
    ) -> None:
        sent_in = lane.window.round
        try:
            sent = await self._sent(target, lane, parcel, endpoint)
            if sent is None:
                return
            sent = await self._decided(sent)
            self._note_over(parcel.delivery, sent)
            if sent.endpoint is not None and sent.attempt is not None:
                if sent.attempt.delivered:
                    await self._succeeded(target, lane, sent.endpoint)
                else:
                    await self._failed(target, lane, sent, sent_in)
        except Exception as error:  # noqa: BLE001 -- it is sent again when its lease is over
            log.logger().error("delivery_failed", delivery=parcel.delivery.id, error=error)
        finally:
            lane.in_hand -= 1
            self._bytes[target.merchant] -= _size(parcel)
            self._woken.set()

    async def _sent(
        self,
        target: Target,
        lane: _Lane,
        parcel: Parcel,
        endpoint: asyncio.Future[WebhookEndpoint | None],
    ) -> Sent | None:
        """What became of a delivery; None when something that it needs cannot be read, of which
        people are told.

        Nothing more is taken for an endpoint that cannot be read, by this node and for as long as a
        lease: another node may be newer, or have the key.
        """
        caller = self._caller(target.merchant)
        try:
            standing = await asyncio.shield(endpoint)
        except UNREAD as fault:
            now = asyncio.get_running_loop().time()
            if lane.paused_until <= now:
                lane.paused_until = now + LEASE.total_seconds()
                await report_unreadable(self._ctx, caller, fault)
            return None
        try:
            return await send_delivery(self._ctx, parcel, standing, self._body_of)
        except Unreadable as fault:
            self._over_soon(put_off(parcel.delivery, self._now()))
            await report_unreadable(self._ctx, caller, fault)
            return None

    async def _decided(self, sent: Sent) -> Sent:
        """The same; but a receiver that is gone (410) ends nothing when the endpoint was led
        elsewhere meanwhile.
        """
        if sent.over is None or sent.attempt is None:
            return sent
        assert sent.endpoint is not None, "somebody answered"
        caller = self._caller(sent.endpoint.merchant)
        gone = await disable_gone(self._ctx, caller, sent.endpoint)
        return sent if gone else sent._replace(over=None)

    def _note_over(self, delivery: Delivery, sent: Sent) -> None:
        now = self._now()
        if sent.attempt is None:
            assert sent.over is not None, "what is not sent is over"
            after = given_up(delivery, sent.over, now)
        else:
            wait, chance = sent.wait or timedelta(0), self._chance()
            after = attempted(
                delivery, sent.attempt, over=now, wait=wait, chance=chance, last=sent.over
            )
        self._over_soon(after)

    def _now(self) -> datetime:
        """By the database's clock, where this machine's is ahead of it."""
        return self._ctx.now() - self._ahead

    def _over_soon(self, delivery: Delivery) -> None:
        """Have it written down."""
        self._over.append(delivery)
        self._some_over.set()

    async def _succeeded(self, target: Target, lane: _Lane, endpoint: WebhookEndpoint) -> None:
        lane.window = after_success(lane.window)
        if lane.paused:
            lane.paused = False
            await self._ctx.outbox.resume(target)
        if endpoint.failing_since is not None:
            await self._note(lane, target, failing=False)

    async def _failed(self, target: Target, lane: _Lane, sent: Sent, sent_in: int) -> None:
        before = lane.window
        lane.window = after_failure(before, sent_in)
        if sent.wait is not None:
            await self._pause(target, lane, sent.wait)
        elif lane.window is not before and lane.window.size == 1:
            length = wait_before(lane.window.failures, self._chance())
            await self._pause(target, lane, length)
        assert sent.endpoint is not None, "somebody answered, or did not"
        if sent.over is None and sent.endpoint.failing_since is None:
            await self._note(lane, target, failing=True)

    async def _pause(self, target: Target, lane: _Lane, length: timedelta) -> None:
        lane.paused = True
        unasked = min(length.total_seconds(), PAUSED_SECONDS)
        lane.paused_until = asyncio.get_running_loop().time() + unasked
        self._hungry.discard(target)
        await self._ctx.outbox.pause(target, length, lane.window.failures)

    async def _note(self, lane: _Lane, target: Target, *, failing: bool) -> None:
        """Write down that an endpoint fails, or does not any more; once for all who find it so."""
        async with lane.noting:
            endpoint = await self._ctx.webhooks.webhook_endpoint(*target)
            if endpoint is None or not endpoint.enabled:
                return
            if (endpoint.failing_since is not None) is failing:
                return
            note = note_failure if failing else note_success
            await note(self._ctx, self._caller(target.merchant), endpoint)

    async def _write_over(self) -> None:
        while self._over or not self._ended:
            await self._some_over.wait()
            await asyncio.sleep(TOGETHER_SECONDS)
            self._some_over.clear()
            await self._write()

    async def _write(self) -> None:
        over, self._over = self._over, []
        if not over:
            return
        try:
            written = await self._ctx.outbox.write(self._run, over)
        except Exception:
            self._over = over + self._over
            self._some_over.set()
            raise
        for delivery in over:
            if delivery.id not in written:  # its lease was over, or somebody had it sent again
                log.logger().warning("delivery_not_ours", delivery=delivery.id)

    def _caller(self, merchant: str) -> Caller:
        return Caller(Actor("job", name="deliver-webhooks"), merchant, self._run)

    def _chance(self) -> float:
        return self._ctx.random_bytes(1)[0] / 256


def _size(parcel: Parcel) -> int:
    """The bytes of its body; none of one that is to be made, or cannot be read."""
    return len(parcel.body.body) if isinstance(parcel.body, WebhookBody) else 0
