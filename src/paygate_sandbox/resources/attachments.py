"""PaymentMethods that a customer keeps: attached, they pay again; detached, they never do.

It must never let a method change its keeper.
"""

from typing import Any, Final

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.lists import PAGE_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Parameters, Text, Unsupported
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.resources.payment_methods import check_unused, retrieve
from paygate_sandbox.store.objects import Record

_KIND: Final = "payment_method"
# Of these a customer keeps none: each transfer has instructions of its own.
_NEVER_KEPT: Final = frozenset({"customer_balance"})


def attach(call: Call) -> Record:
    method = retrieve(call)
    customer = call.refer("customer", "customer")
    if method.body["type"] in _NEVER_KEPT:
        raise StripeError(
            f"A {method.body['type']} PaymentMethod cannot be attached to a customer."
        )
    if method.body["customer"] is not None:
        raise StripeError(
            "The payment method you provided has already been attached to a customer."
        )
    check_unused(method, "payment_method")
    method.body["customer"] = customer
    call.books.update(method)
    call.books.emit("payment_method.attached", method)
    return method


def detach(call: Call) -> Record:
    method = retrieve(call)
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
        Parameters({"customer": Text(), "customer_account": Unsupported()}, required=("customer",)),
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
