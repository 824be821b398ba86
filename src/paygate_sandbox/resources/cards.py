"""Stripe's test tokens and what their issuers say, as tables.

Pure data. It must never act on a payment, and holds no card number: the last four digits only.
"""

from dataclasses import dataclass
from typing import Literal

Authentication = Literal["none", "when_asked", "required"]
# What a payer's bank does once it is paid.
Aftermath = Literal[
    "dispute", "not_received", "inquiry", "compliance", "returned_debit", "fraud_warning"
]


@dataclass(frozen=True, slots=True)
class Decline:
    """An issuer's no, and what Stripe makes of it."""

    code: str
    message: str
    decline_code: str
    network_decline_code: str | None = None
    advice_code: str | None = None
    param: str | None = None
    blocked: bool = False  # refused by Stripe itself, never sent to the network


_DECLINED = "Your card was declined."

DECLINES = {
    "generic": Decline("card_declined", _DECLINED, "generic_decline", "01", "try_again_later"),
    "insufficient_funds": Decline(
        "card_declined",
        "Your card has insufficient funds.",
        "insufficient_funds",
        "51",
        "try_again_later",
    ),
    "lost": Decline("card_declined", _DECLINED, "lost_card", "41", "do_not_try_again"),
    "stolen": Decline("card_declined", _DECLINED, "stolen_card", "43", "do_not_try_again"),
    "velocity": Decline(
        "card_declined",
        "Your card was declined for making repeated attempts too frequently or exceeding its "
        "amount limit.",
        "card_velocity_exceeded",
        "65",
        "try_again_later",
    ),
    "expired": Decline(
        "expired_card",
        "Your card has expired.",
        "expired_card",
        "54",
        "do_not_try_again",
        param="exp_month",
    ),
    "incorrect_cvc": Decline(
        "incorrect_cvc",
        "Your card's security code is incorrect.",
        "incorrect_cvc",
        "N7",
        "confirm_card_data",
        param="cvc",
    ),
    "processing": Decline(
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
        "processing_error",
        "96",
        "try_again_later",
    ),
    "blocked": Decline("card_declined", _DECLINED, "fraudulent", blocked=True),
    "authentication_required": Decline(
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
        "authentication_required",
        "1A",
    ),
    "authentication_not_handled": Decline(
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
        "authentication_not_handled",
    ),
}


@dataclass(frozen=True, slots=True)
class Card:
    last4: str
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    decline: str | None = None
    authentication: Authentication = "none"
    available_at_once: bool = False
    # What becomes of its refunds some time later; None: they are done at once, and stay so.
    refund_ends: Literal["succeeded", "failed"] | None = None
    aftermath: tuple[Aftermath, ...] = ()


CARDS = {
    "pm_card_visa": Card("4242"),
    "pm_card_visa_debit": Card("5556", funding="debit"),
    "pm_card_mastercard": Card("4444", "mastercard"),
    "pm_card_mastercard_debit": Card("8210", "mastercard", funding="debit"),
    "pm_card_mastercard_prepaid": Card("5100", "mastercard", funding="prepaid"),
    "pm_card_amex": Card("8431", "amex"),
    "pm_card_discover": Card("1117", "discover"),
    "pm_card_diners": Card("3237", "diners"),
    "pm_card_jcb": Card("0505", "jcb"),
    "pm_card_unionpay": Card("0005", "unionpay"),
    "pm_card_us": Card("4242"),
    "pm_card_at": Card("0008", country="AT"),
    "pm_card_au": Card("0006", country="AU"),
    "pm_card_be": Card("0004", country="BE"),
    "pm_card_ca": Card("0000", country="CA"),
    "pm_card_ch": Card("0009", country="CH"),
    "pm_card_de": Card("0016", country="DE"),
    "pm_card_es": Card("0007", country="ES"),
    "pm_card_fr": Card("0003", country="FR"),
    "pm_card_gb": Card("0000", country="GB"),
    "pm_card_it": Card("0008", country="IT"),
    "pm_card_jp": Card("0003", country="JP"),
    "pm_card_mx": Card("8001", country="MX"),
    "pm_card_nl": Card("0002", country="NL"),
    "pm_card_bypassPending": Card("0077", available_at_once=True),
    "pm_card_pendingRefund": Card("7726", refund_ends="succeeded"),
    "pm_card_refundFail": Card("5126", refund_ends="failed"),
    "pm_card_createDispute": Card("0259", aftermath=("dispute",)),
    "pm_card_createDisputeProductNotReceived": Card("2685", aftermath=("not_received",)),
    "pm_card_createDisputeInquiry": Card("1976", aftermath=("inquiry",)),
    "pm_card_createMultipleDisputes": Card("0079", aftermath=("dispute", "not_received")),
    "pm_card_createComplianceDispute": Card("0779", aftermath=("compliance",)),
    "pm_card_createIssuerFraudRecord": Card("5423", aftermath=("fraud_warning",)),
    "pm_card_chargeDeclined": Card("0002", decline="generic"),
    "pm_card_visa_chargeDeclined": Card("0002", decline="generic"),
    "pm_card_chargeCustomerFail": Card("0341", decline="generic"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Card("9995", decline="insufficient_funds"),
    "pm_card_chargeDeclinedInsufficientFunds": Card("9995", decline="insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": Card("9987", decline="lost"),
    "pm_card_chargeDeclinedLostCard": Card("9987", decline="lost"),
    "pm_card_visa_chargeDeclinedStolenCard": Card("9979", decline="stolen"),
    "pm_card_chargeDeclinedStolenCard": Card("9979", decline="stolen"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": Card("6975", decline="velocity"),
    "pm_card_chargeDeclinedVelocityLimitExceeded": Card("6975", decline="velocity"),
    "pm_card_chargeDeclinedExpiredCard": Card("0069", decline="expired"),
    "pm_card_chargeDeclinedIncorrectCvc": Card("0127", decline="incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": Card("0119", decline="processing"),
    "pm_card_radarBlock": Card("0019", decline="blocked"),
    "pm_card_authenticationRequired": Card("3155", authentication="required"),
    "pm_card_threeDSecure2Required": Card("3220", authentication="required"),
    "pm_card_threeDSecureRequired": Card("3063", authentication="required"),
    "pm_card_threeDSecureOptional": Card("3055", authentication="when_asked"),
    "pm_card_threeDSecureRequiredChargeDeclined": Card(
        "1629", decline="generic", authentication="required"
    ),
}
