"""Claim a merchant's reference for one payment: a create that wants to be the only one of an order,
and a correction, which is paid whoever else is.

Whether a reference is in use is told by the intents that have it. The claim is read before them and
goes one version on in the commit, so that whoever has claimed it meanwhile refuses that commit.
"""

from typing import NamedTuple

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.payments.reference_claim import ReferenceClaim, claimed
from paygate.flows.context import Context
from paygate.flows.payments.attempt.consequences import NOTHING, Consequences
from paygate.storage.unreadable import UNREAD


class Found(NamedTuple):
    """How a reference stood when an intent asked for it."""

    claim: Consequences
    """What the intent's commit holds, to have the reference."""
    rival: PaymentIntent | None
    """Another intent of the reference that is paid or can still be paid."""


async def claim_reference(ctx: Context, intent: PaymentIntent) -> Consequences:
    """What is committed with a new intent, so that it is the one payment of its reference.

    Raises:
        Refusal: another intent of the reference is paid, or can still be paid.
    """
    if intent.reference is None:
        raise Refusal(
            ErrorCode.PARAMETER_MISSING,
            "unique_reference needs a reference that is to be unique",
            param="reference",
        )
    claim, rival = await _look(ctx, intent, intent.reference)
    if rival is not None:
        raise Refusal(
            ErrorCode.REFERENCE_IN_USE,
            f"there is a payment intent of this reference, and it is {rival.status}",
            param="reference",
            subject=rival,
        )
    return claim


async def reclaim_reference(ctx: Context, intent: PaymentIntent) -> Found:
    """How the reference stands of an intent that a correction makes paid. It is claimed unless
    another has it; the correction is committed without the claim then, and where the records do not
    open that would tell.
    """
    if intent.reference is None:
        return Found(NOTHING, None)
    try:
        found = await _look(ctx, intent, intent.reference)
    except UNREAD:
        return Found(NOTHING, None)
    return found if found.rival is None else Found(NOTHING, found.rival)


async def _look(ctx: Context, intent: PaymentIntent, reference: str) -> Found:
    claim_id = ctx.index.name_of(intent.merchant, "reference_claim", reference).hex()
    before = await ctx.read.reference_claim(intent.merchant, claim_id)
    rival = await ctx.read.payment_intent_by_reference(
        intent.merchant, reference, besides=intent.id
    )
    return Found(_claim(before, intent, claim_id), rival)


def _claim(before: ReferenceClaim | None, intent: PaymentIntent, claim_id: str) -> Consequences:
    after = claimed(before, intent, claim_id)
    if before is None:
        return Consequences(creates=(after,))
    return Consequences(advances=(after,))
