"""A Refund as Stripe renders it, and Stripe's no to one, read into a `RefundAnswer`; pure.

As in `translate`, what is not needed is not looked at, what is not understood is `Unknown`, and no
function raises. (https://docs.stripe.com/api/refunds/object, https://docs.stripe.com/refunds)
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.domain.payments.outcome import Unknown
from paygate.domain.refunds.conclusion import CONFIGURATION
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundOutcome,
    RefundPending,
    RefundRejected,
)
from paygate.providers.contract import RefundOrder
from paygate.providers.stripe.fields import (
    code,
    identifier,
    mapping,
    moment,
    named,
    text,
    whole,
)
from paygate.providers.stripe.money import NotRepresentable, from_provider

_MAX_UNITS: Final = 10**15
"""Beyond any amount that Stripe has; keeps a hostile number out of our arithmetic."""
_UNAUTHENTICATED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_INVALID: Final = "invalid_request_error"

_WAITS_FOR: Final[Mapping[str, str]] = MappingProxyType(
    {
        "charge_pending": "The refund waits until the payment itself has come through.",
        "insufficient_funds": "The provider's balance is too short: it refunds when it can.",
        "processing": "The provider works on it.",
    }
)
_FAILURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "lost_or_stolen_card": "The payer's card is gone: pay them another way.",
        "expired_or_canceled_card": "The payer's card has ended: pay them another way.",
        "charge_for_pending_refund_disputed": "The payer has disputed the payment meanwhile.",
        "insufficient_funds": "The provider's balance is too short for this refund.",
        "declined": "The payer's bank refuses the money: pay them another way.",
        "merchant_request": "The refund was cancelled at the provider.",
    }
)
"""By Stripe's `failure_reason`."""
_REJECTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "charge_already_refunded": "The provider has given back all of this payment already.",
        "charge_disputed": "The payment is disputed: the bank decides who has the money.",
        "insufficient_funds": "The provider's balance is too short for this refund.",
        "balance_insufficient": "The provider's balance is too short for this refund.",
        "charge_not_refundable": "The provider cannot refund this payment.",
    }
)
"""By Stripe's error code."""


def refund(body: object, *, as_of: datetime | None) -> RefundAnswer:
    """What a Refund says."""
    if not isinstance(body, Mapping) or body.get("object") != "refund":
        return RefundAnswer(Unknown("the answer is not a refund"), as_of=as_of)
    reference = identifier(body.get("id"))
    if reference is None:
        return RefundAnswer(Unknown("the refund has no usable id"), as_of=as_of)
    metadata = mapping(body, "metadata")
    amount, currency = _money(body)
    return RefundAnswer(
        _outcome(body) if amount else Unknown("the refund's amount makes no sense"),
        provider_reference=reference,
        payment_reference=named(body.get("payment_intent")),
        as_of=as_of,
        created_at=moment(body.get("created")),
        amount=amount,
        currency=currency,
        refund=text(metadata, "paygate_refund"),
        installation=text(metadata, "paygate_installation"),
        merchant=text(metadata, "paygate_merchant"),
        reason=code(body.get("reason")),
        tracking_reference=_tracking(body),
    )


def to_refund(order: RefundOrder, installation: str, answer: RefundAnswer) -> RefundAnswer:
    """The answer, if it is of this order's refund; else `Unknown`."""
    if answer.provider_reference is None:
        return answer
    asked = (order.refund, installation, order.payment_reference, order.amount, order.currency)
    theirs = (
        *(answer.refund, answer.installation, answer.payment_reference),
        *(answer.amount, answer.currency),
    )
    if theirs != asked:
        other = Unknown("the provider answered with another refund")
        return RefundAnswer(other, as_of=answer.as_of)
    return answer


def of_reference(reference: str, answer: RefundAnswer) -> RefundAnswer:
    """The answer, if it is of the refund that was asked about; else `Unknown`."""
    if answer.provider_reference in {None, reference}:
        return answer
    return RefundAnswer(Unknown("the provider answered with another refund"), as_of=answer.as_of)


def rejection(status: int, body: object) -> RefundRejected | Unknown:
    """Stripe's clear no to a refund (HTTP 400 to 404)."""
    error = mapping(body, "error")
    kind, reason = code(error.get("type")), code(error.get("code"))
    if kind == "idempotency_error":
        return Unknown(
            "the provider knows this key with other parameters: it was done before, and is to be"
            " looked up"
        )
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and kind == _INVALID:
        return RefundRejected(CONFIGURATION, "the provider refuses our API key or what it may do")
    if kind != _INVALID:
        return Unknown("the provider refused in a way that is not understood")
    if status == _NOT_FOUND or reason == "resource_missing":
        # Another account's key knows no such payment, and says nothing of this one.
        return Unknown("the provider says that it has no such payment")
    if reason in _REJECTIONS:
        return RefundRejected(str(reason), _REJECTIONS[str(reason)])
    if error.get("param") == "amount":
        return RefundRejected("amount_too_large", "The provider has less left of this payment.")
    return RefundRejected("order_refused", "The provider refuses to refund this payment.")


def _outcome(body: Mapping[str, Any]) -> RefundOutcome:
    reason = code(body.get("failure_reason"))
    match body.get("status"):
        case "succeeded":
            return Refunded()
        case "pending":
            return RefundPending(_WAITS_FOR.get(code(body.get("pending_reason")) or ""))
        case "requires_action":
            return RefundPending("The provider waits for the payer's bank details.")
        case "failed":
            words = _FAILURES.get(reason or "", "The provider could not give the money back.")
            return RefundFailed(reason or "unknown", words)
        case "canceled":
            return RefundFailed("cancelled", "The refund was cancelled at the provider.")
        case status:
            return Unknown(f"the refund's status is {code(status) or 'missing'}")


def _money(body: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Amount in our smallest units, and currency; of a refund without a sensible one, nothing."""
    units, currency = whole(body.get("amount"), 1, _MAX_UNITS), body.get("currency")
    if units is None or not isinstance(currency, str):
        return None, None
    try:
        return from_provider(units, currency), currency
    except NotRepresentable:
        return None, None


def _tracking(body: Mapping[str, Any]) -> str | None:
    """What the payer's bank finds the money by: for a card the ARN."""
    details = mapping(body, "destination_details")
    kind = details.get("type")
    reference = mapping(details, kind).get("reference") if isinstance(kind, str) else None
    return identifier(reference)


def without_time(answer: RefundAnswer) -> RefundAnswer:
    """An answer that shows the refund as it was when its key was first used, with the time of now:
    it orders nothing.
    """
    return msgspec.structs.replace(answer, as_of=None)
