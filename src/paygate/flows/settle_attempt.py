"""Settle an attempt: what the provider said becomes true in one commit, once.

The reply, an event and the sweep may all bring the same truth, in any order. Whoever is
second finds it settled and changes nothing.
"""

from paygate.domain import events
from paygate.domain.access import Action, Caller
from paygate.domain.attempt import Attempt
from paygate.domain.confirmation import Moved, Stay, conclude
from paygate.domain.events import Event
from paygate.domain.outcome import Answer, NotSent
from paygate.domain.payment_intent import PaymentIntent
from paygate.flows.context import TRIES, Context, intent_subject, pause
from paygate.providers.contract import Absent
from paygate.storage.change import Change, Committed, StorageError
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
        audit = ctx.audit(caller, action, intent_subject(intent.id))
        change = Change(
            audit,
            creates=_told(ctx, caller, intent, moved.intent),
            advances=(moved.intent, moved.attempt),
            # What was certainly not sent is no answer yet: the same request may go on with it.
            concludes=None if isinstance(answer.outcome, NotSent) else moved.intent,
        )
        if isinstance(await ctx.door.commit(change), Committed):
            return moved.intent
        await pause()
        intent, attempt = await reread(ctx, attempt)
    raise StorageError("an intent kept changing while its attempt was settled")


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


def _told(
    ctx: Context, caller: Caller, before: PaymentIntent, after: PaymentIntent
) -> tuple[Event, ...]:
    """The event for the merchant, when the status changed."""
    if before.status is after.status:
        return ()
    return (
        events.of_intent(
            after,
            event_id=ctx.new_id("event"),
            at=after.updated_at,
            request_id=caller.request_id,
        ),
    )
