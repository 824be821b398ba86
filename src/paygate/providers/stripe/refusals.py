"""Stripe's clear no to a confirm (HTTP 400, 401, 402, 403, 404), as an `Answer`; pure.

Only what proves that no money moved may end an attempt here. A refusal that this file does not
know is still a no when Stripe says that the request itself was invalid; anything else, or a
refusal that comes with a payment which is not at rest, is `Unknown`.
(https://docs.stripe.com/api/errors, https://docs.stripe.com/error-codes)
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.domain.outcome import (
    Answer,
    Declined,
    Outcome,
    PaymentError,
    Rejected,
    Unknown,
)
from paygate.providers.stripe import fields, translate
from paygate.providers.stripe.declines import payment_error

_AT_REST: Final = frozenset({"requires_payment_method", "canceled"})
_UNAUTHENTICATED, _PAYMENT_FAILED, _FORBIDDEN = 401, 402, 403

_UNUSABLE: Final = "The payment method is unknown, used up or not usable for this payment."

_TOKEN_CODES: Final = frozenset(
    {
        "payment_method_invalid_parameter",
        "payment_method_currency_mismatch",
        "payment_method_not_available",
        "payment_method_unexpected_state",
        "payment_method_unsupported_type",
        "payment_intent_incompatible_payment_method",
        "token_already_used",
        "token_in_use",
        "livemode_mismatch",
    }
)
"""The payment method's fault, whatever parameter Stripe names."""

_PAYER_REFUSALS: Final = frozenset(
    {
        "payment_intent_authentication_failure",
        "payment_intent_payment_attempt_failed",
        "payment_intent_payment_attempt_expired",
    }
)
"""Declines that may come as a 400."""

_ORDER_REFUSALS: Final[Mapping[str, PaymentError]] = MappingProxyType(
    {
        "amount_too_small": PaymentError(
            "amount_too_small", "The amount is below the provider's minimum."
        ),
        "amount_too_large": PaymentError(
            "amount_too_large", "The amount is above the provider's maximum."
        ),
        "invalid_charge_amount": PaymentError(
            "amount_invalid", "The provider does not take this amount."
        ),
        "url_invalid": PaymentError("return_url_invalid", "The provider refuses the return URL."),
    }
)
"""Stripe's code for an order that the merchant's own values make impossible. It is declined, not
rejected: neither the payer's card nor our key is at fault, and the code says what to change."""

_ORDER_PARAMETERS: Final[Mapping[str, PaymentError]] = MappingProxyType(
    {
        "amount": _ORDER_REFUSALS["invalid_charge_amount"],
        "currency": PaymentError(
            "currency_not_supported", "The provider account does not take this currency."
        ),
        "return_url": _ORDER_REFUSALS["url_invalid"],
        "statement_descriptor_suffix": PaymentError(
            "statement_descriptor_invalid", "The provider refuses the statement descriptor."
        ),
        "description": PaymentError("description_invalid", "The provider refuses the description."),
    }
)
"""The same by the parameter named, where Stripe gives no code of its own."""


def refusal(status: int, body: object, *, livemode: bool, as_of: datetime | None) -> Answer:
    """The answer that a 4xx to a confirm means."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return Answer(Unknown(f"HTTP {status} without stripe's error"), as_of=as_of)
    outcome = _outcome(status, error)
    made = error.get("payment_intent")
    if made is None:
        return Answer(outcome, as_of=as_of)
    # Stripe sends the payment along with most refusals of one: it names what to ask for later,
    # and its status must agree that nothing is under way.
    answer = translate.payment(made, livemode=livemode, as_of=as_of)
    return msgspec.structs.replace(answer, outcome=_agreed(made, answer, outcome))


def standing(status: int, body: object, *, livemode: bool, as_of: datetime | None) -> Answer:
    """The answer that a 4xx to a capture or a cancel means: how the payment stands, if it tells."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return Answer(Unknown(f"HTTP {status} without stripe's error"), as_of=as_of)
    code = fields.code(error.get("code"))
    made = error.get("payment_intent")
    if code == "payment_intent_unexpected_state" and made is not None:
        return translate.payment(made, livemode=livemode, as_of=as_of)
    if status in {_UNAUTHENTICATED, _FORBIDDEN}:
        outcome: Outcome = _configuration("the provider refuses our API key", code)
    elif error.get("type") == "invalid_request_error" and code != "resource_missing":
        outcome = Rejected("order_refused", f"the provider does not do this ({code or 'no code'})")
    else:
        outcome = Unknown("the provider refused in a way that is not understood")
    return Answer(outcome, as_of=as_of)


def _agreed(made: object, answer: Answer, refused: Outcome) -> Outcome:
    if isinstance(refused, Unknown):
        return refused
    status = made.get("status") if isinstance(made, Mapping) else None
    if answer.provider_reference is not None and fields.code(status) in _AT_REST:
        return refused
    return Unknown("the refusal came with a payment that is not at rest")


def _outcome(status: int, error: Mapping[str, Any]) -> Outcome:
    kind, code = error.get("type"), fields.code(error.get("code"))
    if kind == "idempotency_error":
        # Keys are attempt ids and a re-send is byte-equal, so this is a fault of ours; what the
        # first request under this key did is not known from it.
        return Unknown("a fault of ours: the attempt's key was sent with other parameters before")
    if status in {_UNAUTHENTICATED, _FORBIDDEN}:
        return _configuration("the provider refuses our API key or what it may do", code)
    if status == _PAYMENT_FAILED:
        if kind == "card_error":
            return Declined(payment_error(error))
        return Unknown("the payment failed in a way that is not understood")
    if kind == "card_error" or code in _PAYER_REFUSALS:
        return Declined(payment_error(error))
    if kind != "invalid_request_error" or code == "payment_intent_unexpected_state":
        # A new payment has no state that could be unexpected: there is more to it than we know.
        return Unknown("the provider refused in a way that is not understood")
    return _invalid(error, code)


def _invalid(error: Mapping[str, Any], code: str | None) -> Outcome:
    param = error.get("param")
    if code is not None and code in _ORDER_REFUSALS:
        return Declined(_ORDER_REFUSALS[code])
    if code in _TOKEN_CODES or param == "payment_method" or _names_payment_method(error, code):
        return Rejected("payment_method_rejected", _UNUSABLE)
    if isinstance(param, str) and param in _ORDER_PARAMETERS:
        return Declined(_ORDER_PARAMETERS[param])
    return _configuration("the provider does not take our request as it stands", code)


def _names_payment_method(error: Mapping[str, Any], code: str | None) -> bool:
    """A used-up payment method is refused with neither code nor parameter, in prose alone."""
    message = error.get("message")
    if code is not None or error.get("param") is not None or not isinstance(message, str):
        return False
    return "PaymentMethod" in message


def _configuration(message: str, code: str | None) -> Rejected:
    return Rejected("provider_configuration", f"{message} ({code})" if code else message)
