"""What we recorded and no payout has: late, or missing at the provider, once its time is over.
Pure.
"""

from datetime import UTC, date, datetime, time

from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.judge import Terms
from paygate.domain.settlements.line import FactKind
from paygate.domain.settlements.outcome import Line
from paygate.domain.settlements.principal import moved
from paygate.domain.settlements.working_days import is_past, working_days_after


def is_asked_for(fact: Fact, terms: Terms) -> bool:
    """Whether a fact without a line is old enough to ask the provider for its line."""
    return fact.settles and is_past(fact.changed_at.date(), terms.window, terms.today)


def judge_unsettled(fact: Fact, theirs: Line | None, terms: Terms) -> Found | None:
    """What is wrong with a fact that no settlement has a line of; `theirs` is the line that the
    provider shows for it, None when its balance never had one. None: the time is not over.
    """
    if not is_asked_for(fact, terms):
        return None
    sign = -1 if fact.kind is FactKind.REFUND else 1
    expected = Amount(sign * fact.amount, fact.currency)
    if theirs is None:
        due = fact.changed_at.date()
        nothing = Amount(0, fact.currency)
        return _found(DiscrepancyKind.MISSING_AT_PROVIDER, fact, expected, nothing, due, terms)
    if not is_past(theirs.available_on, terms.window, terms.today):
        return None
    return _found(DiscrepancyKind.LATE, fact, expected, moved(theirs), theirs.available_on, terms)


def _found(
    kind: DiscrepancyKind, fact: Fact, expected: Amount, found: Amount, due: date, terms: Terms
) -> Found:
    last = working_days_after(due, terms.window)
    return Found(
        kind=kind,
        about=fact.id,
        merchant=fact.merchant,
        payment_intent=fact.payment_intent,
        expected=expected,
        found=found,
        since=datetime.combine(last, time(), UTC),
    )
