"""What of ours a line might be for that names nothing: of the same amount and currency, made about
then, and without a line so far. A person decides; nothing is ever taken by itself. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.line import (
    FACT_OF,
    Candidate,
    FactKind,
    MatchState,
    SettlementLine,
)
from paygate.domain.settlements.match import tells_no_ids
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.principal import moved

BEFORE: Final = timedelta(days=10)
"""A report's date may be the day of the payout: a week and a weekend after the money moved."""
AFTER: Final = timedelta(days=2)
"""A date without a time may be of a day before."""
MOST_CANDIDATES: Final = 10
_MOST_COMPARED: Final = 1_000_000
"""Lines times facts of one amount: more of them are told apart by no date."""
_RINGS: Final = (
    (timedelta(hours=1), timedelta(hours=1)),
    (timedelta(days=1), timedelta(days=1)),
    (timedelta(days=3), AFTER),
    (BEFORE, AFTER),
)
"""How long before and after a line facts are looked for, step by step."""
_CATEGORIES: Final = frozenset({LineCategory.CHARGE, LineCategory.REFUND})


class Alike(NamedTuple):
    """What lines and facts must share."""

    kind: FactKind
    amount: int
    currency: str


class Span(NamedTuple):
    """From a time on, and until another, which is not in it."""

    since: datetime
    until: datetime


def may_be_suggested(line: SettlementLine) -> bool:
    """Whether something of ours is looked for that might be what the line is for."""
    said = line.said
    return (
        line.state is MatchState.UNMATCHED
        and said.category in _CATEGORIES
        and line.payment_intent is None
        and tells_no_ids(said)
    )


def spans_of(lines: Iterable[SettlementLine], held: timedelta) -> Iterator[Span]:
    """The times in which facts were made that lines might be for, those nearest to the lines first;
    no time is in two. `held` is how long before its money moved one may have been made.
    """
    times = sorted({line.said.created_at for line in lines if may_be_suggested(line)})
    nearer: list[Span] = []
    for before, after in (*_RINGS, (BEFORE + held, AFTER)):
        ring = _joined(Span(at - before, at + after) for at in times)
        yield from reversed(list(_without(ring, nearer)))
        nearer = ring


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same times, those that touch as one; `spans` are in the order of time, all as long."""
    joined: list[Span] = []
    for span in spans:
        if joined and span.since <= joined[-1].until:
            joined[-1] = Span(joined[-1].since, span.until)
        else:
            joined.append(span)
    return joined


def _without(spans: Iterable[Span], inner: Sequence[Span]) -> Iterator[Span]:
    """What of `spans` is in none of `inner`, which are in the order of time, as they are."""
    left = iter(inner)
    hole = next(left, None)
    for span in spans:
        since = span.since
        while hole is not None and hole.until <= span.until:
            if since < hole.since:
                yield Span(since, hole.since)
            since, hole = hole.until, next(left, None)
        if since < span.until:
            yield Span(since, span.until)


def wanted_of(lines: Iterable[SettlementLine]) -> frozenset[Alike]:
    """What a fact must share with one of the lines to be of use."""
    return frozenset(_of_line(line.said) for line in lines if may_be_suggested(line))


def suggest(lines: Sequence[SettlementLine], facts: Iterable[Fact]) -> list[SettlementLine]:
    """The same lines, those with their candidates that have any. `facts` are without a line.

    A candidate may stand on several lines. Each line's first is the one of the pairing in which
    all lines together are nearest to their facts.
    """
    wanted: dict[Alike, list[SettlementLine]] = defaultdict(list)
    for line in lines:
        if may_be_suggested(line):
            wanted[_of_line(line.said)].append(line)
    offered: dict[Alike, list[Fact]] = defaultdict(list)
    for fact in facts:
        alike = of_fact(fact)
        if alike in wanted and fact.settles:
            offered[alike].append(fact)
    found: dict[str, tuple[Candidate, ...]] = {}
    for alike, ours in offered.items():
        found |= _candidates(wanted[alike], sorted(ours, key=lambda f: (f.changed_at, f.id)))
    return [
        msgspec.structs.replace(
            line, state=MatchState.SUGGESTED, candidates=found[line.id], suspect=False
        )
        if found.get(line.id)
        else line
        for line in lines
    ]


def of_fact(fact: Fact) -> Alike:
    """What the lines of a fact share with it."""
    return Alike(fact.kind, fact.amount, fact.currency)


def _of_line(line: Line) -> Alike:
    amount = moved(line)
    kind = FACT_OF[line.category]
    signed = -amount.amount if kind is FactKind.REFUND else amount.amount
    return Alike(kind, signed, amount.currency)


def _candidates(
    lines: Sequence[SettlementLine], facts: Sequence[Fact]
) -> dict[str, tuple[Candidate, ...]]:
    """All that fit each line, its own of the best pairing first, then the nearest."""
    ordered = sorted(lines, key=lambda line: (line.said.created_at, line.id))
    small = len(lines) * len(facts) <= _MOST_COMPARED
    best = _pairing([line.said.created_at for line in ordered], facts) if small else {}
    found: dict[str, tuple[Candidate, ...]] = {}
    for place, line in enumerate(ordered):
        first, at = best.get(place), line.said.created_at
        fitting = [(i, fact) for i, fact in enumerate(facts) if _distance(at, fact) is not None]
        fitting.sort(key=lambda pair: (pair[0] != first, abs(at - pair[1].changed_at), pair[0]))
        found[line.id] = tuple(
            Candidate(fact.merchant, fact.payment_intent, fact.refund)
            for _, fact in fitting[:MOST_CANDIDATES]
        )
    return found


def _distance(at: datetime, fact: Fact) -> float | None:
    """Seconds between a line and a fact; None when they are too far apart."""
    if not at - BEFORE <= fact.changed_at <= at + AFTER:
        return None
    return abs((at - fact.changed_at).total_seconds())


_Cost = tuple[int, float]
"""Lines without a fact, then the seconds of the pairs: to pair more comes first."""


def _pairing(times: Sequence[datetime], facts: Sequence[Fact]) -> dict[int, int]:
    """The place of a line to that of its fact, in the pairing of most lines and least seconds.

    Both are in the order of time, and so the best pairing keeps it: each step looks at the last
    line and fact alone.
    """
    costs: list[list[_Cost]] = [[(0, 0.0)] * (len(facts) + 1)]
    for at in times:
        above = costs[-1]
        row: list[_Cost] = [(above[0][0] + 1, above[0][1])]
        for j, fact in enumerate(facts, start=1):
            row.append(
                min(row[j - 1], (above[j][0] + 1, above[j][1]), _with(above[j - 1], at, fact))
            )
        costs.append(row)
    pairs: dict[int, int] = {}
    i, j = len(times), len(facts)
    while i and j:
        if costs[i][j] == costs[i][j - 1]:
            j -= 1
        elif costs[i][j] == _with(costs[i - 1][j - 1], times[i - 1], facts[j - 1]):
            i, j = i - 1, j - 1
            pairs[i] = j
        else:
            i -= 1
    return pairs


def _with(before: _Cost, at: datetime, fact: Fact) -> _Cost:
    """The cost with one pair more; beyond all others when the two are too far apart."""
    distance = _distance(at, fact)
    if distance is None:
        return before[0] + 1_000_000_000, before[1]
    return before[0], before[1] + distance
