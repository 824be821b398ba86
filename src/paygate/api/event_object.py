"""An event on the wire: in a list, by itself, and as the body of a webhook."""

from typing import Literal

import msgspec

from paygate.api.objects import PaymentIntentObject, encode, payment_intent_object, time_text
from paygate.domain.payments.events import Event


class EventData(msgspec.Struct, frozen=True):
    """The object as it was at `object_version`."""

    object: PaymentIntentObject


class EventObject(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an object."""

    object: Literal["event"] = "event"
    id: str
    livemode: bool
    type: str
    object_version: int
    correction: bool
    request_id: str | None
    data: EventData
    created_at: str


def event_object(event: Event) -> EventObject:
    """The event as clients see it."""
    return EventObject(
        id=event.id,
        livemode=event.data.livemode,
        type=event.type,
        object_version=event.object_version,
        correction=event.correction,
        request_id=event.request_id,
        data=EventData(payment_intent_object(event.data)),
        created_at=time_text(event.created_at),
    )


def event_body(event: Event) -> bytes:
    """The body of a webhook: made once, and kept."""
    return encode(event_object(event))
