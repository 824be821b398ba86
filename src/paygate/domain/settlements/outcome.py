"""What a provider says of its payouts and of the lines on the merchant's balance.

Amounts are in the smallest unit of their currency and signed from the merchant's side: what comes
in is positive. Dates are the provider's calendar days, never instants.
"""

from datetime import date, datetime
from enum import StrEnum

from paygate.domain.record import Recorded


class PayoutStatus(StrEnum):
    """How far a payout has come. What was paid may still fail."""

    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LineCategory(StrEnum):
    """What a line is for. One vocabulary for all providers; `UNKNOWN` is a word that is not known
    here, kept in `Line.provider_category`.
    """

    CHARGE = "charge"
    PARTIAL_CAPTURE_REVERSAL = "partial_capture_reversal"
    """The part of a charge that was never captured: negative, beside a charge of the whole."""
    CHARGE_FAILURE = "charge_failure"
    """A charge that was booked and failed after all, such as a debit that bounced."""
    REFUND = "refund"
    REFUND_FAILURE = "refund_failure"
    DISPUTE = "dispute"
    DISPUTE_REVERSAL = "dispute_reversal"
    FEE = "fee"
    """A fee of its own. Fees on other lines are in their `fee`."""
    TAX = "tax"
    RESERVE = "reserve"
    """Held back (negative) or released (positive)."""
    ADVANCE = "advance"
    TOPUP = "topup"
    TRANSFER = "transfer"
    """To or from another account at the provider."""
    CONVERSION = "conversion"
    ADJUSTMENT = "adjustment"
    """One that the provider books by hand."""
    PAYOUT = "payout"
    """The payout's own row."""
    OTHER_PAYOUT = "other_payout"
    """The row of another payout, one that the provider does not itemise: it left the balance
    between the lines of this one, and its own settlement posts it."""
    PAYOUT_FAILURE = "payout_failure"
    """A payout that came back, as one sum."""
    UNKNOWN = "unknown"


class Payout(Recorded, frozen=True, kw_only=True):
    """A payout as the provider says that it stands."""

    provider_reference: str
    amount: int
    """Negative when the bank account is debited."""
    currency: str
    status: PayoutStatus
    automatic: bool
    """False: made by hand. Its lines cannot be listed."""
    itemised: bool
    """Whether the provider tells its lines: not of manual and instant ones."""
    lines_complete: bool
    """Whether it says that all of them are there."""
    arrival_date: date
    created_at: datetime
    failure_code: str | None = None
    failure_reference: str | None = None
    """The line by which the money of a failed payout came back."""
    reverses: str | None = None
    """The provider's id of the payout that this one reverses."""
    reversed_by: str | None = None
    trace_id: str | None = None
    """The bank's own id of the transfer; it may come days later."""
    livemode: bool | None = None
    as_of: datetime | None = None
    """The provider's own clock: the answer's `Date`, or the event's `created`."""


class FeePart(Recorded, frozen=True):
    """A part of a line's fee. `amount` is positive when the merchant pays it."""

    kind: str
    """`provider_fee`, `tax`, `application_fee`, or the provider's own word."""
    amount: int
    currency: str


class Line(Recorded, frozen=True, kw_only=True, gc=False):
    """A movement on the merchant's balance at the provider: `net` is `gross - fee`, all three in
    the currency that the balance is kept in. A line never changes, and is known by its
    `provider_reference`.
    """

    provider_reference: str
    category: LineCategory
    provider_category: str
    """The provider's own word, which is told where `category` is unknown."""
    gross: int
    fee: int
    net: int
    currency: str
    available_on: date
    created_at: datetime
    customer_amount: int | None = None
    """What moved at the payer's side, signed as `gross`; None where it is not told."""
    customer_currency: str | None = None
    exchange_rate: str | None = None
    """A decimal: a customer's amount times it makes the amount here."""
    source_reference: str | None = None
    """The provider's id of the charge, refund, dispute or payout that it is for."""
    payment_reference: str | None = None
    """The provider's id of the payment that it belongs to."""
    fees: tuple[FeePart, ...] = ()
    connected_account: str | None = None
    """Whose money it is, when it is another account's that is connected to ours."""
    attempt: str | None = None
    """Our mark, where the answer shows it."""
    installation: str | None = None
    merchant: str | None = None
    intent: str | None = None
    payout_reference: str | None = None
    """The payout that it is in, as the query or the report says; lines themselves do not."""
