"""Offer what lines might be for that name nothing of ours, as in a bank's own report: payments and
refunds without a line, by amount, currency and date. A person decides; nothing is taken by itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from paygate.domain.access.roles import Caller
from paygate.domain.settlements.fact import Fact, of_payment, of_refund
from paygate.domain.settlements.line import SettlementLine
from paygate.domain.settlements.suggest import span_of, suggest
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.settlements.our_side import ACCOUNT

MOST: Final = 20_000
"""Payments, or refunds, that are looked through for a page of lines; of more, amounts repeat too
often for a suggestion to be worth much."""
BEFORE: Final = timedelta(days=31)
"""How long before it was paid a payment may have been created: a hold, or a bank transfer."""
_PAGE: Final = 500


async def with_candidates(
    ctx: Context, caller: Caller, lines: Sequence[SettlementLine]
) -> Sequence[SettlementLine]:
    """The same lines, those with their candidates that have any."""
    span = span_of(lines)
    if span is None:
        return lines
    taken = {line.fact for line in lines}
    offered = await _without_lines(ctx, caller, *span)
    return suggest(lines, [fact for fact in offered if fact.id not in taken])


async def _without_lines(
    ctx: Context, caller: Caller, since: datetime, until: datetime
) -> list[Fact]:
    """Payments and refunds of a time that no settlement has a line of; what cannot be read is told
    of, and not offered.
    """
    facts: list[Fact] = []
    read = ctx.settlement_facts
    after = None
    for _ in range(MOST // _PAGE):
        payments = partial(read.payments_unsettled, ACCOUNT, since - BEFORE, until)
        stretch = await payments(after, _PAGE)
        facts += [of_payment(intent) for intent in stretch.records]
        for fault in stretch.unread:
            await report_unreadable(ctx, caller, fault)
        if (after := stretch.last) is None:
            break
    after = None
    for _ in range(MOST // _PAGE):
        refunds = await read.refunds_unsettled(ACCOUNT, since - BEFORE, until, after, _PAGE)
        facts += [of_refund(refund) for refund in refunds.records]
        for fault in refunds.unread:
            await report_unreadable(ctx, caller, fault)
        if (after := refunds.last) is None:
            break
    return facts
