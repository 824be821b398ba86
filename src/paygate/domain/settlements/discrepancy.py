"""A discrepancy: one thing about the provider's money that is not as we recorded it.

Its id is derived from what it is about, so that it is opened once however often it is found. What a
person decided of it, no later run takes back.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.domain.alert import Severity
from paygate.domain.money import EXPONENTS, Currency, major_units
from paygate.domain.record import Recorded


class DiscrepancyKind(StrEnum):
    """The closed list."""

    MISSING_AT_PROVIDER = "missing_at_provider"
    """We recorded money that the provider's balance never had."""
    MISSING_INTERNALLY = "missing_internally"
    """A line bears our mark, and no record of ours is about it."""
    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    FEE_MISMATCH = "fee_mismatch"
    """Against `PAYGATE_FEE_RULES`, beyond their tolerance."""
    STATUS_MISMATCH = "status_mismatch"
    """Money moved for what did not succeed here."""
    DUPLICATE_AT_PROVIDER = "duplicate_at_provider"
    LATE = "late"
    """The provider has it, and it is in no payout beyond the window."""
    REFUND_MISMATCH = "refund_mismatch"
    """A refund on a payment of ours that no refund of ours is about, or more than it gave back."""
    UNEXPECTED_CHARGEBACK = "unexpected_chargeback"
    UNEXPECTED_ADJUSTMENT = "unexpected_adjustment"
    """A line of a category that is not known here."""
    PAYOUT_TOTAL_MISMATCH = "payout_total_mismatch"
    PAYOUT_FAILED = "payout_failed"


_K = DiscrepancyKind
SEVERITY: Final[Mapping[DiscrepancyKind, Severity]] = MappingProxyType(
    {
        _K.MISSING_AT_PROVIDER: "critical",
        _K.MISSING_INTERNALLY: "critical",
        _K.AMOUNT_MISMATCH: "critical",
        _K.CURRENCY_MISMATCH: "critical",
        _K.FEE_MISMATCH: "warning",
        _K.STATUS_MISMATCH: "critical",
        _K.DUPLICATE_AT_PROVIDER: "critical",
        _K.LATE: "warning",
        _K.REFUND_MISMATCH: "critical",
        _K.UNEXPECTED_CHARGEBACK: "critical",
        _K.UNEXPECTED_ADJUSTMENT: "warning",
        _K.PAYOUT_TOTAL_MISMATCH: "critical",
        _K.PAYOUT_FAILED: "critical",
    }
)


class DiscrepancyStatus(StrEnum):
    """Whether a person has seen to it. `EXPLAINED` may still be resolved, or found to be more."""

    OPEN = "open"
    EXPLAINED = "explained"
    RESOLVED = "resolved"


class DecisionAction(StrEnum):
    """What a person may do about it."""

    EXPLAIN = "explain"
    RESOLVE = "resolve"


class Decision(Recorded, frozen=True):
    """What a person decided, and why."""

    action: DecisionAction
    reason: str
    actor: str
    at: datetime
    by_job: bool | None = None
    """Whether a run decided it, which found it no more. None where that was not written yet."""


class Amount(Recorded, frozen=True):
    """Money, in the smallest unit of its currency."""

    amount: int
    currency: str

    @property
    def words(self) -> str:
        """How a person reads it; in smallest units where the currency is not known here."""
        if self.currency not in EXPONENTS:
            return f"{self.amount} {self.currency} (smallest units)"
        return major_units(self.amount, Currency(self.currency))


class Found(Recorded, frozen=True, kw_only=True):
    """A discrepancy as a run finds it, before it has an id. `about` is what it is about: the
    provider's id of the line or payout, or our id of what is missing there.
    """

    kind: DiscrepancyKind
    about: str
    merchant: str
    """Whose record it is about: the account's own merchant where it is about none."""
    settlement_line: str | None = None
    payment_intent: str | None = None
    expected: Amount | None = None
    found: Amount | None = None
    since: datetime | None = None
    """From when on it counts its age: when the money was due. None: when it is first seen."""

    @property
    def difference(self) -> int | None:
        """Found less expected, where both are of one currency."""
        if self.expected is None or self.found is None:
            return None
        if self.expected.currency != self.found.currency:
            return None
        return self.found.amount - self.expected.amount


class Discrepancy(Recorded, frozen=True, kw_only=True):
    """Versioned. It belongs to the account, and so to the merchant `default`."""

    id: str
    merchant: str
    livemode: bool
    what: Found
    first_seen_at: datetime
    last_seen_at: datetime
    created_at: datetime
    updated_at: datetime
    settlement: str | None = None
    version: int = 1
    status: DiscrepancyStatus = DiscrepancyStatus.OPEN
    decision: Decision | None = None

    @property
    def kind(self) -> DiscrepancyKind:
        """Of the closed list."""
        return self.what.kind

    @property
    def severity(self) -> Severity:
        """How grave its kind is."""
        return SEVERITY[self.what.kind]

    @property
    def payment_intent(self) -> str | None:
        """The payment that it is about, where there is one."""
        return self.what.payment_intent


def advanced(discrepancy: Discrepancy, at: datetime, **changes: Any) -> Discrepancy:
    """The discrepancy one version on."""
    return msgspec.structs.replace(
        discrepancy,
        version=discrepancy.version + 1,
        updated_at=max(at, discrepancy.updated_at),
        **changes,
    )
