"""The JSON bodies of the side door, typed.

They must never default silently: an unknown member is refused.
"""

from typing import Annotated, Literal

import msgspec

from paygate_sandbox import settling
from paygate_sandbox.settling import Currency

Tamper = Literal[
    "wrong_amount",
    "missing_line",
    "extra_line",
    "late_line",
    "duplicate_line",
    "unknown_line",
    "wrong_fee",
    "wrong_total",
    "unbooked_charge",
    "wrong_currency",
    "declined_line",
    "extra_refund",
    "extra_chargeback",
]
Word = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
# Far past any amount of a charge, and sums of a million of them still fit the store.
Money = Annotated[int, msgspec.Meta(ge=-999_999_999_999, le=999_999_999_999)]
Days = Annotated[int, msgspec.Meta(ge=0, le=366)]


class OrderError(ValueError):
    """The order makes no sense; the sentence says why."""


class FaultOrder(msgspec.Struct, forbid_unknown_fields=True):
    on: str
    kind: str
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    seed: int | None = None
    # A day outlasts every client; the clock of faults is real time.
    seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] | None = None
    hold: Literal["before", "after"] = "before"


class DisputeOrder(msgspec.Struct, forbid_unknown_fields=True):
    charge: str
    reason: str = "fraudulent"
    # Without it: the end of the eighth day, as Stripe has it. 0: lost at once, as a debit's are.
    due_in_seconds: Annotated[int, msgspec.Meta(ge=0, le=315_360_000)] | None = None
    kind: Literal["chargeback", "inquiry", "prevented"] = "chargeback"
    # Without it: what was taken and not refunded.
    amount: Annotated[int, msgspec.Meta(ge=1)] | None = None
    # Without it: the charge's. With another, `settled` says what leaves in the charge's.
    currency: Currency | None = None
    settled: Annotated[int, msgspec.Meta(ge=1)] | None = None
    # What an answer costs; it comes back to who wins.
    countered_fee: Annotated[int, msgspec.Meta(ge=0)] = 0
    compliance: Literal["visa", "mastercard"] | None = None


class WarningOrder(msgspec.Struct, forbid_unknown_fields=True):
    charge: str
    fraud_type: str = "made_with_stolen_card"


class EventOrder(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    # The payment that the event shows or names; without it, one that there is not.
    payment_intent: str | None = None


class PayoutOrder(msgspec.Struct, forbid_unknown_fields=True):
    # Without it: a payout of each currency in which something is available.
    currency: Currency | None = None
    tamper: Tamper | None = None
    # Whose line is tampered with; without it the oldest charge's.
    charge: str | None = None
    # By how much, in minor units.
    by: Money | None = None
    # What the charge of an extra line bears; without it, what all charges have in common.
    metadata: dict[str, str] | None = None
    manual: bool = False
    amount: Annotated[int, msgspec.Meta(ge=1)] | None = None
    method: Literal["standard", "instant"] = "standard"
    arrival_in_days: Days = 2
    # completed: lists tell its lines at once.
    reconciliation: Literal["completed", "in_progress"] | None = None
    lines_in_hours: Annotated[int, msgspec.Meta(ge=1, le=8_784)] | None = None
    fail: bool = False
    failure_code: str | None = None
    fails_in_days: Days | None = None


class AdjustmentOrder(msgspec.Struct, forbid_unknown_fields=True):
    type: Word
    amount: Money
    currency: Currency
    # Without it, the type.
    reporting_category: Word | None = None
    description: Annotated[str, msgspec.Meta(max_length=5_000)] | None = None
    fee: Money = 0
    available_in_days: Days = 0


class AccountOrder(msgspec.Struct, forbid_unknown_fields=True):
    """What is not given stays as it is; `settlement_currency` null: every currency in itself."""

    settlement_currency: Currency | msgspec.UnsetType | None = msgspec.UNSET
    rates: dict[Currency, settling.Rate] | msgspec.UnsetType = msgspec.UNSET
    available_in_days: settling.FundsDays | msgspec.UnsetType = msgspec.UNSET
    partial_capture: settling.PartialCapture | msgspec.UnsetType = msgspec.UNSET


class ClockOrder(msgspec.Struct, forbid_unknown_fields=True):
    # Ten years: far past every timer, and every time still fits.
    advance_seconds: Annotated[int, msgspec.Meta(ge=0, le=315_360_000)]
