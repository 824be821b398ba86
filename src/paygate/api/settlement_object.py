"""Settlements, their lines and discrepancies on the wire: as answers, in lists, and in events."""

from collections import defaultdict
from datetime import datetime
from typing import Literal

import msgspec

from paygate.api.objects import time_text
from paygate.domain.alert import Severity
from paygate.domain.settlements.discrepancy import (
    Amount,
    DecisionAction,
    Discrepancy,
    DiscrepancyKind,
    DiscrepancyStatus,
)
from paygate.domain.settlements.line import MatchedBy, MatchState, SettlementLine
from paygate.domain.settlements.outcome import LineCategory, PayoutStatus
from paygate.domain.settlements.settlement import Counts, Matching, Settlement, Source, Total
from paygate.domain.settlements.working_days import age_bucket, age_days


class TotalObject(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of one category, summed. `fee` is negative when the merchant pays it, so that `gross`
    and `fee` make `net`.
    """

    category: LineCategory
    count: int
    gross: int
    fee: int
    net: int


class CountsObject(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines there are; the other five make `lines`."""

    lines: int
    matched: int
    suggested: int
    unmatched: int
    foreign: int
    provider_only: int


class SettlementObject(msgspec.Struct, frozen=True, kw_only=True):
    """A payout, its lines by category, and what they leave of its amount: the totals' `net` and the
    `residual` make `amount`. Amounts are integers of the currency's smallest unit. The payout's own
    row on the balance is among the lines, and in no total.
    """

    object: Literal["settlement"] = "settlement"
    id: str
    livemode: bool
    provider_reference: str
    source: Source
    automatic: bool
    status: PayoutStatus
    matching: Matching
    amount: int | None
    currency: str
    arrival_date: str | None
    totals: tuple[TotalObject, ...]
    residual: int | None
    counts: CountsObject
    open_discrepancies: int
    refused_lines: int
    bank_amount: int | None
    failure_code: str | None
    trace_id: str | None
    version: int
    closed_at: str | None
    created_at: str
    updated_at: str


class CandidateObject(msgspec.Struct, frozen=True, kw_only=True):
    """What a line might be for, by amount, currency and date alone: a person decides."""

    merchant: str
    payment_intent: str
    refund: str | None


class MatchObject(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a line has found what it is for, and how."""

    state: MatchState
    by: MatchedBy | None
    candidates: tuple[CandidateObject, ...]


class SettlementLineObject(msgspec.Struct, frozen=True, kw_only=True):
    """A movement on the balance at the provider. `fee` is negative when the merchant pays it."""

    object: Literal["settlement_line"] = "settlement_line"
    id: str
    livemode: bool
    settlement: str
    category: LineCategory
    provider_category: str
    gross: int
    fee: int
    net: int
    currency: str
    customer_amount: int | None
    customer_currency: str | None
    exchange_rate: str | None
    provider_reference: str
    source_reference: str | None
    merchant: str
    payment_intent: str | None
    refund: str | None
    dispute: str | None
    match: MatchObject
    available_on: str
    created_at: str


class AmountObject(msgspec.Struct, frozen=True):
    """Money, in the smallest unit of its currency."""

    amount: int
    currency: str


class DecisionObject(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided of a discrepancy, by whom, and why."""

    action: DecisionAction
    reason: str
    actor: str
    at: str


class DiscrepancyObject(msgspec.Struct, frozen=True, kw_only=True):
    """One thing about the provider's money that is not as it was recorded."""

    object: Literal["discrepancy"] = "discrepancy"
    id: str
    livemode: bool
    kind: DiscrepancyKind
    severity: Severity
    status: DiscrepancyStatus
    merchant: str
    settlement: str | None
    settlement_line: str | None
    payment_intent: str | None
    expected: AmountObject | None
    found: AmountObject | None
    difference: int | None
    age_days: int
    age_bucket: str
    decision: DecisionObject | None
    first_seen_at: str
    last_seen_at: str
    version: int
    created_at: str
    updated_at: str


def settlement_object(settlement: Settlement) -> SettlementObject:
    """The settlement as clients see it."""
    payout, arrival = settlement.payout, settlement.arrival_date
    return SettlementObject(
        id=settlement.id,
        livemode=settlement.livemode,
        provider_reference=settlement.provider_reference,
        source=settlement.source,
        automatic=settlement.automatic,
        status=settlement.status,
        matching=settlement.matching,
        amount=settlement.amount,
        currency=settlement.currency,
        arrival_date=None if arrival is None else arrival.isoformat(),
        totals=totals_of(settlement),
        residual=settlement.residual,
        counts=_counts(settlement.counts),
        open_discrepancies=settlement.open_discrepancies,
        refused_lines=settlement.lines_in_doubt,
        bank_amount=settlement.bank_amount,
        failure_code=None if payout is None else payout.failure_code,
        trace_id=None if payout is None else payout.trace_id,
        version=settlement.version,
        closed_at=_time(settlement.closed_at),
        created_at=time_text(settlement.created_at),
        updated_at=time_text(settlement.updated_at),
    )


def totals_of(settlement: Settlement) -> tuple[TotalObject, ...]:
    """What the lines of each category come to, of all merchants together."""
    by_category: dict[LineCategory, list[Total]] = defaultdict(list)
    for total in settlement.totals:
        if total.category is not LineCategory.PAYOUT and total.currency == settlement.currency:
            by_category[total.category].append(total)
    return tuple(
        TotalObject(
            category=category,
            count=sum(each.count for each in totals),
            gross=sum(each.gross for each in totals),
            fee=-sum(each.fee for each in totals),
            net=sum(each.net for each in totals),
        )
        for category, totals in sorted(by_category.items())
    )


def settlement_line_object(
    line: SettlementLine, settlement: str, *, livemode: bool
) -> SettlementLineObject:
    """A line of a settlement as clients see it."""
    said = line.said
    return SettlementLineObject(
        id=line.id,
        livemode=livemode,
        settlement=settlement,
        category=said.category,
        provider_category=said.provider_category,
        gross=said.gross,
        fee=-said.fee,
        net=said.net,
        currency=said.currency,
        customer_amount=said.customer_amount,
        customer_currency=said.customer_currency,
        exchange_rate=said.exchange_rate,
        provider_reference=said.provider_reference,
        source_reference=said.source_reference,
        merchant=line.merchant,
        payment_intent=line.payment_intent,
        refund=line.refund,
        dispute=line.dispute,
        match=MatchObject(
            state=line.state,
            by=line.by,
            candidates=tuple(
                CandidateObject(
                    merchant=each.merchant,
                    payment_intent=each.payment_intent,
                    refund=each.refund,
                )
                for each in line.candidates
            ),
        ),
        available_on=said.available_on.isoformat(),
        created_at=time_text(said.created_at),
    )


def discrepancy_object(discrepancy: Discrepancy, now: datetime | None = None) -> DiscrepancyObject:
    """The discrepancy as clients see it, as old as it is now; in an event, as it then was."""
    what, decision = discrepancy.what, discrepancy.decision
    since = what.since or discrepancy.first_seen_at
    days = age_days(since, now or discrepancy.updated_at)
    return DiscrepancyObject(
        id=discrepancy.id,
        livemode=discrepancy.livemode,
        kind=discrepancy.kind,
        severity=discrepancy.severity,
        status=discrepancy.status,
        merchant=what.merchant,
        settlement=discrepancy.settlement,
        settlement_line=what.settlement_line,
        payment_intent=what.payment_intent,
        expected=_amount(what.expected),
        found=_amount(what.found),
        difference=what.difference,
        age_days=days,
        age_bucket=age_bucket(days),
        decision=None
        if decision is None
        else DecisionObject(
            action=decision.action,
            reason=decision.reason,
            actor=decision.actor,
            at=time_text(decision.at),
        ),
        first_seen_at=time_text(discrepancy.first_seen_at),
        last_seen_at=time_text(discrepancy.last_seen_at),
        version=discrepancy.version,
        created_at=time_text(discrepancy.created_at),
        updated_at=time_text(discrepancy.updated_at),
    )


def _counts(counts: Counts) -> CountsObject:
    return CountsObject(
        lines=counts.lines,
        matched=counts.matched,
        suggested=counts.suggested,
        unmatched=counts.unmatched,
        foreign=counts.foreign,
        provider_only=counts.provider_only,
    )


def _amount(amount: Amount | None) -> AmountObject | None:
    return None if amount is None else AmountObject(amount.amount, amount.currency)


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)
