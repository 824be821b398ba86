"""A payout from its beginning to its end, and the money that it moves.

It must never decide what a payout takes, nor answer a call.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from paygate_sandbox.books import Books
from paygate_sandbox.resources.balance.rows import Movement, book
from paygate_sandbox.store.objects import Filing, JsonObject, Record

KIND: Final = "payout"
# The timers of a payout on its way.
SUBMIT: Final = "submit_payout"
ARRIVE: Final = "arrive_payout"
BOUNCE: Final = "bounce_payout"
TRACE: Final = "trace_payout"
_DAY: Final = 86_400
_SUBMITTED_AFTER: Final = 60
"""Until then it is pending, and can be cancelled."""
_TRACED_AFTER: Final = _DAY
"""A bank's reference comes later than the money, and no event tells of it."""
_INSTANT_SECONDS: Final = 1_800

Method = Literal["standard", "instant"]
Reconciliation = Literal["completed", "in_progress", "not_applicable"]

FAILURES: Final = {
    "account_closed": "The bank account has been closed.",
    "account_frozen": "The bank account has been frozen.",
    "bank_account_restricted": "The bank account has restrictions on the type, or number, of "
    "transfers allowed.",
    "could_not_process": "The bank could not process this transfer.",
    "debit_not_authorized": "Debit transactions are not approved on the bank account.",
    "incorrect_account_holder_name": "The bank account holder name on file appears to be "
    "incorrect.",
    "insufficient_funds": "The account has insufficient funds to cover the payout.",
    "invalid_account_number": "The routing number seems correct, but the account number is "
    "invalid.",
    "invalid_currency": "The bank was unable to process this transfer because of its currency.",
    "no_account": "The bank account details on file are probably incorrect. No bank account could "
    "be located with those details.",
}
"""Why a bank sends a payout back, in Stripe's words."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a payout is to be: `amount` in minor units, negative where the bank is debited; days
    until it arrives; whether and why it comes back so many days after it had arrived.
    """

    amount: int
    currency: str
    automatic: bool
    method: Method = "standard"
    arrival_in_days: int = 2
    failure_code: str | None = None
    fails_in_days: int = 2
    description: str | None = None
    statement_descriptor: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def body_of(payout_id: str, terms: Terms, account_id: str, now: int) -> JsonObject:
    """A payout in Stripe's shape, before money has moved for it."""
    return {
        "id": payout_id,
        "object": KIND,
        "amount": terms.amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": _arrival(terms, now),
        "automatic": terms.automatic,
        "balance_transaction": None,
        "created": now,
        "currency": terms.currency,
        "description": terms.description,
        # The account has one bank account for every currency.
        "destination": f"ba_{account_id.removeprefix('acct_')}",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": terms.metadata,
        "method": terms.method,
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "in_progress" if terms.automatic else "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": terms.statement_descriptor,
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }


def _arrival(terms: Terms, now: int) -> int:
    """Midnight UTC of the day, as Stripe tells dates; an instant payout has a time."""
    if terms.method == "instant":
        return now + _INSTANT_SECONDS
    return (now // _DAY + terms.arrival_in_days) * _DAY


def begin(books: Books, terms: Terms) -> Record:
    """Money leaves the balance; the bank has it when it arrives."""
    body = body_of(books.new_id("po"), terms, books.parts.account_id, books.now)
    private = {"failure_code": terms.failure_code, "fails_in_days": terms.fails_in_days}
    payout = Record(body, private)
    row = book(
        books,
        Movement(
            type="payout",
            reporting_category="payout",
            amount=-terms.amount,
            currency=terms.currency,
            source=payout.id,
            description=terms.description,
            # Its own row is one of its lines, as Stripe lists them.
            payout=payout.id if terms.automatic else None,
        ),
    )
    body["balance_transaction"] = row["id"]
    books.insert(payout, Filing(type=terms.method, currency=terms.currency))
    books.emit("payout.created", payout)
    arrives = max(body["arrival_date"], books.now)
    books.set_timer(payout.id, SUBMIT, min(books.now + _SUBMITTED_AFTER, arrives))
    return payout


def complete(books: Books, payout: Record) -> None:
    """Its lines are known, all of them."""
    _advance(books, payout, "payout.reconciliation_completed", reconciliation_status="completed")


def submit(books: Books, payout_id: str) -> None:
    """The timer of a payout that is given to the bank."""
    payout = _find(books, payout_id)
    books.set_timer(payout.id, ARRIVE, max(payout.body["arrival_date"], books.now))
    _advance(books, payout, status="in_transit")


def arrive(books: Books, payout_id: str) -> None:
    """The timer of the day on which the bank has it."""
    payout = _find(books, payout_id)
    if payout.private["failure_code"] is not None:
        later: int = payout.private["fails_in_days"] * _DAY
        books.set_timer(payout.id, BOUNCE, books.now + later)
    books.set_timer(payout.id, TRACE, books.now + _TRACED_AFTER)
    _advance(books, payout, "payout.paid", status="paid")


def trace(books: Books, payout_id: str) -> None:
    """The timer of the bank's reference. Nobody is told."""
    payout = _find(books, payout_id)
    payout.body["trace_id"] = {"status": "supported", "value": books.token(15).upper()}
    books.update(payout)


def bounce(books: Books, payout_id: str) -> None:
    """The timer of a bank that sends the money back: all of it, as one row."""
    payout = _find(books, payout_id)
    code: str = payout.private["failure_code"]
    row = _return(books, payout, "payout_failure", "STRIPE PAYOUT FAILURE")
    _advance(
        books,
        payout,
        "payout.failed",
        status="failed",
        failure_balance_transaction=row["id"],
        failure_code=code,
        failure_message=FAILURES[code],
    )


def cancel(books: Books, payout: Record) -> None:
    """The money never left."""
    row = _return(books, payout, "payout_cancel", "STRIPE PAYOUT CANCEL")
    books.clear_timer(payout.id, SUBMIT)
    _advance(
        books,
        payout,
        "payout.canceled",
        status="canceled",
        failure_balance_transaction=row["id"],
    )


def _return(books: Books, payout: Record, kind: str, said: str) -> JsonObject:
    return book(
        books,
        Movement(
            type=kind,
            reporting_category="payout_reversal",
            amount=payout.body["amount"],
            currency=payout.body["currency"],
            source=payout.id,
            description=said,
        ),
    )


def _advance(books: Books, payout: Record, event: str | None = None, **changes: object) -> None:
    """The payout as it is now, told as an update and by the event's own name."""
    before = {name: payout.body[name] for name in changes}
    payout.body.update(changes)
    books.update(payout)
    books.emit("payout.updated", payout, before)
    if event is not None:
        books.emit(event, payout)


def _find(books: Books, payout_id: str) -> Record:
    payout = books.find(KIND, payout_id)
    assert payout is not None, "a payout is never deleted"
    return payout
