"""Early fraud warnings: a card's bank takes a charge for fraud, and nobody disputes it yet.

It must never move money.
"""

from typing import Final

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Parameters, Text
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page, refer
from paygate_sandbox.store.objects import Filing, JsonObject, Record, Window

KIND: Final = "radar.early_fraud_warning"
STOLEN: Final = "made_with_stolen_card"
TYPES: Final = (
    "card_never_received",
    "fraudulent_card_application",
    "made_with_counterfeit_card",
    "made_with_lost_card",
    STOLEN,
    "misc",
    "unauthorized_use_of_card",
)
_MOST_OF_A_CHARGE = 100


def warn(books: Books, charge: Record, fraud_type: str = STOLEN) -> Record:
    """A warning of a charge; one that is disputed or refunded already helps nobody."""
    body: JsonObject = {
        "id": books.new_id("issfr"),
        "object": KIND,
        "actionable": _is_actionable(charge),
        "charge": charge.id,
        "created": books.now,
        "fraud_type": fraud_type,
        "livemode": False,
        "payment_intent": charge.body["payment_intent"],
    }
    warning = Record(body)
    books.insert(warning, Filing(related=charge.id))
    books.emit(f"{KIND}.created", warning)
    return warning


def reconsider(books: Books, charge: Record) -> None:
    """After a dispute or a refund of the charge: its warnings may have become idle."""
    if _is_actionable(charge):
        return
    found = books.objects.page(KIND, Window(_MOST_OF_A_CHARGE), {"related": charge.id})
    for warning in found:
        if warning.body["actionable"]:
            warning.body["actionable"] = False
            books.update(warning)
            books.emit(f"{KIND}.updated", warning, {"actionable": True})


def _is_actionable(charge: Record) -> bool:
    return not charge.body["disputed"] and not charge.body["refunded"]


def retrieve(call: Call) -> Record:
    return call.load(KIND)


def list_warnings(call: Call) -> Page:
    params, objects = call.params, call.books.objects
    asked = window(params, lambda cursor: objects.cursor(KIND, cursor), "early fraud warning")
    filters: dict[str, str] = {}
    if "payment_intent" in params:
        intent = refer(call.books, "payment_intent", params["payment_intent"], "payment_intent")
        filters["related"] = intent.body["latest_charge"] or ""
    if "charge" in params:
        filters["related"] = call.refer("charge", "charge")
    return Page(*trim(objects.page(KIND, asked, filters), asked))


ENDPOINTS = (
    Endpoint("GET", "radar/early_fraud_warnings/{}", KIND, "retrieve", Parameters(), retrieve),
    Endpoint(
        "GET",
        "radar/early_fraud_warnings",
        KIND,
        "list",
        Parameters({**LIST_PARAMETERS, "charge": Text(), "payment_intent": Text()}),
        list_warnings,
        is_list=True,
    ),
)
