"""What the books consist of, as plain rows. Amounts are in minor units, times in Unix seconds, UTC.

Pure data.
"""

from typing import NamedTuple


class Payment(NamedTuple):
    """A captured payment as the merchant's side recorded it; where the status is `failed`, it
    knows of no capture.
    """

    payment_intent: str
    charge: str
    attempt: str
    amount: int
    amount_captured: int
    currency: str
    status: str
    captured_at: int


class Refund(NamedTuple):
    """A refund as the merchant's side recorded it."""

    refund: str
    charge: str
    payment_intent: str
    amount: int
    currency: str
    created_at: int


class Dispute(NamedTuple):
    """A chargeback as the merchant's side recorded it."""

    dispute: str
    charge: str
    payment_intent: str
    amount: int
    currency: str
    reason: str
    created_at: int


class Line(NamedTuple):
    """A line of a payout as the provider's report tells it, a balance transaction. `marked`: it
    bears the marks of the installation and `attempt`; `fee` is positive where it costs.
    """

    transaction: str
    category: str
    gross: int
    fee: int
    currency: str
    created_at: int
    available_on: int
    description: str
    source: str = ""
    charge: str = ""
    payment_intent: str = ""
    charged_at: int | None = None
    customer_amount: int | None = None
    customer_currency: str = ""
    attempt: str = ""
    marked: bool = False
    dispute_reason: str = ""

    @property
    def net(self) -> int:
        return self.gross - self.fee


class Payout(NamedTuple):
    """A payout as the provider tells it, with its lines."""

    id: str
    amount: int
    currency: str
    status: str
    created_at: int
    arrival_date: int
    lines: list[Line]


class Discrepancy(NamedTuple):
    """A label: what is wrong, and where it is to be found. Amounts None: not about an amount."""

    kind: str
    detail: str
    payout: str = ""
    transaction: str = ""
    charge: str = ""
    payment_intent: str = ""
    expected: int | None = None
    found: int | None = None
    currency: str = ""


Entry = Payment | Refund | Dispute | Payout | Discrepancy
