"""Judge lines that say that a payout's money came back."""

from collections.abc import Iterable

from paygate.domain.settlements.line import SettlementLine
from paygate.domain.settlements.returned import judge_return, tells_return
from paygate.flows.context import Context
from paygate.flows.settlements.judge_lines import Judged
from paygate.flows.settlements.read import shown


async def judge_returns(
    ctx: Context, settlement_id: str, lines: Iterable[SettlementLine]
) -> list[Judged]:
    """What is wrong with those lines of a settlement that say that a payout's money came back: they
    are held against what is known here of that payout.
    """
    judged = []
    for line in filter(tells_return, lines):
        reference = line.said.source_reference
        of = None if reference is None else await ctx.settlements.of_payout(reference)
        found = judge_return(line, None if of is None else await shown(ctx, of))
        if found is not None:
            judged.append(Judged(found, settlement_id))
    return judged
