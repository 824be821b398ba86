"""Disputes and fraud warnings by order: what a payer's bank does when a test wants it.

It must never take back more than a charge took.
"""

from paygate_sandbox.books import Books
from paygate_sandbox.control.orders import DisputeOrder, OrderError, WarningOrder
from paygate_sandbox.resources.disputes import case, fraud_warnings
from paygate_sandbox.store.objects import Record


def dispute(books: Books, order: DisputeOrder) -> Record:
    """Raises OrderError."""
    charge = _taken(books, order.charge)
    body = charge.body
    if order.reason not in case.REASONS:
        raise OrderError(f"unknown reason: one of {', '.join(case.REASONS)}")
    if order.kind == "inquiry" and order.due_in_seconds == 0:
        raise OrderError("an inquiry can be answered")
    if order.kind != "chargeback" and (order.compliance or order.countered_fee):
        raise OrderError("only a chargeback costs fees")
    amount = body["amount_captured"] - body["amount_refunded"]
    amount = amount if order.amount is None else order.amount
    currency = order.currency or body["currency"]
    if currency != body["currency"] and order.settled is None:
        raise OrderError("in another currency than the charge's, `settled` says what leaves")
    settled = amount if order.settled is None else order.settled
    if not 0 < settled <= body["amount_captured"]:
        raise OrderError("more is disputed than the charge took, or nothing")
    terms = case.Terms(
        kind=order.kind,
        reason=order.reason,
        amount=amount,
        currency=currency,
        settled=settled,
        due_by=_due_by(books, order),
        countered_fee=order.countered_fee,
        compliance=order.compliance,
    )
    return case.begin(books, charge, terms)


def warning(books: Books, order: WarningOrder) -> Record:
    """Raises OrderError."""
    if order.fraud_type not in fraud_warnings.TYPES:
        raise OrderError(f"unknown fraud_type: one of {', '.join(fraud_warnings.TYPES)}")
    return fraud_warnings.warn(books, _taken(books, order.charge), order.fraud_type)


def _taken(books: Books, charge_id: str) -> Record:
    charge = books.find("charge", charge_id)
    if charge is None:
        raise OrderError("there is no such charge")
    if not charge.body["captured"]:
        raise OrderError("the charge took nothing")
    return charge


def _due_by(books: Books, order: DisputeOrder) -> int:
    if order.kind == "prevented" or order.due_in_seconds == 0:
        return 0
    if order.due_in_seconds is None:
        return case.due_by(books.now)
    return books.now + order.due_in_seconds
