"""A dispute from its beginning to its end, and the money that it moves.

It must never read evidence: who has won is said by others.
"""

from dataclasses import dataclass
from typing import Final, Literal

from paygate_sandbox.books import Books
from paygate_sandbox.resources.balance.rows import record_dispute, record_dispute_fee
from paygate_sandbox.resources.disputes import fraud_warnings
from paygate_sandbox.resources.disputes.evidence import nothing
from paygate_sandbox.store.objects import Filing, JsonObject, Record, Window

KIND: Final = "dispute"
# The timer of the day by which an answer is due.
DUE: Final = "dispute_due"
RECEIVED_FEE: Final = 1_500
NETWORK_FEE: Final = 50_000
"""What a network takes for a compliance case that is answered, on top of all others."""
_DAY, _DAYS_TO_ANSWER = 86_400, 8
_MOST_OF_A_CHARGE = 100

Kind = Literal["chargeback", "inquiry", "prevented"]
Compliance = Literal["visa", "mastercard"]

REASONS: Final = {
    "bank_cannot_process": "R16",
    "check_returned": "R01",
    "credit_not_processed": "13.6",
    "customer_initiated": "R29",
    "debit_not_authorized": "R10",
    "duplicate": "12.6.1",
    "fraudulent": "10.4",
    "general": "10.5",
    "incorrect_account_details": "R03",
    "insufficient_funds": "R01",
    "noncompliant": "C1",
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "subscription_canceled": "13.2",
    "unrecognized": "10.1",
}
"""Stripe's reasons, each with the code that a network would give for it."""
_INQUIRED: Final = "10"
OPEN: Final = frozenset(
    {"warning_needs_response", "warning_under_review", "needs_response", "under_review"}
)
INQUIRIES: Final = frozenset({"warning_needs_response", "warning_under_review"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bank says: `amount` in `currency`, which may be another than the charge's; `settled`
    is what it takes in the charge's. `due_by` 0: nobody can answer, and it is lost at once.
    """

    kind: Kind
    reason: str
    amount: int
    currency: str
    settled: int
    due_by: int
    countered_fee: int = 0
    compliance: Compliance | None = None


def due_by(now: int) -> int:
    """The end of the day by which an answer is due, if nobody orders another."""
    return (now // _DAY + _DAYS_TO_ANSWER + 1) * _DAY - 1


def body_of(dispute_id: str, charge: JsonObject, terms: Terms, now: int) -> JsonObject:
    """A dispute in Stripe's shape, before money has moved for it."""
    compliance = None if terms.compliance is None else f"{terms.compliance}_compliance"
    needed = {"status": "requires_fee_acknowledgement"}
    status = {
        "chargeback": "needs_response" if terms.due_by else "lost",
        "inquiry": "warning_needs_response",
        "prevented": "prevented",
    }[terms.kind]
    body: JsonObject = {
        "id": dispute_id,
        "object": KIND,
        "amount": terms.amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": now,
        "currency": terms.currency,
        "enhanced_eligibility_types": [] if compliance is None else [compliance],
        "evidence": nothing(),
        "evidence_details": {
            "due_by": terms.due_by,
            "enhanced_eligibility": {} if compliance is None else {compliance: needed},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": terms.kind != "chargeback",
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": terms.reason,
        "status": status,
    }
    card = charge["payment_method_details"].get("card")
    if card is not None:
        body["payment_method_details"] = {
            "card": {
                "brand": card["brand"],
                "case_type": _case_type(terms),
                "network": card["network"],
                "network_reason_code": _INQUIRED
                if terms.kind == "inquiry"
                else REASONS[terms.reason],
            },
            "type": "card",
        }
    return body


def _case_type(terms: Terms) -> str:
    if terms.compliance is not None:
        return "compliance"
    return "block" if terms.kind == "prevented" else terms.kind


def begin(books: Books, charge: Record, terms: Terms) -> Record:
    """A bank disputes a charge. Money leaves at once, unless it only asks."""
    body = body_of(books.new_id("du"), charge.body, terms, books.now)
    private = {
        "settled": terms.settled,
        "countered_fee": terms.countered_fee + (NETWORK_FEE if terms.compliance else 0),
    }
    dispute = Record(body, private)
    withdraws = terms.kind == "chargeback"
    if withdraws:
        body["balance_transactions"].append(
            record_dispute(books, charge.body, dispute.id, -terms.settled, RECEIVED_FEE)
        )
    books.insert(dispute, Filing(related=charge.id))
    if terms.kind != "prevented":
        charge.body["disputed"] = True
        books.update(charge)
    books.emit("charge.dispute.created", dispute)
    if withdraws:
        books.emit("charge.dispute.funds_withdrawn", dispute)
    if body["status"] in OPEN:
        books.set_timer(dispute.id, DUE, terms.due_by)
    elif withdraws:
        books.emit("charge.dispute.closed", dispute)
    fraud_warnings.reconsider(books, charge)
    return dispute


def counter(books: Books, dispute: Record) -> None:
    """An answer costs a fee of its own where that is so; it comes back to who wins."""
    fee: int = dispute.private["countered_fee"]
    if fee:
        _add_fee(books, dispute, -fee)
        dispute.private["countered"] = fee


def escalate(books: Books, dispute: Record) -> None:
    """An inquiry becomes a chargeback: money leaves, and evidence is due anew."""
    charge, before = charge_of(books, dispute), dispute.body["status"]
    body = dispute.body
    body["status"], body["is_charge_refundable"] = "needs_response", False
    if "payment_method_details" in body:
        card = body["payment_method_details"]["card"]
        card["case_type"], card["network_reason_code"] = "chargeback", REASONS[body["reason"]]
    body["evidence_details"]["due_by"] = due_by(books.now)
    body["balance_transactions"].append(
        record_dispute(books, charge.body, dispute.id, -dispute.private["settled"], RECEIVED_FEE)
    )
    books.update(dispute)
    books.set_timer(dispute.id, DUE, body["evidence_details"]["due_by"])
    books.emit("charge.dispute.updated", dispute, {"status": before})
    books.emit("charge.dispute.funds_withdrawn", dispute)


def win(books: Books, dispute: Record) -> None:
    """The money comes back; of the fees, what the answer cost."""
    charge = charge_of(books, dispute)
    settled: int = dispute.private["settled"]
    dispute.body["balance_transactions"].append(
        record_dispute(books, charge.body, dispute.id, settled, 0)
    )
    if dispute.private.get("countered"):
        _add_fee(books, dispute, dispute.private["countered"])
    dispute.body["is_charge_refundable"] = True
    before = _end(books, dispute, "won")
    books.emit("charge.dispute.funds_reinstated", dispute, before)
    books.emit("charge.dispute.closed", dispute, before)


def lose(books: Books, dispute: Record) -> None:
    books.emit("charge.dispute.closed", dispute, _end(books, dispute, "lost"))


def drop(books: Books, dispute: Record) -> None:
    """An inquiry ends without a chargeback."""
    books.emit("charge.dispute.closed", dispute, _end(books, dispute, "warning_closed"))


def drop_inquiries(books: Books, charge: Record) -> None:
    """All of a charge was refunded: whoever asked has their money."""
    for dispute in of_charge(books, charge.id):
        if dispute.body["status"] in INQUIRIES:
            dispute.body["is_charge_refundable"] = False
            drop(books, dispute)


def of_charge(books: Books, charge_id: str) -> list[Record]:
    """Every dispute of a charge, newest first."""
    return books.objects.page(KIND, Window(_MOST_OF_A_CHARGE), {"related": charge_id})


def charge_of(books: Books, dispute: Record) -> Record:
    charge = books.find("charge", dispute.body["charge"])
    assert charge is not None, "a dispute has its charge"
    return charge


def _end(books: Books, dispute: Record, status: str) -> JsonObject:
    """Close a case; answers what an event calls previous."""
    before: JsonObject = {"status": dispute.body["status"]}
    dispute.body["status"] = status
    books.update(dispute)
    books.clear_timer(dispute.id, DUE)
    return before


def _add_fee(books: Books, dispute: Record, amount: int) -> None:
    charge = charge_of(books, dispute)
    row = record_dispute_fee(books, charge.body, dispute.id, amount)
    dispute.body["balance_transactions"].append(row)
