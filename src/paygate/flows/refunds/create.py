"""Refund a payment, wholly or in part, in three beats: prepare, call, conclude.

A refund is an order that stands: once it is durable, its amount is reserved, and it is sent until
the provider has said what became of it, whether or not somebody waits.
"""

import msgspec

from paygate.crypto.encoding import length_prefixed
from paygate.domain.access.roles import Action, Caller, Role
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import PREFIXES, id_from
from paygate.domain.payments.outcome import NotSent
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import RefundMoved, reserve
from paygate.domain.refunds.expected import expected_by
from paygate.domain.refunds.refund import (
    APPROVAL_LASTS,
    IN_DOUBT,
    Approval,
    Refund,
    RefundReason,
    RefundState,
)
from paygate.flows.context import Context, Patience
from paygate.flows.payments.read import find_payment_intent
from paygate.flows.refunds.commit import commit_refund
from paygate.flows.refunds.conclude import conclude
from paygate.flows.refunds.refundable import amount_to_refund, notice_of
from paygate.flows.refunds.send import commit_refund_resend, send_refund
from paygate.storage.change import Impossible

REFUND_TAKEN = "refund_pkey"
"""What a refund runs into that is there already: of the same request, under another claim."""


class NewRefund(msgspec.Struct, frozen=True):
    """What a merchant wants to give back. `amount` in the smallest unit; None: all that is left."""

    amount: int | None = None
    reason: RefundReason | None = None


async def refund_payment_intent(
    ctx: Context, caller: Caller, intent_id: str, new: NewRefund
) -> Refund:
    """The refund after the provider's answer; `pending` while that is not known, while the provider
    works on, and while a second person has not approved it.

    Raises:
        Refusal: not found, nothing to refund, an amount out of range or not representable,
            `refund_limit_exceeded`, `actor_required`, or `provider_unavailable` when certainly
            nothing was sent.
    """
    patience = Patience("a payment kept changing while it was refunded")
    while True:
        intent = await find_payment_intent(ctx, caller.merchant, intent_id)
        refund_id, before = await _of_this_request(ctx, intent)
        if before is None:
            prepared = await _prepare(ctx, caller, intent, new, refund_id)
        elif before.state in IN_DOUBT:
            prepared = await commit_refund_resend(ctx, caller, Action.REFUND_CREATE, intent, before)
        else:
            return before
        if prepared is not None:
            return await _ask(ctx, caller, *prepared)
        await patience.pause()


async def _of_this_request(ctx: Context, intent: PaymentIntent) -> tuple[str, Refund | None]:
    """The id of this request's refund, and the refund that an earlier try of it left behind.

    The id is the provider's key: under an idempotency key always the same, whatever this database
    has forgotten. A key that is used anew after its time to live finds the refund of another claim,
    and has the next id; a refund without a claim was found at the provider, and is this one's.
    """
    if ctx.request_key is None:
        return ctx.new_id("refund"), None
    seed, key = (intent.seed or intent.id.encode()).hex(), ctx.request_key.id
    earlier = 0
    while True:
        name = length_prefixed("refund", intent.merchant, seed, key, str(earlier))
        refund_id = id_from(PREFIXES["refund"], ctx.index.name(name))
        found = await ctx.refunds.refund(intent.merchant, refund_id)
        if found is None or found.claim in {None, ctx.claim}:
            return refund_id, found
        earlier += 1


async def _prepare(
    ctx: Context, caller: Caller, intent: PaymentIntent, new: NewRefund, refund_id: str
) -> tuple[PaymentIntent, Refund] | None:
    """Both records with the amount reserved; None when the intent has moved on."""
    amount = amount_to_refund(ctx, intent, new.amount)
    approval = _approval(ctx, caller, intent, amount)
    now = ctx.now()
    sent = approval is None
    refund = Refund(
        id=refund_id,
        merchant=intent.merchant,
        livemode=intent.livemode,
        intent=intent.id,
        amount=amount,
        currency=intent.currency,
        state=RefundState.STARTED if sent else RefundState.AWAITING_APPROVAL,
        created_at=now,
        updated_at=now,
        expected_by=expected_by(now.date(), intent.payment_method),
        reason=new.reason,
        notice=notice_of(intent, amount),
        approval=approval,
        claim=ctx.claim,
        first_sent_at=now if sent else None,
        first_sent_as_of=ctx.provider_time() if sent else None,
        last_sent_at=now if sent else None,
    )
    moved = reserve(intent, refund)
    return await _reserved(ctx, caller, moved)


async def _reserved(
    ctx: Context, caller: Caller, moved: RefundMoved
) -> tuple[PaymentIntent, Refund] | None:
    response = None if moved.refund.state in IN_DOUBT else moved.refund
    action = Action.REFUND_CREATE
    try:
        committed = await commit_refund(ctx, caller, action, moved, response=response)
    except Impossible as error:
        if error.constraint != REFUND_TAKEN:
            raise
        return None  # of this same request, which is found when it is read again
    return (moved.intent, moved.refund) if committed else None


def _approval(ctx: Context, caller: Caller, intent: PaymentIntent, amount: int) -> Approval | None:
    """The approval that a refund waits for; None when it needs none. Limits count all that was
    refunded of the payment on one person's word, so that splitting evades nothing.

    Raises:
        Refusal: the key may not refund so much, or names no person.
    """
    total, currency = intent.amount_refunded_alone + amount, intent.currency
    if caller.actor.role is Role.SUPPORT:
        limit = ctx.policy.support_refund_limit.get(currency, 0)
        if total > limit:
            raise Refusal(
                ErrorCode.REFUND_LIMIT_EXCEEDED,
                f"a support key may refund up to {limit} {currency} (smallest units) of a payment,"
                f" and this would make it {total}",
                param="amount",
            )
    above = ctx.policy.refund_approval_above
    if above is None or total <= above.get(currency, 0):
        return None
    if caller.actor.name is None:
        raise Refusal(
            ErrorCode.ACTOR_REQUIRED,
            "a second person must approve this refund: say who asks for it, in Paygate-Actor",
            param="Paygate-Actor",
        )
    expires_at = ctx.now() + APPROVAL_LASTS
    return Approval(caller.actor.name, expires_at, requested_key=caller.actor.id)


async def _ask(ctx: Context, caller: Caller, intent: PaymentIntent, refund: Refund) -> Refund:
    if refund.state is RefundState.AWAITING_APPROVAL:
        return refund
    answer = await send_refund(ctx, intent, refund)
    after, _ = await conclude(ctx, caller, Action.REFUND_CREATE, intent, refund, answer)
    if after.state is RefundState.NOT_SENT and isinstance(answer.outcome, NotSent):
        raise Refusal(
            ErrorCode.PROVIDER_UNAVAILABLE,
            "the provider could not be reached; the refund stands and is tried again, also by the"
            " same request with the same Idempotency-Key",
            subject=intent,
            retry_after_seconds=answer.outcome.retry_after_seconds,
        )
    return after
