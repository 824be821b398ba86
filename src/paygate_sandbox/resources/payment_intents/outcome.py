"""How an attempt ends: the money taken, or the attempt failed.

It must never know how the customer pays.
"""

from paygate_sandbox.books import Books
from paygate_sandbox.resources.balance.rows import record_charge
from paygate_sandbox.resources.cards import Aftermath
from paygate_sandbox.resources.charges import pay
from paygate_sandbox.resources.disputes.aftermath import follow
from paygate_sandbox.resources.endpoint import PaymentFailure
from paygate_sandbox.resources.payment_intents.intent import quoted
from paygate_sandbox.store.objects import JsonObject, Record

# The timer of asynchronous capture.
RECORD_BALANCE = "record_balance"

# With asynchronous capture the balance transaction follows about a second later.
_ASYNC_BALANCE_SECONDS = 1


def take(
    books: Books,
    intent: Record,
    charge: Record,
    *,
    available_at_once: bool,
    aftermath: tuple[Aftermath, ...] = (),
) -> Record:
    """All of it; the charge is in the books already. What the payer's bank does then comes between
    the charge's event and the payment's.
    """
    pay(books, charge, captured=True)
    if intent.body["capture_method"] == "automatic":
        charge.body["balance_transaction"] = record_charge(
            books, charge.body, charge.body["amount"], at_once=available_at_once
        )
    else:
        charge.private["available_at_once"] = available_at_once
        books.set_timer(charge.id, RECORD_BALANCE, books.now + _ASYNC_BALANCE_SECONDS)
    books.update(charge)
    books.emit("charge.succeeded", charge)
    follow(books, charge, aftermath)
    intent.body["status"] = "succeeded"
    intent.body["amount_received"] = intent.body["amount"]
    books.update(intent)
    books.emit("payment_intent.succeeded", intent)
    return intent


def record_balance(books: Books, charge_id: str) -> None:
    """The timer of asynchronous capture."""
    charge = books.find("charge", charge_id)
    assert charge is not None, "a charge is never deleted"
    charge.body["balance_transaction"] = record_charge(
        books,
        charge.body,
        charge.body["amount_captured"],
        at_once=charge.private["available_at_once"],
    )
    books.update(charge)
    books.emit("charge.updated", charge, {"balance_transaction": None})


def fail(books: Books, intent: Record, error: JsonObject) -> PaymentFailure:
    intent.body["status"] = "requires_payment_method"
    intent.body["payment_method"] = None
    intent.body["last_payment_error"] = error
    books.update(intent)
    books.emit("payment_intent.payment_failed", intent)
    return PaymentFailure(402, {**error, "payment_intent": quoted(intent)})
