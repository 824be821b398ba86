"""What of ours the lines of a settlement are for. Pure.

A line is matched by the provider's id of what it is for, then by our own mark on that, and by
nothing else: what fits by amount and date is a suggestion for a person (`suggest.py`).
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from paygate.domain.settlements.fact import Fact, Known
from paygate.domain.settlements.judge import Terms, is_booked, judge
from paygate.domain.settlements.line import (
    FACT_OF,
    FactKind,
    LineMatch,
    MatchedBy,
    MatchState,
    SettlementLine,
)
from paygate.domain.settlements.outcome import Line, LineCategory

_PLAIN: Final = {LineCategory.CHARGE: 1, LineCategory.REFUND: -1}
"""Categories of which one line is all there is to most facts, and the sign of its amount."""


class _Way(NamedTuple):
    """What a line is for, and how that was found."""

    state: MatchState
    fact: Fact | None = None
    by: MatchedBy | None = None
    payment: Fact | None = None
    """The payment that an unmatched line belongs to."""


_FOREIGN: Final = _Way(MatchState.FOREIGN)
_PROVIDER_ONLY: Final = _Way(MatchState.PROVIDER_ONLY)
_UNMATCHED: Final = _Way(MatchState.UNMATCHED)


def match_page(
    lines: Sequence[Line], known: Known, terms: Terms, id_of: Callable[[str], str]
) -> list[SettlementLine]:
    """Every line of a page, in its order, matched as far as ids tell. `id_of` makes a line's id of
    the provider's.

    Suspect is a line that is not, by itself, exactly what our record says, or that is not the only
    one of its record. All others are judged: nothing is wrong with them.
    """
    ways = [_way(line, known) for line in lines]
    ids = [id_of(line.provider_reference) for line in lines]
    lines_of: dict[str, set[str]] = defaultdict(set)
    for way, line_id in zip(ways, ids, strict=True):
        if way.fact is not None:
            lines_of[way.fact.id].add(line_id)
    return [
        _matched(line, line_id, way, known, terms, len(lines_of[way.fact.id]) if way.fact else 0)
        for line, line_id, way in zip(lines, ids, ways, strict=True)
    ]


def decided(line: SettlementLine, match: LineMatch | None) -> SettlementLine:
    """The line as a person has decided about it; as it was matched when nobody has."""
    if match is None or line.state not in (MatchState.SUGGESTED, MatchState.UNMATCHED):
        return line
    taken = match.taken
    if taken is None:
        return msgspec.structs.replace(line, state=MatchState.UNMATCHED, candidates=())
    return msgspec.structs.replace(
        line,
        state=MatchState.MATCHED,
        by=match.by,
        merchant=taken.merchant,
        payment_intent=taken.payment_intent,
        refund=taken.refund,
        dispute=taken.dispute,
        candidates=(),
    )


def tells_no_ids(line: Line) -> bool:
    """Whether nothing on the line says what it is for, as in a bank's own report."""
    return line.payment_reference is None and line.source_reference is None and line.attempt is None


def _way(line: Line, known: Known) -> _Way:
    if line.connected_account is not None:
        return _FOREIGN
    source = line.source_reference
    dispute = None if source is None else known.disputes.get(source)
    if dispute is not None:
        return _Way(MatchState.MATCHED, dispute, MatchedBy.PROVIDER_REFERENCE)
    kind = FACT_OF.get(line.category)
    if kind is None:
        unknown = line.category is LineCategory.UNKNOWN
        payment = _payment(line, known) if unknown else None
        return _Way(MatchState.UNMATCHED, payment=payment) if unknown else _PROVIDER_ONLY
    fact = _by_reference(line, kind, known)
    if fact is not None:
        return _Way(MatchState.MATCHED, fact, MatchedBy.PROVIDER_REFERENCE)
    marked = _by_mark(line, known)
    if marked is not None and marked.kind is kind:
        return _Way(MatchState.MATCHED, marked, MatchedBy.ATTEMPT)
    payment = _payment(line, known) or marked
    if payment is not None or known.exclusive or line.installation == known.installation:
        return _Way(MatchState.UNMATCHED, payment=payment)
    return _UNMATCHED if tells_no_ids(line) and line.installation is None else _FOREIGN


def _by_reference(line: Line, kind: FactKind, known: Known) -> Fact | None:
    """The fact that the provider's ids name."""
    if kind is FactKind.PAYMENT:
        return _payment(line, known)
    source = line.source_reference
    if kind is FactKind.REFUND and source is not None:
        return known.refunds.get(source)
    return None  # a dispute was looked for already


def _payment(line: Line, known: Known) -> Fact | None:
    """The payment that the line's own ids name."""
    for reference in (line.payment_reference, line.source_reference):
        fact = None if reference is None else known.payments.get(reference)
        if fact is not None:
            return fact
    return None


def _by_mark(line: Line, known: Known) -> Fact | None:
    """The fact that bears our mark: this installation's, and of the merchant that it names."""
    if line.attempt is None or line.installation != known.installation:
        return None
    fact = known.marked.get(line.attempt)
    return None if fact is None or line.merchant not in (None, fact.merchant) else fact


def _matched(
    line: Line, line_id: str, way: _Way, known: Known, terms: Terms, in_page: int
) -> SettlementLine:
    fact = way.fact
    if fact is None:
        payment = way.payment
        return SettlementLine(
            id=line_id,
            said=line,
            merchant=known.account if payment is None else payment.merchant,
            state=way.state,
            payment_intent=None if payment is None else payment.payment_intent,
            suspect=way.state is MatchState.UNMATCHED,
        )
    matched = SettlementLine(
        id=line_id,
        said=line,
        merchant=fact.merchant,
        state=way.state,
        by=way.by,
        payment_intent=fact.payment_intent,
        refund=fact.refund,
        dispute=fact.dispute,
    )
    stored = known.lines_of.get(fact.id)
    alone = in_page == 1 and (not stored or all(each == line_id for each in stored))
    if alone and _is_clean(fact, matched, terms):
        return matched
    return msgspec.structs.replace(matched, suspect=True)


def _is_clean(fact: Fact, line: SettlementLine, terms: Terms) -> bool:
    """Whether the line by itself is exactly what the fact says."""
    if not fact.settles:
        return False
    if fact.kind is FactKind.DISPUTE:
        return is_booked(fact, line.said)
    said, sign = line.said, _PLAIN.get(line.said.category)
    plain = (
        terms.fees is None
        and sign is not None
        and said.currency == fact.currency
        and said.customer_currency in (None, fact.currency)
        and said.gross == sign * fact.amount
        and (said.payment_reference == fact.provider_reference or fact.kind is FactKind.REFUND)
    )
    return plain or not judge(fact, [line], terms)
