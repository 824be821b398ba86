"""Settle an attempt: what the provider said becomes true in one commit, once.

The reply, an event and the sweep may all bring the same truth, in any order. Whoever is
second finds it settled and changes nothing.
"""

from typing import Final

from paygate.domain import events, ledger
from paygate.domain.access import Action, Caller
from paygate.domain.alert import AlertType, Concern
from paygate.domain.attempt import Attempt, AttemptState
from paygate.domain.audit import Subject
from paygate.domain.conclusion import conclude
from paygate.domain.confirmation import Moved, Stay
from paygate.domain.events import Event
from paygate.domain.ledger import Transfer
from paygate.domain.outcome import Answer, Cancelled, NotSent, PaymentError, Rejected
from paygate.domain.payment_intent import PaymentIntent, Status, Trigger, advance
from paygate.flows.context import TRIES, Context, intent_subject, pause
from paygate.flows.raise_alert import raise_alert
from paygate.jobs.messages import CloseFailedPayment, Job
from paygate.providers.contract import Absent
from paygate.storage.change import Change, Committed, OutcomeUnknown
from paygate.telemetry import timing

UNUSED_MONEY: Final = (
    "The money lies with the provider, on the payer's account there: send it back, or let it pay"
    " for another intent of the same customer."
)
"""What to do about it."""


async def settle_attempt(
    ctx: Context,
    caller: Caller,
    action: Action,
    intent: PaymentIntent,
    attempt: Attempt,
    answer: Answer,
) -> PaymentIntent:
    """The intent once `answer` was applied, or as whoever came first left it."""
    if isinstance(answer.outcome, Rejected) and answer.outcome.reason == "provider_configuration":
        await raise_alert(ctx, caller, _misconfigured(ctx, answer.outcome.message))
    for _ in range(TRIES):
        moved, answer = await weigh(ctx, intent, attempt, answer)
        if isinstance(moved, Stay):
            return intent
        await alert_of_money_left(ctx, caller, intent, moved, answer)
        change = Change(
            ctx.audit(caller, action, intent_subject(intent.id)),
            creates=told(ctx, caller.request_id, intent, moved.intent),
            advances=advanced(moved),
            jobs=to_do_next(intent, moved),
            # What was certainly not sent is no answer yet: the same request may go on with it.
            concludes=None if isinstance(answer.outcome, NotSent) else moved.intent,
        )
        if isinstance(await ctx.door.commit(change), Committed):
            return moved.intent
        await pause()
        intent, attempt = await reread(ctx, attempt)
    # The attempt stays open: its event or the sweep brings the answer again.
    raise OutcomeUnknown("an intent kept changing while its attempt was settled")


async def fail_unsent(
    ctx: Context, caller: Caller, action: Action, attempt: Attempt, answer: Answer
) -> bool:
    """Fail an intent whose last attempt was certainly not sent, and that nobody tries again."""
    intent, attempt = await reread(ctx, attempt)
    assert isinstance(answer.outcome, Rejected), "it failed"
    if intent.status is not Status.PROCESSING or intent.attempt != attempt.id:
        return False
    error = PaymentError(code=answer.outcome.reason, message=answer.outcome.message)
    changes = {"pending_operation": None, "last_payment_error": error}
    after = advance(intent, Trigger.FAIL, ctx.now(), **changes)
    change = Change(
        ctx.audit(caller, action, intent_subject(intent.id)),
        creates=told(ctx, caller.request_id, intent, after),
        advances=(after,),
    )
    return isinstance(await ctx.door.commit(change), Committed)


async def weigh(
    ctx: Context, intent: PaymentIntent, attempt: Attempt, answer: Answer
) -> tuple[Moved | Stay, Answer]:
    """What the answer does; on a tie of seconds the provider is asked again and that decides."""
    moved = conclude(intent, attempt, answer, ctx.now())
    if moved is not Stay.TIE or answer.provider_reference is None:
        return moved, answer
    with timing.spent(timing.Part.PROVIDER):
        fetched = await ctx.provider.retrieve(
            answer.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
        )
    if isinstance(fetched, Absent):
        return moved, answer
    return conclude(intent, attempt, fetched, ctx.now(), fetched=True), fetched


async def ask_how_it_stands(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, attempt: Attempt
) -> PaymentIntent:
    """The intent once what the provider says of its payment now was applied."""
    assert intent.provider_reference is not None, "what is under way is known to the provider"
    found = await ctx.provider.retrieve(
        intent.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if isinstance(found, Absent):
        return intent
    return await settle_attempt(ctx, caller, action, intent, attempt, found)


async def reread(ctx: Context, attempt: Attempt) -> tuple[PaymentIntent, Attempt]:
    """Both records as they stand now."""
    found = await ctx.read.attempt_with_intent(attempt.merchant, attempt.id)
    assert found is not None, "payments are never deleted"
    return found


def told(
    ctx: Context, request_id: str | None, before: PaymentIntent, after: PaymentIntent
) -> tuple[Event | Transfer, ...]:
    """What a move adds: an event when it is news, a transfer when money moved."""
    added: list[Event | Transfer] = []
    if (type_ := events.news(before, after)) is not None:
        event = events.of_intent(
            after,
            event_id=ctx.new_id("event"),
            at=after.updated_at,
            request_id=request_id,
            type_=type_,
        )
        added.append(event)
    if after.money_seq != before.money_seq:
        transfer_id = ctx.new_id("ledger_transfer")
        added.append(ledger.capture(before, after, transfer_id=transfer_id, attempt=after.attempt))
    return tuple(added)


def advanced(moved: Moved) -> tuple[PaymentIntent | Attempt, ...]:
    """The records that a move advances."""
    return (moved.intent,) if moved.attempt is None else (moved.intent, moved.attempt)


def to_do_next(before: PaymentIntent, moved: Moved) -> tuple[Job, ...]:
    """The provider's object of a payment that has failed is closed too, lest it be paid still."""
    intent, attempt = moved.intent, moved.attempt
    failed = intent.status is Status.FAILED and before.status is not Status.FAILED
    if not failed or intent.attempt is None or intent.provider_reference is None:
        return ()
    if attempt is not None and attempt.state is AttemptState.CANCELLED:
        return ()  # given up, and the provider has closed it
    return (Job(CloseFailedPayment(intent.merchant, intent.attempt)),)


async def alert_of_money_left(
    ctx: Context, caller: Caller, before: PaymentIntent, moved: Moved, answer: Answer
) -> None:
    """A part of a transfer had come when it was closed: told before it is settled, lest a crash in
    between keeps it from being told.
    """
    if isinstance(answer.outcome, Cancelled) and events.received(before):
        given_up = moved.attempt is not None and moved.attempt.given_up
        await raise_alert(ctx, caller, _partly_paid(before, given_up=given_up))


def _misconfigured(ctx: Context, message: str) -> Concern:
    return Concern(
        type=AlertType.PROVIDER_MISCONFIGURED,
        subject=Subject("provider", ctx.provider.name),
        severity="critical",
        message=f"payments fail: {message}",
        what_to_do="Look at the provider's key and account; failed payments are not tried again.",
    )


def _partly_paid(intent: PaymentIntent, *, given_up: bool) -> Concern:
    kind = AlertType.TRANSFER_PARTLY_FUNDED if given_up else AlertType.TRANSFER_EXCESS
    came = f"{events.received(intent)} of {intent.amount} {intent.currency} (smallest units)"
    return Concern(
        type=kind,
        subject=intent_subject(intent.id),
        severity="warning",
        message=f"a transfer was closed after {came} had come",
        what_to_do=UNUSED_MONEY,
    )
