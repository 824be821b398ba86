"""What can still be given back of a payment: asked before a refund is made, and again before one
that has waited for a second person is sent.
"""

from typing import Final

import msgspec

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.refunds.refund import RESERVED, Refund
from paygate.flows.amounts import check_amount
from paygate.flows.context import Context

DISPUTED: Final = (
    "the payer's bank disputes the payment, and takes the money by itself if it decides so: a"
    " refund meanwhile could give the same money back twice"
)


def amount_to_refund(ctx: Context, intent: PaymentIntent, wanted: int | None) -> int:
    """How much is given back when `wanted` is asked for; None asks for all that is left.

    Raises:
        Refusal: `payment_disputed`, `nothing_to_refund`, or an amount out of range or not
            representable.
    """
    _check_paid(intent)
    most = intent.amount_refundable
    amount = most if wanted is None else wanted
    of = "what can still be refunded"
    return check_amount(ctx, amount, intent.currency, most=most, of=of, verb="give back")


def check_still_refundable(intent: PaymentIntent, refund: Refund) -> None:
    """Do nothing while the amount that `refund` has reserved can be given back.

    Raises:
        Refusal: `payment_disputed` or `nothing_to_refund`; what happened while the refund waited.
    """
    assert refund.state in RESERVED, "what has come to its end is not asked about"
    others = intent.amount_refund_pending - refund.amount
    without = msgspec.structs.replace(intent, amount_refund_pending=others)
    _check_paid(without)
    if refund.amount > without.amount_refundable:
        raise Refusal(
            ErrorCode.NOTHING_TO_REFUND,
            f"of the payment {without.amount_refundable} {intent.currency} (smallest units) can"
            f" still be refunded, and this refund is of {refund.amount}",
            subject=intent,
        )


def notice_of(intent: PaymentIntent, amount: int) -> str | None:
    """What whoever refunds so much must know of the payer's bank; None when it asks nothing."""
    if not intent.inquiries_open:
        return None
    if amount == intent.amount_refundable:
        return "The payer's bank has asked about this payment; a full refund closes the inquiry."
    return (
        "The payer's bank has asked about this payment, and a refund of a part does not close the"
        " inquiry: a full refund does."
    )


def _check_paid(intent: PaymentIntent) -> None:
    if intent.disputes_blocking:
        raise Refusal(ErrorCode.PAYMENT_DISPUTED, DISPUTED, subject=intent)
    if intent.status is not Status.SUCCEEDED or intent.amount_refundable == 0:
        back = intent.amount_refunded + intent.amount_refund_pending
        lost = intent.amount_disputed
        disputed = f" and {lost} was withdrawn for disputes," if lost else ""
        raise Refusal(
            ErrorCode.NOTHING_TO_REFUND,
            f"a payment intent that is {intent.status}, of which {intent.amount_received} was taken"
            f" and {back} is back or on its way,{disputed} has nothing to refund",
            subject=intent,
        )
