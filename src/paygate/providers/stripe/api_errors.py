"""Stripe's clear no (HTTP 400, 401, 402, 403, 404) to each of our calls; pure.

Only what proves that no money moved may end an attempt here. An error that this file does not
know is still a no when Stripe says that the request itself was invalid; anything else, or a
error that comes with a payment which is not at rest, is `Unknown`.
(https://docs.stripe.com/api/errors, https://docs.stripe.com/error-codes)
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.domain.payments.outcome import (
    Answer,
    Declined,
    Outcome,
    PaymentError,
    Rejected,
    Unknown,
)
from paygate.providers.absence import Absent
from paygate.providers.contract import KeySpent
from paygate.providers.stripe import fields, translate
from paygate.providers.stripe.declines import payment_error

_AT_REST: Final = frozenset({"requires_payment_method", "requires_confirmation", "canceled"})
_UNAUTHENTICATED, _PAYMENT_FAILED, _FORBIDDEN, _NOT_FOUND = 401, 402, 403, 404

_KEY_REJECTED: Final = "the provider refuses our API key or what it may do"
_INVALID: Final = "invalid_request_error"
_KNOWN_OTHERWISE: Final = (
    "the provider knows this key with other parameters: it was done before, and is to be looked up"
)

_STATE_CODES: Final = frozenset(
    {
        "payment_intent_unexpected_state",
        "charge_already_captured",
        "charge_already_refunded",
        "charge_expired_for_capture",
        "capture_charge_authorization_expired",
    }
)
"""The payment is no longer what the call takes it for: who asks how it stands learns the truth."""

UNUSABLE: Final = Rejected(
    "payment_method_rejected",
    "The payment method is unknown, used up or not usable for this payment.",
)

_TOKEN_CODES: Final = frozenset(
    {
        "payment_method_invalid_parameter",
        "payment_method_currency_mismatch",
        "payment_method_not_available",
        "payment_method_unexpected_state",
        "payment_method_unsupported_type",
        "payment_intent_incompatible_payment_method",
        "payment_method_bank_account_blocked",
        "bank_account_declined",
        "bank_account_unusable",
        "bank_account_unverified",
        "bank_account_verification_failed",
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

_MANDATE: Final = PaymentError("mandate_invalid", "The payer's mandate is missing or not valid.")
_DESCRIPTOR: Final = PaymentError(
    "statement_descriptor_invalid", "The provider refuses the statement descriptor."
)

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
        "mandate_invalid": _MANDATE,
        "payment_intent_mandate_invalid": _MANDATE,
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
        "mandate_data": _MANDATE,
        "statement_descriptor": _DESCRIPTOR,
        "statement_descriptor_suffix": _DESCRIPTOR,
        "description": PaymentError("description_invalid", "The provider refuses the description."),
    }
)
"""The same by the parameter named, where Stripe gives no code of its own."""


def of_confirm(status: int, body: object, *, livemode: bool, as_of: datetime | None) -> Answer:
    """The answer that a 4xx to a confirm means."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return Answer(Unknown(f"HTTP {status} without stripe's error"), as_of=as_of)
    outcome = _outcome(status, error)
    made = error.get("payment_intent")
    if made is None:
        return Answer(outcome, as_of=as_of)
    # Stripe sends the payment along with most errors of one: it names what to ask for later,
    # and its status must agree that nothing is under way.
    answer = translate.payment(made, livemode=livemode, as_of=as_of)
    return msgspec.structs.replace(answer, outcome=_agreed(made, answer, outcome))


def _agreed(made: object, answer: Answer, rejected: Outcome) -> Outcome:
    if isinstance(rejected, Unknown):
        return rejected
    status = made.get("status") if isinstance(made, Mapping) else None
    if answer.provider_reference is not None and fields.code(status) in _AT_REST:
        return rejected
    return Unknown("the refusal came with a payment that is not at rest")


def _outcome(status: int, error: Mapping[str, Any]) -> Outcome:
    kind, code = error.get("type"), fields.code(error.get("code"))
    if kind == "idempotency_error":
        # Re-sends are byte-equal, so the key was used before we forgot it, by a restore say. What
        # became of that first request is not known from this, and it is this same attempt.
        return Unknown(_KNOWN_OTHERWISE, known_key=True)
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and kind == _INVALID:
        return _configuration(_KEY_REJECTED, code)
    if status == _PAYMENT_FAILED:
        if kind == "card_error":
            return Declined(payment_error(error))
        return Unknown("the payment failed in a way that is not understood")
    if kind == "card_error" or code in _PAYER_REFUSALS:
        return Declined(payment_error(error))
    if kind != _INVALID or code == "payment_intent_unexpected_state":
        # A new payment has no state that could be unexpected: there is more to it than we know.
        return Unknown("the provider refused in a way that is not understood")
    return _invalid(error, code)


