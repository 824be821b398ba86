"""The balance and its transactions, as they are read.

It must never move money: `rows` does.
"""

from typing import Any, Final

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Parameters, Text
from paygate_sandbox.resources.currencies import Currency
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page, refer
from paygate_sandbox.store.objects import JsonObject, Record


def as_of(body: JsonObject, now: int) -> JsonObject:
    """Funds become available by time alone, so the status is told, not stored."""
    body["status"] = "available" if body["available_on"] <= now else "pending"
    return body


def retrieve(call: Call) -> JsonObject:
    return as_of(call.load("balance_transaction").body, call.books.now)


_FILTERS: Final = {
    "source": "related",
    "type": "type",
    "currency": "currency",
    "payout": "payout",
}


def list_transactions(call: Call) -> Page:
    params = call.params
    if "payout" in params:
        _check_payout(call)
    objects = call.books.objects
    asked = window(
        params, lambda cursor: objects.cursor("balance_transaction", cursor), "balance transaction"
    )
    filters: dict[str, Any] = {
        column: params[param] for param, column in _FILTERS.items() if param in params
    }
    records, has_more = trim(objects.page("balance_transaction", asked, filters), asked)
    for record in records:
        as_of(record.body, call.books.now)
        record.encoded = b""
    return Page(records, has_more)


def _check_payout(call: Call) -> None:
    payout = refer(call.books, "payout", call.params["payout"], "payout")
    if not payout.body["automatic"]:
        raise StripeError(
            "Balance transaction history can only be filtered on automatic transfers, not manual."
        )


def balance_of(books: Books) -> JsonObject:
    """The balance as of now, every currency by itself."""
    sums: dict[tuple[bool, str], int] = {}
    for currency, available, amount in books.balance_rows.sums(books.now):
        sums[bool(available), currency] = amount
    currencies = sorted({currency for _, currency in sums} or {"usd"})

    def lines(*, available: bool) -> list[JsonObject]:
        return [_line(sums.get((available, each), 0), each) for each in currencies]

    free = lines(available=True)
    return {
        "object": "balance",
        "available": free,
        "instant_available": [_line(max(0, line["amount"]), line["currency"]) for line in free],
        "livemode": False,
        "pending": lines(available=False),
    }


def _line(amount: int, currency: str) -> JsonObject:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


def retrieve_balance(call: Call) -> JsonObject:
    return balance_of(call.books)


def announce_funds(books: Books, _day: str) -> None:
    """The timer of the day on which funds become available."""
    balance = Record(balance_of(books))
    balance.encode()
    books.emit("balance.available", balance)


ENDPOINTS = (
    Endpoint("GET", "balance", "balance", "retrieve", Parameters(), retrieve_balance),
    Endpoint(
        "GET",
        "balance_transactions/{}",
        "balance_transaction",
        "retrieve",
        Parameters(),
        retrieve,
    ),
    Endpoint(
        "GET",
        "balance_transactions",
        "balance_transaction",
        "list",
        Parameters(
            {
                **LIST_PARAMETERS,
                "currency": Currency(),
                "payout": Text(),
                "source": Text(),
                "type": Text(),
            }
        ),
        list_transactions,
        is_list=True,
    ),
)
