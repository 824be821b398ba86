"""Capture a held payment, wholly or in part, in three beats: prepare, call, conclude.

A capture is an order that stands: once it is durable it is sent until the provider has said what
became of it, whether or not somebody waits.
"""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import AttemptState, Operation
from paygate.domain.payments.outcome import Answer
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger
from paygate.flows.amounts import check_amount
from paygate.flows.context import Context, Patience
from paygate.flows.payments.attempt.begin import (
    IN_DOUBT,
    TOO_LATE,
    attempt_of_this_request,
    begin,
    commit_resend,
    may_be_sent,
    new_attempt,
    refuse_if_not_sent,
    stood_still,
)
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.work import Work
from paygate.flows.payments.read import find_payment_intent
from paygate.providers.contract import CaptureOrder
from paygate.telemetry import timing


async def capture_payment_intent(
    ctx: Context, caller: Caller, intent_id: str, *, amount: int | None = None
) -> PaymentIntent:
    """The intent after the provider's answer; with a `pending_operation` while there is none yet.

    Without an amount all of the hold is captured.

    Raises:
        Refusal: not found, not held, `authorization_expired`, `operation_pending`, an amount out
            of range, or `provider_unavailable` when certainly nothing was sent.
    """
    patience = Patience("an intent kept changing while it was captured")
    while True:
        intent = await find_payment_intent(ctx, caller.merchant, intent_id)
        before = await attempt_of_this_request(ctx, intent)
        unsent = before is not None and before.state is AttemptState.NOT_SENT
        if before is None or (unsent and not may_be_sent(ctx, before)):
            work = await _prepare(ctx, caller, intent, amount)
        elif unsent:
            _check_hold(ctx, intent)
            work = await commit_resend(ctx, Work(caller, Action.INTENT_CAPTURE, intent, before))
        elif before.state in IN_DOUBT:
            work = await commit_resend(ctx, Work(caller, Action.INTENT_CAPTURE, intent, before))
        else:
            return intent
        if work is not None:
            return await _ask(ctx, work)
        await patience.pause()


def _check_hold(ctx: Context, intent: PaymentIntent) -> None:
    """Raises a refusal when the intent's money cannot be captured now."""
    check_nothing_pending(intent)
    if intent.status is not Status.REQUIRES_CAPTURE:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            f"a payment intent that is {intent.status} has nothing to capture",
            subject=intent,
        )
    if intent.authorization_expires_at is not None and (
        ctx.now() >= intent.authorization_expires_at
    ):
        raise Refusal(
            ErrorCode.AUTHORIZATION_EXPIRED,
            "the hold has lapsed: the payer must pay again",
            subject=intent,
        )


async def _prepare(
    ctx: Context, caller: Caller, intent: PaymentIntent, amount: int | None
) -> Work | None:
    _check_hold(ctx, intent)
    most = intent.amount_capturable
    amount = most if amount is None else amount
    check_amount(ctx, amount, intent.currency, most=most, of="what is held", verb="take")
    attempt = new_attempt(ctx, intent, Operation.CAPTURE, amount=amount)
    return await begin(ctx, Work(caller, Action.INTENT_CAPTURE, intent, attempt), Trigger.PROCEED)


async def _ask(ctx: Context, work: Work) -> PaymentIntent:
    with ctx.answers.awaited(work.attempt):
        answer = await send_capture(ctx, work)
        intent = await conclude_attempt(ctx, work, answer)
    refuse_if_not_sent(intent, answer, waits=intent.status is Status.REQUIRES_CAPTURE)
    return intent


async def send_capture(ctx: Context, work: Work) -> Answer:
    """Send the attempt's capture and return the answer. Its rows alone say what is sent, so that a
    re-send is equal.
    """
    intent, attempt = work.intent, work.attempt
    assert attempt.amount is not None, "a capture has an amount"
    assert intent.provider_reference is not None, "what is held is known to the provider"
    if stood_still(ctx, attempt) or not may_be_sent(ctx, attempt):
        return Answer(TOO_LATE)
    order = CaptureOrder(
        attempt=attempt.id,
        provider_reference=intent.provider_reference,
        amount=attempt.amount,
        currency=intent.currency,
    )
    with timing.spent(timing.Part.PROVIDER):
        return await ctx.provider.capture(
            order, timeout_seconds=ctx.policy.provider_timeout_seconds
        )


def check_nothing_pending(intent: PaymentIntent) -> None:
    """Raises `operation_pending` while a capture or a cancel is under way or unknown."""
    if intent.status is Status.REQUIRES_CAPTURE and intent.pending_operation is not None:
        raise Refusal(
            ErrorCode.OPERATION_PENDING,
            f"a {intent.pending_operation} of this payment intent is under way",
            subject=intent,
            retry_after_seconds=1,
        )
