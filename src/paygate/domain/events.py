"""What we tell the merchant: one event for each change of state, with the object as it then was."""

from datetime import datetime

import msgspec

from paygate.domain.payment_intent import PaymentIntent


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Append-only. `data` is the object at `object_version`; the wire shape is made at the edge."""

    id: str
    merchant: str
    type: str
    object_version: int
    data: PaymentIntent
    created_at: datetime
    request_id: str | None = None
    correction: bool = False


def of_intent(
    intent: PaymentIntent,
    *,
    event_id: str,
    at: datetime,
    request_id: str | None,
    correction: bool = False,
) -> Event:
    """The event that says what an intent has become."""
    return Event(
        id=event_id,
        merchant=intent.merchant,
        type=f"payment_intent.{intent.status}",
        object_version=intent.version,
        data=intent,
        created_at=at,
        request_id=request_id,
        correction=correction,
    )
