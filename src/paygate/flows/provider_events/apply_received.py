"""Apply a received event, and count the tries that end in a fault: none is tried for ever.

An event that cannot be applied because of a fault - a payment that cannot be opened, a bug of ours
- is a dead letter after as many tries as an event that the provider's silence puts off. No try
counts while the database does not answer, or when a later version has to apply the event.
"""

from datetime import timedelta
from typing import Final

from paygate.domain import provider_event
from paygate.domain.access.roles import Actor, Caller
from paygate.domain.provider_event import WAITING, EventStatus, ProviderEvent
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.provider_events.apply import apply_provider_event, put_off
from paygate.flows.provider_events.look import PutOff
from paygate.jobs.messages import ApplyProviderEvent
from paygate.storage.change import OutcomeUnknown, Outdated, Overloaded, Unavailable
from paygate.storage.unreadable import Unreadable
from paygate.telemetry import log

_NOT_THE_EVENTS: Final = (OutcomeUnknown, Outdated, Overloaded, Unavailable)


async def apply_received_event(
    ctx: Context, message: ApplyProviderEvent, of: frozenset[EventStatus] = WAITING
) -> timedelta | None:
    """Try an event that is of these statuses.

    How long the event is to be left alone, because its next try is not due or its payment's own
    answer is under way; None: it was tried, or there is nothing to do.

    Raises:
        StorageError: the database could not tell or write, or the event is for a later version: the
            same message again, later.
    """
    try:
        event = await ctx.read.provider_event(message.merchant, message.event)
    except Unreadable as fault:
        # It stays as it is: the sweep tries it again, should the key or the row come back.
        await report_unreadable(ctx, _caller(ctx, message), fault)
        return None
    if event is None or event.status not in of:
        return None
    if wait := provider_event.waits(event, ctx.now()):
        return wait
    try:
        return await apply_provider_event(ctx, message, of)
    except _NOT_THE_EVENTS:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever it is, the event has it
        if isinstance(error, Unreadable) and error.id == event.id:
            await report_unreadable(ctx, _caller(ctx, message), error)  # its body: as above
            return None
        log.logger().error("event_faulted", provider_event=message.event, error=error)
        await _count(ctx, event, type(error).__name__)
    return None


async def _count(ctx: Context, event: ProviderEvent, fault: str) -> None:
    """Put the event off, or give it up with an alert when its tries are used up; unless the event
    moved on during the try.
    """
    await ctx.door.commit(put_off(ctx, event, PutOff(f"fault: {fault}")))


def _caller(ctx: Context, message: ApplyProviderEvent) -> Caller:
    return Caller(Actor("provider", id=ctx.provider.name), message.merchant, message.event)
