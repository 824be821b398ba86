"""What we tell the merchant: one event for each change of state, with the object as it then was."""

from datetime import datetime

from paygate.domain.payments.outcome import TransferInstructions
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.record import Recorded


class Event(Recorded, frozen=True, kw_only=True):
    """Append-only. `data` is the object at `object_version`; the wire shape is made at the edge."""

    id: str
    merchant: str
    type: str
    object_version: int
    data: PaymentIntent
    created_at: datetime
    request_id: str | None = None
    correction: bool = False


def news(before: PaymentIntent, after: PaymentIntent) -> str | None:
    """The type of the event that a change of an intent is worth, if it is worth one."""
    if after.status is not before.status:
        return f"payment_intent.{after.status}"
    if received(after) > received(before):
        return "payment_intent.partially_funded"
    return None


def received(intent: PaymentIntent) -> int:
    """How much of a transfer has come, while it is waited for."""
    action = intent.next_action
    return action.amount_received if isinstance(action, TransferInstructions) else 0


def of_intent(
    intent: PaymentIntent,
    *,
    event_id: str,
    at: datetime,
    request_id: str | None,
    type_: str | None = None,
    correction: bool = False,
) -> Event:
    """The event that says what an intent has become; `type_` where that is not a new status."""
    return Event(
        id=event_id,
        merchant=intent.merchant,
        type=type_ or f"payment_intent.{intent.status}",
        object_version=intent.version,
        data=intent,
        created_at=at,
        request_id=request_id,
        correction=correction,
    )
