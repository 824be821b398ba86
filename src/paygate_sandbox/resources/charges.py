"""Charges: one for each attempt that reached the network, approved or declined.

They are made by payment intents only. It must never change an intent.
"""

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Parameters, Text, Unsupported
from paygate_sandbox.resources.cards import Card, Decline
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.resources.payment_methods import CHECKS, card_of
from paygate_sandbox.store.objects import JsonObject, Record

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
# A bank that is asked for money says yes or no much later; nobody scores it.
_BANK_OUTCOME: JsonObject = {
    **{name: value for name, value in _APPROVED.items() if name != "risk_score"},
    "risk_level": "not_assessed",
}


def card_charge(
    books: Books, intent: Record, method: Record, *, decline: Decline | None, challenged: bool
) -> Record:
    """The charge of one attempt by card: declined, authorized (manual capture) or captured."""
    approved = decline is None
    captured = approved and intent.body["capture_method"] != "manual"
    details = _card_details(
        books, method, intent.body, held=approved and not captured, challenged=challenged
    )
    charge = _new_charge(books, intent, method, details)
    body = charge.body
    if decline is not None:
        fail(charge, decline.code, decline.message, _declined(decline))
    else:
        pay(books, charge, captured=captured)
    body["calculated_statement_descriptor"] = body["statement_descriptor"] or "SANDBOX"
    return charge


def bank_charge(books: Books, intent: Record, method: Record, details: JsonObject) -> Record:
    """Money that a bank is asked for, or has sent: pending until that is known."""
    charge = _new_charge(books, intent, method, details)
    charge.body["outcome"] = _BANK_OUTCOME
    return charge


def pay(books: Books, charge: Record, *, captured: bool) -> None:
    body = charge.body
    body["captured"], body["amount_captured"] = captured, body["amount"] if captured else 0
    body["paid"], body["status"] = True, "succeeded"
    body["receipt_url"] = f"{books.parts.base_url}/receipts/{charge.id}"


def fail(charge: Record, code: str, message: str, outcome: JsonObject) -> None:
    body = charge.body
    body["failure_code"], body["failure_message"] = code, message
    body["outcome"], body["status"] = outcome, "failed"


def _new_charge(books: Books, intent: Record, method: Record, details: JsonObject) -> Record:
    """Pending, as every charge is before somebody answers."""
    kind, of = method.body["type"], intent.body
    body: JsonObject = {
        # Stripe's charges of other things than cards are payments by their ids.
        "id": books.new_id("ch" if kind == "card" else "py"),
        "object": "charge",
        "amount": of["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method.body["billing_details"],
        "calculated_statement_descriptor": None,
        "captured": False,
        "created": books.now,
        "currency": of["currency"],
        "customer": of["customer"],
        "description": of["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": of["metadata"],
        "on_behalf_of": None,
        "outcome": _APPROVED,
        "paid": False,
        "payment_intent": of["id"],
        "payment_method": method.id,
        "payment_method_details": {kind: details, "type": kind},
        "receipt_email": of["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": of["shipping"],
        "source_transfer": None,
        "statement_descriptor": of["statement_descriptor"],
        "statement_descriptor_suffix": of["statement_descriptor_suffix"],
        "status": "pending",
        "transfer_data": None,
        "transfer_group": None,
    }
    # A charge that follows the customer's or the bank's act still comes of the confirm's key.
    key = books.origin.idempotency_key or intent.private.get("confirm_key")
    return Record(body, {"idempotency_key": key})


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
    books: Books, method: Record, intent: JsonObject, *, held: bool, challenged: bool
) -> JsonObject:
    card, shown = card_of(method), method.body["card"]
    details: JsonObject = {
        "amount_authorized": intent["amount"],
        "authorization_code": books.token(6).upper(),
        "brand": card.brand,
        "checks": CHECKS,
        "country": card.country,
        "exp_month": shown["exp_month"],
        "exp_year": shown["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": shown["fingerprint"],
        "funding": card.funding,
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": shown["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card.brand,
        "network_token": {"used": False},
        "network_transaction_id": books.token(15),
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": _three_d_secure(books, card, challenged=challenged),
        "wallet": None,
    }
    if held:
        details["capture_before"] = books.now + AUTHORIZATION_SECONDS
    return details


def _three_d_secure(books: Books, card: Card, *, challenged: bool) -> JsonObject | None:
    """An issuer that need not ask its customer authenticates without them noticing."""
    if not challenged and card.authentication != "when_asked":
        return None
    return {
        "authentication_flow": "challenge" if challenged else "frictionless",
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
    filters: dict[str, str] = {}
    if "payment_intent" in params:
        filters["related"] = params["payment_intent"]
    if "customer" in params:
        filters["customer"] = call.refer("customer", "customer")
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
                "customer": Text(),
                "payment_intent": Text(),
                "transfer_group": Unsupported(),
            }
        ),
        list_charges,
        is_list=True,
    ),
)
