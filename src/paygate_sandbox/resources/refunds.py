"""Refunds: captured money on its way back, in part or whole.

It must never give back more than a charge took.
"""

from typing import Any, Final

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import StripeError, missing_object, missing_parameter
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import (
    Boolean,
    Integer,
    Metadata,
    OneOf,
    Parameters,
    Text,
    Unsupported,
    merge_metadata,
)
from paygate_sandbox.resources.balance.rows import record_refund
from paygate_sandbox.resources.disputes import case, fraud_warnings
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page, refer
from paygate_sandbox.resources.payment_methods import card_of
from paygate_sandbox.store.objects import Filing, JsonObject, Record

_KIND: Final = "refund"
# The timer of what becomes of a refund that is not done at once.
END_REFUND: Final = "end_refund"
_SOME_TIME_LATER: Final = 180
_REASONS: Final = ("duplicate", "fraudulent", "requested_by_customer")


def create(call: Call) -> Record:
    params, books = call.params, call.books
    charge = _charge(call)
    amount = _amount(books, charge, params.get("amount"))
    end = _end_of(books, charge)
    body: JsonObject = {
        "id": books.new_id("re" if charge.id.startswith("ch_") else "pyr"),
        "object": _KIND,
        "amount": amount,
        "balance_transaction": None,
        "charge": charge.id,
        "created": books.now,
        "currency": charge.body["currency"],
        "destination_details": _destination(charge),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "payment_intent": charge.body["payment_intent"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if end == "succeeded" else "succeeded",
        "transfer_reversal": None,
    }
    if body["status"] == "pending":
        body["pending_reason"] = "processing"
    body["balance_transaction"] = record_refund(books, charge.body, body["id"], -amount)
    refund = Record(body, {"idempotency_key": books.origin.idempotency_key, "end": end})
    books.insert(refund, Filing(related=charge.id))
    books.emit("refund.created", refund)
    _add_to(books, charge, amount)
    books.emit("charge.refunded", charge, _before(charge, amount))
    if charge.body["refunded"]:
        case.drop_inquiries(books, charge)
        fraud_warnings.reconsider(books, charge)
    if end is not None:
        books.set_timer(refund.id, END_REFUND, books.now + _SOME_TIME_LATER)
    return refund


def _charge(call: Call) -> Record:
    params, books = call.params, call.books
    if "charge" in params and "payment_intent" in params:
        raise StripeError("You may only specify one of these parameters: charge, payment_intent.")
    if "charge" in params:
        charge = books.find("charge", params["charge"])
        if charge is None:
            raise missing_object("charge", params["charge"])
        return charge
    if "payment_intent" not in params:
        raise missing_parameter("charge")
    intent = refer(books, "payment_intent", params["payment_intent"], "payment_intent")
    latest = intent.body["latest_charge"]
    charge = None if latest is None else books.find("charge", latest)
    if charge is None:
        raise StripeError(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            param="payment_intent",
        )
    return charge


def _amount(books: Books, charge: Record, wanted: int | None) -> int:
    """How much is given back. Refused: a charge that took nothing, that is charged back, or of
    which too little is left.
    """
    body = charge.body
    if not body["captured"] or body["status"] != "succeeded":
        raise StripeError(
            f"Charge {charge.id} has not been captured, so it cannot be refunded.",
            param="charge",
        )
    lost = _lost(books, charge)
    left: int = body["amount_captured"] - body["amount_refunded"] - lost
    if lost and left <= 0:
        raise _charged_back(charge)
    if left == 0:
        raise StripeError(
            f"Charge {charge.id} has already been refunded.", code="charge_already_refunded"
        )
    amount = left if wanted is None else wanted
    if amount > left:
        raise StripeError(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            param="amount",
        )
    return amount


def _lost(books: Books, charge: Record) -> int:
    """What chargebacks took of a charge, and did not give back. Refused while one is undecided."""
    lost = 0
    for dispute in case.of_charge(books, charge.id) if charge.body["disputed"] else ():
        if dispute.body["status"] in {"needs_response", "under_review"}:
            raise _charged_back(charge)
        if dispute.body["status"] == "lost":
            lost += dispute.private["settled"]
    return lost


def _charged_back(charge: Record) -> StripeError:
    return StripeError(
        f"Charge {charge.id} has been charged back; cannot issue a refund.",
        code="charge_disputed",
    )


def _end_of(books: Books, charge: Record) -> str | None:
    """What becomes of the refund some time later; None: it is done at once, and stays so."""
    if charge.body["payment_method_details"]["type"] in {"sepa_debit", "us_bank_account"}:
        return "succeeded"
    if charge.body["payment_method_details"]["type"] != "card":
        return None
    method = books.find("payment_method", charge.body["payment_method"])
    assert method is not None, "a charge has its payment method"
    return card_of(method).refund_ends


def _destination(charge: Record) -> JsonObject:
    kind = charge.body["payment_method_details"]["type"]
    if kind == "card":
        arn = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
        return {"card": {**arn, "type": "refund"}, "type": "card"}
    if kind == "customer_balance":
        return {"customer_cash_balance": {}, "type": "customer_cash_balance"}
    return {kind: {}, "type": kind}


def _add_to(books: Books, charge: Record, amount: int) -> None:
    body = charge.body
    body["amount_refunded"] += amount
    body["refunded"] = body["amount_refunded"] == body["amount_captured"]
    books.update(charge)


def _before(charge: Record, amount: int) -> JsonObject:
    """What an event calls previous: the charge without this refund."""
    previous: JsonObject = {"amount_refunded": charge.body["amount_refunded"] - amount}
    if charge.body["refunded"]:
        previous["refunded"] = False
    return previous


def end_refund(books: Books, refund_id: str) -> None:
    """The timer of a refund that was not done at once."""
    refund = books.find(_KIND, refund_id)
    assert refund is not None, "a refund is never deleted"
    before = refund.body["status"]
    if before == "failed":
        return
    if refund.private["end"] == "succeeded":
        refund.body["status"] = "succeeded"
        refund.body.pop("pending_reason", None)
        _tell(books, refund, before, ("refund.updated", "charge.refund.updated"))
        return
    fail(books, refund, "expired_or_canceled_card")


def fail(books: Books, refund: Record, reason: str) -> None:
    """Money that had left, or was about to, stays."""
    before = refund.body["status"]
    charge = books.find("charge", refund.body["charge"])
    assert charge is not None, "a refund has its charge"
    amount: int = refund.body["amount"]
    refund.body.pop("pending_reason", None)
    refund.body["status"] = "failed"
    refund.body["failure_reason"] = reason
    refund.body["failure_balance_transaction"] = record_refund(
        books, charge.body, refund.id, amount, failed=True
    )
    _add_to(books, charge, -amount)
    _tell(books, refund, before, ("refund.updated", "refund.failed", "charge.refund.updated"))


def _tell(books: Books, refund: Record, before: str, events: tuple[str, ...]) -> None:
    books.update(refund)
    for event in events:
        books.emit(event, refund, {"status": before})


def retrieve(call: Call) -> Record:
    return call.load(_KIND)


def update(call: Call) -> Record:
    refund = call.load(_KIND)
    if "metadata" in call.params:
        previous = {"metadata": refund.body["metadata"]}
        given: dict[str, Any] = call.params["metadata"] or {}
        refund.body["metadata"] = merge_metadata(refund.body["metadata"], given)
        call.books.update(refund)
        call.books.emit("refund.updated", refund, previous)
        call.books.emit("charge.refund.updated", refund, previous)
    return refund


def cancel(call: Call) -> Record:
    """Only a refund that waits for its payer can be cancelled, and the sandbox makes none such."""
    call.load(_KIND)
    raise StripeError("Canceling this refund is unsupported.")


def list_refunds(call: Call) -> Page:
    params, objects = call.params, call.books.objects
    asked = window(params, lambda cursor: objects.cursor(_KIND, cursor), _KIND)
    filters: dict[str, str] = {}
    if "payment_intent" in params:
        intent = refer(call.books, "payment_intent", params["payment_intent"], "payment_intent")
        filters["related"] = intent.body["latest_charge"] or ""
    if "charge" in params:
        filters["related"] = call.refer("charge", "charge")
    return Page(*trim(objects.page(_KIND, asked, filters), asked))


ENDPOINTS = (
    Endpoint("GET", "refunds/{}", _KIND, "retrieve", Parameters(), retrieve),
    Endpoint(
        "POST",
        "refunds/{}",
        _KIND,
        "refund",
        Parameters({"metadata": Metadata(unsettable=True)}),
        update,
    ),
    Endpoint("POST", "refunds/{}/cancel", _KIND, "refund", Parameters(), cancel),
    Endpoint(
        "POST",
        "refunds",
        _KIND,
        "refund",
        Parameters(
            {
                "amount": Integer(minimum=1),
                "charge": Text(),
                "currency": Unsupported(),
                "customer": Unsupported(),
                "instructions_email": Text(),
                "metadata": Metadata(unsettable=True),
                "origin": Unsupported(),
                "payment_intent": Text(),
                "reason": OneOf(_REASONS),
                "refund_application_fee": Boolean(),
                "reverse_transfer": Boolean(),
            }
        ),
        create,
    ),
    Endpoint(
        "GET",
        "refunds",
        _KIND,
        "list",
        Parameters({**LIST_PARAMETERS, "charge": Text(), "payment_intent": Text()}),
        list_refunds,
        is_list=True,
    ),
)
