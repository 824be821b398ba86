"""Whether the lines of one record of ours come to what it says: all of them together, in whatever
settlements they are, so that their order and their payouts never matter. Pure.

A partial capture in one row or in two, a refund that came back, the rows of a dispute: each is
right when its sum is. Principal has no tolerance.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import groupby, islice, product
from typing import Any, Final

import msgspec

from paygate.domain.disputes.outcome import MoneyRow
from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind, Found
from paygate.domain.settlements.fact import Fact
from paygate.domain.settlements.fees import FeeRules, fee_expected, provider_fee
from paygate.domain.settlements.line import FACT_OF, FactKind, MatchState, SettlementLine
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.principal import at_its_rate, is_converted, moved, principal_in
from paygate.domain.settlements.working_days import is_past

_C: Final = LineCategory
_K: Final = DiscrepancyKind
_MOST_TRIED: Final = 1000
"""Ways to choose one line of each category: more lines of one record are none that make sense."""
_TAKEN_BACK: Final = frozenset({_C.CHARGE_FAILURE, _C.REFUND_FAILURE})
_UNMATCHED: Final = {
    None: _K.UNEXPECTED_ADJUSTMENT,
    FactKind.PAYMENT: _K.MISSING_INTERNALLY,
    FactKind.REFUND: _K.REFUND_MISMATCH,
    FactKind.DISPUTE: _K.UNEXPECTED_CHARGEBACK,
}
"""What a line is that nothing of ours stands behind, by what would have to."""


class Terms(msgspec.Struct, frozen=True):
    """What a line is judged by besides our records: today, by the calendar of UTC;
    `PAYGATE_SETTLEMENT_WINDOW` in working days; and the fee rules, if there are any.
    """

    today: date
    window: int
    fees: FeeRules | None = None


def judge(fact: Fact | None, lines: Sequence[SettlementLine], terms: Terms) -> list[Found]:
    """What is wrong with all lines of a fact, each once; nothing when they come to what it says.

    Without a fact each line is judged by itself: what is unmatched has nothing of ours behind it.
    """
    ordered = sorted(lines, key=_key)
    if fact is None:
        return [_alone(line) for line in ordered if line.state is MatchState.UNMATCHED]
    if fact.kind is FactKind.DISPUTE:
        return _dispute(fact, ordered)
    return _moves(fact, ordered, terms)


def _key(line: SettlementLine) -> tuple[datetime, str]:
    return line.said.created_at, line.said.provider_reference


def _alone(line: SettlementLine) -> Found:
    kind = _UNMATCHED[FACT_OF.get(line.said.category)]
    return _found(kind, line, line.merchant, line.payment_intent, found=moved(line.said))


def _moves(fact: Fact, lines: Sequence[SettlementLine], terms: Terms) -> list[Found]:
    """A payment's lines, or a refund's."""
    strangers = [line for line in lines if _is_of_another(fact, line.said)]
    own = [line for line in lines if line not in strangers]
    found = [_about(_K.DUPLICATE_AT_PROVIDER, fact, line, None) for line in strangers]
    others = [line for line in own if principal_in(line.said, fact.currency) is None]
    if others:
        wanted = Amount(_signed(fact), fact.currency)
        return found + [_about(_K.CURRENCY_MISMATCH, fact, line, wanted) for line in others]
    if not own:
        return found
    kept = _kept(fact, own)
    found += [
        _about(_K.DUPLICATE_AT_PROVIDER, fact, line, None) for line in own if line not in kept
    ]
    found += _sum(fact, kept, terms)
    found += _rates(fact, kept)
    return found + _fees(fact, kept, terms)


def _is_of_another(fact: Fact, line: Line) -> bool:
    """Whether the line is of a second payment that the provider took for the same intent: it names
    another, and neither ours nor the merchant's own reference, which reports have in that column.
    """
    told, ours = line.payment_reference, fact.provider_reference
    if fact.kind is not FactKind.PAYMENT or told is None or ours is None:
        return False
    return ours not in (told, line.source_reference) and told != fact.reference


def _signed(fact: Fact) -> int:
    """What the lines must come to, as they move the merchant's balance."""
    if not fact.settles:
        return 0
    return -fact.amount if fact.kind is FactKind.REFUND else fact.amount


def _total(fact: Fact, lines: Iterable[SettlementLine]) -> int:
    return sum(principal_in(line.said, fact.currency) or 0 for line in lines)


def _kept(fact: Fact, lines: Sequence[SettlementLine]) -> Sequence[SettlementLine]:
    """All lines when they come to the fact's amount; else one of each category, those that do if
    there are such, and the earliest if not.
    """
    wanted = _signed(fact)
    by_category = sorted(lines, key=lambda line: line.said.category)
    groups = [tuple(group) for _, group in groupby(by_category, lambda line: line.said.category)]
    if _total(fact, lines) == wanted or len(groups) == len(lines):
        return lines
    ways = list(islice(product(*groups), _MOST_TRIED))
    return next((way for way in ways if _total(fact, way) == wanted), ways[0])


