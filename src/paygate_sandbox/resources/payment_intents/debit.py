"""Paying by a debit: the bank is asked for the money and answers days later, yes or no.

It must never ask without the customer's mandate.
"""

from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import CARD_ERROR, StripeError, error_object
from paygate_sandbox.resources import charges
from paygate_sandbox.resources.bank_accounts import FAILURES
from paygate_sandbox.resources.cards import Aftermath
from paygate_sandbox.resources.mandates import new_mandate
from paygate_sandbox.resources.payment_intents.intent import quoted
from paygate_sandbox.resources.payment_intents.outcome import fail, take
from paygate_sandbox.store.objects import Filing, JsonObject, Record

# The timer of the bank's answer.
END_DEBIT = "settle_debit"  # as timers are stored

_REFUSED: JsonObject = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "declined_by_network",
    "risk_level": "not_assessed",
    "seller_message": "The bank did not return any further details with this decline.",
    "type": "issuer_declined",
}
_SHOWN = {
    "sepa_debit": ("bank_code", "branch_code", "country", "fingerprint", "last4"),
    "us_bank_account": (
        "account_holder_type",
        "account_type",
        "bank_name",
        "fingerprint",
        "last4",
        "routing_number",
    ),
}


def confirm(books: Books, intent: Record, method: Record, params: dict[str, Any]) -> Record:
    if "mandate_data" not in params:
        raise StripeError(
            "This PaymentIntent requires a mandate, but no existing mandate was found. Collect "
            "mandate acceptance from the customer and try again, providing acceptance data in the "
            "mandate_data parameter.",
            code="payment_intent_mandate_invalid",
            payment_intent=quoted(intent),
        )
    mandate = new_mandate(books, method, intent.body, params["mandate_data"])
    kind = method.body["type"]
    details = {name: method.body[kind][name] for name in _SHOWN[kind]}
    details["mandate"] = mandate.id
    if kind == "us_bank_account":
        details["payment_reference"] = None
    charge = charges.bank_charge(books, intent, method, details)
    books.insert(charge, Filing(related=intent.id))
    books.emit("charge.pending", charge)
    method.private["charged_by"] = intent.id
    books.update(method)
    intent.body["latest_charge"], intent.body["status"] = charge.id, "processing"
    books.update(intent)
    books.emit("payment_intent.processing", intent)
    seconds = method.private["debit"]["seconds"]
    if seconds is not None:
        books.set_timer(intent.id, END_DEBIT, books.now + seconds)
    return intent


def end_debit(books: Books, intent_id: str) -> None:
    """The timer of the bank's answer."""
    intent = books.find("payment_intent", intent_id)
    assert intent is not None, "an intent is never deleted"
    assert intent.body["status"] == "processing", "nothing else ends a debit"
    charge = books.find("charge", intent.body["latest_charge"])
    method = books.find("payment_method", intent.body["payment_method"])
    assert charge is not None, "a debit has its charge"
    assert method is not None, "a debit has its account"
    failure = method.private["debit"]["failure"]
    if failure is None:
        returned = method.private["debit"].get("returned", False)
        follows: tuple[Aftermath, ...] = ("returned_debit",) if returned else ()
        take(books, intent, charge, available_at_once=False, aftermath=follows)
        return
    charges.fail(charge, failure, FAILURES[failure], {**_REFUSED, "reason": failure})
    books.update(charge)
    books.emit("charge.failed", charge)
    error = error_object(
        FAILURES[failure],
        kind=CARD_ERROR,  # Stripe's word for whatever the payer's side refuses
        code=failure,
        charge=charge.id,
        payment_method=method.body,
    )
    fail(books, intent, error)
