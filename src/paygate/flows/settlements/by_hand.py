"""The lines of a payout that the provider does not itemise: one that was made by hand, or at once.

Which lines it is made of nobody can say, so the oldest are taken that fit, and what is left of the
amount is named (`domain/settlements/by_hand.py`). Where the provider itemises other payouts, all of
it is left: what is theirs must not be taken for another's.
"""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Final

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.by_hand import oldest_that_fit
from paygate.domain.settlements.close import OwnRow
from paygate.domain.settlements.outcome import Line, LineCategory, Payout
from paygate.domain.settlements.settlement import Settlement
from paygate.flows.context import Context
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read_lines import line_id
from paygate.providers.absence import ProviderSilent

LOOK_BACK: Final = timedelta(days=60)
"""How long before a payout its lines were made: money waits for weeks at most."""
ITEMISED_WITHIN: Final = timedelta(days=35)
"""Where the provider has itemised payouts so shortly before one by hand, every line is in theirs.
Those that it makes afterwards say nothing of it: a schedule may begin then, and what is told in
their lists is taken before anything is guessed (`run.py`). Their lists have its row within as long.
"""
LATE: Final = timedelta(days=3)
"""How long after a payout its own row may be made."""
CALL_LINES: Final = 100


async def lines_by_hand(ctx: Context, payout: Payout) -> AsyncGenerator[Line | Unknown, None]:
    """The lines that are taken for the payout's, and its own row; none where the provider itemises
    other payouts, for theirs are told and its own are not.

    Raises:
        ProviderSilent: the provider did not tell all payouts, or all lines.
    """
    if await _others_are_itemised(ctx, payout):
        return
    async for line in _taken(ctx, payout):
        yield line


async def own_row(ctx: Context, settlement: Settlement) -> OwnRow:
    """Whether the row of a payout that nobody itemises is a line of another settlement."""
    payout = settlement.payout
    if payout is None or payout.itemised:
        return OwnRow.NOWHERE
    if payout.own_reference is not None:
        line = line_id(ctx, payout.own_reference)
        known = await ctx.settlement_pages.known(ACCOUNT, [line])
        if known.get(line, settlement.id) != settlement.id:
            return OwnRow.TOLD
    is_new = ctx.now() - payout.created_at < ITEMISED_WITHIN
    return OwnRow.AWAITED if is_new else OwnRow.NOWHERE


async def _others_are_itemised(ctx: Context, payout: Payout) -> bool:
    """Whether the provider was making payouts at that time whose lines it tells."""
    since, until = payout.created_at - ITEMISED_WITHIN, payout.created_at
    timeout = ctx.policy.provider_timeout_seconds
    await ctx.pace.turn()
    async for other in ctx.provider.list_payouts_created(since, until, timeout_seconds=timeout):
        if isinstance(other, Unknown):
            raise ProviderSilent(other.message)
        if other.itemised and other.currency == payout.currency:
            return True
    return False


async def _taken(ctx: Context, payout: Payout) -> AsyncGenerator[Line | Unknown, None]:
    """Those already in this settlement are shown once more: they were taken before."""
    settlement = await ctx.settlements.of_payout(payout.provider_reference)
    assert settlement is not None, "it was taken before its lines are looked for"
    free: list[Line] = []
    mine: list[Line] = []
    listed = ctx.provider.list_lines_created(
        Currency(payout.currency),
        payout.created_at - LOOK_BACK,
        payout.created_at + LATE,
        timeout_seconds=ctx.policy.provider_timeout_seconds,
    )
    page: list[Line] = []
    await ctx.pace.turn()
    async for line in listed:
        if isinstance(line, Unknown):
            yield line
            continue
        if _is_own_row(line, payout):
            yield line
            continue
        page.append(line)
        if len(page) == CALL_LINES:
            await _sort(ctx, settlement.id, page, free, mine)
            page = []
            await ctx.pace.turn()
    await _sort(ctx, settlement.id, page, free, mine)
    for line in _guessed(payout, settlement, mine, free):
        yield line


def _guessed(
    payout: Payout, settlement: Settlement, mine: Sequence[Line], free: Sequence[Line]
) -> Sequence[Line]:
    """What was taken stays: taking others as well would be another guess. Before it was concluded
    it may be a part of the guess, though: whoever wrote it died, or a record could not be read.
    """
    fitting = oldest_that_fit(payout, [*mine, *free])
    is_part = settlement.concluded_at is None and set(mine) <= set(fitting)
    return fitting if is_part or not mine else mine


async def _sort(
    ctx: Context, settlement_id: str, page: list[Line], free: list[Line], mine: list[Line]
) -> None:
    """Lines in no settlement, and those in this one."""
    ids = {line_id(ctx, line.provider_reference): line for line in page}
    known = await ctx.settlement_pages.known(ACCOUNT, list(ids))
    free += [line for known_as, line in ids.items() if known_as not in known]
    mine += [line for known_as, line in ids.items() if known.get(known_as) == settlement_id]


def _is_own_row(line: Line, payout: Payout) -> bool:
    return (
        line.category is LineCategory.PAYOUT and line.source_reference == payout.provider_reference
    )
