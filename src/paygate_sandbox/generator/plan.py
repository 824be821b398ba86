"""What books are wanted: of how many payments, over how long, and with which discrepancies.

Pure data and checks. It must never depend on the time, nor on the machine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

OF_PAYMENTS: Final = (
    "missing_at_provider",
    "missing_internally",
    "amount_mismatch",
    "currency_mismatch",
    "fee_mismatch",
    "status_mismatch",
    "duplicate_at_provider",
    "late",
    "refund_mismatch",
    "unexpected_chargeback",
)
"""Kinds of discrepancies that a payment has, one at most."""
OF_PAYOUTS: Final = ("payout_total_mismatch", "payout_failed")
ALONE: Final = "unexpected_adjustment"
KINDS: Final = (*OF_PAYMENTS, ALONE, *OF_PAYOUTS)
DAY: Final = 86_400
DAYS_A_MONTH: Final = 30
_MOST_PAYMENTS: Final = 100_000_000
_MOST_MONTHS: Final = 60
_SHARE_OF_VICTIMS: Final = 2
"""At most every second payment is wrong."""
_SHARE_OF_PAYOUTS: Final = 4


class PlanError(ValueError):
    """The plan makes no sense; the sentence says why."""


def attempt_of(number: int) -> str:
    """A name for the attempt of a payment, where nobody gives another."""
    return f"attempt-{number:010d}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`discrepancies` says how many of each kind; `marks` is the metadata that every charge of the
    merchant's bears beside its attempt, whose key is `attempt_key`.
    """

    seed: int
    payments: int
    months: int = 3
    start: int = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    discrepancies: Mapping[str, int] = field(default_factory=dict)
    attempt_key: str = "attempt"
    marks: Mapping[str, str] = field(default_factory=lambda: {"installation": "generated"})
    name_attempt: Callable[[int], str] = attempt_of

    @property
    def days(self) -> int:
        """So many days have payments; payouts go on until everything is paid out."""
        return self.months * DAYS_A_MONTH

    def wanted(self, kind: str) -> int:
        return self.discrepancies.get(kind, 0)

    def check(self) -> None:
        """Raises PlanError."""
        if not 1 <= self.payments <= _MOST_PAYMENTS:
            raise PlanError(f"payments: from 1 to {_MOST_PAYMENTS}")
        if not 1 <= self.months <= _MOST_MONTHS:
            raise PlanError(f"months: from 1 to {_MOST_MONTHS}")
        if not self.attempt_key or self.attempt_key in self.marks:
            raise PlanError("the attempt has a key of its own in the metadata")
        unknown = sorted(set(self.discrepancies) - set(KINDS))
        if unknown:
            raise PlanError(f"unknown kind {unknown[0]!r}: one of {', '.join(KINDS)}")
        if any(count < 0 for count in self.discrepancies.values()):
            raise PlanError("a kind has a count of 0 or more")
        victims = sum(self.wanted(kind) for kind in OF_PAYMENTS)
        if victims * _SHARE_OF_VICTIMS > self.payments:
            raise PlanError("more than every second payment would be wrong: give more payments")
        if any(self.wanted(kind) * _SHARE_OF_PAYOUTS > self.days for kind in OF_PAYOUTS):
            raise PlanError("more than every fourth day's payout would be wrong: give more months")
