"""Begin an attempt, or go on with one: what flows do before they ask the provider."""

from datetime import timedelta
from typing import Any, Final

from paygate.domain.access import Action, Caller
from paygate.domain.attempt import Attempt, AttemptState, Operation, move, sent_again
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.outcome import Answer, NotSent
from paygate.domain.payment_intent import PaymentIntent, Trigger, advance
from paygate.flows.context import Context, intent_subject
from paygate.flows.provider_clock import by_the_provider
from paygate.flows.settle_attempt import told
from paygate.storage.change import Change, Committed

KEYS_MARGIN: Final = timedelta(hours=1)
"""An attempt is not sent again in the last hour that the provider promises to know its key."""
TO_ASK_AGAIN: Final = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN})
"""States of an attempt whose request died before it had an answer."""

Prepared = tuple[PaymentIntent, Attempt]


def new_attempt(ctx: Context, intent: PaymentIntent, operation: Operation, **more: Any) -> Attempt:
    """The next try on an intent, as a value."""
    now = ctx.now()
    return Attempt(
        id=ctx.new_id("attempt", now),
        merchant=intent.merchant,
        intent=intent.id,
        number=intent.attempts + 1,
        operation=operation,
        state=AttemptState.STARTED,
        claim=ctx.claim,
        first_sent_at=now,
        first_sent_as_of=by_the_provider(ctx, now),
        created_at=now,
        updated_at=now,
        **more,
    )


async def begin(
    ctx: Context,
    caller: Caller,
    action: Action,
    intent: PaymentIntent,
    attempt: Attempt,
    trigger: Trigger,
) -> Prepared | None:
    """Both durable, one version on: from here on the sweep will ask, whatever happens.

    None when the intent has moved on.
    """
    before = intent
    intent = advance(
        intent,
        trigger,
        attempt.created_at,
        attempt=attempt.id,
        attempts=attempt.number,
        pending_operation=attempt.operation.value,
    )
    creates = (attempt, *told(ctx, caller.request_id, before, intent))
    audit = ctx.audit(caller, action, intent_subject(intent.id))
    change = Change(audit, creates=creates, advances=(intent,))
    committed = isinstance(await ctx.door.commit(change), Committed)
    return (intent, attempt) if committed else None


async def go_on(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, attempt: Attempt
) -> Prepared | None:
    """Both as they must be before the attempt is sent once more: its first sending is in doubt."""
    if attempt.state is AttemptState.UNKNOWN:
        return intent, attempt
    attempt = move(attempt, AttemptState.UNKNOWN, ctx.now(), detail="the request was cut off")
    return await work_on(ctx, caller, action, intent, attempt)


async def send_again(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, attempt: Attempt
) -> Prepared | None:
    """The same for a confirm that its own caller sends once more, which may be much later: written
    down before it is sent, so that a look-up knows from when on the payment may be there.
    """
    if not may_be_sent(ctx, attempt):
        return await go_on(ctx, caller, action, intent, attempt)
    now = ctx.now()
    again = sent_again(attempt, now, by_the_provider(ctx, now))
    return await work_on(ctx, caller, action, intent, again)


async def work_on(
    ctx: Context,
    caller: Caller,
    action: Action,
    intent: PaymentIntent,
    attempt: Attempt,
    **changes: Any,
) -> Prepared | None:
    """Write down an attempt that has gone on, and the intent with it, which is their guard.

    None when the intent has moved on.
    """
    intent = advance(intent, Trigger.WORK_ON, ctx.now(), **changes)
    audit = ctx.audit(caller, action, intent_subject(intent.id))
    committed = isinstance(
        await ctx.door.commit(Change(audit, advances=(intent, attempt))), Committed
    )
    return (intent, attempt) if committed else None


async def attempt_of_this_request(ctx: Context, intent: PaymentIntent) -> Attempt | None:
    """What an earlier try of this same request left behind, if it was one under a key."""
    if ctx.claim is None or intent.attempt is None:
        return None
    last = await ctx.read.attempt(intent.merchant, intent.attempt)
    return last if last is not None and ctx.claim in (last.claim, last.cancel_claim) else None


def may_be_sent(ctx: Context, attempt: Attempt) -> bool:
    """Whether the provider still knows the attempt's key for certain."""
    return ctx.now() < attempt.first_sent_at + ctx.provider.keys_kept - KEYS_MARGIN


def refuse_if_not_sent(intent: PaymentIntent, answer: Answer, *, waits: bool) -> None:
    """Raises `provider_unavailable` when nothing was sent, and nothing else came of it."""
    if waits and isinstance(answer.outcome, NotSent):
        raise Refusal(
            ErrorCode.PROVIDER_UNAVAILABLE,
            "the provider could not be reached, and this try did nothing; try again with the same"
            " Idempotency-Key",
            subject=intent,
            retry_after_seconds=answer.outcome.retry_after_seconds,
        )
