"""Apply the received events whose jobs were lost: the events themselves are durable.

The sweep applies them itself and enqueues nothing, so it neither needs the queue that lost them nor
makes a long queue longer.
"""

import asyncio
from datetime import timedelta
from typing import Final, NamedTuple

from paygate.flows.context import Context
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.storage.reader import WaitingEvent
from paygate.telemetry import log

WAITED: Final = timedelta(minutes=2)
"""How long an event waits before the sweep takes it: several times the longest wait between two
tries, so that an event whose job lives is left to the job."""
PAGE: Final = 100
AT_ONCE: Final = 20
"""Events in hand at once; each may ask the provider."""


class Swept(NamedTuple):
    """How many events had waited, and how many of them could not be tried."""

    waiting: int
    failed: int


async def apply_waiting_events(ctx: Context) -> Swept:
    """Try every event that has been `received` or `parked` without a try since `WAITED` ago."""
    before = ctx.now() - WAITED
    at_once = asyncio.Semaphore(AT_ONCE)
    waiting = failed = 0
    for read in (ctx.read.provider_events_waiting, ctx.read.provider_events_parked):
        last: WaitingEvent | None = None
        while page := await read(before, last, PAGE):
            done = await asyncio.gather(*(_apply(ctx, at_once, event) for event in page))
            waiting += len(page)
            failed += done.count(False)
            last = page[-1]
    return Swept(waiting, failed)


async def _apply(ctx: Context, at_once: asyncio.Semaphore, event: WaitingEvent) -> bool:
    """Try an event, and return whether that was possible; a fault keeps no other event waiting."""
    async with at_once:
        try:
            await apply_received_event(ctx, ApplyProviderEvent(event.merchant, event.id))
        except Exception as error:  # noqa: BLE001 -- the next run tries it again
            log.logger().error("event_not_applied", provider_event=event.id, error=error)
            return False
    return True