def _invalid(error: Mapping[str, Any], code: str | None) -> Outcome:
    param = error.get("param")
    if code is not None and code in _ORDER_REFUSALS:
        return Declined(_ORDER_REFUSALS[code])
    if code in _TOKEN_CODES or param == "payment_method" or _names_payment_method(error, code):
        return UNUSABLE
    if param == "customer":
        return Rejected("customer_refused", "the provider does not know the payer any more")
    named = param.partition("[")[0] if isinstance(param, str) else ""
    if named in _ORDER_PARAMETERS:
        return Declined(_ORDER_PARAMETERS[named])
    return _configuration("the provider does not take our request as it stands", code)


def state_stands_in_the_way(body: object) -> bool:
    """Whether a capture or cancel is refused because of how the payment stands.

    Whatever the error's own words, one that shows a payment without a hold is about that.
    """
    error = fields.mapping(body, "error")
    shown = fields.mapping(error, "payment_intent")
    if shown and shown.get("status") != "requires_capture":
        return True
    return fields.code(error.get("code")) in _STATE_CODES


def of_capture(status: int, body: object) -> Rejected | Unknown:
    """An error of a capture that is not about the payment's state: nothing was taken by it."""
    error = fields.mapping(body, "error")
    kind, code = fields.code(error.get("type")), fields.code(error.get("code"))
    if kind == "idempotency_error":
        return Unknown(_KNOWN_OTHERWISE)
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and kind == _INVALID:
        return _configuration(_KEY_REJECTED, code)
    if status == _NOT_FOUND and kind == _INVALID:
        if code == "resource_missing":
            # Another account's key knows no such payment, and says nothing of this one.
            return Unknown("the provider says that it has no such payment")
        return _configuration("the provider does not know the address that we called", code)
    if kind in {_INVALID, "card_error"}:
        return Rejected("order_refused", _named("the provider refuses to capture this", code))
    return Unknown("the provider refused in a way that is not understood")


def of_cancel(status: int, body: object) -> Rejected | Unknown:
    """An error of a cancel that is not about the payment's state: how it stands is not said."""
    error = fields.mapping(body, "error")
    kind, code = fields.code(error.get("type")), fields.code(error.get("code"))
    if kind == "idempotency_error":
        return Unknown(_KNOWN_OTHERWISE)
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and kind == _INVALID:
        return _configuration(_KEY_REJECTED, code)
    return Unknown(_named("the provider refuses to cancel", code))


def of_customer(status: int, body: object) -> Rejected | KeySpent | Absent | Unknown:
    """An error of a customer, or of a change of one."""
    error = fields.mapping(body, "error")
    kind, code, param = (fields.code(error.get(key)) for key in ("type", "code", "param"))
    if kind == "idempotency_error":
        return KeySpent("the provider knows this key with other details")
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and kind == _INVALID:
        return _configuration(_KEY_REJECTED, code)
    if kind != _INVALID:
        return Unknown("the provider refused in a way that is not understood")
    if code == "resource_missing" and param in {"id", "customer"}:
        return Absent()
    if code == "email_invalid" or param in {"email", "name"}:
        return Rejected("customer_refused", "the provider does not take the customer's details")
    return _configuration("the provider does not take our request as it stands", code)


def of_payment_method(status: int, body: object) -> Rejected | Unknown:
    """An error to show a payment method."""
    error = fields.mapping(body, "error")
    kind, code = fields.code(error.get("type")), fields.code(error.get("code"))
    if status in {_UNAUTHENTICATED, _FORBIDDEN} and kind == _INVALID:
        return _configuration(_KEY_REJECTED, code)
    if kind == _INVALID and code in _TOKEN_CODES | {"resource_missing"}:
        return UNUSABLE
    return Unknown(_named("the provider refuses to show the payment method", code))


def of_account(status: int, body: object) -> Rejected | Unknown:
    """An error to say whose account it is: a restricted key may not read that."""
    error = fields.mapping(body, "error")
    kind, code = fields.code(error.get("type")), fields.code(error.get("code"))
    if kind == _INVALID and status == _UNAUTHENTICATED:
        return _configuration(_KEY_REJECTED, code)
    if kind == _INVALID and status == _FORBIDDEN:
        return _configuration("the provider does not let our API key read its account", code)
    return Unknown("the provider refused in a way that is not understood")


def _names_payment_method(error: Mapping[str, Any], code: str | None) -> bool:
    """A used-up payment method is refused with neither code nor parameter, in prose alone."""
    message = error.get("message")
    if code is not None or error.get("param") is not None or not isinstance(message, str):
        return False
    return "PaymentMethod" in message


def _configuration(message: str, code: str | None) -> Rejected:
    return Rejected("provider_configuration", _named(message, code))


def _named(message: str, code: str | None) -> str:
    return f"{message} ({code})" if code else message
