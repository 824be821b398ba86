"""Mandates: a customer's recorded consent to one debit.

Each attempt to debit makes its own. It must never judge whether the debit goes through.
"""

from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.parameters import Parameters
from paygate_sandbox.resources.endpoint import Call, Endpoint
from paygate_sandbox.store.objects import Filing, JsonObject, Record

_REFERENCE_LENGTH = 16


def new_mandate(
    books: Books, method: Record, intent: JsonObject, acceptance: dict[str, Any]
) -> Record:
    kind = method.body["type"]
    online = acceptance["type"] == "online"
    body: JsonObject = {
        "id": books.new_id("mandate"),
        "object": "mandate",
        "customer_acceptance": {
            "accepted_at": acceptance.get("accepted_at", books.now),
            **({"online": acceptance["online"]} if online else {"offline": {}}),
            "type": acceptance["type"],
        },
        "livemode": False,
        "payment_method": method.id,
        "payment_method_details": {kind: _details(books, kind), "type": kind},
        "single_use": {"amount": intent["amount"], "currency": intent["currency"]},
        "status": "active",
        "type": "single_use",
    }
    record = Record(body)
    books.insert(record, Filing(created=books.now))
    return record


def _details(books: Books, kind: str) -> JsonObject:
    if kind != "sepa_debit":
        return {}
    reference = books.token(_REFERENCE_LENGTH).upper()
    return {"reference": reference, "url": f"{books.parts.base_url}/mandates/{reference}"}


def retrieve(call: Call) -> Record:
    return call.load("mandate")


ENDPOINTS = (Endpoint("GET", "mandates/{}", "mandate", "retrieve", Parameters(), retrieve),)
