"""Payouts and other movements of the balance by order.

It must never pay out what is not there, unless a test orders a wrong total.
"""

from paygate_sandbox.books import Books
from paygate_sandbox.control.orders import AdjustmentOrder, OrderError, PayoutOrder
from paygate_sandbox.control.tampering import Tampered, Victim, tamper
from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.resources.balance.rows import Movement, book
from paygate_sandbox.resources.payouts import automatic, endpoints
from paygate_sandbox.resources.payouts.payout import FAILURES, Terms
from paygate_sandbox.store.objects import JsonObject, Record

_MEMBERS = (
    "id",
    "amount",
    "currency",
    "status",
    "automatic",
    "method",
    "reconciliation_status",
    "arrival_date",
    "failure_code",
    "metadata",
    "created",
)


def cut(books: Books, order: PayoutOrder) -> list[Record]:
    """A payout of each currency in which something is available. Raises OrderError."""
    _check(order)
    now = books.now
    currencies = books.balance_rows.currencies(now) if order.currency is None else [order.currency]
    made: list[Record] = []
    for currency in currencies:
        net = books.balance_rows.unpaid(currency, now).net
        if order.manual:
            made += _by_hand(books, order, currency, net)
        else:
            made += _by_itself(books, order, currency, net)
    if not made and order.tamper is not None:
        raise OrderError("no charge is available that could be tampered with")
    return made


def tell(payout: Record) -> JsonObject:
    """A payout for the judge: what was done to it is told too."""
    line = {member: payout.body[member] for member in _MEMBERS}
    return {**line, "tamper": None, "tampered": None, **payout.private.get("tampering", {})}


def adjust(books: Books, order: AdjustmentOrder) -> Record:
    """Money that moves without a payment: a fee, a reserve, a top-up, whatever is ordered."""
    days = order.available_in_days
    row = book(
        books,
        Movement(
            type=order.type,
            reporting_category=order.reporting_category or order.type,
            amount=order.amount,
            currency=order.currency,
            description=order.description,
            fee=order.fee,
            available_on=None if days == 0 else (books.now // 86_400 + days) * 86_400,
        ),
    )
    return Record(row)


def _check(order: PayoutOrder) -> None:
    by_itself = (order.tamper, order.charge, order.by, order.metadata, order.lines_in_hours)
    if order.manual and (order.reconciliation is not None or any(by_itself)):
        raise OrderError(
            "a payout by hand has no lines: nothing to tamper with, nothing to wait for"
        )
    if not order.manual and (order.amount is not None or order.method != "standard"):
        raise OrderError("only a payout by hand has an `amount` and a `method`")
    if order.tamper is None and (order.charge or order.by or order.metadata):
        raise OrderError("`charge`, `by` and `metadata` say how to tamper: give `tamper`")
    if order.charge is not None and order.tamper == "declined_line":
        raise OrderError("a declined_line is of the newest charge that was declined")
    if order.metadata is not None and order.tamper != "extra_line":
        raise OrderError("`metadata` is what the charge of an extra_line bears")
    if order.lines_in_hours is not None and order.reconciliation != "in_progress":
        raise OrderError("`lines_in_hours` is of a reconciliation that is in_progress")
    if order.failure_code is not None and order.failure_code not in FAILURES:
        raise OrderError(f"unknown failure_code: one of {', '.join(FAILURES)}")
    if not order.fail and (order.failure_code is not None or order.fails_in_days is not None):
        raise OrderError("`failure_code` and `fails_in_days` are of a payout that fails: `fail`")


def _terms(order: PayoutOrder, amount: int, currency: str) -> Terms:
    code = (order.failure_code or "account_closed") if order.fail else None
    return Terms(
        amount=amount,
        currency=currency,
        automatic=not order.manual,
        method=order.method,
        arrival_in_days=order.arrival_in_days,
        failure_code=code,
        fails_in_days=2 if order.fails_in_days is None else order.fails_in_days,
    )


def _by_hand(books: Books, order: PayoutOrder, currency: str, net: int) -> list[Record]:
    amount = net if order.amount is None else order.amount
    if amount <= 0:
        return []
    try:
        return [endpoints.pay_out(books, _terms(order, amount, currency))]
    except StripeError as refusal:
        raise OrderError(str(refusal)) from None


def _by_itself(books: Books, order: PayoutOrder, currency: str, net: int) -> list[Record]:
    tampered = _tampered(books, order, currency)
    if order.tamper is not None and tampered is None:
        return []
    done = tampered or Tampered(0, {})
    amount = net + done.lines + done.total
    if amount == 0:
        return []
    hours = 0 if order.reconciliation != "in_progress" else order.lines_in_hours or 12
    payout = automatic.pay_out(
        books, _terms(order, amount, currency), lines_in_hours=hours, but=done.left_out
    )
    if tampered is not None:
        payout.private["tampering"] = {"tamper": order.tamper, "tampered": done.said}
        books.update(payout)
    return [payout]


def _tampered(books: Books, order: PayoutOrder, currency: str) -> Tampered | None:
    if order.tamper is None:
        return None
    row = books.balance_rows.oldest_charge(currency, books.now, order.charge)
    if row is None:
        return None
    charge = books.find("charge", row.body["source"])
    assert charge is not None, "a row of a charge has it as its source"
    return tamper(books, order.tamper, Victim(row, charge, order.by, order.metadata))
