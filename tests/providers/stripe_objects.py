"""Stripe's objects as its servers render them, cut to what the adapter could look at."""

import hmac
import json
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from paygate.providers.stripe.translate import API_VERSION

CREATED: Final = 1_790_000_000
INSTALLATION: Final = "inst_test"

METADATA: Final = {
    "paygate_installation": INSTALLATION,
    "paygate_merchant": "default",
    "paygate_intent": "pi_01j000000000000000000000",
    "paygate_attempt": "at_01j000000000000000000000",
}


def charge(**changes: Any) -> dict[str, Any]:
    card = {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030}
    card |= changes.pop("card", {})
    return {
        "id": "ch_1",
        "object": "charge",
        "payment_method_details": {"type": "card", "card": card},
    } | changes


def payment(**changes: Any) -> dict[str, Any]:
    """A captured card payment of 19.99 EUR."""
    return {
        "id": "pi_3Q",
        "object": "payment_intent",
        "amount": 1999,
        "amount_capturable": 0,
        "amount_received": 1999,
        "capture_method": "automatic",
        "client_secret": "pi_3Q_secret_x",
        "created": CREATED,
        "currency": "eur",
        "last_payment_error": None,
        "latest_charge": charge(),
        "livemode": False,
        "metadata": dict(METADATA),
        "next_action": None,
        "payment_method": "pm_1",
        "payment_method_types": ["card"],
        "status": "succeeded",
    } | changes


def held(**changes: Any) -> dict[str, Any]:
    return (
        payment(
            status="requires_capture",
            amount_received=0,
            amount_capturable=1999,
            capture_method="manual",
            latest_charge=charge(card={"capture_before": CREATED + 604_800}),
        )
        | changes
    )


def decline(**changes: Any) -> dict[str, Any]:
    """The error object of a generic decline, as recorded in test mode."""
    return {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "generic_decline",
        "advice_code": "try_again_later",
        "message": "Your card was declined.",
        "network_decline_code": "01",
        "charge": "ch_1",
        "doc_url": "https://stripe.com/docs/error-codes/card-declined",
    } | changes


def refused(**changes: Any) -> dict[str, Any]:
    """A payment that went back to waiting for a payment method."""
    error = changes.pop("last_payment_error", decline())
    return (
        payment(
            status="requires_payment_method",
            amount_received=0,
            payment_method=None,
            last_payment_error=error,
            latest_charge="ch_1",
        )
        | changes
    )


def challenged(**changes: Any) -> dict[str, Any]:
    redirect = {"url": "https://hooks.stripe.com/3ds", "return_url": "https://shop.example/r"}
    return (
        payment(
            status="requires_action",
            amount_received=0,
            latest_charge=None,
            next_action={"type": "redirect_to_url", "redirect_to_url": redirect},
        )
        | changes
    )


def cancelled(**changes: Any) -> dict[str, Any]:
    reason = {"cancellation_reason": "requested_by_customer", "canceled_at": CREATED + 9}
    return payment(status="canceled", amount_received=0, latest_charge=None) | reason | changes


def iban_account(**changes: Any) -> dict[str, Any]:
    """A financial address."""
    address = {"city": "Dublin", "country": "IE", "line1": "1 Grand Canal", "line2": None}
    record = {
        "account_holder_address": address,
        "account_holder_name": "Shop",
        "bank_address": address,
        "bic": "CITIIE2X",
        "country": "DE",
        "iban": "DE00123456789012345678",
    }
    return {"type": "iban", "supported_networks": ["sepa"], "iban": record | changes}


def asked_to_transfer(**changes: Any) -> dict[str, Any]:
    """A transfer of 19.99 EUR to an account in Germany; `instructions` changes them."""
    instructions = {
        "amount_remaining": changes.get("amount", 1999),
        "currency": changes.get("currency", "eur"),
        "financial_addresses": [iban_account()],
        "hosted_instructions_url": "https://payments.stripe.com/bank_transfers/x",
        "reference": "X7K",
        "type": "eu_bank_transfer",
    } | changes.pop("instructions", {})
    kind = "display_bank_transfer_instructions"
    transfer = {"type": "eu_bank_transfer", "eu_bank_transfer": {"country": "DE"}}
    options = {"funding_type": "bank_transfer", "bank_transfer": transfer}
    return (
        payment(
            status="requires_action",
            amount_received=0,
            latest_charge=None,
            next_action={"type": kind, kind: instructions},
            payment_method_options={"customer_balance": options},
            payment_method_types=["customer_balance"],
        )
        | changes
    )


def debited(**changes: Any) -> dict[str, Any]:
    """A debit of 19.99 EUR that the bank was asked for."""
    account = {"bank_code": "19043", "country": "AT", "last4": "3201", "mandate": "mandate_1"}
    details = {"type": "sepa_debit", "sepa_debit": account}
    return (
        payment(
            status="processing",
            amount_received=0,
            latest_charge=charge(payment_method_details=details),
            payment_method_types=["sepa_debit"],
        )
        | changes
    )


def failed_debit(**changes: Any) -> dict[str, Any]:
    """The error object of a debit that the bank refused."""
    return {
        "type": "card_error",
        "code": "account_closed",
        "message": "The customer's bank account has been closed.",
        "charge": "py_1",
        "payment_method": {"id": "pm_1", "object": "payment_method", "type": "sepa_debit"},
    } | changes


def event(body: object, **changes: Any) -> bytes:
    """An event's bytes around `body`, which is its object."""
    rendered = {
        "id": "evt_1",
        "object": "event",
        "api_version": API_VERSION,
        "created": CREATED + 1,
        "data": {"object": body},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "payment_intent.succeeded",
    } | changes
    return json.dumps(rendered, indent=2).encode()


def signature(body: bytes, secret: str, at: datetime | int, scheme: str = "v1") -> str:
    """A `Stripe-Signature` header, as https://docs.stripe.com/webhooks#verify-manually says."""
    timestamp = at if isinstance(at, int) else int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, sha256).hexdigest()
    return f"t={timestamp},{scheme}={digest}"


def row(amount: int, fee: int | None = 0, **changes: Any) -> dict[str, Any]:
    """A balance transaction of a dispute: money that leaves, or (positive) comes back."""
    return {
        "id": "txn_1",
        "object": "balance_transaction",
        "amount": amount,
        "created": CREATED,
        "currency": "eur",
        "description": "Chargeback withdrawal for ch_3Q",
        "fee": fee,
        "fee_details": [{"amount": fee, "description": "Dispute fee", "type": "stripe_fee"}],
        "net": amount - (fee or 0),
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "type": "adjustment",
    } | changes


def dispute(**changes: Any) -> dict[str, Any]:
    """A chargeback of 19.99 EUR that needs an answer, as Stripe renders it."""
    details = {"brand": "visa", "case_type": "chargeback", "network": "visa"}
    return {
        "id": "du_1",
        "object": "dispute",
        "amount": 1999,
        "balance_transactions": [row(-1999, 1500)],
        "charge": "ch_3Q",
        "created": CREATED,
        "currency": "eur",
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": CREATED + 700_000,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": "pi_3Q",
        "payment_method_details": {
            "card": {**details, "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": "fraudulent",
        "status": "needs_response",
    } | changes


def fraud_warning(**changes: Any) -> dict[str, Any]:
    """An early fraud warning, as Stripe renders it."""
    return {
        "id": "issfr_1",
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": "ch_3Q",
        "created": CREATED,
        "fraud_type": "made_with_stolen_card",
        "livemode": False,
        "payment_intent": "pi_3Q",
    } | changes
