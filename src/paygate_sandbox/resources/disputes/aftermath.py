"""What follows a payment with a test card or account: disputes and warnings.

It must never be asked before the money is taken.
"""

from typing import Final

from paygate_sandbox.books import Books
from paygate_sandbox.resources.cards import Aftermath
from paygate_sandbox.resources.disputes import case, fraud_warnings
from paygate_sandbox.store.objects import Record


def follow(books: Books, charge: Record, aftermath: tuple[Aftermath, ...]) -> None:
    """Several disputes of one payment share it."""
    disputes = [each for each in aftermath if each != "fraud_warning"]
    if "fraud_warning" in aftermath:
        fraud_warnings.warn(books, charge)
    left: int = charge.body["amount_captured"]
    for number, each in enumerate(disputes):
        share = left // (len(disputes) - number)
        left -= share
        if share:
            case.begin(books, charge, _terms(books, charge, each, share))


def _terms(books: Books, charge: Record, aftermath: Aftermath, amount: int) -> case.Terms:
    kind, reason = _WORDS[aftermath]
    return case.Terms(
        kind=kind,
        reason=reason,
        amount=amount,
        currency=charge.body["currency"],
        settled=amount,
        due_by=0 if aftermath == "returned_debit" else case.due_by(books.now),
        compliance="visa" if aftermath == "compliance" else None,
    )


_WORDS: Final[dict[Aftermath, tuple[case.Kind, str]]] = {
    "dispute": ("chargeback", "fraudulent"),
    "not_received": ("chargeback", "product_not_received"),
    "inquiry": ("inquiry", "fraudulent"),
    "compliance": ("chargeback", "noncompliant"),
    "returned_debit": ("chargeback", "debit_not_authorized"),
}
