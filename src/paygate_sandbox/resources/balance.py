"""The balance and its transactions: what each captured charge brought, less Stripe's fee.

Every currency settles in itself. It must never decide that money moves, only record it.
"""

from typing import Any

from paygate_sandbox.books import Books
from paygate_sandbox.protocol.errors import missing_reference
from paygate_sandbox.protocol.lists import LIST_PARAMETERS, trim, window
from paygate_sandbox.protocol.parameters import Parameters, Text
from paygate_sandbox.resources.currencies import Currency
from paygate_sandbox.resources.endpoint import Call, Endpoint, Page
from paygate_sandbox.store.objects import Filing, JsonObject, Record

_DAY = 86_400
# Funds are there at midnight UTC of the second day after.
_FUNDS_DAYS = 2

# 2.9 % and a fixed part, in minor units of the currency.
_FEE_PER_MILLE = 29
_FIXED_FEES = {"usd": 30, "eur": 25, "gbp": 20, "chf": 30, "cad": 30, "aud": 30}
# Banks are cheaper: so many per mille, and at most so much.
_BANK_FEES = {
    "customer_balance": (5, 500),
    "sepa_debit": (8, 500),
    "us_bank_account": (8, 500),
}


def fee_on(amount: int, currency: str, method: str = "card") -> int:
    if method in _BANK_FEES:
        per_mille, most = _BANK_FEES[method]
        return min(most, (amount * per_mille + 500) // 1000)
    return min(amount, (amount * _FEE_PER_MILLE + 500) // 1000 + _FIXED_FEES.get(currency, 0))


def record_charge(
    books: Books,
    charge: JsonObject,
    amount: int,
    *,
    at_once: bool,
) -> str:
    """The balance transaction of captured money; answers its id."""
    currency = charge["currency"]
    method = charge["payment_method_details"]["type"]
    kind = "charge" if method == "card" else "payment"  # Stripe's names for the same
    fee = fee_on(amount, currency, method)
    available_on = books.now if at_once else (books.now // _DAY + _FUNDS_DAYS) * _DAY
    body: JsonObject = {
        "id": books.new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": books.now,
        "currency": currency,
        "description": charge["description"],
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [
            {
                "amount": fee,
                "application": None,
                "currency": currency,
                "description": "Stripe processing fees",
                "type": "stripe_fee",
            }
        ],
        "net": amount - fee,
        "reporting_category": "charge",
        "source": charge["id"],
        "status": "pending",
        "type": kind,
    }
    books.insert(Record(body), Filing(charge["id"], kind, currency))
    return str(body["id"])


def record_refund(
    books: Books, charge: JsonObject, refund_id: str, amount: int, *, failed: bool = False
) -> str:
    """The balance transaction of money that goes back, or (positive) came back; answers its id.
    The charge's fee stays with Stripe.
    """
    card = charge["payment_method_details"]["type"] == "card"
    currency, kind = charge["currency"], "refund" if card else "payment_refund"
    body: JsonObject = {
        "id": books.new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": books.now,
        "balance_type": "payments",
        "created": books.now,
        "currency": currency,
        "description": "REFUND FAILURE" if failed else "REFUND FOR CHARGE",
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": "refund_failure" if failed else "refund",
        "source": refund_id,
        "status": "available",
        "type": "refund_failure" if failed and card else kind,
    }
    books.insert(Record(body), Filing(refund_id, body["type"], currency))
    return str(body["id"])


def record_dispute(
    books: Books, charge: JsonObject, dispute_id: str, amount: int, fee: int
) -> JsonObject:
    """The balance transaction of disputed money that leaves, or (positive) comes back."""
    back = amount > 0
    said = "reversal" if back else "withdrawal"
    return _adjust(
        books,
        charge,
        dispute_id,
        amount=amount,
        fee=fee,
        fee_said="Dispute fee",
        type="adjustment",
        reporting_category="dispute_reversal" if back else "dispute",
        description=f"Chargeback {said} for {charge['id']}",
    )


def record_dispute_fee(
    books: Books, charge: JsonObject, dispute_id: str, amount: int
) -> JsonObject:
    """The balance transaction of a fee that stands alone, or (positive) is given back."""
    return _adjust(
        books,
        charge,
        dispute_id,
        amount=amount,
        fee=0,
        fee_said="",
        type="stripe_fee",
        reporting_category="fee",
        description="Dispute countered fee",
    )


def _adjust(
    books: Books,
    charge: JsonObject,
    dispute_id: str,
    *,
    amount: int,
    fee: int,
    fee_said: str,
    **named: str,
) -> JsonObject:
    """A transaction of a dispute, there at once. Lists find it by its charge, and not by the
    dispute that is its source.
    """
    currency = charge["currency"]
    part = {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": fee_said,
        "type": "stripe_fee",
    }
    body: JsonObject = {
        "id": books.new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": books.now,
        "balance_type": "payments",
        "created": books.now,
        "currency": currency,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [part] if fee else [],
        "net": amount - fee,
        "source": dispute_id,
        "status": "available",
        **named,
    }
    books.insert(Record(body), Filing(charge["id"], named["type"], currency))
    return body


def as_of(body: JsonObject, now: int) -> JsonObject:
    """Funds become available by time alone, so the status is told, not stored."""
    body["status"] = "available" if body["available_on"] <= now else "pending"
    return body


def retrieve(call: Call) -> JsonObject:
    return as_of(call.load("balance_transaction").body, call.books.now)


def list_transactions(call: Call) -> Page:
    params = call.params
    if "payout" in params:
        raise missing_reference("payout", params["payout"], "payout")
    objects = call.books.objects
    asked = window(
        params, lambda cursor: objects.cursor("balance_transaction", cursor), "balance transaction"
    )
    filters: dict[str, Any] = {
        column: params[param]
        for param, column in (("source", "related"), ("type", "type"), ("currency", "currency"))
        if param in params
    }
    records, has_more = trim(objects.page("balance_transaction", asked, filters), asked)
    for record in records:
        as_of(record.body, call.books.now)
        record.encoded = b""
    return Page(records, has_more)


def retrieve_balance(call: Call) -> JsonObject:
    totals: dict[bool, list[JsonObject]] = {True: [], False: []}
    sums: dict[tuple[bool, str], int] = {}
    for currency, available, amount in call.books.objects.balances(call.books.now):
        sums[bool(available), currency] = amount
    for currency in sorted({currency for _, currency in sums} or {"usd"}):
        for available, lines in totals.items():
            amount = sums.get((available, currency), 0)
            lines.append({"amount": amount, "currency": currency, "source_types": {"card": amount}})
    return {
        "object": "balance",
        "available": totals[True],
        "livemode": False,
        "pending": totals[False],
    }


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
