"""What we tell the merchant: one event for each change that is worth one, with the object as it
then was. What a change of a payment intent is worth, `payments/events.py` says.
"""

from datetime import datetime
from typing import Final

import msgspec

from paygate.domain.alert import Alert
from paygate.domain.disputes.dispute import Dispute, without_evidence
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.record import Recorded
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.settlement import Settlement

Reported = PaymentIntent | Refund | Dispute | Settlement | Discrepancy | Alert
"""The records that events are about."""
_KINDS: Final[dict[str, type[Reported]]] = {
    "payment_intent": PaymentIntent,
    "refund": Refund,
    "dispute": Dispute,
    "settlement": Settlement,
    "discrepancy": Discrepancy,
    "alert": Alert,
}
"""By their names on the wire."""
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_encode: Final = msgspec.msgpack.Encoder().encode


class _Named(msgspec.Struct):
    id: str


class Event(Recorded, frozen=True, kw_only=True):
    """Append-only. `data` is the record at `object_version`, encoded as it is stored; the wire
    shape is made at the edge.
    """

    id: str
    merchant: str
    type: str
    object_version: int
    data: msgspec.Raw
    created_at: datetime
    request_id: str | None = None
    correction: bool = False
    object: str = "payment_intent"
    """What `data` is."""

    @property
    def object_id(self) -> str:
        """The id of the record that it is about."""
        return msgspec.msgpack.decode(self.data, type=_Named).id

    @property
    def record(self) -> Reported:
        """The record that it is about, as it then was.

        Raises:
            msgspec.ValidationError: a newer version wrote it.
        """
        kind = _KINDS.get(self.object)
        if kind is None:
            raise msgspec.ValidationError("an event of an object that this version does not know")
        return msgspec.msgpack.decode(self.data, type=kind)


def of(
    record: Reported,
    type_: str,
    *,
    event_id: str,
    at: datetime,
    request_id: str | None,
    correction: bool = False,
) -> Event:
    """The event that says what has become of a record."""
    return Event(
        id=event_id,
        merchant=record.merchant,
        type=type_,
        object_version=record.version,
        data=msgspec.Raw(_encode(record)),
        created_at=at,
        request_id=request_id,
        correction=correction,
        object=_NAMES[type(record)],
    )


def without_person(event: Event) -> Event:
    """The event, with nothing in its record that tells of a person: a dispute's evidence, where a
    payer agreed to be debited, and where they were to go or to pay.
    """
    record = event.record
    match record:
        case PaymentIntent():
            after: Reported = msgspec.structs.replace(record, attached=None, next_action=None)
        case Dispute():
            after = without_evidence(record)
        case _:
            return event
    if after == record:
        return event
    return msgspec.structs.replace(event, data=msgspec.Raw(_encode(after)))
