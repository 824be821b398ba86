"""Settle a payout that news came of, or that a person has decided something of. What cannot be done
now the next run by the clock does.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.access.roles import Actor, Caller
from paygate.flows.context import Context
from paygate.flows.settlements.conclude import conclude
from paygate.flows.settlements.open_discrepancy import JOB
from paygate.flows.settlements.settle import settle_again
from paygate.jobs.messages import ConcludeSettlement, SettlePayout
from paygate.providers.absence import ProviderSilent

AGAIN_AFTER: Final = timedelta(minutes=1)
"""When the provider did not tell."""


async def settle_as_asked(ctx: Context, message: SettlePayout) -> timedelta | None:
    """How long until it is tried again; None when it was brought as far as it goes."""
    settlement = await ctx.settlements.settlement(message.merchant, message.settlement)
    if settlement is None or not settlement.is_open:
        return None
    caller = _caller(ctx, message.merchant)
    try:
        await settle_again(ctx, caller, settlement)
    except ProviderSilent:
        return AGAIN_AFTER
    return None


async def conclude_as_asked(ctx: Context, message: ConcludeSettlement) -> None:
    """Sum and judge a settlement anew, unless its lines are waited for still."""
    settlement = await ctx.settlements.settlement(message.merchant, message.settlement)
    if settlement is not None and settlement.concluded_at is not None:
        await conclude(ctx, _caller(ctx, message.merchant), settlement.id)


def _caller(ctx: Context, merchant: str) -> Caller:
    return Caller(Actor("job", name=JOB), merchant, ctx.new_id("run"))
