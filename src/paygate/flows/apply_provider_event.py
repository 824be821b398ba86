"""Apply a provider event that was received: once, in any order, and never a step backwards.

The event's own commit carries the payment's: that it was processed and what it changed become
true together. What may pass (an unreachable provider, an object that is not known yet) is put
off with the next try enqueued in the same commit; what cannot is a dead letter at once.
"""

from typing import Final

from paygate.domain import events, provider_event
from paygate.domain.access import Action, Actor, Caller
from paygate.domain.attempt import OPEN, Attempt
from paygate.domain.audit import Subject
from paygate.domain.confirmation import Moved, Stay
from paygate.domain.outcome import Answer, Approved, Unknown
from paygate.domain.payment_intent import PaymentIntent
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import TRIES, Context, intent_subject, pause
from paygate.flows.settle_attempt import weigh
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.contract import Absent, Notice
from paygate.storage.change import Change, Committed, StorageError, Versioned

_STAYS: Final = {
    Stay.SETTLED: (EventStatus.PROCESSED, "already_settled"),
    Stay.NOTHING_NEW: (EventStatus.PROCESSED, "nothing_new"),
    Stay.STALE: (EventStatus.STALE, "older_than_applied"),
    Stay.MISMATCH: (EventStatus.DEAD_LETTER, "amount_or_currency_mismatch"),
}


class _PutOff(Exception):
    """The event cannot be applied now; the reason is a stable word."""


async def apply_provider_event(ctx: Context, message: ApplyProviderEvent) -> None:
    """Bring one received event to its end, or put it off."""
    for _ in range(TRIES):
        event = await ctx.read.provider_event(message.merchant, message.event)
        if event is None or event.status is not EventStatus.RECEIVED:
            return
        if isinstance(await ctx.door.commit(await _change(ctx, event)), Committed):
            return
        await pause()
    raise StorageError("a payment kept changing while an event was applied")


async def _change(ctx: Context, event: ProviderEvent) -> Change:
    """What applying the event makes true now."""
    try:
        notice = ctx.provider.read_event(event.body)
    except ValueError:
        return _end(ctx, event, EventStatus.DEAD_LETTER, "malformed")
    answer = notice.answer
    if answer is None:
        return _end(ctx, event, EventStatus.IGNORED, "type_not_used")
    if notice.livemode is not ctx.provider.livemode:
        return _end(ctx, event, EventStatus.IGNORED, "other_mode")
    if answer.installation != ctx.installation:
        return _end(ctx, event, EventStatus.IGNORED, "foreign")
    try:
        intent, attempt = await _subject(ctx, answer)
        moved = await _weigh(ctx, notice, intent, attempt, answer)
    except _PutOff as reason:
        return _put_off(ctx, event, str(reason))
    if isinstance(moved, Stay):
        status, verdict = _STAYS[moved]
        return _end(ctx, event, status, verdict, intent_subject(intent.id))
    return _applied(ctx, event, intent, moved)


async def _subject(ctx: Context, answer: Answer) -> tuple[PaymentIntent, Attempt]:
    """The attempt that the event's object bears in its metadata, and its intent."""
    if answer.merchant is None or answer.attempt is None:
        raise _PutOff("object_unknown")
    found = await ctx.read.attempt_with_intent(answer.merchant, answer.attempt)
    if found is None:
        raise _PutOff("object_unknown")
    return found


async def _weigh(
    ctx: Context, notice: Notice, intent: PaymentIntent, attempt: Attempt, answer: Answer
) -> Moved | Stay:
    if not notice.exact or _tells_too_little(attempt, answer):
        if answer.provider_reference is None:
            raise _PutOff("object_unknown")
        fetched = await ctx.provider.retrieve(
            answer.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
        )
        if isinstance(fetched, Absent) or isinstance(fetched.outcome, Unknown):
            raise _PutOff("provider_unreachable")
        answer = fetched
    moved, answer = await weigh(ctx, intent, attempt, answer)
    if moved is Stay.TIE or isinstance(answer.outcome, Unknown):
        raise _PutOff("provider_unreachable")
    return moved


def _tells_too_little(attempt: Attempt, answer: Answer) -> bool:
    """An approval that only the event brings has no card in it; the object has."""
    outcome = answer.outcome
    return (
        attempt.state in OPEN and isinstance(outcome, Approved) and outcome.payment_method is None
    )


def _applied(ctx: Context, event: ProviderEvent, intent: PaymentIntent, moved: Moved) -> Change:
    after = moved.intent
    creates: tuple[events.Event, ...] = ()
    if after.status is not intent.status:
        told = events.of_intent(
            after, event_id=ctx.new_id("event"), at=after.updated_at, request_id=None
        )
        creates = (told,)
    done = provider_event.settle(
        event,
        EventStatus.PROCESSED,
        ctx.now(),
        verdict="applied",
        subject=intent_subject(intent.id),
    )
    return _change_of(ctx, event, creates=creates, advances=(done, after, moved.attempt))


def _end(
    ctx: Context,
    event: ProviderEvent,
    status: EventStatus,
    verdict: str,
    subject: Subject | None = None,
) -> Change:
    done = provider_event.settle(event, status, ctx.now(), verdict=verdict, subject=subject)
    return _change_of(ctx, event, advances=(done,))


def _put_off(ctx: Context, event: ProviderEvent, reason: str) -> Change:
    after, wait = provider_event.put_off(event, ctx.now(), error=reason)
    message = ApplyProviderEvent(event.merchant, event.id)
    jobs = () if wait is None else (Job(message, wait),)
    return _change_of(ctx, event, advances=(after,), jobs=jobs)


def _change_of(
    ctx: Context,
    event: ProviderEvent,
    *,
    creates: tuple[events.Event, ...] = (),
    advances: tuple[Versioned, ...],
    jobs: tuple[Job, ...] = (),
) -> Change:
    caller = Caller(Actor("provider", id=ctx.provider.name), event.merchant, request_id=event.id)
    subject = Subject("provider_event", event.id)
    audit = ctx.audit(caller, Action.PROVIDER_EVENT_APPLY, subject)
    return Change(audit, creates=creates, advances=advances, jobs=jobs)
