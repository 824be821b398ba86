"""Take up what an earlier version ignored, for it knew nothing to make of such events: once this
version does, they are applied as if they had come just now.

Once a round, and by an index that holds those events alone: a type that nothing is made of yet is
not looked at. Each event leaves the index when it is taken up, so that whoever is cut off goes on
where it was.
"""

from collections.abc import AsyncIterator, Callable
from typing import Final

from paygate.domain import provider_event
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.provider_event import NO_HANDLER, EventStatus
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.storage.change import Change, Committed
from paygate.storage.reader import WaitingEvent
from paygate.storage.unreadable import UNREAD
from paygate.telemetry import log

PAGE: Final = 100
MOST: Final = 2_000
"""Taken up in one round; the next goes on. At the pace of sweeps in test mode, five a second, that
is seven minutes."""


async def take_up_events(
    ctx: Context, caller: Caller, *, late: Callable[[], bool] = lambda: False
) -> int:
    """How many events were taken up until it was late: those whose type something is made of by
    now, as long as their bodies are kept. One that cannot be read is told of, and holds up no
    other.
    """
    taken = 0
    async for found in _left_alone(ctx, caller.merchant):
        if taken == MOST or late():
            break
        taken += await _take_up(ctx, caller, found)
    if taken:
        log.logger().info("provider_events_taken_up", taken_up=taken)
    return taken


async def _left_alone(ctx: Context, merchant: str) -> AsyncIterator[WaitingEvent]:
    """The events, a page at a time; none that comes meanwhile."""
    begun = ctx.now()
    since = begun - ctx.policy.events_kept
    for kind in await ctx.read.types_without_handler(merchant, ctx.provider.acts_upon, since):
        last: WaitingEvent | None = None
        while page := await ctx.read.events_without_handler(kind, since, begun, last, PAGE):
            for found in page:
                yield found
            last = page[-1]


async def _take_up(ctx: Context, caller: Caller, found: WaitingEvent) -> bool:
    """Have one apply. Once it is `received` again no crash loses it: the sweep comes for it."""
    try:
        event = await ctx.read.provider_event(found.merchant, found.id)
        if event is None or (event.status, event.verdict) != (EventStatus.IGNORED, NO_HANDLER):
            return False
        subject = Subject("provider_event", event.id)
        audit = ctx.audit(caller, Action.PROVIDER_EVENT_REPLAY, subject)
        after = provider_event.replayed(event, ctx.now())
        if not isinstance(await ctx.door.commit(Change(audit, advances=(after,))), Committed):
            return False
        await ctx.pace.turn()
        await apply_received_event(ctx, ApplyProviderEvent(event.merchant, event.id))
    except UNREAD as fault:
        await report_unreadable(ctx, caller, fault)
        return False
    return True
