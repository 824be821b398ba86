"""The JSON bodies of the side door, typed.

They must never default silently: an unknown member is refused.
"""

from typing import Annotated, Literal

import msgspec


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
    currency: Annotated[str, msgspec.Meta(pattern="^[a-z]{3}$")] | None = None
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


class ClockOrder(msgspec.Struct, forbid_unknown_fields=True):
    # Ten years: far past every timer, and every time still fits.
    advance_seconds: Annotated[int, msgspec.Meta(ge=0, le=315_360_000)]
