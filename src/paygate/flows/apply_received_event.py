"""Apply a received event, and count the tries that end in a fault: none is tried for ever.

An event that cannot be applied because something about it is wrong - a payment that cannot be
opened, a bug of ours - is a dead letter after as many tries as one that the provider's silence puts
off. While the database does not answer, or a later version has to do it, nothing is counted: that
is no fault of the event.
"""

from datetime import timedelta
from typing import Final

from paygate.crypto.seal import SealError
from paygate.domain import provider_event
from paygate.domain.access import Action, Actor, Caller
from paygate.domain.alert import AlertType, Concern
from paygate.domain.audit import Subject
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.apply_provider_event import apply_provider_event
from paygate.flows.context import Context
from paygate.flows.raise_alert import raise_alert
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.storage.change import (
    Change,
    Committed,
    OutcomeUnknown,
    Outdated,
    Overloaded,
    Unavailable,
)
from paygate.storage.records import Tampered
from paygate.telemetry import log

_NOT_THE_EVENTS: Final = (OutcomeUnknown, Outdated, Overloaded, Unavailable)


async def apply_received_event(ctx: Context, message: ApplyProviderEvent) -> timedelta | None:
    """How long the event is to be left alone, or None: it was tried, or there is nothing to do.

    Raises:
        StorageError: the database could not tell or write, or it is for a later version: the same
            message again, later.
    """
    try:
        event = await ctx.read.provider_event(message.merchant, message.event)
    except (SealError, Tampered) as error:
        await _tell_of_unreadable(ctx, message, error)
        return None
    if event is None or event.status is not EventStatus.RECEIVED:
        return None
    if wait := provider_event.waits(event, ctx.now()):
        return wait
    try:
        await apply_provider_event(ctx, message)
    except _NOT_THE_EVENTS:
        raise
    except Exception as error:  # noqa: BLE001 -- whatever it is, the event has it
        log.logger().error("event_faulted", provider_event=message.event, error=error)
        await _count(ctx, event, type(error).__name__)
    return None


async def _count(ctx: Context, event: ProviderEvent, fault: str) -> None:
    """Put the event off, or give it up when its tries are used up, and tell of that; unless it
    moved on while it was tried.
    """
    after, wait = provider_event.put_off(event, ctx.now(), error=f"fault: {fault}")
    message = ApplyProviderEvent(event.merchant, event.id)
    caller = _caller(ctx, message)
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_APPLY, Subject("provider_event", event.id))
    jobs = () if wait is None else (Job(message, wait),)
    verdict = await ctx.door.commit(Change(audit, advances=(after,), jobs=jobs))
    if isinstance(verdict, Committed) and after.status is EventStatus.DEAD_LETTER:
        await raise_alert(ctx, caller, _given_up(after))


async def _tell_of_unreadable(ctx: Context, message: ApplyProviderEvent, error: Exception) -> None:
    """Say once that the stored event cannot be opened. It stays received: the sweep tries it again,
    should the key or the row come back.
    """
    concern = _cannot_be_opened(message.event)
    if await ctx.read.alert_standing(message.merchant, concern.name) is None:
        log.logger().error("event_unreadable", provider_event=message.event, error=error)
        await raise_alert(ctx, _caller(ctx, message), concern)


def _given_up(event: ProviderEvent) -> Concern:
    return Concern(
        type=AlertType.WEBHOOK_DEAD_LETTER,
        subject=Subject("provider_event", event.id),
        severity="critical",
        message=f"an event could not be applied: {event.last_error}",
        what_to_do="Look the event up at the provider, and the payment that it is about.",
    )


def _cannot_be_opened(event_id: str) -> Concern:
    return Concern(
        type=AlertType.RECORD_UNREADABLE,
        subject=Subject("provider_event", event_id),
        severity="critical",
        message="a stored event cannot be opened, so it is not applied",
        what_to_do="Find out whether a hand in the database, a backup or a missing key did it, and"
        " put the row or the key back. Till then the provider knows what the event was about.",
    )


def _caller(ctx: Context, message: ApplyProviderEvent) -> Caller:
    return Caller(Actor("provider", id=ctx.provider.name), message.merchant, message.event)
