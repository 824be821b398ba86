"""Look once more for what unmatched lines are for: a record that was not known when they were
read - after a restore, say - may be known by now. What is found is a decision beside the line, as a
person's is: the line itself stays as it was read.
"""

from collections.abc import Sequence
from typing import Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.settlements.line import Candidate, LineMatch, MatchState, SettlementLine
from paygate.domain.settlements.match import match_page, tells_no_ids
from paygate.domain.settlements.settlement import Settlement, advanced
from paygate.flows.context import Context
from paygate.flows.settlements.open_discrepancy import JOB
from paygate.flows.settlements.our_side import ACCOUNT, our_side, terms_of
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.storage.change import Change, Committed
from paygate.storage.settlements.pages import LINES_A_PAGE

FOUND: Final = "its record is known by now"


async def find_matches(
    ctx: Context, caller: Caller, settlement: Settlement, lines: Sequence[SettlementLine]
) -> bool:
    """Match unmatched lines of a settlement whose record is known by now. Whether any was, so that
    the settlement has moved on and is to be summed anew.
    """
    wanted = [
        line for line in lines if line.state is MatchState.UNMATCHED and not tells_no_ids(line.said)
    ]
    matches: list[LineMatch] = []
    for start in range(0, len(wanted), LINES_A_PAGE):
        matches += await _known_by_now(ctx, settlement, wanted[start : start + LINES_A_PAGE])
    for match in matches:
        settlement = advanced(settlement, ctx.now())
        audit = ctx.audit(
            caller,
            Action.SETTLEMENT_LINE_FIND,
            settlement_subject(settlement),
            details={"line": match.id},
        )
        change = Change(audit, creates=(match,), advances=(settlement,))
        if not isinstance(await ctx.door.commit(change), Committed):
            break
    return bool(matches)


async def _known_by_now(
    ctx: Context, settlement: Settlement, lines: Sequence[SettlementLine]
) -> list[LineMatch]:
    ours = await our_side(ctx, [line.said for line in lines])
    ids = {line.said.provider_reference: line.id for line in lines}
    again = match_page([line.said for line in lines], ours.known, terms_of(ctx), ids.__getitem__)
    return [
        LineMatch(
            id=line.id,
            merchant=ACCOUNT,
            settlement=settlement.id,
            taken=Candidate(
                line.merchant, str(line.payment_intent), line.refund, dispute=line.dispute
            ),
            actor=JOB,
            created_at=ctx.now(),
            reason=FOUND,
            by=line.by,
        )
        for line in again
        if line.state is MatchState.MATCHED
    ]
