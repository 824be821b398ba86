"""Approve a refund, or reject it: a second person's word on what is above a limit.

Until then nothing is sent, and the amount is reserved. Neither key nor person may be those that
asked.
"""

import unicodedata
from typing import Final

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import start
from paygate.domain.refunds.expected import expected_by
from paygate.domain.refunds.refund import (
    IN_DOUBT,
    Approval,
    Refund,
    RefundFailure,
    RefundState,
    move,
)
from paygate.flows.context import Context, Patience
from paygate.flows.refunds.commit import commit_refund
from paygate.flows.refunds.conclude import conclude, reread
from paygate.flows.refunds.read import find_refund
from paygate.flows.refunds.refundable import check_still_refundable
from paygate.flows.refunds.send import commit_refund_resend, send_refund

REJECTED: Final = "rejected"
APPROVED: Final = "approved"
EXPIRED: Final = "approval_expired"


async def approve_refund(ctx: Context, caller: Caller, refund_id: str) -> Refund:
    """The refund after the provider's answer.

    Raises:
        Refusal: not found, decided already, `actor_required`, or `approver_is_requester`. Where the
            payment cannot be refunded so any more, the refund has failed with that code.
    """
    patience = Patience("a refund kept changing while it was approved")
    action = Action.REFUND_APPROVE
    while True:
        intent, refund = await _to_decide(ctx, caller, refund_id, APPROVED)
        if refund.state in IN_DOUBT:  # an earlier try of this same request has died meanwhile
            sent = await commit_refund_resend(ctx, caller, action, intent, refund)
        elif refund.state is RefundState.AWAITING_APPROVAL:
            sent = await _start(ctx, caller, intent, refund)
        else:
            return refund
        if sent is not None:
            break
        await patience.pause()
    answer = await send_refund(ctx, *sent)
    after, _ = await conclude(ctx, caller, action, *sent, answer)
    return after


async def reject_refund(ctx: Context, caller: Caller, refund_id: str) -> Refund:
    """The refund, failed: its amount can be refunded again.

    Raises:
        Refusal: as `approve_refund`.
    """
    patience = Patience("a refund kept changing while it was rejected")
    while True:
        intent, refund = await _to_decide(ctx, caller, refund_id, REJECTED)
        if refund.state is not RefundState.AWAITING_APPROVAL:
            return refund
        failure = RefundFailure(REJECTED, "The refund was rejected by a second person.")
        decided = {"approval": _decided(refund, caller, REJECTED), "decision_claim": ctx.claim}
        after = move(refund, RefundState.FAILED, ctx.now(), failure=failure, **decided)
        moved = start(intent, refund, after)
        if await commit_refund(ctx, caller, Action.REFUND_REJECT, moved, response=moved.refund):
            return moved.refund
        await patience.pause()


async def expire_approval(ctx: Context, caller: Caller, refund: Refund) -> bool:
    """Fail a refund that nobody decided on in time; False when somebody has, just now."""
    intent, newest = await reread(ctx, refund)
    if newest.state is not RefundState.AWAITING_APPROVAL:
        return False
    failure = RefundFailure(EXPIRED, "Nobody decided on the refund within seven days.")
    moved = start(intent, newest, move(newest, RefundState.FAILED, ctx.now(), failure=failure))
    return await commit_refund(ctx, caller, Action.REFUND_EXPIRE, moved)


async def _start(
    ctx: Context, caller: Caller, intent: PaymentIntent, refund: Refund
) -> tuple[PaymentIntent, Refund] | None:
    """Both records, with the approval and the sending written down; None when they have moved on.

    Raises:
        Refusal: the payment cannot be refunded so any more, and the refund has failed.
    """
    try:
        check_still_refundable(intent, refund)
    except Refusal as refusal:
        if await _release(ctx, caller, intent, refund, refusal):
            raise
        return None
    now = ctx.now()
    sent = {
        "approval": _decided(refund, caller, APPROVED),
        "decision_claim": ctx.claim,
        "expected_by": expected_by(now.date(), intent.payment_method),
        "first_sent_at": now,
        "first_sent_as_of": ctx.provider_time(),
        "last_sent_at": now,
    }
    moved = start(intent, refund, move(refund, RefundState.STARTED, now, **sent))
    if await commit_refund(ctx, caller, Action.REFUND_APPROVE, moved):
        return moved.intent, moved.refund
    return None


async def _release(
    ctx: Context, caller: Caller, intent: PaymentIntent, refund: Refund, refusal: Refusal
) -> bool:
    """Fail a refund that was approved and cannot be made any more, and free its amount; False when
    the records have moved on.
    """
    failure = RefundFailure(refusal.code, f"When it was approved, {refusal.message}.")
    approval = _decided(refund, caller, APPROVED)
    after = move(refund, RefundState.FAILED, ctx.now(), failure=failure, approval=approval)
    return await commit_refund(ctx, caller, Action.REFUND_RELEASE, start(intent, refund, after))


async def _to_decide(
    ctx: Context, caller: Caller, refund_id: str, decision: str
) -> tuple[PaymentIntent, Refund]:
    """The refund, and its intent, that the caller may decide on; or that this same request has
    decided on before.
    """
    if caller.actor.name is None:
        raise Refusal(
            ErrorCode.ACTOR_REQUIRED, "say who decides, in Paygate-Actor", param="Paygate-Actor"
        )
    intent, refund = await reread(ctx, await find_refund(ctx, caller.merchant, refund_id))
    approval = refund.approval
    if approval is None:
        raise Refusal(ErrorCode.STATE_CONFLICT, "this refund needs no approval")
    if refund.state is RefundState.AWAITING_APPROVAL and ctx.now() < approval.expires_at:
        same_person = _folded(caller.actor.name) == _folded(approval.requested_by)
        if same_person or caller.actor.id == approval.requested_key:
            raise Refusal(
                ErrorCode.APPROVER_IS_REQUESTER,
                "who asked for this refund does not decide on it: key and Paygate-Actor must both"
                " differ",
            )
        return intent, refund
    same = ctx.claim is not None and ctx.claim == refund.decision_claim
    if not same or approval.decision != decision:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            f"this refund was decided on already: {approval.decision or EXPIRED}",
        )
    return intent, refund


def _folded(name: str) -> str:
    """A person's name, however they typed it: capitals, spaces and forms of letters aside."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _decided(refund: Refund, caller: Caller, decision: str) -> Approval:
    assert refund.approval is not None, "what waits for approval says since when"
    return msgspec.structs.replace(refund.approval, decided_by=caller.actor.name, decision=decision)
