"""A settlement, or all of them, that a person runs and waits for."""

from typing import Final

from paygate.domain.access.roles import Caller
from paygate.domain.errors import ErrorCode, Refusal, missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.context import Context
from paygate.flows.settlements.open_discrepancy import JOB
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read import shown
from paygate.flows.settlements.run import Progress, Ran, settle_payouts, unheard
from paygate.flows.settlements.settle import settle_again, settle_payout
from paygate.providers.absence import ProviderSilent

_PAGE: Final = 500


async def settle_all(ctx: Context, progress: Progress = unheard) -> Ran:
    """A run over all payouts.

    Raises:
        Refusal: `state_conflict` while another run is at work.
    """
    async with ctx.sole_runs.alone(JOB) as alone:
        if not alone:
            raise Refusal(ErrorCode.STATE_CONFLICT, "settle-payouts is at work; try again later")
        return await settle_payouts(ctx, ctx.new_id("run"), progress)


async def settle_one(ctx: Context, caller: Caller, named: str) -> Settlement:
    """The settlement of a payout, by the provider's id of it or by ours, brought as far as it goes.

    Raises:
        Refusal: `resource_missing`: there is none, here or at the provider;
            `provider_unavailable`: it did not tell.
    """
    try:
        if is_id(PREFIXES["settlement"], named):
            known = await ctx.settlements.settlement(ACCOUNT, named)
            done = None if known is None else await settle_again(ctx, caller, known)
        else:
            done = await settle_payout(ctx, caller, named)
    except ProviderSilent:
        raise Refusal(
            ErrorCode.PROVIDER_UNAVAILABLE, "the provider did not tell of the payout to its end"
        ) from None
    if done is None or done.settlement is None:
        raise missing("settlement")
    return await shown(ctx, done.settlement)


async def discrepancies_of(ctx: Context, settlement: Settlement, most: int) -> list[Discrepancy]:
    """The discrepancies of a settlement, the oldest first, so many at most.

    Raises:
        Unreadable, Outdated: one cannot be read.
    """
    found: list[Discrepancy] = []
    after = None
    while len(found) < most:
        stretch = await ctx.settlements.discrepancies_of(ACCOUNT, settlement.id, after, _PAGE)
        for fault in stretch.unread:
            raise fault
        found += stretch.records
        if stretch.last is None:
            break
        after = stretch.last
    return found[:most]
