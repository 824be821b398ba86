"""The PaymentIntent calls.

They must never hold a rule of the payment's life: they check, load, and ask.
"""

import hmac
from typing import Any

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.lists import trim, window
from paygate_sandbox.resources.currencies import check_amount
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page, PaymentFailure
from paygate_sandbox.resources.method_types import check_currency
from paygate_sandbox.resources.payment_intents import attempt, hold, parameters
from paygate_sandbox.resources.payment_intents.intent import (
    apply_description,
    apply_notes,
    apply_terms,
    missing_method,
    must_be_open,
    new_intent,
)
from paygate_sandbox.store.objects import Record

_KIND = "payment_intent"
# What an update may change at any time; everything else wants the intent open.
_NOTES = frozenset(
    {"metadata", "description", "statement_descriptor", "statement_descriptor_suffix"}
)


def create(call: Call) -> Record | PaymentFailure:
    params, books = call.params, call.books
    intent = new_intent(books, params)
    books.insert(intent)
    books.emit("payment_intent.created", intent)
    if not params.get("confirm"):
        return intent
    # The new method was set above; the attempt takes it from the intent.
    attempted = {name: value for name, value in params.items() if name in parameters.ATTEMPT}
    return attempt.confirm(books, intent, attempted)


def check_create(params: dict[str, Any]) -> None:
    check_amount(params["amount"], params["currency"])
    check_currency(params.get("payment_method_types", ()), params["currency"])
    if params.get("confirm"):
        if not {"payment_method", "payment_method_data"} & params.keys():
            raise missing_method()
        return
    for name in params:
        if name in parameters.ATTEMPT:
            raise StripeError(
                f"The parameter `{name}` cannot be passed when creating a PaymentIntent unless "
                "`confirm` is set to true.",
                param=name,
            )


def retrieve(call: Call) -> Record:
    intent = call.load(_KIND)
    _check_client_secret(intent, call.params)
    return intent


def list_intents(call: Call) -> Page:
    objects, params = call.books.objects, call.params
    asked = window(params, lambda cursor: objects.cursor(_KIND, cursor), _KIND)
    filters = {"customer": call.refer("customer", "customer")} if "customer" in params else {}
    return Page(*trim(objects.page(_KIND, asked, filters), asked))


def update(call: Call) -> Record:
    intent, params = call.load(_KIND), call.params
    binding = [name for name in params if name not in _NOTES]
    if binding:
        must_be_open(intent, binding)
    apply_notes(intent, params)
    apply_description(intent, params)
    apply_terms(call.books, intent, params)
    call.books.update(intent)
    return intent


def confirm(call: Call) -> Record | PaymentFailure:
    intent = call.load(_KIND)
    _check_client_secret(intent, call.params)
    return attempt.confirm(call.books, intent, call.params)


def capture(call: Call) -> Record:
    return hold.capture(call.books, call.load(_KIND), call.params)


def cancel(call: Call) -> Record:
    return hold.cancel(call.books, call.load(_KIND), call.params.get("cancellation_reason"))


def _check_client_secret(intent: Record, params: dict[str, Any]) -> None:
    secret = params.get("client_secret")
    if secret is not None and not hmac.compare_digest(
        secret.encode(), intent.body["client_secret"].encode()
    ):
        raise StripeError(
            "The client_secret provided does not match the client_secret associated with the "
            "PaymentIntent.",
            param="client_secret",
        )


def _creates(form: dict[str, Any]) -> str:
    return "confirm" if form.get("confirm") == "true" else "create"


_ONE = "payment_intents/{}"

ENDPOINTS = (
    Endpoint(
        "POST", "payment_intents", _KIND, _creates, parameters.CREATE, create, check=check_create
    ),
    Endpoint("GET", _ONE, _KIND, "retrieve", parameters.RETRIEVE, retrieve),
    Endpoint("GET", "payment_intents", _KIND, "list", parameters.LIST, list_intents, is_list=True),
    Endpoint("POST", _ONE, _KIND, "update", parameters.UPDATE, update),
    Endpoint("POST", f"{_ONE}/confirm", _KIND, "confirm", parameters.CONFIRM, confirm),
    Endpoint("POST", f"{_ONE}/capture", _KIND, "capture", parameters.CAPTURE, capture),
    Endpoint("POST", f"{_ONE}/cancel", _KIND, "cancel", parameters.CANCEL, cancel),
)
