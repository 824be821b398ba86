"""The PaymentIntent itself: how it looks when new, what may be written on it, and its refusals.

It must never talk to the network of cards: that is the attempt.
"""

from typing import Any

import msgspec

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.parameters import merge_metadata
from paygate_sandbox.resources import cash_balance
from paygate_sandbox.resources.currencies import check_amount
from paygate_sandbox.resources.endpoint import refer
from paygate_sandbox.resources.method_types import check_currency
from paygate_sandbox.resources.payment_methods import from_data, from_reference
from paygate_sandbox.store.objects import JsonObject, Record

# An attempt may start, and the terms may change, only here.
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")

UNEXPECTED_STATE = "payment_intent_unexpected_state"

_SECRET_LENGTH = 25


def new_intent(books: Books, params: dict[str, Any]) -> Record:
    intent_id = books.new_id("pi")
    automatic = _automatic_payment_methods(params)
    types = params.get("payment_method_types", ["card"])
    body: JsonObject = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{books.token(_SECRET_LENGTH)}",
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "created": books.now,
        "currency": params["currency"],
        "customer": _customer(books, params),
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": _options({}, types, params.get("payment_method_options", {})),
        "payment_method_types": types,
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "review": None,
        "setup_future_usage": None,
        "shipping": params.get("shipping"),
        "statement_descriptor": params.get("statement_descriptor"),
        "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    record = Record(body)
    choose_method(books, record, params)
    return record


def _customer(books: Books, params: dict[str, Any]) -> str | None:
    customer: str | None = params.get("customer")
    return None if customer is None else refer(books, "customer", customer, "customer").id


def _automatic_payment_methods(params: dict[str, Any]) -> JsonObject | None:
    """Without any word about methods, Stripe takes the dashboard's, redirects included."""
    given: JsonObject | None = params.get("automatic_payment_methods")
    if "payment_method_types" in params:
        if given is not None and given["enabled"]:
            raise StripeError(
                "You may only specify one of these parameters: automatic_payment_methods, "
                "payment_method_types."
            )
        return None
    if given is not None and not given["enabled"]:
        return None
    return {"allow_redirects": (given or {}).get("allow_redirects", "always"), "enabled": True}


_OPTIONS: dict[str, JsonObject] = {
    "card": {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    },
    "customer_balance": {"funding_type": None},
    "sepa_debit": {},
    "us_bank_account": {"verification_method": "automatic"},
}


def _options(old: JsonObject, types: list[str], given: dict[str, Any]) -> JsonObject:
    """Those of the allowed types, and no others."""
    return {kind: {**_OPTIONS[kind], **old.get(kind, {}), **given.get(kind, {})} for kind in types}


def choose_method(books: Books, intent: Record, params: dict[str, Any]) -> Record | None:
    """The method that a call names or describes, if it does."""
    if "payment_method_data" in params:
        if "payment_method" in params:
            raise StripeError(
                "You may only specify one of these parameters: payment_method, payment_method_data."
            )
        return set_method(books, intent, from_data(books, params["payment_method_data"]))
    if "payment_method" in params:
        customer = intent.body["customer"]
        method = from_reference(books, params["payment_method"], "payment_method", customer)
        return set_method(books, intent, method)
    return None


def set_method(books: Books, intent: Record, method: Record) -> Record:
    kind, allowed = method.body["type"], intent.body["payment_method_types"]
    if kind not in allowed:
        raise StripeError(
            f"The PaymentMethod provided ({kind}) is not allowed for this PaymentIntent. Please "
            f"attach a PaymentMethod of one of the following types: {', '.join(allowed)}. "
            "Alternatively update the allowed payment_method_types for this PaymentIntent to "
            f'include "{kind}".',
            code="payment_intent_incompatible_payment_method",
            param="payment_method",
        )
    owner = method.body["customer"]
    if owner is not None and owner != intent.body["customer"]:
        raise StripeError(
            "The provided PaymentMethod belongs to a Customer. Please include the Customer in the "
            "`customer` parameter on the PaymentIntent.",
            param="payment_method",
        )
    drop_action(books, intent)
    intent.body["payment_method"] = method.id
    intent.body["status"] = "requires_confirmation"
    return method


