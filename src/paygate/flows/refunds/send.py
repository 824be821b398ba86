"""Ask the provider for a refund: from its record alone, so that a re-send is equal."""

from datetime import timedelta
from typing import Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import start
from paygate.domain.refunds.outcome import RefundAnswer, RefundRejected
from paygate.domain.refunds.refund import Refund, RefundState, resent
from paygate.flows.context import Context
from paygate.flows.payments.attempt.begin import KEYS_MARGIN
from paygate.flows.refunds.commit import commit_refund
from paygate.flows.refunds.refundable import DISPUTED
from paygate.providers.contract import RefundOrder
from paygate.telemetry import timing

TOO_LATE: Final = RefundAnswer(
    Unknown("it was too late to send this refund: it is looked up instead")
)


async def send_refund(ctx: Context, intent: PaymentIntent, refund: Refund) -> RefundAnswer:
    """What the provider says of the refund, which was written down as sent.

    One that was written down so long ago that its sender must have stood still is not sent: others
    may have ended it. Nor is one that was certainly never sent, once the payment is disputed.
    """
    assert intent.provider_reference is not None, "what was paid is known to the provider"
    if stood_still(ctx, refund) or not may_be_sent(ctx, refund):
        return TOO_LATE
    if refund.state is RefundState.STARTED and intent.disputes_blocking:
        return RefundAnswer(RefundRejected(ErrorCode.PAYMENT_DISPUTED, DISPUTED))
    order = RefundOrder(
        refund=refund.id,
        merchant=refund.merchant,
        payment_reference=intent.provider_reference,
        amount=refund.amount,
        currency=refund.currency,
        reason=refund.reason,
    )
    with timing.spent(timing.Part.PROVIDER):
        return await ctx.provider.refund(order, timeout_seconds=ctx.policy.provider_timeout_seconds)


async def commit_refund_resend(
    ctx: Context, caller: Caller, action: Action, intent: PaymentIntent, refund: Refund
) -> tuple[PaymentIntent, Refund] | None:
    """Both records, with the sending written down before the refund is sent once more: a look-up
    must know from when on it may be there. None when either has moved on.
    """
    again = resent(refund, ctx.now(), ctx.provider_time())
    moved = start(intent, refund, again)
    if await commit_refund(ctx, caller, action, moved):
        return moved.intent, moved.refund
    return None


def may_be_sent(ctx: Context, refund: Refund) -> bool:
    """Whether the provider still knows the refund's key for certain: by its own clock, where that
    is known now and was known then.
    """
    now, first = ctx.provider_time(), refund.first_sent_as_of
    if now is None or first is None:
        now, first = ctx.now(), refund.first_sent_at
    return first is None or now < first + ctx.provider.keys_kept - KEYS_MARGIN


def stood_still(ctx: Context, refund: Refund) -> bool:
    """Whether the refund was written down as sent longer ago than a call may take."""
    assert refund.last_sent_at is not None, "what is sent was written down before"
    waited = ctx.now() - refund.last_sent_at
    return abs(waited) > timedelta(seconds=ctx.policy.provider_timeout_seconds)
