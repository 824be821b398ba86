"""Apply a provider event that was received: once, in any order, and never a step backwards.

The event's own commit carries the payment's: that it was processed and what it changed become
true together. What may pass (an unreachable provider, an object that is not known yet) is put
off with the next try enqueued in the same commit; what cannot is a dead letter at once.
"""

from collections.abc import Mapping
from typing import Final

from paygate.domain import provider_event
from paygate.domain.access import Action, Actor, Caller
from paygate.domain.alert import AlertType, Concern
from paygate.domain.attempt import OPEN, Attempt, Operation
from paygate.domain.audit import Subject
from paygate.domain.confirmation import Moved, Stay
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.outcome import Answer, Approved, Cancelled, Unknown
from paygate.domain.payment_intent import PaymentIntent
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import TRIES, Context, intent_subject, pause
from paygate.flows.correct_payment_intent import alert_correction, corrected, give_back
from paygate.flows.raise_alert import raise_alert
from paygate.flows.settle_attempt import (
    UNUSED_MONEY,
    advanced,
    alert_of_money_left,
    to_do_next,
    told,
    weigh,
)
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.providers.contract import Absent, Notice
from paygate.storage.change import Appended, Change, Committed, StorageError, Versioned

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
    tried: int | None = None
    for _ in range(TRIES):
        event = await ctx.read.provider_event(message.merchant, message.event)
        if event is None or event.status is not EventStatus.RECEIVED:
            return
        if tried is not None and event.attempts != tried:
            return  # a try at the same time has put it off: a second would only use up its tries
        tried = event.attempts
        change = await _change(ctx, event)
        await _alert_dead_letter(ctx, change)
        if isinstance(await ctx.door.commit(change), Committed):
            return
        await pause()
    raise StorageError("a payment kept changing while an event was applied")


async def _change(ctx: Context, event: ProviderEvent) -> Change:
    """What applying the event makes true now."""
    try:
        notice = ctx.provider.read_event(event.body)
    except ValueError:
        return _end(ctx, event, EventStatus.DEAD_LETTER, "malformed")
    if notice.livemode is not ctx.provider.livemode:
        return _end(ctx, event, EventStatus.IGNORED, "other_mode")
    try:
        if notice.money_left_with is not None:
            return await _money_left(ctx, event, notice.money_left_with)
        if notice.answer is not None:
            return await _of_payment(ctx, event, notice, notice.answer)
    except _PutOff as reason:
        return _put_off(ctx, event, str(reason))
    return _end(ctx, event, EventStatus.IGNORED, "type_not_used")


async def _of_payment(ctx: Context, event: ProviderEvent, notice: Notice, answer: Answer) -> Change:
    if answer.installation != ctx.installation:
        return _end(ctx, event, EventStatus.IGNORED, "foreign")
    intent, attempt = await _subject(ctx, answer)
    moved, answer = await _weigh(ctx, notice, intent, attempt, answer)
    if moved is Stay.MONEY_AFTER_THE_END:
        return await _after_the_end(ctx, event, intent, answer)
    if moved is Stay.MONEY_ELSEWHERE:
        return await _elsewhere(ctx, event, intent, answer)
    if isinstance(moved, Stay):
        status, verdict = _STAYS[moved]
        return _end(ctx, event, status, verdict, intent_subject(intent.id))
    caller = Caller(_actor(ctx), intent.merchant, request_id=event.id)
    await alert_of_money_left(ctx, caller, intent, moved, answer)
    return _applied(ctx, event, intent, moved)


