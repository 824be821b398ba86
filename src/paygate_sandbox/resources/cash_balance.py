"""A customer's cash balance: money that came by transfer and pays for nothing yet.

Every movement is a transaction of its own. The customer's record carries the sums and the payments
that wait, oldest first. It must never decide what a payment becomes of money.
"""

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.lists import PAGE_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Parameters
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.store.objects import Filing, JsonObject, Record

_KIND = "customer_cash_balance_transaction"


def available(customer: Record, currency: str) -> int:
    cash: dict[str, int] = customer.private["cash"]
    return cash.get(currency, 0)


def move(books: Books, customer: Record, currency: str, amount: int, details: JsonObject) -> Record:
    """Into the balance, or out of it; `details` is one member, named for the kind of movement."""
    balance = available(customer, currency) + amount
    assert balance >= 0, "nobody takes more than there is"
    customer.private["cash"][currency] = balance
    books.update(customer)
    [kind] = details
    body: JsonObject = {
        "id": books.new_id("ccsbtxn"),
        "object": _KIND,
        "created": books.now,
        "currency": currency,
        "customer": customer.id,
        "customer_account": None,
        "ending_balance": balance,
        **details,
        "livemode": False,
        "net_amount": amount,
        "type": kind,
    }
    record = Record(body)
    books.insert(record, Filing(related=customer.id, type=kind, currency=currency))
    books.emit(f"{_KIND}.created", record)
    return record


def announce(books: Books, customer: Record) -> None:
    """Stripe's word that money lies there after it was matched with what waits."""
    record = Record(_body(customer))
    record.encode()
    books.emit("cash_balance.funds_available", record)


def wait(books: Books, customer: Record, intent_id: str) -> None:
    customer.private["waiting"].append(intent_id)
    books.update(customer)


def stop_waiting(books: Books, customer: Record, intent_id: str) -> None:
    customer.private["waiting"].remove(intent_id)
    books.update(customer)


def _body(customer: Record) -> JsonObject:
    cash = {currency: sum_ for currency, sum_ in sorted(customer.private["cash"].items()) if sum_}
    return {
        "object": "cash_balance",
        "available": cash or None,
        "customer": customer.id,
        "customer_account": None,
        "livemode": False,
        "settings": {"reconciliation_mode": "automatic", "using_merchant_default": True},
    }


def retrieve(call: Call) -> JsonObject:
    return _body(call.load("customer"))


def list_transactions(call: Call) -> Page:
    customer, objects = call.load("customer"), call.books.objects
    asked = window(
        call.params, lambda cursor: objects.cursor(_KIND, cursor), "cash balance transaction"
    )
    return Page(*trim(objects.page(_KIND, asked, {"related": customer.id}), asked))


ENDPOINTS = (
    Endpoint(
        "GET", "customers/{}/cash_balance", "cash_balance", "retrieve", Parameters(), retrieve
    ),
    Endpoint(
        "GET",
        "customers/{}/cash_balance_transactions",
        _KIND,
        "list",
        Parameters(PAGE_PARAMETERS),
        list_transactions,
        is_list=True,
    ),
)
