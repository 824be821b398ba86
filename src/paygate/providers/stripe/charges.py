"""What Stripe's objects beside the payment say of it: charges, refunds, disputes and more; pure.

A charge shows how its payment stands, and not all of it: what it changes is fetched. Nothing here
raises, and what is not understood is `Unknown`, as in `translate`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from paygate.domain.payments.outcome import (
    Answer,
    Approved,
    Cancelled,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    Unknown,
)
from paygate.providers.stripe.fields import code, mapping, named, text, whole
from paygate.providers.stripe.money import NotRepresentable, from_provider

_MAX_UNITS: Final = 10**15
"""Beyond any amount that Stripe has."""
_NOT_TOLD: Final = Unknown("the object does not tell how its payment stands")


def of_charge(body: Mapping[str, Any], *, as_of: datetime | None) -> Answer:
    """How a payment stands by its charge. Without a payment's id it is a charge of its own."""
    amount, taken = _units(body, "amount"), _units(body, "amount_captured")
    outcome = _NOT_TOLD if amount is None or taken is None else _outcome(body, amount, taken)
    return _answer(body, outcome, as_of=as_of, amount=amount)


def of_another(body: Mapping[str, Any], *, as_of: datetime | None) -> Answer:
    """Whose payment an object is about: a refund, a dispute, a warning, a part of a balance."""
    return _answer(body, _NOT_TOLD, as_of=as_of)


def _outcome(body: Mapping[str, Any], amount: int, taken: int) -> Outcome:
    match body.get("status"):
        case "succeeded" if body.get("captured") is True:
            return Approved(captured=True, amount_received=taken, amount_capturable=0)
        case "succeeded" if body.get("refunded") is True:
            return Cancelled()  # of what is only held, the refund is its release
        case "succeeded":
            return Approved(captured=False, amount_received=0, amount_capturable=amount)
        case "pending":
            return Pending()
        case "failed":
            declined = code(body.get("failure_code")) or "card_declined"
            return Declined(PaymentError(declined, "the charge failed"))
        case _:
            return _NOT_TOLD


def _answer(
    body: Mapping[str, Any], outcome: Outcome, *, as_of: datetime | None, amount: int | None = None
) -> Answer:
    metadata = mapping(body, "metadata")
    currency = text(body, "currency")
    return Answer(
        outcome,
        provider_reference=named(body.get("payment_intent")),
        as_of=as_of,
        amount=amount,
        currency=currency,
        attempt=text(metadata, "paygate_attempt"),
        installation=text(metadata, "paygate_installation"),
        merchant=text(metadata, "paygate_merchant"),
        intent=text(metadata, "paygate_intent"),
    )


def _units(body: Mapping[str, Any], key: str) -> int | None:
    """An amount in our smallest units."""
    units, currency = whole(body.get(key), 0, _MAX_UNITS), text(body, "currency")
    if units is None or currency is None:
        return None
    try:
        return from_provider(units, currency)
    except NotRepresentable:
        return None