async def _money_left(ctx: Context, event: ProviderEvent, customer_reference: str) -> Change:
    """Money came that pays for nothing: what lies there now is what counts."""
    left = await ctx.provider.money_left(
        customer_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(left, Unknown):
        raise _PutOff("provider_unreachable")
    if isinstance(left, Absent):
        return _end(ctx, event, EventStatus.IGNORED, "foreign")
    payer = _payer(left.customer)
    if left.installation != ctx.installation or payer is None or left.merchant is None:
        return _end(ctx, event, EventStatus.IGNORED, "foreign")
    if not await _is_known(ctx, left.merchant, payer):
        raise _PutOff("object_unknown")
    if not left.amounts:
        return _end(ctx, event, EventStatus.PROCESSED, "nothing_new")
    caller = Caller(_actor(ctx), left.merchant, request_id=event.id)
    await raise_alert(ctx, caller, _excess(payer, left.amounts))
    return _end(ctx, event, EventStatus.PROCESSED, "money_left")


def _payer(ours: str | None) -> Subject | None:
    """Our customer, or the intent of a payer whom the merchant did not name."""
    for kind in ("customer", "payment_intent"):
        if ours is not None and is_id(PREFIXES[kind], ours):
            return Subject(kind, ours)
    return None


async def _is_known(ctx: Context, merchant: str, payer: Subject) -> bool:
    if payer.object == "customer":
        return await ctx.read.customer(merchant, payer.id) is not None
    return await ctx.read.payment_intent(merchant, payer.id) is not None


def _excess(payer: Subject, amounts: Mapping[str, int]) -> Concern:
    lies = ", ".join(f"{amount} {currency}" for currency, amount in sorted(amounts.items()))
    return Concern(
        type=AlertType.TRANSFER_EXCESS,
        subject=payer,
        severity="warning",
        message=f"a payer sent more than was asked for: {lies} (smallest units) lie unused",
        what_to_do=UNUSED_MONEY,
    )


async def _subject(ctx: Context, answer: Answer) -> tuple[PaymentIntent, Attempt]:
    """The attempt that the event's object bears in its metadata, and its intent."""
    if answer.merchant is None or answer.attempt is None:
        raise _PutOff("object_unknown")
    found = await ctx.read.attempt_with_intent(answer.merchant, answer.attempt)
    if found is None:
        raise _PutOff("object_unknown")
    intent, attempt = found
    same = answer.provider_reference == intent.provider_reference
    if attempt.state not in OPEN and same and intent.attempt not in {None, attempt.id}:
        # A capture or a cancel of what this attempt was approved for.
        current = await ctx.read.attempt(intent.merchant, str(intent.attempt))
        assert current is not None, "payments are never deleted"
        return intent, current
    return intent, attempt


async def _weigh(
    ctx: Context, notice: Notice, intent: PaymentIntent, attempt: Attempt, answer: Answer
) -> tuple[Moved | Stay, Answer]:
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
    return moved, answer


def _tells_too_little(attempt: Attempt, answer: Answer) -> bool:
    """An approval that only the event brings has no card in it; the object has."""
    outcome = answer.outcome
    return (
        attempt.operation is Operation.CONFIRM
        and attempt.state in OPEN
        and isinstance(outcome, Approved)
        and outcome.payment_method is None
    )


def _applied(ctx: Context, event: ProviderEvent, intent: PaymentIntent, moved: Moved) -> Change:
    return _end(
        ctx,
        event,
        EventStatus.PROCESSED,
        "applied",
        intent_subject(intent.id),
        creates=told(ctx, None, intent, moved.intent),
        advances=advanced(moved),
        jobs=to_do_next(intent, moved),
    )


async def _after_the_end(
    ctx: Context, event: ProviderEvent, intent: PaymentIntent, answer: Answer
) -> Change:
    """Money under an intent that had ended without: a correction, or a hold to give back."""
    caller = Caller(_actor(ctx), intent.merchant, request_id=event.id)
    assert isinstance(answer.outcome, Approved), "only money is found after the end"
    if not answer.outcome.captured:
        return await _given_back(ctx, event, intent, answer)
    await alert_correction(ctx, caller, intent, f"money was taken, though it had {intent.status}")
    after, creates = corrected(ctx, intent, answer, proof=event.provider_reference)
    return _end(
        ctx,
        event,
        EventStatus.PROCESSED,
        "corrected",
        intent_subject(intent.id),
        creates=creates,
        advances=(after,),
    )


async def _elsewhere(
    ctx: Context, event: ProviderEvent, intent: PaymentIntent, answer: Answer
) -> Change:
    """Money of another try than the one that counts: a hold is given back, the rest is told."""
    assert isinstance(answer.outcome, Approved), "only money is found elsewhere"
    if not answer.outcome.captured:
        return await _given_back(ctx, event, intent, answer)
    concern = Concern(
        type=AlertType.ORPHAN_CHARGE,
        subject=intent_subject(intent.id),
        severity="critical",
        message="the payer was charged twice: the provider had taken a try that it did not answer",
        what_to_do=f"Refund {answer.provider_reference} at the provider; the payment intent itself"
        " rests on another charge.",
    )
    caller = Caller(_actor(ctx), intent.merchant, request_id=event.id)
    await raise_alert(ctx, caller, concern)
    return _end(ctx, event, EventStatus.PROCESSED, "orphan_charge", intent_subject(intent.id))


async def _given_back(
    ctx: Context, event: ProviderEvent, intent: PaymentIntent, answer: Answer
) -> Change:
    given = await give_back(ctx, answer)
    if not isinstance(given.outcome, Cancelled):
        return _put_off(ctx, event, "provider_unreachable")
    return _end(ctx, event, EventStatus.PROCESSED, "hold_voided", intent_subject(intent.id))


async def _alert_dead_letter(ctx: Context, change: Change) -> None:
    """What a change gives up is told before: nobody would look for it."""
    for event in change.advances:
        if isinstance(event, ProviderEvent) and event.status is EventStatus.DEAD_LETTER:
            concern = Concern(
                type=AlertType.WEBHOOK_DEAD_LETTER,
                subject=Subject("provider_event", event.id),
                severity="critical",
                message=f"an event could not be applied: {event.last_error or event.verdict}",
                what_to_do="Look the event up at the provider, and the payment that it is about.",
            )
            await raise_alert(ctx, _caller(ctx, event), concern)


def _end(
    ctx: Context,
    event: ProviderEvent,
    status: EventStatus,
    verdict: str,
    subject: Subject | None = None,
    *,
    creates: tuple[Appended, ...] = (),
    advances: tuple[Versioned, ...] = (),
    jobs: tuple[Job, ...] = (),
) -> Change:
    """The event's end, and what it made true."""
    done = provider_event.settle(event, status, ctx.now(), verdict=verdict, subject=subject)
    return _change_of(ctx, event, creates=creates, advances=(done, *advances), jobs=jobs)


def _put_off(ctx: Context, event: ProviderEvent, reason: str) -> Change:
    after, wait = provider_event.put_off(event, ctx.now(), error=reason)
    message = ApplyProviderEvent(event.merchant, event.id)
    jobs = () if wait is None else (Job(message, wait),)
    return _change_of(ctx, event, advances=(after,), jobs=jobs)


def _change_of(
    ctx: Context,
    event: ProviderEvent,
    *,
    creates: tuple[Appended, ...] = (),
    advances: tuple[Versioned, ...],
    jobs: tuple[Job, ...] = (),
) -> Change:
    subject = Subject("provider_event", event.id)
    audit = ctx.audit(_caller(ctx, event), Action.PROVIDER_EVENT_APPLY, subject)
    return Change(audit, creates=creates, advances=advances, jobs=jobs)


def _caller(ctx: Context, event: ProviderEvent) -> Caller:
    return Caller(_actor(ctx), event.merchant, request_id=event.id)


def _actor(ctx: Context) -> Actor:
    return Actor("provider", id=ctx.provider.name)
