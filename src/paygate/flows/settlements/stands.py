"""Whether what an alert tells of settlement still stands."""

from paygate.domain.alert import Alert
from paygate.domain.settlements.discrepancy import DiscrepancyKind, DiscrepancyStatus
from paygate.domain.settlements.working_days import age_bucket
from paygate.flows.context import Context
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.problems import TOO_MUCH, WAITING
from paygate.flows.settlements.watch import age_of
from paygate.storage.pages import newest
from paygate.storage.settlements.reader import DiscrepancyFilters

_OPEN = DiscrepancyStatus.OPEN


async def settlement_differs(ctx: Context, standing: Alert) -> bool:
    """Until nobody need see to it any more: all that it tells of is explained or resolved, has
    healed, or has come to another stage.
    """
    subject, stage = standing.problem.subject, standing.problem.stage
    if subject.object == "settlement":
        if stage in {WAITING, TOO_MUCH}:
            settlement = await ctx.settlements.settlement(ACCOUNT, subject.id)
            return settlement is not None and settlement.concluded_at is None
        return await _any_open(ctx, DiscrepancyFilters(settlement=subject.id, status=_OPEN))
    if subject.object == "discrepancy":
        found = await ctx.settlements.discrepancy(ACCOUNT, subject.id)
        is_open = found is not None and found.status is _OPEN
        return found is not None and is_open and age_bucket(age_of(found, ctx)) == stage
    if subject.object == "payment_intent" and stage is not None:
        kind = DiscrepancyKind(stage)
        of = DiscrepancyFilters(payment_intent=subject.id, kind=kind, status=_OPEN)
        return await _any_open(ctx, of)
    return True  # of the provider, the next run sees


async def payout_is_failed(ctx: Context, standing: Alert) -> bool:
    """Until somebody has seen to the failed payout."""
    kind, of = DiscrepancyKind.PAYOUT_FAILED, standing.problem.subject.id
    return await _any_open(ctx, DiscrepancyFilters(settlement=of, kind=kind, status=_OPEN))


async def _any_open(ctx: Context, filters: DiscrepancyFilters) -> bool:
    page = await ctx.settlements.discrepancies(ACCOUNT, newest("discrepancy", 1), filters)
    return bool(page.items or page.unread)
