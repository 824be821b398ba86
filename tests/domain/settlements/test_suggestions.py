"""Lines that name nothing: what might stand behind them, which a person decides."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace

from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.line import MatchState, SettlementLine
from paygate.domain.settlements.match import match_page
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.suggest import (
    AFTER,
    BEFORE,
    MOST_CANDIDATES,
    Span,
    spans_of,
    suggest,
)
from tests.domain.settlements.books import AT, TERMS, World, id_of, line, payment, refund

C = LineCategory
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
COFFEE = line("bank-1", C.CHARGE, 2500)


def offered(facts: list[Fact], *lines: Line) -> list[SettlementLine]:
    return suggest(match_page(lines, World([], [], set()).known(), TERMS, id_of), facts)


def names(suggested: SettlementLine) -> list[str]:
    return [each.fact for each in suggested.candidates]


def test_two_payments_and_one_line_are_two_suggestions_and_no_match() -> None:
    facts = [payment("1", 2500), payment("2", 2500), payment("3", 2499)]
    (found,) = offered(facts, COFFEE)
    assert (found.state, found.fact, found.suspect) == (MatchState.SUGGESTED, None, False)
    assert sorted(names(found)) == [facts[0].id, facts[1].id]


@pytest.mark.parametrize(
    "other",
    [
        payment("1", 2499),
        payment("1", 2500, currency="usd"),
        payment("1", 2500, changed_at=AT - BEFORE - HOUR),
        payment("1", 2500, changed_at=AT + AFTER + HOUR),
        payment("1", 2500, settles=False),
        refund("1", payment("1", 2500), 2500),
    ],
)
def test_what_does_not_fit_is_not_suggested(other: Fact) -> None:
    (found,) = offered([other], COFFEE)
    assert (found.state, found.candidates, found.suspect) == (MatchState.UNMATCHED, (), True)


def test_a_refund_is_suggested_for_money_that_leaves() -> None:
    back = refund("1", payment("1", 2500), 2500)
    (found,) = offered([back], line("bank-1", C.REFUND, -2500))
    assert [(each.refund, each.payment_intent) for each in found.candidates] == [
        (back.id, back.payment_intent)
    ]


def test_the_first_suggestions_are_of_the_best_pairing_of_all() -> None:
    """First come, first served would take the second line's only near payment for the first."""
    facts = [
        payment("early", 2500, changed_at=AT - 30 * HOUR),
        payment("late", 2500, changed_at=AT + 3 * HOUR),
    ]
    lines = [COFFEE, replace(COFFEE, provider_reference="bank-2", created_at=AT + 2 * HOUR)]
    first, second = offered(facts, *lines)
    assert names(first)[0] == "our_pi_early"
    assert names(second)[0] == "our_pi_late"
    assert len(names(first)) == len(names(second)) == 2


def test_a_line_without_a_fact_of_its_own_leaves_the_others_theirs() -> None:
    facts = [payment("1", 2500, changed_at=AT - 200 * HOUR), payment("2", 2500)]
    lines = [
        replace(COFFEE, provider_reference=f"bank-{n}", created_at=AT + n * 40 * HOUR)
        for n in range(3)
    ]
    found = offered(facts, *lines)
    assert names(found[0])[0] == "our_pi_1"
    assert names(found[1])[0] == "our_pi_2"


def test_many_that_fit_are_the_nearest_few() -> None:
    facts = [payment(f"{n}", 2500, changed_at=AT - n * HOUR) for n in range(40)]
    (found,) = offered(facts, COFFEE)
    assert names(found) == [f"our_pi_{n}" for n in range(MOST_CANDIDATES)]


def test_a_line_that_names_something_is_never_suggested() -> None:
    named = replace(COFFEE, payment_reference="pi_other")
    (found,) = offered([payment("1", 2500)], named)
    assert found.state is MatchState.FOREIGN
    fee = line("bank-2", C.FEE, 2500)
    (found,) = offered([payment("1", 2500)], fee)
    assert found.state is MatchState.PROVIDER_ONLY
    assert list(spans_of([found], 9 * DAY)) == []


def test_facts_are_looked_for_near_the_lines_first_and_each_time_once() -> None:
    times = [AT, AT + 30 * HOUR, AT + 40 * DAY]
    named = [replace(COFFEE, provider_reference=f"{at}", created_at=at) for at in times]
    lines = offered([], *named)
    spans = list(spans_of([*lines, lines[0]], 9 * DAY))
    nearest = [Span(at - HOUR, at + HOUR) for at in reversed(times)]
    assert spans[:3] == nearest
    ordered = sorted(spans)
    assert all(before.until <= after.since for before, after in pairwise(ordered)), "disjoint"
    whole = sum((span.until - span.since for span in spans), timedelta())
    each = BEFORE + 9 * DAY + AFTER
    assert whole == 2 * each + 30 * HOUR, "the times of the first two touch"
    assert (ordered[0].since, ordered[-1].until) == (AT - BEFORE - 9 * DAY, times[-1] + AFTER)
    far = [min(abs(at - middle(span)) for at in times) for span in spans[:3] + spans[-1:]]
    assert far == sorted(far)


def middle(span: Span) -> datetime:
    return span.since + (span.until - span.since) / 2
