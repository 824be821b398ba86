"""Offer what lines might be for that name nothing of ours, as in a bank's own report: payments and
refunds without a line, by amount, currency and date. A person decides; nothing is taken by itself.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from paygate.domain.access.roles import Caller
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.fact import Fact, of_payment, of_refund
from paygate.domain.settlements.line import SettlementLine
from paygate.domain.settlements.suggest import Span, of_fact, spans_of, suggest, wanted_of
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.storage.pages import Place, Stretch

MOST: Final = 20_000
"""Payments, and as many refunds, that are looked through for a page of lines, those nearest to the
lines first. It is about two seconds' work; of more, amounts repeat too often for a suggestion to be
worth much."""
HELD: Final = timedelta(days=31)
"""How long before it was paid a payment may have been created: a hold, or a bank transfer."""
_PAGE: Final = 500
_LEAST: Final = 50
"""What a reading counts at least, of however few: lines of many days ask for each day."""

R = TypeVar("R", PaymentIntent, Refund)
_Read = Callable[[str, datetime, datetime, Place | None, int], Awaitable[Stretch[R]]]


async def with_candidates(
    ctx: Context, caller: Caller, lines: Sequence[SettlementLine]
) -> Sequence[SettlementLine]:
    """The same lines, those with their candidates that have any."""
    spans = list(spans_of(lines, HELD))
    if not spans:
        return lines
    read = ctx.settlement_facts
    look = partial(_look_through, ctx, caller, spans)
    taken, wanted = {line.fact for line in lines}, wanted_of(lines)
    kept: list[Fact] = []

    def keep(facts: Iterable[Fact]) -> None:
        kept.extend(fact for fact in facts if of_fact(fact) in wanted and fact.id not in taken)

    await look(read.payments_unsettled, of_payment, keep)
    await look(read.refunds_unsettled, of_refund, keep)
    return suggest(lines, kept)


async def _look_through(
    ctx: Context,
    caller: Caller,
    spans: Iterable[Span],
    read: _Read[R],
    fact_of: Callable[[R], Fact],
    keep: Callable[[Iterable[Fact]], None],
) -> None:
    """Show the facts of these times that no settlement has a line of, as many as are looked
    through; what cannot be read is told of, and not shown.
    """
    left = MOST
    for since, until in spans:
        after = None
        while left > 0:
            stretch = await read(ACCOUNT, since, until, after, min(left, _PAGE))
            keep(map(fact_of, stretch.records))
            for fault in stretch.unread:
                await report_unreadable(ctx, caller, fault)
            left -= max(len(stretch.records) + len(stretch.unread), _LEAST)
            if (after := stretch.last) is None:
                break
