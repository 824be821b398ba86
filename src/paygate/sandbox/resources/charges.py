"""Charges: one for each attempt that reached the network, approved or declined.

They are made by payment intents only. It must never change an intent.
"""

from paygate.sandbox.books import Books
from paygate.sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate.sandbox.protocol.parameters import NoSuch, Parameters, Text, Unsupported
from paygate.sandbox.resources.cards import Card, Decline
from paygate.sandbox.resources.endpoint import Call, Endpoint, Page
from paygate.sandbox.resources.payment_methods import CHECKS, EXPIRY_MONTH, EXPIRY_YEAR, card_of
from paygate.sandbox.store.objects import JsonObject, Record

# A customer-initiated authorization holds for seven days, to the second.
AUTHORIZATION_SECONDS = 604_800

_APPROVED: JsonObject = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 20,
    "seller_message": "Payment complete.",
    "type": "authorized",
}


def new_charge(
    books: Books, intent: JsonObject, method: Record, *, decline: Decline | None, challenged: bool
) -> Record:
    """The charge of one attempt: declined, authorized (manual capture) or captured."""
    card = card_of(method)
    approved = decline is None
    captured = approved and intent["capture_method"] != "manual"
    charge_id = books.new_id("ch")
    body: JsonObject = {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method.body["billing_details"],
        "calculated_statement_descriptor": intent["statement_descriptor"] or "SANDBOX",
        "captured": captured,
        "created": books.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _declined(decline) if decline else _APPROVED,
        "paid": approved,
        "payment_intent": intent["id"],
        "payment_method": method.id,
        "payment_method_details": {
            "card": _card_details(
                books, method, card, intent, held=approved and not captured, challenged=challenged
            ),
            "type": "card",
        },
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{books.simulator.base_url}/receipts/{charge_id}" if approved else None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if approved else "failed",
        "transfer_data": None,
        "transfer_group": None,
    }
    private = {"idempotency_key": books.origin.idempotency_key}
    return Record(body, private)


def _declined(decline: Decline) -> JsonObject:
    if decline.blocked:
        return {
            **_APPROVED,
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "risk_level": "highest",
            "risk_score": 92,
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    return {
        **_APPROVED,
        "advice_code": decline.advice_code,
        "network_decline_code": decline.network_decline_code,
        "network_status": "declined_by_network",
        "reason": decline.decline_code,
        "seller_message": "The bank did not return any further details with this decline."
        if decline.decline_code == "generic_decline"
        else f"The bank returned the decline code `{decline.decline_code}`.",
        "type": "issuer_declined",
    }


def _card_details(
    books: Books,
    method: Record,
    card: Card,
    intent: JsonObject,
    *,
    held: bool,
    challenged: bool,
) -> JsonObject:
    details: JsonObject = {
        "amount_authorized": intent["amount"],
        "authorization_code": books.token(6).upper(),
        "brand": card.brand,
        "checks": CHECKS,
        "country": card.country,
        "exp_month": EXPIRY_MONTH,
        "exp_year": EXPIRY_YEAR,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": method.body["card"]["fingerprint"],
        "funding": card.funding,
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card.last4,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": books.token(15),
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _three_d_secure(books) if challenged else None,
        "wallet": None,
    }
    if held:
        details["capture_before"] = books.now + AUTHORIZATION_SECONDS
    return details


def _three_d_secure(books: Books) -> JsonObject:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": books.token(36).lower(),
        "version": "2.2.0",
    }


def release(charge: Record) -> None:
    """An authorization given back: Stripe shows it as refunded, though nothing was captured."""
    charge.body["amount_refunded"] = charge.body["amount"]
    charge.body["refunded"] = True


def retrieve(call: Call) -> Record:
    return call.load("charge")


def list_charges(call: Call) -> Page:
    params, objects = call.params, call.books.objects
    asked = window(params, lambda cursor: objects.cursor("charge", cursor), "charge")
    filters = {"related": params["payment_intent"]} if "payment_intent" in params else {}
    return Page(*trim(objects.page("charge", asked, filters), asked))


ENDPOINTS = (
    Endpoint("GET", "charges/{}", "charge", "retrieve", Parameters(), retrieve),
    Endpoint(
        "GET",
        "charges",
        "charge",
        "list",
        Parameters(
            {
                **LIST_PARAMETERS,
                "customer": NoSuch("customer"),
                "payment_intent": Text(),
                "transfer_group": Unsupported(),
            }
        ),
        list_charges,
        is_list=True,
    ),
)
