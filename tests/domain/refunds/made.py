"""Paid intents and refunds, as values."""

from datetime import date, timedelta
from typing import Any

import msgspec

from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.refunds.refund import IN_DOUBT, Approval, Refund, RefundState
from tests.making import START, make_intent, new_id

NOW = START + timedelta(minutes=1)
LATER = NOW + timedelta(minutes=1)


def paid(amount: int = 1999, **changes: Any) -> PaymentIntent:
    """An intent whose money the provider took."""
    known: dict[str, Any] = {
        "status": Status.SUCCEEDED,
        "amount_received": amount,
        "money_seq": 1,
        "version": 3,
        "provider_reference": "pi_theirs",
    }
    return msgspec.structs.replace(make_intent(amount=amount), **(known | changes))


def a_refund(
    intent: PaymentIntent,
    amount: int = 500,
    state: RefundState = RefundState.STARTED,
    **changes: Any,
) -> Refund:
    """A refund of an intent, in its first version."""
    known: dict[str, Any] = {}
    if state in IN_DOUBT:
        known |= {"first_sent_at": NOW, "last_sent_at": NOW}
    if state is RefundState.AWAITING_APPROVAL:
        known["approval"] = Approval("ana", NOW + timedelta(days=7))
    return Refund(
        id=new_id("refund"),
        merchant=intent.merchant,
        livemode=False,
        intent=intent.id,
        amount=amount,
        currency=intent.currency,
        state=state,
        created_at=NOW,
        updated_at=NOW,
        expected_by=date(2026, 12, 7),
        **(known | changes),
    )
