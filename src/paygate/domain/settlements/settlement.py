"""A settlement: one payout of the provider, its lines summed by category, and whether they make its
amount to the cent.

It belongs to the provider's account, and so to the merchant `default`. Its version is the fence:
who reads its lines writes the next one, and one that is closed is never written again.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from paygate.domain.record import Recorded
from paygate.domain.settlements.line import MatchState
from paygate.domain.settlements.outcome import LineCategory, Payout, PayoutStatus


class Source(StrEnum):
    """Where its lines came from first."""

    PROVIDER = "provider"
    REPORT = "report"


class Matching(StrEnum):
    """How far its lines are accounted for."""

    WAITING = "waiting"
    """The lines are not all there, or are being read."""
    BALANCED = "balanced"
    """The lines make the amount, and each is matched, foreign, the provider's own, or decided."""
    DISCREPANT = "discrepant"


class Conversion(Recorded, frozen=True):
    """What lines moved at the payers' side, in a currency of theirs, and what that became here."""

    currency: str
    customer_amount: int
    """Signed as the lines are, in smallest units of `currency`."""
    gross: int
    """In the total's own currency."""


class Total(Recorded, frozen=True, kw_only=True):
    """Lines of one merchant, category, state and currency, summed."""

    merchant: str
    category: LineCategory
    state: MatchState
    currency: str
    """The balance's. It is the settlement's, unless a report has lines that do not belong there."""
    count: int
    gross: int
    fee: int
    """Positive when the merchant pays. On the wire it is shown negative, as it moves the money."""
    net: int
    conversions: tuple[Conversion, ...] = ()
    """Of matched lines whose payers paid in another currency."""


class Counts(Recorded, frozen=True):
    """How many lines there are, and in which state."""

    lines: int = 0
    matched: int = 0
    suggested: int = 0
    unmatched: int = 0
    foreign: int = 0
    provider_only: int = 0


class Refusals(Recorded, frozen=True, kw_only=True):
    """Lines of a payout that were refused of one who brought them."""

    by: str
    """The import of the report; `provider` for lines that the provider tells otherwise than a
    report had them."""
    lines: int
    """How many it had of the payout, refused ones too."""
    refused: int


class Settlement(Recorded, frozen=True, kw_only=True):
    """`residual` is what the lines leave unexplained of the amount: `amount` less their sum."""

    id: str
    merchant: str
    livemode: bool
    provider_reference: str
    source: Source
    currency: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    payout: Payout | None = None
    """As the provider says that it stands; None while a report alone has told of it."""
    amount: int | None = None
    """None while nobody has said it: the lines' sum is never taken for it."""
    matching: Matching = Matching.WAITING
    totals: tuple[Total, ...] = ()
    counts: Counts = Counts()
    residual: int | None = None
    open_discrepancies: int = 0
    refused_lines: int = 0
    """Lines of its reports that were refused: it is never balanced while there are any."""
    refusals: tuple[Refusals, ...] = ()
    """The same, by who brought them."""
    ids_of_report: bool = False
    """Whether its lines are of reports with ids of their own: a payout has one source of lines, and
    the provider's, which have other ids, are not added to them."""
    lines_listed: int | None = None
    """How many of its lines the provider's own list had, when that was last read to its end; None
    while it was not."""
    bank_amount: int | None = None
    """What the bank says that it received."""
    concluded_at: datetime | None = None
    """When its lines were last read to their end, and judged."""
    closed_at: datetime | None = None
    """From then on it is what it is: corrections are new entries elsewhere."""

    @property
    def status(self) -> PayoutStatus:
        """How the payout stands; a report tells of payouts that were paid."""
        return PayoutStatus.PAID if self.payout is None else self.payout.status

    @property
    def automatic(self) -> bool:
        """Whether the provider made it by its own schedule."""
        return self.payout is None or self.payout.automatic

    @property
    def arrival_date(self) -> date | None:
        """The day on which the bank has it."""
        return None if self.payout is None else self.payout.arrival_date

    @property
    def has_two_sources(self) -> bool:
        """Whether its lines are a report's, and the provider itemises it, too."""
        return self.ids_of_report and self.payout is not None and self.payout.itemised

    @property
    def is_listed(self) -> bool:
        """Whether the provider's own list has every line that there is."""
        return self.lines_listed is not None and self.counts.lines <= self.lines_listed

    @property
    def lines_in_doubt(self) -> int:
        """Lines for which it is never balanced: those that were refused, and those of reports that
        the provider's own list does not have.
        """
        listed = self.counts.lines if self.lines_listed is None else self.lines_listed
        return self.refused_lines + max(0, self.counts.lines - listed)

    @property
    def is_open(self) -> bool:
        """Whether anything may still become of it."""
        return self.closed_at is None


PROVIDER: Final = "provider"


def without_report(settlement: Settlement, by: str, *, lines_left: bool) -> dict[str, Any]:
    """What changes of a settlement when a report is withdrawn."""
    refusals = tuple(each for each in settlement.refusals if each.by != by)
    itemised = settlement.payout is not None and settlement.payout.itemised
    told = settlement.payout is not None or lines_left
    return {
        "amount": settlement.amount if told else None,
        "refusals": refusals,
        "refused_lines": sum(each.refused for each in refusals),
        "ids_of_report": settlement.ids_of_report and (lines_left or not itemised),
        "lines_listed": None,
        "matching": Matching.WAITING,
        "concluded_at": None,
    }


def refused_by(
    settlement: Settlement, by: str, lines: int, refused: int, *, covers: bool = False
) -> tuple[Refusals, ...]:
    """All refusals of a settlement once somebody has brought so many lines of its payout, and so
    many of them were refused. Where none was, and they are all that there are (`covers`), what was
    refused of reports before has come mended.
    """
    standing = settlement.refusals
    if settlement.refused_lines and not standing:  # it was written before they were kept apart
        standing = (Refusals(by="", lines=0, refused=settlement.refused_lines),)
    others = tuple(each for each in standing if each.by != by)
    if refused:
        return (*others, Refusals(by=by, lines=lines, refused=refused))
    if covers:
        return tuple(each for each in others if each.by == PROVIDER or each.lines > lines)
    return others


def advanced(settlement: Settlement, at: datetime, **changes: Any) -> Settlement:
    """The settlement one version on."""
    assert settlement.is_open, "a settlement that is closed stays as it is"
    return msgspec.structs.replace(
        settlement,
        version=settlement.version + 1,
        updated_at=max(at, settlement.updated_at),
        **changes,
    )
