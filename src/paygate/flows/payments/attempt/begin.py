"""Begin an attempt, or go on with one: what flows do before they ask the provider."""

from datetime import timedelta
from typing import Any, Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation, move, sent_again
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.outcome import Answer, NotSent, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Trigger, advance
from paygate.flows.context import Context, intent_subject
from paygate.flows.payments.attempt.consequences import of_move
from paygate.storage.change import Change, Committed, Impossible
from paygate.storage.tables import REFERENCE_TAKEN

KEYS_MARGIN: Final = timedelta(hours=1)
"""An attempt is not sent again in the last hour that the provider promises to know its key."""
TO_ASK_AGAIN: Final = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN})
"""States of an attempt whose request died before it had an answer."""
ATTEMPT_TAKEN: Final = "attempt_pkey"
"""What an attempt runs into that is there under another intent, of the same seed."""
TOO_LATE: Final = Unknown("it was too late to send this: it is looked up instead")

Prepared = tuple[PaymentIntent, Attempt]


def new_attempt(ctx: Context, intent: PaymentIntent, operation: Operation, **more: Any) -> Attempt:
    """The next try on an intent, as a value."""
    now, number = ctx.now(), intent.attempts + 1
    return Attempt(
        id=ctx.attempt_id(intent, operation, number),
        merchant=intent.merchant,
        intent=intent.id,
        number=number,
        operation=operation,
        state=AttemptState.STARTED,
        claim=ctx.claim,
        first_sent_at=now,
        first_sent_as_of=ctx.provider_time(),
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
    **changes: Any,
) -> Prepared | None:
    """Commit the attempt and the advanced intent together. After this the sweep resolves the
    attempt even if we crash. None when the intent has moved on.
    """
    before = intent
    intent = advance(
        intent,
        trigger,
        attempt.created_at,
        attempt=attempt.id,
        attempts=attempt.number,
        pending_operation=attempt.operation.value,
        **changes,
    )
    commits = of_move(ctx, before, Moved(intent, None), request_id=caller.request_id)
    audit = ctx.audit(caller, action, intent_subject(intent.id))
    change = Change(audit, (attempt, *commits.creates), commits.advances)
    try:
        committed = isinstance(await ctx.door.commit(change), Committed)
    except Impossible as error:
        if error.constraint != ATTEMPT_TAKEN:
            raise
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "this payment was begun under another payment intent that the same create made",
            subject=before,
        ) from None
    return (intent, attempt) if committed else None


async def doubt(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, attempt: Attempt
) -> Prepared | None:
    """Both records, with the attempt in doubt: whoever sent it may have died before the answer.

    None when the intent has moved on.
    """
    if attempt.state is AttemptState.UNKNOWN:
        return intent, attempt
    attempt = move(attempt, AttemptState.UNKNOWN, ctx.now(), detail="the request was cut off")
    return await work_on(ctx, caller, action, intent, attempt)


async def send_again(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, attempt: Attempt
) -> Prepared | None:
    """Both records, with the sending written down before the attempt is sent once more: a look-up
    must know from when on the payment may be there, and a sender that stood still what is stale.

    None when the intent has moved on.
    """
    if not may_be_sent(ctx, attempt) and attempt.state in TO_ASK_AGAIN:
        return await doubt(ctx, caller, action, intent, attempt)
    again = sent_again(attempt, ctx.now(), ctx.provider_time())
    pending = {"pending_operation": attempt.operation.value}
    return await work_on(ctx, caller, action, intent, again, **pending)


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
    try:
        verdict = await ctx.door.commit(Change(audit, advances=(intent, attempt)))
    except Impossible as error:
        if error.constraint != REFERENCE_TAKEN:
            raise
        return None  # the payment is another intent's: settling the answer says so
    return (intent, attempt) if isinstance(verdict, Committed) else None


async def attempt_of_this_request(ctx: Context, intent: PaymentIntent) -> Attempt | None:
    """What an earlier try of this same request left behind, if it was one under a key."""
    if ctx.claim is None or intent.attempt is None:
        return None
    last = await ctx.read.attempt(intent.merchant, intent.attempt)
    return last if last is not None and ctx.claim in (last.claim, last.cancel_claim) else None


def may_be_sent(ctx: Context, attempt: Attempt) -> bool:
    """Whether the provider still knows the attempt's key for certain: by its own clock, where that
    is known now and was known then.
    """
    now, first = ctx.provider_time(), attempt.first_sent_as_of
    if now is None or first is None:
        now, first = ctx.now(), attempt.first_sent_at
    return now < first + ctx.provider.keys_kept - KEYS_MARGIN


def stood_still(ctx: Context, attempt: Attempt) -> bool:
    """Whether the attempt was written down as sent so long ago that its sender must have stood
    still since: others may have ended it, so nothing is sent.
    """
    waited = ctx.now() - attempt.last_sent_at
    return abs(waited) > timedelta(seconds=ctx.policy.provider_timeout_seconds)


def is_under_way(ctx: Context, attempt: Attempt) -> bool:
    """Whether a call may be out whose answer nobody has settled yet, in whatever process: it was
    begun, and not so long ago that its sender must have stood still or died.
    """
    return attempt.state is AttemptState.STARTED and not stood_still(ctx, attempt)


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
