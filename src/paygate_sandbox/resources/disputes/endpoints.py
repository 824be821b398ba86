"""The calls of disputes: seen, answered, given up.

It must never decide how a dispute ends.
"""

from typing import Any, Final

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import (
    Boolean,
    Metadata,
    Parameters,
    Text,
    merge_metadata,
)
from paygate_sandbox.resources.disputes import case
from paygate_sandbox.resources.disputes.evidence import (
    COMPLIANCE,
    Evidence,
    acknowledges,
    is_some,
    merged,
)
from paygate_sandbox.resources.disputes.judgement import JUDGE, JUDGED_AFTER
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page, refer
from paygate_sandbox.store.objects import JsonObject, Record

_OPERATION: Final = "disputes"
_REVIEWED = {
    "needs_response": "under_review",
    "under_review": "under_review",
    "warning_needs_response": "warning_under_review",
    "warning_under_review": "warning_under_review",
}


def retrieve(call: Call) -> Record:
    return call.load(case.KIND)


def list_disputes(call: Call) -> Page:
    params, objects = call.params, call.books.objects
    asked = window(params, lambda cursor: objects.cursor(case.KIND, cursor), case.KIND)
    filters: dict[str, str] = {}
    if "payment_intent" in params:
        intent = refer(call.books, "payment_intent", params["payment_intent"], "payment_intent")
        filters["related"] = intent.body["latest_charge"] or ""
    if "charge" in params:
        filters["related"] = call.refer("charge", "charge")
    return Page(*trim(objects.page(case.KIND, asked, filters), asked))


def update(call: Call) -> Record:
    """Evidence is submitted with the call that brings it, unless that says otherwise."""
    params, books = call.params, call.books
    dispute = _open(call)
    body, before = dispute.body, _seen(dispute)
    if "metadata" in params:
        body["metadata"] = merge_metadata(body["metadata"], params["metadata"])
    if "evidence" in params:
        body["evidence"] = merged(books, body["evidence"], params["evidence"])
        body["evidence_details"]["has_evidence"] = is_some(body["evidence"])
    submits = params.get("submit", "evidence" in params)
    if submits:
        _submit(call, dispute)
    books.update(dispute)
    books.emit("charge.dispute.updated", dispute, before)
    if submits:
        books.emit("charge.updated", case.charge_of(books, dispute), {})
    return dispute


def _submit(call: Call, dispute: Record) -> None:
    body, books = dispute.body, call.books
    details: JsonObject = body["evidence_details"]
    if not details["has_evidence"]:
        raise StripeError("There is no evidence to submit.", param="evidence")
    for each in COMPLIANCE:
        if each not in body["enhanced_eligibility_types"]:
            continue
        if not acknowledges(body["evidence"], each):
            raise StripeError(
                "The network fee must be acknowledged before evidence is submitted.",
                param=f"evidence[enhanced_evidence][{each}][fee_acknowledged]",
            )
        details["enhanced_eligibility"][each]["status"] = "fee_acknowledged"
    if details["submission_count"] == 0:
        case.counter(books, dispute)
    details["submission_count"] += 1
    body["status"] = _REVIEWED[body["status"]]
    books.set_timer(dispute.id, JUDGE, books.now + JUDGED_AFTER)


def close(call: Call) -> Record:
    """Give it up. An inquiry has taken nothing that could be given up."""
    dispute = _open(call)
    if dispute.body["status"] in case.INQUIRIES:
        raise StripeError("An inquiry cannot be closed; refund the charge instead.")
    case.lose(call.books, dispute)
    call.books.emit("charge.updated", case.charge_of(call.books, dispute), {})
    return dispute


def _open(call: Call) -> Record:
    dispute = call.load(case.KIND)
    if dispute.body["status"] not in case.OPEN:
        raise StripeError("This dispute is already closed")
    return dispute


def _seen(dispute: Record) -> JsonObject:
    """What an event calls previous."""
    body = dispute.body
    return {
        "evidence": body["evidence"],
        "evidence_details": {**body["evidence_details"]},
        "metadata": body["metadata"],
        "status": body["status"],
    }


_UPDATE: dict[str, Any] = {
    "evidence": Evidence(),
    "metadata": Metadata(unsettable=True),
    "submit": Boolean(),
}

ENDPOINTS = (
    Endpoint("GET", "disputes/{}", case.KIND, "retrieve", Parameters(), retrieve),
    Endpoint("POST", "disputes/{}", case.KIND, _OPERATION, Parameters(_UPDATE), update),
    Endpoint("POST", "disputes/{}/close", case.KIND, _OPERATION, Parameters(), close),
    Endpoint(
        "GET",
        "disputes",
        case.KIND,
        "list",
        Parameters({**LIST_PARAMETERS, "charge": Text(), "payment_intent": Text()}),
        list_disputes,
        is_list=True,
    ),
)
