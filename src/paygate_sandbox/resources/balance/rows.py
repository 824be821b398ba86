"""What moves the balance: each movement a balance transaction, less Stripe's fee.

It must never decide that money moves, only book it.
"""

from dataclasses import dataclass
from typing import Final

from paygate_sandbox.books import Books
from paygate_sandbox.resources.balance.conversion import Settled, settle
from paygate_sandbox.resources.balance.fees import fee_on
from paygate_sandbox.store.balance_rows import BalanceRow
from paygate_sandbox.store.objects import Filing, JsonObject, Record

# The timer of a day on which funds become available.
ANNOUNCE_FUNDS: Final = "announce_funds"
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Movement:
    """Money in minor units of a currency that the account keeps. `related`: what lists find it by,
    where that is not its source. `available_on` None: at once. `payout`: whose line it is.
    """

    type: str
    reporting_category: str
    amount: int
    currency: str
    source: str | None = None
    description: str | None = None
    related: str | None = None
    fee: int = 0
    fee_type: str = "stripe_fee"
    fee_said: str = "Stripe processing fees"
    rate: float | None = None
    available_on: int | None = None
    payout: str | None = None


def book(books: Books, movement: Movement) -> JsonObject:
    """The balance transaction of a movement, booked."""
    available_on = books.now if movement.available_on is None else movement.available_on
    part = {
        "amount": movement.fee,
        "application": None,
        "currency": movement.currency,
        "description": movement.fee_said,
        "type": movement.fee_type,
    }
    body: JsonObject = {
        "id": books.new_id("txn"),
        "object": "balance_transaction",
        "amount": movement.amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": books.now,
        "currency": movement.currency,
        "description": movement.description,
        "exchange_rate": movement.rate,
        "fee": movement.fee,
        "fee_details": [part] if movement.fee else [],
        "net": movement.amount - movement.fee,
        "reporting_category": movement.reporting_category,
        "source": movement.source,
        "status": "available" if available_on <= books.now else "pending",
        "type": movement.type,
    }
    related = movement.related or movement.source
    books.insert(Record(body), Filing(related, movement.type, movement.currency))
    books.bring(
        body["id"], BalanceRow(movement.currency, body["net"], available_on, movement.payout)
    )
    if available_on > books.now:
        books.set_timer(f"funds_{available_on}", ANNOUNCE_FUNDS, available_on)
    return body


def record_charge(books: Books, charge: JsonObject, amount: int, *, at_once: bool) -> str:
    """The balance transaction of captured money; answers its id."""
    settling, method = books.parts.settling, charge["payment_method_details"]["type"]
    days = settling.available_in_days
    available_on = books.now if at_once else max(books.now, (books.now // _DAY + days) * _DAY)
    captured = settle(settling, amount, charge["currency"])
    in_two = settling.partial_capture == "two_rows" and amount < charge["amount"]
    shown = settle(settling, charge["amount"], charge["currency"]) if in_two else captured
    kind = "charge" if method == "card" else "payment"  # Stripe's names for the same
    body = book(
        books,
        Movement(
            type=kind,
            reporting_category="charge",
            amount=shown.amount,
            currency=shown.currency,
            source=charge["id"],
            description=charge["description"],
            fee=fee_on(captured.amount, captured.currency, method),
            rate=_told(shown),
            available_on=available_on,
        ),
    )
    if in_two:
        book(
            books,
            Movement(
                type="refund",
                reporting_category="partial_capture_reversal",
                amount=captured.amount - shown.amount,
                currency=shown.currency,
                source=charge["id"],
                description="Partial capture reversal",
                rate=_told(shown),
                available_on=available_on,
            ),
        )
    return str(body["id"])


def record_refund(
    books: Books, charge: JsonObject, refund_id: str, amount: int, *, failed: bool = False
) -> str:
    """The balance transaction of money that goes back, or (positive) came back; answers its id.
    The charge's fee stays with Stripe.
    """
    card = charge["payment_method_details"]["type"] == "card"
    kind = "refund" if card else "payment_refund"
    settled = settle(books.parts.settling, amount, charge["currency"])
    body = book(
        books,
        Movement(
            type="refund_failure" if failed and card else kind,
            reporting_category="refund_failure" if failed else "refund",
            amount=settled.amount,
            currency=settled.currency,
            source=refund_id,
            description="REFUND FAILURE" if failed else "REFUND FOR CHARGE",
            rate=_told(settled),
        ),
    )
    return str(body["id"])


def record_dispute(
    books: Books, charge: JsonObject, dispute_id: str, amount: int, fee: int
) -> JsonObject:
    """The balance transaction of disputed money that leaves, or (positive) comes back. Lists find
    it by its charge, and not by the dispute that is its source.
    """
    back = amount > 0
    said = "reversal" if back else "withdrawal"
    settled = settle(books.parts.settling, amount, charge["currency"])
    return book(
        books,
        Movement(
            type="adjustment",
            reporting_category="dispute_reversal" if back else "dispute",
            amount=settled.amount,
            currency=settled.currency,
            source=dispute_id,
            related=charge["id"],
            description=f"Chargeback {said} for {charge['id']}",
            fee=fee,
            fee_said="Dispute fee",
            rate=_told(settled),
        ),
    )


def record_dispute_fee(
    books: Books, charge: JsonObject, dispute_id: str, amount: int
) -> JsonObject:
    """The balance transaction of a fee that stands alone, or (positive) is given back."""
    return book(
        books,
        Movement(
            type="stripe_fee",
            reporting_category="fee",
            amount=amount,
            currency=settle(books.parts.settling, 0, charge["currency"]).currency,
            source=dispute_id,
            related=charge["id"],
            description="Dispute countered fee",
        ),
    )


def _told(settled: Settled) -> float | None:
    """The rate as Stripe shows it: a number, for explanation only."""
    return None if settled.rate is None else float(settled.rate)