def drop_action(books: Books, intent: Record) -> None:
    """What the customer was asked for is asked no more; what they sent in part is theirs again."""
    intent.body["next_action"] = None
    intent.private.pop("challenge", None)
    transfer = intent.private.pop("transfer", None)
    if transfer is None:
        return
    customer = books.find("customer", intent.body["customer"])
    assert customer is not None, "a customer is known even when deleted"
    cash_balance.stop_waiting(books, customer, intent.id)
    if transfer["applied"]:
        details = {"unapplied_from_payment": {"payment_intent": intent.id}}
        cash_balance.move(books, customer, intent.body["currency"], transfer["applied"], details)
        cash_balance.announce(books, customer)


def apply_description(intent: Record, params: dict[str, Any]) -> None:
    """What may be said about a payment while it is open: update and confirm both take it."""
    body = intent.body
    for name in ("capture_method", "payment_method_types", "receipt_email", "shipping"):
        if name in params:
            body[name] = params[name]
    if "payment_method_types" in params:
        body["automatic_payment_methods"] = None
    types = body["payment_method_types"]
    given = params.get("payment_method_options", {})
    body["payment_method_options"] = _options(body["payment_method_options"], types, given)


def apply_notes(intent: Record, params: dict[str, Any]) -> None:
    """What may be noted at any time."""
    body = intent.body
    if "metadata" in params:
        body["metadata"] = merge_metadata(body["metadata"], params["metadata"])
    for name in ("description", "statement_descriptor", "statement_descriptor_suffix"):
        if name in params:
            body[name] = params[name]


def apply_terms(books: Books, intent: Record, params: dict[str, Any]) -> None:
    body = intent.body
    if "amount" in params or "currency" in params:
        terms = body | params
        check_amount(terms["amount"], terms["currency"])
        _reopen(books, intent)
        body["amount"], body["currency"] = terms["amount"], terms["currency"]
    if "customer" in params:
        _reopen(books, intent)
        body["customer"] = _customer(books, params)
    check_currency(body["payment_method_types"], body["currency"])
    choose_method(books, intent, params)


def _reopen(books: Books, intent: Record) -> None:
    """What the customer was asked for was asked on other terms."""
    if intent.body["status"] == "requires_action":
        drop_action(books, intent)
        intent.body["status"] = "requires_confirmation"


def must_be_open(intent: Record, names: list[str]) -> None:
    status = intent.body["status"]
    if status not in OPEN:
        raise StripeError(
            f"This PaymentIntent's {names[0]} could not be updated because it has a status of "
            f"{status}. You may only update the {names[0]} of a PaymentIntent with one of the "
            f"following statuses: {', '.join(OPEN)}.",
            code=UNEXPECTED_STATE,
            payment_intent=quoted(intent),
        )


def unexpected_state(
    intent: Record, verb: str, participle: str, statuses: tuple[str, ...]
) -> StripeError:
    return StripeError(
        f"{verb} because it has a status of {intent.body['status']}. Only a PaymentIntent with "
        f"one of the following statuses may be {participle}: {', '.join(statuses)}.",
        code=UNEXPECTED_STATE,
        payment_intent=quoted(intent),
    )


def missing_method(intent: Record | None = None) -> StripeError:
    return StripeError(
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can "
        "either update the PaymentIntent with a payment method and then confirm it again, or "
        "confirm it again directly with a payment method or ConfirmationToken.",
        code=UNEXPECTED_STATE,
        payment_intent=quoted(intent) if intent is not None else None,
    )


def quoted(intent: Record) -> msgspec.Raw:
    return msgspec.Raw(intent.encoded)
