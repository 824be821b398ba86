"""Settle an attempt: what the provider said becomes true in one commit, once.

The reply, an event and the sweep may all bring the same truth, in any order. Whoever is
second finds it settled and changes nothing.
"""

from paygate.domain import events, ledger
from paygate.domain.access import Action, Caller
from paygate.domain.attempt import Attempt
from paygate.domain.conclusion import conclude
from paygate.domain.confirmation import Moved, Stay
from paygate.domain.events import Event
from paygate.domain.ledger import Transfer
from paygate.domain.outcome import Answer, NotSent, PaymentError, Rejected
from paygate.domain.payment_intent import PaymentIntent, Status, Trigger, advance
from paygate.flows.context import TRIES, Context, intent_subject, pause
from paygate.providers.contract import Absent
from paygate.storage.change import Change, Committed, OutcomeUnknown
from paygate.telemetry import timing


async def settle_attempt(
    ctx: Context,
    caller: Caller,
    action: Action,
    intent: PaymentIntent,
    attempt: Attempt,
    answer: Answer,
) -> PaymentIntent:
    """The intent once `answer` was applied, or as whoever came first left it."""
    for _ in range(TRIES):
        moved, answer = await weigh(ctx, intent, attempt, answer)
        if isinstance(moved, Stay):
            return intent
        change = Change(
            ctx.audit(caller, action, intent_subject(intent.id)),
            creates=told(ctx, caller.request_id, intent, moved),
            advances=advanced(moved),
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
    moved = Moved(advance(intent, Trigger.FAIL, ctx.now(), **changes), None)
    change = Change(
        ctx.audit(caller, action, intent_subject(intent.id)),
        creates=told(ctx, caller.request_id, intent, moved),
        advances=advanced(moved),
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


async def reread(ctx: Context, attempt: Attempt) -> tuple[PaymentIntent, Attempt]:
    """Both records as they stand now."""
    found = await ctx.read.attempt_with_intent(attempt.merchant, attempt.id)
    assert found is not None, "payments are never deleted"
    return found


def told(
    ctx: Context, request_id: str | None, before: PaymentIntent, moved: Moved
) -> tuple[Event | Transfer, ...]:
    """What a move adds: an event when the status changed, a transfer when money did."""
    after = moved.intent
    added: list[Event | Transfer] = []
    if after.status is not before.status:
        event_id = ctx.new_id("event")
        added.append(
            events.of_intent(after, event_id=event_id, at=after.updated_at, request_id=request_id)
        )
    if after.money_seq != before.money_seq:
        transfer_id = ctx.new_id("ledger_transfer")
        added.append(ledger.capture(before, after, transfer_id=transfer_id, attempt=after.attempt))
    return tuple(added)


def advanced(moved: Moved) -> tuple[PaymentIntent | Attempt, ...]:
    """The records that a move advances."""
    return (moved.intent,) if moved.attempt is None else (moved.intent, moved.attempt)
