"""Watch discrepancies grow old, and payouts whose lines do not come; people are told by stages."""

from datetime import timedelta
from typing import Final

from paygate.domain.alert import AlertType, Problem, name_of
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.outcome import PayoutStatus
from paygate.domain.settlements.settlement import Settlement
from paygate.domain.settlements.working_days import age_bucket, age_days
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.problems import grown_old, still_waiting
from paygate.flows.sweep import Sweep

PAGE: Final = 200
STAGES: Final = frozenset({"4-7", "8-30", "31+"})
"""The ages at which a discrepancy that nobody has seen to is told of anew."""
_LINES_ARE_LATE: Final = timedelta(days=3)
"""After the day on which the bank has a payout: the provider itemises it within hours."""


def age_of(discrepancy: Discrepancy, ctx: Context) -> int:
    """How many whole days old it is: since its money was due, or else since it was found."""
    return age_days(discrepancy.what.since or discrepancy.first_seen_at, ctx.now())


async def watch_discrepancies(ctx: Context, sweep: Sweep) -> int:
    """Tell of discrepancies that have come to a stage. How many are open."""
    count = 0
    async for discrepancy in sweep.every(ctx.settlements.discrepancies_open, PAGE):
        count += 1
        bucket = age_bucket(age_of(discrepancy, ctx))
        if bucket in STAGES:
            with sweep:
                await _tell_once(ctx, sweep, grown_old(discrepancy, bucket))
    return count


async def tell_of_waiting(ctx: Context, sweep: Sweep, settlement: Settlement) -> None:
    """Tell people when a payout was paid long ago and is not concluded."""
    arrival = settlement.arrival_date
    if settlement.status is not PayoutStatus.PAID or arrival is None:
        return
    days = (ctx.now().date() - arrival).days
    if settlement.concluded_at is None and days > _LINES_ARE_LATE.days:
        await _tell_once(ctx, sweep, still_waiting(settlement, days))


async def _tell_once(ctx: Context, sweep: Sweep, problem: Problem) -> None:
    """Raise the alert of a stage, unless it stands."""
    name = name_of(AlertType.SETTLEMENT_DISCREPANCY, problem.subject, problem.stage)
    if await ctx.read.alert_standing(ACCOUNT, name) is None:
        await raise_alert(ctx, sweep.caller(ACCOUNT), problem)
