"""Paying by a transfer that the customer pushes: instructions, then money, perhaps in parts.

What lies in the customer's cash balance pays first. It must never refuse money: too much stays
with the customer.
"""

from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import (
    StripeError,
    missing_parameter,
    unsupported_parameter,
)
from paygate_sandbox.resources import cash_balance
from paygate_sandbox.resources.charges import bank_charge
from paygate_sandbox.resources.endpoint import refer
from paygate_sandbox.resources.method_types import check_currency
from paygate_sandbox.resources.payment_intents.outcome import take
from paygate_sandbox.resources.virtual_accounts import financial_addresses
from paygate_sandbox.store.objects import Filing, JsonObject, Record

_NONCE_LENGTH = 24
_REFERENCE_LENGTH = 12


def confirm(books: Books, intent: Record, params: dict[str, Any]) -> Record:
    customer = _customer(books, intent)
    if params.get("error_on_requires_action"):
        raise unsupported_parameter("error_on_requires_action")
    if cash_balance.available(customer, intent.body["currency"]) < intent.body["amount"]:
        _ask_customer(books, intent, customer)
    else:
        intent.private["transfer"] = {"applied": 0}
    return apply_funds(books, intent, customer)


def _customer(books: Books, intent: Record) -> Record:
    if intent.body["customer"] is None:
        raise StripeError(
            "A customer must be provided on this PaymentIntent to pay with `customer_balance`.",
            code="parameter_missing",
            param="customer",
        )
    return refer(books, "customer", intent.body["customer"], "customer")


def _ask_customer(books: Books, intent: Record, customer: Record) -> None:
    body = intent.body
    options = body["payment_method_options"]["customer_balance"]
    for name in ("funding_type", "bank_transfer"):
        if options.get(name) is None:
            raise missing_parameter(f"payment_method_options[customer_balance][{name}]")
    transfer = options["bank_transfer"]
    check_currency([transfer["type"]], body["currency"])
    nonce = books.token(_NONCE_LENGTH)
    # Once told it stays: the customer may have written it down.
    reference = intent.private.get("reference") or books.token(_REFERENCE_LENGTH).upper()
    intent.private["reference"] = reference
    country = transfer.get("eu_bank_transfer", {}).get("country")
    body["next_action"] = {
        "display_bank_transfer_instructions": {
            "amount_remaining": body["amount"],
            "currency": body["currency"],
            "financial_addresses": financial_addresses(customer.id, transfer["type"], country),
            "hosted_instructions_url": (
                f"{books.parts.base_url}/bank_transfers/{intent.id}/{nonce}"
            ),
            "reference": reference,
            "type": transfer["type"],
        },
        "type": "display_bank_transfer_instructions",
    }
    body["status"] = "requires_action"
    intent.private["transfer"] = {"applied": 0, "nonce": nonce}
    cash_balance.wait(books, customer, intent.id)
    books.update(intent)
    books.emit("payment_intent.requires_action", intent)


def waiting(books: Books, customer: Record, currency: str, reference: str | None) -> Record | None:
    """Whom money pays for: whose reference it bears, else who has waited longest."""
    intents = [books.find("payment_intent", each) for each in customer.private["waiting"]]
    fitting = [each for each in intents if each is not None and each.body["currency"] == currency]
    named = [each for each in fitting if each.private["reference"] in (reference or "")]
    return next(iter(named or fitting), None)


def apply_funds(books: Books, intent: Record, customer: Record) -> Record:
    """As much as is missing, or as much as there is."""
    transfer, currency = intent.private["transfer"], intent.body["currency"]
    missing = intent.body["amount"] - transfer["applied"]
    amount = min(missing, cash_balance.available(customer, currency))
    if amount == 0:
        return intent
    details = {"applied_to_payment": {"payment_intent": intent.id}}
    cash_balance.move(books, customer, currency, -amount, details)
    if amount == missing:
        return _complete(books, intent, customer)
    transfer["applied"] += amount
    instructions: JsonObject = intent.body["next_action"]["display_bank_transfer_instructions"]
    instructions["amount_remaining"] = missing - amount
    books.update(intent)
    books.emit("payment_intent.partially_funded", intent)
    return intent


def _complete(books: Books, intent: Record, customer: Record) -> Record:
    if intent.body["status"] == "requires_action":
        cash_balance.stop_waiting(books, customer, intent.id)
    del intent.private["transfer"]
    intent.body["next_action"] = None
    method = books.find("payment_method", intent.body["payment_method"])
    assert method is not None, "who waits for a transfer has a payment method"
    method.private["charged_by"] = intent.id
    books.update(method)
    charge = bank_charge(books, intent, method, {})
    books.insert(charge, Filing(related=intent.id))
    intent.body["latest_charge"] = charge.id
    return take(books, intent, charge, available_at_once=True)
