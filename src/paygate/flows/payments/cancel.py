"""Cancel a payment intent: here when nothing was sent, else at the provider, and finally only when
the provider says so. The cancel releases a hold, and ends a challenge.
"""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation, to_be_closed
from paygate.domain.payments.confirmation import Moved
from paygate.domain.payments.outcome import Answer
from paygate.domain.payments.payment_intent import FINAL, PaymentIntent, Status, Trigger, advance
from paygate.flows.context import Context, Patience
from paygate.flows.payments.attempt.begin import (
    IN_DOUBT,
    TOO_LATE,
    attempt_of_this_request,
    begin,
    commit_progress,
    commit_resend,
    new_attempt,
    refuse_if_not_sent,
    stood_still,
)
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.consequences import commit_move
from paygate.flows.payments.attempt.work import Work
from paygate.flows.payments.capture import check_nothing_pending
from paygate.flows.payments.read import find_again, find_payment_intent
from paygate.providers.absence import ProviderSilent
from paygate.providers.contract import CancelOrder
from paygate.telemetry import timing


async def cancel_payment_intent(
    ctx: Context, caller: Caller, intent_id: str, *, reason: str | None = None
) -> PaymentIntent:
    """The intent after the provider's answer; with a `pending_operation` while there is none yet.

    Raises:
        Refusal: not found, `state_conflict` at its end or when a payment method was attached at
            the same time, `operation_pending` while its confirm is under way or unknown, or
            `provider_unavailable` when certainly nothing was sent.
    """
    patience = Patience("an intent kept changing while it was cancelled")
    intent = first = await find_payment_intent(ctx, caller.merchant, intent_id)
    while True:
        before = await attempt_of_this_request(ctx, intent)
        work: Work | None = None
        if before is not None and before.cancelling:
            work = Work(caller, Action.INTENT_CANCEL, intent, before)
        elif before is not None and _resumes(intent, before):
            work = await commit_resend(ctx, Work(caller, Action.INTENT_CANCEL, intent, before))
        elif before is not None and before.state is not AttemptState.NOT_SENT:
            return intent
        elif await _nothing_was_sent(ctx, intent):
            await check_not_forgotten(ctx, intent)
            after = await cancelled(ctx, caller, Action.INTENT_CANCEL, intent, reason)
            if after is not None:
                return after
        else:
            work = await _prepare(ctx, caller, intent, reason)
        if work is not None:
            return await _ask(ctx, work)
        await patience.pause()
        intent = await find_again(ctx, first)


def _resumes(intent: PaymentIntent, attempt: Attempt) -> bool:
    """Whether this request resumes the attempt that its own earlier try left behind."""
    held = intent.status is Status.REQUIRES_CAPTURE and intent.pending_operation is None
    return attempt.state in IN_DOUBT or (attempt.state is AttemptState.NOT_SENT and held)


async def check_not_forgotten(ctx: Context, intent: PaymentIntent) -> None:
    """Raises a refusal when the intent's payment was made before the database was restored, or when
    the provider does not tell.
    """
    first = ctx.attempt_id(intent, Operation.CONFIRM, 1)
    timeout = ctx.policy.provider_timeout_seconds
    try:
        found = await ctx.after_restore.payment_of(intent, first, timeout_seconds=timeout)
    except ProviderSilent:
        raise Refusal(
            ErrorCode.PROVIDER_UNAVAILABLE,
            "the database was restored, and the provider does not tell what it has forgotten",
            subject=intent,
        ) from None
    if found is not None:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "this payment was made before the database was restored: confirm it once more, which"
            " charges nobody, and cancel or refund it then",
            subject=intent,
        )


async def _nothing_was_sent(ctx: Context, intent: PaymentIntent) -> bool:
    if intent.status is Status.CREATED:
        return True
    if intent.status is not Status.PROCESSING or intent.attempt is None:
        return False
    last = await ctx.read.attempt(intent.merchant, intent.attempt)
    return last is not None and last.state is AttemptState.NOT_SENT and not last.answered


async def _prepare(
    ctx: Context, caller: Caller, intent: PaymentIntent, reason: str | None
) -> Work | None:
    if intent.status in FINAL:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            f"a payment intent that is {intent.status} cannot be cancelled",
            subject=intent,
        )
    check_nothing_pending(intent)
    if intent.status is Status.REQUIRES_CAPTURE:
        attempt = new_attempt(ctx, intent, Operation.CANCEL, reason=reason)
        work = Work(caller, Action.INTENT_CANCEL, intent, attempt)
        return await begin(ctx, work, Trigger.PROCEED)
    assert intent.attempt is not None, "it was confirmed"
    open_ = await ctx.read.attempt(intent.merchant, intent.attempt)
    assert open_ is not None, "payments are never deleted"
    if open_.state in IN_DOUBT or open_.cancelling or intent.provider_reference is None:
        raise Refusal(
            ErrorCode.OPERATION_PENDING,
            f"a {intent.pending_operation or 'confirm'} of this payment intent is under way",
            subject=intent,
            retry_after_seconds=1,
        )
    work = Work(caller, Action.INTENT_CANCEL, intent, open_)
    closing = to_be_closed(open_, ctx.now(), reason=reason, claim=ctx.claim)
    return await commit_progress(ctx, work, closing, pending_operation=Operation.CANCEL.value)


async def _ask(ctx: Context, work: Work) -> PaymentIntent:
    with ctx.answers.awaited(work.attempt):
        answer = await send_cancel(ctx, work)
        intent = await conclude_attempt(ctx, work, answer)
    # A wish that is written down stands, and the sweep sends it again: it is pending, not refused.
    waits = intent.status not in FINAL and not work.attempt.cancelling
    refuse_if_not_sent(intent, answer, waits=waits)
    return intent


async def send_cancel(ctx: Context, work: Work) -> Answer:
    """Ask the provider to close the payment, and return its answer. The call may be repeated."""
    intent, attempt = work.intent, work.attempt
    assert intent.provider_reference is not None, "what is under way is known to the provider"
    # A wish to close a confirm stands until the provider has said yes; a cancel of a hold may have
    # been given up meanwhile.
    if not attempt.cancelling and stood_still(ctx, attempt):
        return Answer(TOO_LATE)
    # The provider remembers a no under its key; the sweep asks anew, for a payment may have moved.
    key = f"{attempt.id}-cancel-{attempt.version}" if attempt.cancelling else f"{attempt.id}-cancel"
    order = CancelOrder(key=key, provider_reference=intent.provider_reference)
    with timing.spent(timing.Part.PROVIDER):
        return await ctx.provider.cancel(order, timeout_seconds=ctx.policy.provider_timeout_seconds)


async def cancelled(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, reason: str | None
) -> PaymentIntent | None:
    """The intent once it is cancelled, or None when it moved on meanwhile."""
    after = advance(
        intent, Trigger.CANCEL, ctx.now(), cancellation_reason=reason, pending_operation=None
    )
    done = await commit_move(ctx, caller, action, Moved(intent, after), response=after)
    return after if done else None
