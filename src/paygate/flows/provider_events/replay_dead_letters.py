"""Try dead letters again that were given up for what may pass: once a round, for three days. So an
outage of any length heals by itself; all other dead letters wait for a person.

They are tried as they are, and stay dead letters while it does not help: nothing is enqueued, and
nobody is alerted anew. The alert closes when the event is a dead letter no more.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from paygate.domain.provider_event import GIVEN_UP, EventStatus
from paygate.flows.context import Context
from paygate.flows.payments.attempt.apply_answer import Verdict
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.storage.reader import WaitingEvent
from paygate.storage.unreadable import UNREAD
from paygate.telemetry import log

PAGE: Final = 100
AT_ONCE: Final = 20
"""Events in hand at once; each may ask the provider."""


class Replayed(NamedTuple):
    """How many dead letters were tried, and how many of them are none any more; and behind which
    one to go on, when there was no time for all.
    """

    tried: int
    applied: int
    left_behind: WaitingEvent | None = None


class _Tried(NamedTuple):
    applied: bool
    unreachable: bool
    """Whether the provider did not tell what must be known."""


async def replay_dead_letters(
    ctx: Context,
    *,
    before: datetime | None = None,
    after: WaitingEvent | None = None,
    late: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Try each that has not been tried since `before`, or since this began: the longest untried
    first, from `after` on and a page at a time until it is late. When the provider tells nothing to
    a whole page of them, the round ends: the next begins with others.
    """
    before = before or ctx.now()
    at_once = asyncio.Semaphore(AT_ONCE)
    tried = applied = 0
    last = after
    while page := await ctx.read.provider_events_replayable(before, last, PAGE):
        done = await asyncio.gather(*(_try(ctx, at_once, event) for event in page))
        tried += len(page)
        applied += sum(each.applied for each in done)
        if all(each.unreachable for each in done):
            break
        last = page[-1]
        if late():
            return Replayed(tried, applied, last)
    return Replayed(tried, applied)


async def _try(ctx: Context, at_once: asyncio.Semaphore, event: WaitingEvent) -> _Tried:
    """What became of one; what it raises never keeps the others waiting."""
    async with at_once:
        try:
            await ctx.pace.turn()
            await apply_received_event(ctx, ApplyProviderEvent(event.merchant, event.id), GIVEN_UP)
            after = await ctx.read.provider_event(event.merchant, event.id)
        except UNREAD:
            return _Tried(applied=False, unreachable=False)  # told of where it was tried
        except Exception as error:  # noqa: BLE001 -- the next round tries it again
            log.logger().error("event_not_applied", provider_event=event.id, error=error)
            return _Tried(applied=False, unreachable=False)
    if after is None or after.status is not EventStatus.DEAD_LETTER:
        return _Tried(applied=True, unreachable=False)
    return _Tried(applied=False, unreachable=after.last_error == Verdict.UNRESOLVED)
