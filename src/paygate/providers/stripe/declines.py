"""Why a card or a bank account was declined, in our words; pure.

Stripe's own sentences are not passed on: they may quote the token or address the payer, and
the message here is also shown on the client side, so it says nothing that
https://docs.stripe.com/declines/codes tells merchants to keep from the payer.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from paygate.domain.payments.outcome import Advice, PaymentError
from paygate.providers.stripe import fields
from paygate.providers.stripe.instruments import DEBITS

HIDDEN: Final = frozenset(
    {"lost_card", "stolen_card", "pickup_card", "fraudulent", "merchant_blacklist"}
)
"""For the merchant's server alone: a thief who reads them learns what was noticed."""

_DECLINED: Final = "card_declined"
_FAILED: Final = ("payment_failed", "The payment failed.")

_BY_CODE: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "card_declined": (_DECLINED, "The card was declined."),
        "expired_card": ("expired_card", "The card has expired."),
        "incorrect_cvc": ("incorrect_cvc", "The card's security code is wrong."),
        "invalid_cvc": ("incorrect_cvc", "The card's security code is wrong."),
        "incorrect_number": ("incorrect_number", "The card number is wrong."),
        "invalid_number": ("incorrect_number", "The card number is wrong."),
        "invalid_expiry_month": ("invalid_expiry", "The card's expiry date is wrong."),
        "invalid_expiry_year": ("invalid_expiry", "The card's expiry date is wrong."),
        "incorrect_zip": ("incorrect_address", "The billing address does not match the card's."),
        "incorrect_address": (
            "incorrect_address",
            "The billing address does not match the card's.",
        ),
        "processing_error": ("processing_error", "The card could not be processed just now."),
        "card_decline_rate_limit_exceeded": (
            _DECLINED,
            "The card was declined too often and is blocked for a day.",
        ),
        "authentication_required": (
            "authentication_required",
            "The bank asks for the payer's authentication.",
        ),
        "payment_intent_authentication_failure": (
            "authentication_failed",
            "The payer was not authenticated.",
        ),
        "payment_intent_payment_attempt_failed": (_DECLINED, "The payment attempt failed."),
        "payment_intent_payment_attempt_expired": (
            "authentication_expired",
            "The payer's authentication took too long.",
        ),
    }
)
"""Stripe's error code (https://docs.stripe.com/error-codes) to our code and sentence."""

_CLOSED: Final = ("account_closed", "The bank account is closed.")
_NO_ACCOUNT: Final = ("no_account", "The bank account could not be found.")
_UNAUTHORISED: Final = ("debit_not_authorized", "The payer did not authorise the debit.")
_RESTRICTED: Final = ("account_restricted", "The bank account cannot be debited.")
_MANDATE: Final = ("mandate_invalid", "The payer's mandate is missing or not valid.")
_NOT_DEBITED: Final = ("debit_failed", "The bank could not process the debit.")

_OF_DEBITS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "account_closed": _CLOSED,
        "bank_account_closed": _CLOSED,
        "no_account": _NO_ACCOUNT,
        "bank_account_invalid_details": _NO_ACCOUNT,
        "invalid_account_number": _NO_ACCOUNT,
        "debit_not_authorized": _UNAUTHORISED,
        "debit_authorization_not_match": _UNAUTHORISED,
        "account_frozen": _RESTRICTED,
        "bank_account_frozen": _RESTRICTED,
        "bank_account_restricted": _RESTRICTED,
        "recipient_deceased": _RESTRICTED,
        "insufficient_funds": ("insufficient_funds", "The account has insufficient funds."),
        "invalid_currency": (
            "currency_not_supported",
            "The bank account does not take this currency.",
        ),
        "mandate_invalid": _MANDATE,
        "payment_intent_mandate_invalid": _MANDATE,
        "could_not_process": _NOT_DEBITED,
        "generic_could_not_process": _NOT_DEBITED,
    }
)
"""What a bank says to a debit, as code or as decline code: Stripe uses both, and newer names of
the same (https://docs.stripe.com/declines/network-codes)."""
_DEBIT_TYPES: Final = frozenset(DEBITS.values())

_BY_DECLINE_CODE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "insufficient_funds": "The card has insufficient funds.",
        "withdrawal_count_limit_exceeded": "The card's limit is exceeded.",
        "card_velocity_exceeded": "The card's limit is exceeded.",
        "card_not_supported": "The card does not support this kind of purchase.",
        "currency_not_supported": "The card does not support this currency.",
        "duplicate_transaction": "The bank saw the same payment very recently.",
        "issuer_not_available": "The bank could not be reached.",
        "try_again_later": "The bank asks to try again later.",
        "reenter_transaction": "The bank asks to try again.",
        "invalid_account": "The card or its account is invalid.",
        "invalid_amount": "The bank refuses this amount.",
        "testmode_decline": "A test card does not work in live mode.",
    }
)
"""Where the bank's reason is worth a sentence of its own and may be shown to the payer."""


def may_reveal(decline_code: str | None) -> bool:
    """Whether the client side may see this decline code."""
    return decline_code not in HIDDEN


def payment_error(error: Mapping[str, Any]) -> PaymentError:
    """Stripe's error object (of a 402, or `last_payment_error`) as ours."""
    decline_code = fields.code(error.get("decline_code"))
    error_code = fields.code(error.get("code")) or ""
    if _of_a_debit(error) or (error_code in _OF_DEBITS and error_code not in _BY_CODE):
        code, message = _OF_DEBITS.get(error_code) or _OF_DEBITS.get(
            decline_code or "", _NOT_DEBITED
        )
        return PaymentError(code, message, decline_code, _advice(error.get("advice_code")))
    fallback = _BY_CODE[_DECLINED] if error.get("type") == "card_error" else _FAILED
    code, message = _BY_CODE.get(error_code, fallback)
    if code == _DECLINED:
        message = _BY_DECLINE_CODE.get(decline_code or "", message)
    return PaymentError(code, message, decline_code, _advice(error.get("advice_code")))


def _of_a_debit(error: Mapping[str, Any]) -> bool:
    kind = fields.mapping(error, "payment_method").get("type") or error.get("payment_method_type")
    return isinstance(kind, str) and kind in _DEBIT_TYPES


def _advice(value: object) -> Advice | None:
    return Advice(value) if isinstance(value, str) and value in _ADVICE else None


_ADVICE: Final = frozenset(advice.value for advice in Advice)
