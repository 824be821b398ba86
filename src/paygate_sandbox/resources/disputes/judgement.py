"""How a dispute goes on by itself: a bank reads evidence, and days pass.

It must never answer a call.
"""

from typing import Final

from paygate_sandbox.books import Books
from paygate_sandbox.resources import refunds
from paygate_sandbox.resources.disputes import case
from paygate_sandbox.resources.disputes.evidence import ESCALATING, LOSING, WINNING
from paygate_sandbox.store.objects import Record, Window

# The timer of a bank that reads what was submitted.
JUDGE: Final = "judge_dispute"
JUDGED_AFTER: Final = 5
# A refund that was made so shortly before a chargeback has not left yet, and never will.
_TOO_LATE = 60
_MOST_REFUNDS = 100


def judge(books: Books, dispute_id: str) -> None:
    """The timer of what was submitted. Without a word that decides, a bank never does."""
    dispute = _find(books, dispute_id)
    word = dispute.body["evidence"]["uncategorized_text"]
    status = dispute.body["status"]
    if status == "warning_under_review":
        if word == ESCALATING:
            _escalate(books, dispute)
        elif word in {WINNING, LOSING}:
            case.drop(books, dispute)
    elif status == "under_review":
        if word == WINNING:
            case.win(books, dispute)
        elif word == LOSING:
            case.lose(books, dispute)


def pass_due(books: Books, dispute_id: str) -> None:
    """The timer of the day by which an answer was due."""
    dispute = _find(books, dispute_id)
    if dispute.body["status"] == "needs_response":
        case.lose(books, dispute)
    elif dispute.body["status"] == "warning_needs_response":
        _escalate(books, dispute)


def _escalate(books: Books, dispute: Record) -> None:
    case.escalate(books, dispute)
    found = books.objects.page(
        "refund",
        Window(_MOST_REFUNDS, since=books.now - _TOO_LATE),
        {"related": dispute.body["charge"]},
    )
    for refund in found:
        if refund.body["status"] in {"pending", "succeeded"}:
            refunds.fail(books, refund, "charge_for_pending_refund_disputed")


def _find(books: Books, dispute_id: str) -> Record:
    dispute = books.find(case.KIND, dispute_id)
    assert dispute is not None, "a dispute is never deleted"
    return dispute
