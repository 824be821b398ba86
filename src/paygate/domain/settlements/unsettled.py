"""What we recorded and no payout has: late, or missing at the provider, once its time is over.
Pure.
"""

from datetime import UTC, date, datetime, time
from typing import NamedTuple

from paygate.domain.disputes.outcome import MoneyRow
from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.judge import Terms
from paygate.domain.settlements.line import FactKind
from paygate.domain.settlements.outcome import Line
from paygate.domain.settlements.principal import moved
from paygate.domain.settlements.working_days import is_past, working_days_after


class Owed(NamedTuple):
    """What the provider has to show a line of: a payment, a refund, or one `row` of a dispute."""

    fact: Fact
    row: MoneyRow | None = None

    @property
    def about(self) -> str:
        """Our id of the fact, and of a row the provider's behind it."""
        return self.fact.id if self.row is None else about_row(self.fact.id, self.row)

    @property
    def line_reference(self) -> str | None:
        """The provider's id that the line is asked for by: its source's, or a row's own."""
        row, fact = self.row, self.fact
        return fact.provider_reference if row is None else row.provider_reference

    @property
    def expected(self) -> Amount:
        """What the line moves."""
        if self.row is not None:
            return Amount(self.row.amount - self.row.fee, self.row.currency)
        sign = -1 if self.fact.kind is FactKind.REFUND else 1
        return Amount(sign * self.fact.amount, self.fact.currency)

    @property
    def recorded_on(self) -> date:
        """The day from which its time counts while the provider shows no line."""
        of_row = None if self.row is None else self.row.created_at
        return (of_row or self.fact.changed_at).date()


def about_row(dispute: str, row: MoneyRow) -> str:
    """What a discrepancy is about whose one side is a row of a dispute."""
    return f"{dispute}:{row.provider_reference}"


def dispute_of(about: str) -> str | None:
    """The dispute whose row a discrepancy is about; None when it is about no row."""
    dispute, colon, _ = about.partition(":")
    return dispute if colon else None


def is_asked_for(owed: Owed, terms: Terms) -> bool:
    """Whether something without a line is old enough to ask the provider for its line."""
    return owed.fact.settles and is_past(owed.recorded_on, terms.window, terms.today)


def judge_unsettled(owed: Owed, theirs: Line | None, terms: Terms) -> Found | None:
    """What is wrong with something that no settlement has a line of; `theirs` is the line that the
    provider shows for it, None when its balance never had one. None: the time is not over.
    """
    if not is_asked_for(owed, terms):
        return None
    expected, kinds = owed.expected, DiscrepancyKind
    if theirs is None:
        nothing = Amount(0, expected.currency)
        return _found(kinds.MISSING_AT_PROVIDER, owed, nothing, owed.recorded_on, terms)
    if not is_past(theirs.available_on, terms.window, terms.today):
        return None
    found = moved(theirs) if owed.row is None else Amount(theirs.net, theirs.currency)
    return _found(kinds.LATE, owed, found, theirs.available_on, terms)


def _found(kind: DiscrepancyKind, owed: Owed, found: Amount, due: date, terms: Terms) -> Found:
    last = working_days_after(due, terms.window)
    return Found(
        kind=kind,
        about=owed.about,
        merchant=owed.fact.merchant,
        payment_intent=owed.fact.payment_intent,
        expected=owed.expected,
        found=found,
        since=datetime.combine(last, time(), UTC),
    )