def _sum(fact: Fact, lines: Sequence[SettlementLine], terms: Terms) -> list[Found]:
    wanted, total = _signed(fact), _total(fact, lines)
    if total == wanted or _comes_back(fact, total, terms):
        return []
    expected, found = Amount(wanted, fact.currency), Amount(total, fact.currency)
    taken_back = total == 0 and any(line.said.category in _TAKEN_BACK for line in lines)
    if not fact.settles or taken_back:
        kind = _K.STATUS_MISMATCH
    elif fact.kind is FactKind.REFUND and total < wanted:
        kind = _K.REFUND_MISMATCH
    else:
        kind = _K.AMOUNT_MISMATCH
    return [_found(kind, lines[0], fact.merchant, fact.payment_intent, expected, found)]


def _comes_back(fact: Fact, total: int, terms: Terms) -> bool:
    """Whether a refund that failed has left the balance, and its money may still be on its way
    back: a line of its own, in this payout or the next.
    """
    left = fact.returned and total == -fact.amount
    return left and not is_past(fact.changed_at.date(), terms.window, terms.today)


def _rates(fact: Fact, lines: Iterable[SettlementLine]) -> list[Found]:
    checked = ((line, at_its_rate(line.said)) for line in lines)
    return [
        _found(
            _K.AMOUNT_MISMATCH,
            line,
            fact.merchant,
            fact.payment_intent,
            expected,
            Amount(line.said.gross, line.said.currency),
        )
        for line, expected in checked
        if expected is not None
    ]


def _fees(fact: Fact, lines: Sequence[SettlementLine], terms: Terms) -> list[Found]:
    """The fees of all lines together, by the rule of the first that has one: what was captured in
    two rows has its fee on one. No rule says what is kept of the fee on money that was all taken
    back.
    """
    if terms.fees is None or len({line.said.currency for line in lines}) != 1:
        return []
    gross = sum(line.said.gross for line in lines)
    if gross == 0:
        return []
    for line in lines:
        expected = fee_expected(
            terms.fees, fact, line.said, gross, converted=is_converted(line.said)
        )
        if expected is None:
            continue
        total = sum(provider_fee(each.said) for each in lines)
        if abs(total - expected.amount) <= expected.tolerance:
            return []
        currency = line.said.currency
        return [
            _found(
                _K.FEE_MISMATCH,
                line,
                fact.merchant,
                fact.payment_intent,
                Amount(expected.amount, currency),
                Amount(total, currency),
            )
        ]
    return []


def _dispute(fact: Fact, lines: Sequence[SettlementLine]) -> list[Found]:
    """A dispute's lines against the rows that are booked for it: by their ids, and where a report
    has other ids, by what they move.
    """
    booked = {row.provider_reference: row for row in fact.rows}
    found: list[Found] = []
    unnamed: list[SettlementLine] = []
    for line in lines:
        row = booked.pop(line.said.provider_reference, None)
        if row is None:
            unnamed.append(line)
        elif row.currency != line.said.currency:
            found.append(_about(_K.CURRENCY_MISMATCH, fact, line, _of_row(row), net=True))
        elif _of_row(row).amount != line.said.net:
            found.append(_about(_K.AMOUNT_MISMATCH, fact, line, _of_row(row), net=True))
    left = list(booked.values())
    for line in unnamed:
        row = next((row for row in left if _of_row(row) == _net(line.said)), None)
        if row is not None:
            left.remove(row)
        else:
            found.append(_about(_unbooked(fact, line.said), fact, line, None, net=True))
    return found


def rows_without_line(fact: Fact, lines: Iterable[SettlementLine]) -> list[MoneyRow]:
    """The rows that a dispute has booked and none of its lines is: told as above, whatever differs
    in one that is.
    """
    booked = {row.provider_reference: row for row in fact.rows if row.amount or row.fee}
    unnamed = [line for line in lines if booked.pop(line.said.provider_reference, None) is None]
    left = list(booked.values())
    for line in sorted(unnamed, key=_key):
        row = next((row for row in left if _of_row(row) == _net(line.said)), None)
        if row is not None:
            left.remove(row)
    return left


def _unbooked(fact: Fact, line: Line) -> DiscrepancyKind:
    """What a line of a dispute is that the dispute has no row for."""
    if any(_of_row(row) == _net(line) for row in fact.rows):
        return _K.DUPLICATE_AT_PROVIDER
    return _K.UNEXPECTED_CHARGEBACK if line.net < 0 else _K.STATUS_MISMATCH


def is_booked(fact: Fact, line: Line) -> bool:
    """Whether a dispute has booked the line as one of its rows, and alike."""
    return any(
        row.provider_reference == line.provider_reference and _of_row(row) == _net(line)
        for row in fact.rows
    )


def _of_row(row: MoneyRow) -> Amount:
    return Amount(row.amount - row.fee, row.currency)


def _net(line: Line) -> Amount:
    return Amount(line.net, line.currency)


def _about(
    kind: DiscrepancyKind,
    fact: Fact,
    line: SettlementLine,
    expected: Amount | None,
    *,
    net: bool = False,
) -> Found:
    found = _net(line.said) if net else moved(line.said)
    return _found(kind, line, fact.merchant, fact.payment_intent, expected, found)


def _found(
    kind: DiscrepancyKind,
    line: SettlementLine,
    merchant: str,
    payment_intent: str | None,
    expected: Amount | None = None,
    found: Amount | None = None,
    **more: Any,
) -> Found:
    return Found(
        kind=kind,
        about=line.said.provider_reference,
        merchant=merchant,
        settlement_line=line.id,
        payment_intent=payment_intent,
        expected=expected,
        found=found,
        **more,
    )
