"""An event on the wire: in a list, by itself, and as the body of a webhook."""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from paygate.api.alert_object import AlertObject, alert_object
from paygate.api.dispute_object import DisputeObject, dispute_object
from paygate.api.objects import PaymentIntentObject, encode, payment_intent_object, time_text
from paygate.api.refund_object import RefundObject, refund_object
from paygate.api.settlement_object import (
    DiscrepancyObject,
    SettlementObject,
    discrepancy_object,
    settlement_object,
)
from paygate.domain.alert import Alert
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.event import Event, Reported
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.settlement import Settlement

_OBJECTS: Final = (
    *(PaymentIntentObject, RefundObject, DisputeObject),
    *(SettlementObject, DiscrepancyObject, AlertObject),
)
_KINDS: Final = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in _OBJECTS]
"""One of these; msgspec has no union of types that a field of their own tells apart."""


class EventData(msgspec.Struct, frozen=True):
    """The object as it was at `object_version`."""

    object: Annotated[Any, Meta(extra_json_schema={"oneOf": _KINDS})]


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
    record = event.record
    return EventObject(
        id=event.id,
        livemode=record.livemode,
        type=event.type,
        object_version=event.object_version,
        correction=event.correction,
        request_id=event.request_id,
        data=EventData(_shown(record)),
        created_at=time_text(event.created_at),
    )


def _shown(
    record: Reported,
) -> (
    PaymentIntentObject
    | RefundObject
    | DisputeObject
    | SettlementObject
    | DiscrepancyObject
    | AlertObject
):
    match record:
        case PaymentIntent():
            return payment_intent_object(record)
        case Refund():
            return refund_object(record)
        case Alert():
            return alert_object(record)
        case Dispute():
            return dispute_object(record)
        case Settlement():
            return settlement_object(record)
        case Discrepancy():
            return discrepancy_object(record)


def event_body(event: Event) -> bytes:
    """The body of a webhook: made once, and kept."""
    return encode(event_object(event))
