"""Customers: who pays, as far as the merchant tells.

It must never know what they paid.
"""

from typing import Any

from paygate_sandbox.protocol.errors import missing_object
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import (
    Metadata,
    Parameter,
    Parameters,
    Text,
    Unsupported,
    merge_metadata,
)
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.resources.method_data import Address
from paygate_sandbox.store.objects import JsonObject, Record

_KIND = "customer"
_PREFIX_LENGTH = 8
_TOLD = ("address", "description", "email", "name", "phone")


class _OptionalAddress:
    def read(self, name: str, raw: Any) -> dict[str, Any] | None:
        return None if raw == "" else Address().read(name, raw)


def create(call: Call) -> Record:
    params, books = call.params, call.books
    body: JsonObject = {
        "id": books.new_id("cus"),
        "object": _KIND,
        "address": params.get("address"),
        "balance": 0,
        "created": books.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": books.token(_PREFIX_LENGTH).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "name": params.get("name"),
        "next_invoice_sequence": 1,
        "phone": params.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    # `cash` is by currency, `waiting` the payments that a transfer would pay for, oldest first.
    record = Record(body, {"cash": {}, "waiting": []})
    books.insert(record)
    books.emit("customer.created", record)
    return record


def update(call: Call) -> Record:
    params, record = call.params, call.load(_KIND)
    body, before = record.body, dict(record.body)
    for name in _TOLD:
        if name in params:
            body[name] = params[name]
    if "metadata" in params:
        body["metadata"] = merge_metadata(body["metadata"], params["metadata"])
    previous = {name: before[name] for name in before if before[name] != body[name]}
    if previous:
        call.books.update(record)
        call.books.emit("customer.updated", record, previous)
    return record


def delete(call: Call) -> Record:
    """What was told of them is forgotten; that they were, and what they paid, is not."""
    record = call.load(_KIND)
    call.books.emit("customer.deleted", record)
    record.body = {
        "id": record.id,
        "object": _KIND,
        "deleted": True,
    }
    call.books.update(record)
    return record


def retrieve(call: Call) -> Record:
    record = call.books.find(_KIND, call.target)
    if record is None:
        raise missing_object(_KIND, call.target)
    return record


def list_customers(call: Call) -> Page:
    objects, params = call.books.objects, call.params
    asked = window(params, lambda cursor: objects.cursor(_KIND, cursor), _KIND)
    filters: dict[str, Any] = {"deleted": 0}
    if "email" in params:
        filters["email"] = params["email"]
    return Page(*trim(objects.page(_KIND, asked, filters), asked))


_PARAMETERS: dict[str, Parameter] = {
    "address": _OptionalAddress(),
    "description": Text(unsettable=True),
    "email": Text(512, unsettable=True),
    "metadata": Metadata(unsettable=True),
    "name": Text(256, unsettable=True),
    "phone": Text(20, unsettable=True),
    **dict.fromkeys(
        (
            "balance",
            "business_name",
            "cash_balance",
            "individual_name",
            "invoice_prefix",
            "invoice_settings",
            "next_invoice_sequence",
            "preferred_locales",
            "shipping",
            "source",
            "tax",
            "tax_exempt",
        ),
        Unsupported(),
    ),
}

ENDPOINTS = (
    Endpoint(
        "POST",
        "customers",
        _KIND,
        "customers",
        Parameters(
            {
                **_PARAMETERS,
                **dict.fromkeys(("payment_method", "tax_id_data", "test_clock"), Unsupported()),
            }
        ),
        create,
    ),
    Endpoint("GET", "customers/{}", _KIND, "retrieve", Parameters(), retrieve),
    Endpoint(
        "GET",
        "customers",
        _KIND,
        "list",
        Parameters({**LIST_PARAMETERS, "email": Text(512), "test_clock": Unsupported()}),
        list_customers,
        is_list=True,
    ),
    Endpoint("POST", "customers/{}", _KIND, "customers", Parameters(_PARAMETERS), update),
    Endpoint("DELETE", "customers/{}", _KIND, "customers", Parameters(), delete),
)
