"""Payment methods that belong to a customer: attached, listed, detached.

One that belongs to somebody may be used again and again, by them; one that was taken away, by
nobody.
"""

from typing import Any, Final

from paygate_sandbox.protocol.errors import StripeError, missing_object
from paygate_sandbox.protocol.lists import PAGE_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Parameters, Text
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.resources.payment_methods import from_reference
from paygate_sandbox.store.objects import Record

_KIND: Final = "payment_method"


def attach(call: Call) -> Record:
    """Also by a test token, which then becomes a method."""
    books = call.books
    customer = call.refer("customer", "customer")
    if not call.target.startswith("pm_"):
        raise missing_object(_KIND, call.target)
    method = from_reference(books, call.target, _KIND)
    if method.body["customer"] is not None:
        raise StripeError(
            "The payment method you provided has already been attached to a customer."
        )
    method.body["customer"] = customer
    books.update(method)
    books.emit("payment_method.attached", method)
    return method


def detach(call: Call) -> Record:
    method = call.load(_KIND)
    customer = method.body["customer"]
    if customer is None:
        raise StripeError(
            "The payment method you provided is not attached to a customer so detachment is "
            "impossible."
        )
    method.body["customer"] = None
    method.private["detached"] = True
    call.books.update(method)
    call.books.emit("payment_method.detached", method, {"customer": customer})
    return method


def list_of_customer(call: Call) -> Page:
    customer = call.load("customer")
    objects, params = call.books.objects, call.params
    asked = window(params, lambda cursor: objects.cursor(_KIND, cursor), "PaymentMethod")
    filters: dict[str, Any] = {"customer": customer.id}
    return Page(*trim(objects.page(_KIND, asked, filters), asked))


ENDPOINTS = (
    Endpoint(
        "POST",
        "payment_methods/{}/attach",
        _KIND,
        "payment_methods",
        Parameters({"customer": Text()}, required=("customer",)),
        attach,
    ),
    Endpoint("POST", "payment_methods/{}/detach", _KIND, "payment_methods", Parameters(), detach),
    Endpoint(
        "GET",
        "customers/{}/payment_methods",
        _KIND,
        "list",
        Parameters(PAGE_PARAMETERS),
        list_of_customer,
        is_list=True,
    ),
)
