"""A line of a settlement, and what of ours it was matched to."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from paygate.domain.record import Recorded
from paygate.domain.settlements.outcome import Line, LineCategory


class MatchState(StrEnum):
    """Whether a line has found what it is for."""

    MATCHED = "matched"
    SUGGESTED = "suggested"
    """Something of ours fits by amount, currency and date; a person decides."""
    UNMATCHED = "unmatched"
    FOREIGN = "foreign"
    """It belongs to what others do on the provider's account."""
    PROVIDER_ONLY = "provider_only"
    """The provider's own: fees, taxes, reserves; nothing of ours could stand behind it."""


class MatchedBy(StrEnum):
    """How it was matched."""

    PROVIDER_REFERENCE = "provider_reference"
    ATTEMPT = "attempt"
    PERSON = "person"


class FactKind(StrEnum):
    """What of ours a line can be for."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"


FACT_OF: Final[Mapping[LineCategory, FactKind]] = MappingProxyType(
    {
        LineCategory.CHARGE: FactKind.PAYMENT,
        LineCategory.PARTIAL_CAPTURE_REVERSAL: FactKind.PAYMENT,
        LineCategory.CHARGE_FAILURE: FactKind.PAYMENT,
        LineCategory.REFUND: FactKind.REFUND,
        LineCategory.REFUND_FAILURE: FactKind.REFUND,
        LineCategory.DISPUTE: FactKind.DISPUTE,
        LineCategory.DISPUTE_REVERSAL: FactKind.DISPUTE,
    }
)
"""Categories that something of ours must stand behind. A category that is in here or is `UNKNOWN`
is never the provider's own.
"""


class Candidate(Recorded, frozen=True):
    """Something of ours that a line might be for, found by amount, currency and date alone."""

    merchant: str
    payment_intent: str
    refund: str | None = None
    dispute: str | None = None

    @property
    def fact(self) -> str:
        """The id of what the line would be matched to."""
        return self.refund or self.dispute or self.payment_intent


class SettlementLine(Recorded, frozen=True, kw_only=True, gc=False):
    """A line as it was matched when it was read. What a person decides later is a `LineMatch`."""

    id: str
    said: Line
    merchant: str
    """Whose it is: the matched record's merchant, else the account's own."""
    state: MatchState
    by: MatchedBy | None = None
    payment_intent: str | None = None
    refund: str | None = None
    dispute: str | None = None
    candidates: tuple[Candidate, ...] = ()
    suspect: bool = False
    """Something about it, by itself, is not as we recorded it: it is judged with all other lines of
    the same fact once the settlement is read.
    """

    @property
    def fact(self) -> str | None:
        """The id of the record of ours that it settles; None of a line that is not matched, though
        it may name the payment that it belongs to.
        """
        if self.state is not MatchState.MATCHED:
            return None
        return self.refund or self.dispute or self.payment_intent


class LinePage(Recorded, frozen=True, kw_only=True):
    """Lines of one settlement, sealed together. Append-only; `version` counts the pages of a
    settlement from 1, and `id` is the settlement's: a page opens in its own place alone.
    """

    id: str
    merchant: str
    version: int
    created_at: datetime
    lines: tuple[SettlementLine, ...]
    settlement_import: str | None = None
    """The report that brought them; None: the provider told them."""


class LineMatch(Recorded, frozen=True, kw_only=True):
    """What a person decided of a line that was suggested, or what was found later for one that was
    unmatched. Append-only, one a line; its id is the line's.
    """

    id: str
    merchant: str
    settlement: str
    taken: Candidate | None
    """None: every suggestion was refused, and the line stands as unmatched."""
    actor: str
    created_at: datetime
    reason: str | None = None
    by: MatchedBy | None = MatchedBy.PERSON
    """How it was matched."""

    @property
    def fact(self) -> str | None:
        """The id of what the line settles by this decision."""
        return None if self.taken is None else self.taken.fact
