"""Objects to rehearse events with, in Stripe's shapes: of a payment that there is, or of none.

Pure data and values: nothing here is stored, so no later call of the API shows it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from paygate_sandbox.resources.disputes import case
from paygate_sandbox.resources.payouts.payout import FAILURES, Terms, body_of
from paygate_sandbox.store.objects import JsonObject

_AMOUNT = 1999
_CURRENCY = "eur"
_NOBODY: JsonObject = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
_DECLINE: JsonObject = {
    "type": "card_error",
    "code": "card_declined",
    "decline_code": "generic_decline",
    "message": "Your card was declined.",
}


class About(NamedTuple):
    """What a sample is made of: the payment and the charge that it shows or names, or None, and
    the ids and the time of what is made up.
    """

    payment: JsonObject | None
    charge: JsonObject | None
    new_id: Callable[[str], str]
    now: int
    dispute: JsonObject | None = None
    """A dispute that the payment has."""
    warning: JsonObject | None = None
    """A fraud warning that the payment has."""

    def names(self) -> JsonObject:
        """The payment's and the charge's ids, the amount and the currency."""
        payment, charge = self.payment or {}, self.charge or {}
        return {
            "payment_intent": payment.get("id") or self.new_id("pi"),
            "charge": charge.get("id") or self.new_id("ch"),
            "amount": payment.get("amount", _AMOUNT),
            "currency": payment.get("currency", _CURRENCY),
        }


def _payment(status: str, **changes: Any) -> Callable[[About], JsonObject]:
    def make(about: About) -> JsonObject:
        if about.payment is not None:
            return about.payment
        identity = about.new_id("pi")
        return {
            "id": identity,
            "object": "payment_intent",
            "amount": _AMOUNT,
            "amount_capturable": 0,
            "amount_received": 0,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": f"{identity}_secret_rehearsal",
            "created": about.now,
            "currency": _CURRENCY,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": {},
            "next_action": None,
            "payment_method": None,
            "payment_method_types": ["card"],
            "status": status,
            **changes,
        }

    return make


def _charge(status: str, **changes: Any) -> Callable[[About], JsonObject]:
    def make(about: About) -> JsonObject:
        if about.charge is not None:
            return about.charge
        names, captured = about.names(), changes.get("captured", status == "succeeded")
        return {
            "id": names["charge"],
            "object": "charge",
            "amount": names["amount"],
            "amount_captured": names["amount"] if captured else 0,
            "amount_refunded": 0,
            "billing_details": _NOBODY,
            "captured": captured,
            "created": about.now,
            "currency": names["currency"],
            "disputed": False,
            "livemode": False,
            "metadata": {},
            "paid": status == "succeeded",
            "payment_intent": names["payment_intent"],
            "refunded": False,
            "status": status,
            **changes,
        }

    return make


def _refund(status: str, **changes: Any) -> Callable[[About], JsonObject]:
    def make(about: About) -> JsonObject:
        return {
            "id": about.new_id("re"),
            "object": "refund",
            **about.names(),
            "balance_transaction": None,
            "created": about.now,
            "metadata": {},
            "reason": None,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": status,
            "transfer_reversal": None,
            **changes,
        }

    return make


def _dispute(status: str) -> Callable[[About], JsonObject]:
    def make(about: About) -> JsonObject:
        if about.dispute is not None:
            return about.dispute
        names, card = about.names(), {"brand": "visa", "network": "visa"}
        charge = {
            "id": names["charge"],
            "payment_intent": names["payment_intent"],
            "payment_method_details": (about.charge or {}).get(
                "payment_method_details", {"card": card, "type": "card"}
            ),
        }
        amount, currency = names["amount"], names["currency"]
        terms = case.Terms(
            "chargeback", "fraudulent", amount, currency, amount, case.due_by(about.now)
        )
        body = case.body_of(about.new_id("du"), charge, terms, about.now)
        return {**body, "status": status}

    return make


def _payout(status: str, reconciled: str = "in_progress") -> Callable[[About], JsonObject]:
    def make(about: About) -> JsonObject:
        terms = Terms(_AMOUNT, _CURRENCY, automatic=True, arrival_in_days=0)
        return {
            **body_of(about.new_id("po"), terms, about.new_id("acct"), about.now),
            "failure_code": "account_closed" if status == "failed" else None,
            "failure_message": FAILURES["account_closed"] if status == "failed" else None,
            "reconciliation_status": reconciled,
            "status": status,
        }

    return make


def _warning(about: About) -> JsonObject:
    if about.warning is not None:
        return about.warning
    names = about.names()
    return {
        "id": about.new_id("issfr"),
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": names["charge"],
        "created": about.now,
        "fraud_type": "made_with_stolen_card",
        "livemode": False,
        "payment_intent": names["payment_intent"],
    }


def _mandate(about: About) -> JsonObject:
    return {
        "id": about.new_id("mandate"),
        "object": "mandate",
        "customer_acceptance": {"accepted_at": about.now, "offline": {}, "type": "offline"},
        "livemode": False,
        "payment_method": about.new_id("pm"),
        "payment_method_details": {"type": "us_bank_account", "us_bank_account": {}},
        "status": "inactive",
        "type": "multi_use",
        "multi_use": {},
    }


def _movement(about: About) -> JsonObject:
    names = about.names()
    return {
        "id": about.new_id("ccsbtxn"),
        "object": "customer_cash_balance_transaction",
        "applied_to_payment": {"payment_intent": names["payment_intent"]},
        "created": about.now,
        "currency": names["currency"],
        "customer": (about.payment or {}).get("customer") or about.new_id("cus"),
        "ending_balance": 0,
        "livemode": False,
        "net_amount": -names["amount"],
        "type": "applied_to_payment",
    }


def _balance(about: About) -> JsonObject:
    return {
        "object": "cash_balance",
        "available": {_CURRENCY: _AMOUNT},
        "customer": (about.payment or {}).get("customer") or about.new_id("cus"),
        "livemode": False,
        "settings": {"reconciliation_mode": "automatic", "using_merchant_default": True},
    }


_HELD: Mapping[str, Any] = {"captured": False, "amount_captured": 0}

SAMPLES: Mapping[str, Callable[[About], JsonObject]] = {
    "cash_balance.funds_available": _balance,
    "charge.captured": _charge("succeeded"),
    "charge.dispute.closed": _dispute("lost"),
    "charge.dispute.created": _dispute("needs_response"),
    "charge.dispute.funds_reinstated": _dispute("won"),
    "charge.dispute.funds_withdrawn": _dispute("needs_response"),
    "charge.dispute.updated": _dispute("under_review"),
    "charge.expired": _charge("succeeded", **_HELD, refunded=True, amount_refunded=_AMOUNT),
    "charge.failed": _charge("failed", failure_code="card_declined"),
    "charge.pending": _charge("pending"),
    "charge.refund.updated": _refund("succeeded"),
    "charge.refunded": _charge("succeeded", refunded=True, amount_refunded=_AMOUNT),
    "charge.succeeded": _charge("succeeded"),
    "charge.updated": _charge("succeeded"),
    "customer_cash_balance_transaction.created": _movement,
    "mandate.updated": _mandate,
    "payment_intent.amount_capturable_updated": _payment(
        "requires_capture", amount_capturable=_AMOUNT, capture_method="manual"
    ),
    "payment_intent.canceled": _payment("canceled", cancellation_reason="abandoned"),
    "payment_intent.created": _payment("requires_payment_method"),
    "payment_intent.partially_funded": _payment("requires_action"),
    "payment_intent.payment_failed": _payment(
        "requires_payment_method", last_payment_error=_DECLINE
    ),
    "payment_intent.processing": _payment("processing"),
    "payment_intent.requires_action": _payment("requires_action"),
    "payment_intent.succeeded": _payment("succeeded", amount_received=_AMOUNT),
    "payout.canceled": _payout("canceled"),
    "payout.created": _payout("pending"),
    "payout.failed": _payout("failed"),
    "payout.paid": _payout("paid"),
    "payout.reconciliation_completed": _payout("paid", "completed"),
    "payout.updated": _payout("in_transit"),
    "radar.early_fraud_warning.created": _warning,
    "radar.early_fraud_warning.updated": _warning,
    "refund.created": _refund("pending"),
    "refund.failed": _refund("failed", failure_reason="declined"),
    "refund.updated": _refund("succeeded"),
}
"""An object for every event that can be rehearsed."""
