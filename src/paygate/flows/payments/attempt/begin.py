"""Begin an attempt, or go on with one: what flows do before they ask the provider."""

from datetime import timedelta
from typing import Any, Final

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation, move, resent
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.outcome import Answer, NotSent, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Trigger, advance
from paygate.flows.context import Context
from paygate.flows.payments.attempt.consequences import commit_move
from paygate.flows.payments.attempt.work import Work
from paygate.storage.change import Impossible
from paygate.storage.tables import REFERENCE_TAKEN

KEYS_MARGIN: Final = timedelta(hours=1)
"""No attempt is sent again in the last hour that the provider promises to know its key."""
IN_DOUBT: Final = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN})
"""States of an attempt whose request died before it had an answer."""
ATTEMPT_TAKEN: Final = "attempt_pkey"
"""The constraint met by an attempt whose id exists already, under an intent of the same seed."""
TOO_LATE: Final = Unknown("it was too late to send this: it is looked up instead")


def new_attempt(ctx: Context, intent: PaymentIntent, operation: Operation, **more: Any) -> Attempt:
    """The intent's next attempt, as a value; nothing is written."""
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


async def begin(ctx: Context, work: Work, trigger: Trigger, **changes: Any) -> Work | None:
    """Commit the attempt and the advanced intent together, and return both. After this the sweep
    resolves the attempt even if we crash. None when the intent has moved on.
    """
    attempt = work.attempt
    after = advance(
        work.intent,
        trigger,
        attempt.created_at,
        attempt=attempt.id,
        attempts=attempt.number,
        pending_operation=attempt.operation.value,
        **changes,
    )
    try:
        moved = Moved(work.intent, after, attempt)
        committed = await commit_move(ctx, work.caller, work.action, moved)
    except Impossible as error:
        if error.constraint != ATTEMPT_TAKEN:
            raise
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "this payment was begun under another payment intent that the same create made",
            subject=work.intent,
        ) from None
    return work._replace(intent=after) if committed else None


async def commit_doubt(ctx: Context, work: Work) -> Work | None:
    """Commit that the attempt is in doubt - its sender may have died before the answer - and return
    the work. None when the intent has moved on.
    """
    if work.attempt.state is AttemptState.UNKNOWN:
        return work
    detail = "the request was cut off"
    attempt = move(work.attempt, AttemptState.UNKNOWN, ctx.now(), detail=detail)
    return await commit_progress(ctx, work, attempt)


async def commit_resend(ctx: Context, work: Work) -> Work | None:
    """Commit the time of a re-send before the attempt is sent once more, and return the work: a
    look-up must know from when on the payment may exist, a sender that stood still what is stale.

    None when the intent has moved on.
    """
    attempt = work.attempt
    if not may_be_sent(ctx, attempt) and attempt.state in IN_DOUBT:
        return await commit_doubt(ctx, work)
    again = resent(attempt, ctx.now(), ctx.provider_time())
    pending = {"pending_operation": attempt.operation.value}
    return await commit_progress(ctx, work, again, **pending)


async def commit_progress(
    ctx: Context, work: Work, attempt: Attempt, **changes: Any
) -> Work | None:
    """Commit the advanced `attempt`, with the intent as the guard of both, and return the work.

    None when the intent has moved on.
    """
    after = advance(work.intent, Trigger.PROCEED, ctx.now(), **changes)
    try:
        moved = Moved(work.intent, after, attempt)
        committed = await commit_move(ctx, work.caller, work.action, moved)
    except Impossible as error:
        if error.constraint != REFERENCE_TAKEN:
            raise
        return None  # the payment is another intent's: applying the answer says so
    return work._replace(intent=after, attempt=attempt) if committed else None


async def attempt_of_this_request(ctx: Context, intent: PaymentIntent) -> Attempt | None:
    """The attempt that an earlier try of this same request left behind; None without a key."""
    if ctx.claim is None or intent.attempt is None:
        return None
    last = await ctx.read.attempt(intent.merchant, intent.attempt)
    return last if last is not None and ctx.claim in (last.claim, last.cancel_claim) else None


def may_be_sent(ctx: Context, attempt: Attempt) -> bool:
    """Whether the provider still knows the attempt's key for certain: by the provider's clock where
    that is known, now and at the first sending.
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
    """Whether a call may be out whose answer nobody has applied yet, in whatever process: it was
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
