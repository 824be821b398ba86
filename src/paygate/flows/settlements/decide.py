"""What people decide of settlements: a discrepancy is explained or resolved, a suggestion taken or
refused. Each is committed with its audit entry, and the settlement is summed and judged anew by a
worker. What the bank received has a file of its own (`record_bank_amount.py`).
"""

from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal, missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.settlements.discrepancy import (
    DecisionAction,
    Discrepancy,
    DiscrepancyStatus,
)
from paygate.domain.settlements.line import Candidate, LineMatch, MatchState, SettlementLine
from paygate.domain.settlements.match import decided as decided_line
from paygate.domain.settlements.settlement import Settlement, advanced
from paygate.flows.context import Context, Patience
from paygate.flows.settlements.open_discrepancy import (
    KEPT_CHANGING,
    decided,
    discrepancy_event,
    discrepancy_subject,
)
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.jobs.messages import ConcludeSettlement, Job
from paygate.storage.change import Change, Committed

SETTLEMENT_CHANGES: Final = "a settlement kept changing while it was decided on"


class DecidedLine(NamedTuple):
    """A line as it was decided, and its settlement."""

    settlement: Settlement
    line: SettlementLine


async def resolve_discrepancy(
    ctx: Context, caller: Caller, discrepancy_id: str, action: DecisionAction, reason: str
) -> Discrepancy:
    """The discrepancy, explained or resolved. What is resolved stays so.

    Raises:
        Refusal: `resource_missing`, also for another merchant than the account's; `state_conflict`
            when it is resolved already.
    """
    patience = Patience(KEPT_CHANGING)
    while True:
        standing = await find_discrepancy(ctx, caller, discrepancy_id)
        if standing.status is DiscrepancyStatus.RESOLVED:
            raise Refusal(ErrorCode.STATE_CONFLICT, "this discrepancy is resolved already")
        after = decided(ctx, standing, action, reason, name_of(caller))
        resolved = after.status is DiscrepancyStatus.RESOLVED
        told = (discrepancy_event(ctx, caller, after, "discrepancy.resolved"),) if resolved else ()
        audit = ctx.audit(
            caller,
            Action.DISCREPANCY_RESOLVE,
            discrepancy_subject(after),
            details={"action": action, "kind": after.kind, "reason": reason},
        )
        of = after.settlement
        jobs = () if of is None else (Job(ConcludeSettlement(ACCOUNT, of)),)
        change = Change(audit, creates=told, advances=(after,), jobs=jobs, response=after)
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()


async def match_line(
    ctx: Context,
    caller: Caller,
    settlement_id: str,
    line_id: str,
    taken: str | None,
    reason: str | None,
) -> DecidedLine:
    """The line, matched to one of its candidates, by the id of that payment or refund; or, with
    None, unmatched, since none of them is it.

    Raises:
        Refusal: `resource_missing`; `state_conflict` when the settlement is closed, the line needs
            no decision or was decided on, or another line has settled the candidate meanwhile;
            `parameter_invalid` for what is no candidate of it.
    """
    patience = Patience(SETTLEMENT_CHANGES)
    while True:
        settlement = await find_settlement(ctx, caller, settlement_id)
        line = await _find_line(ctx, settlement, line_id)
        _check_open(settlement)
        if line.state is not MatchState.SUGGESTED:
            said = f"this line is {line.state}: only a suggestion is taken or refused"
            raise Refusal(ErrorCode.STATE_CONFLICT, said)
        candidate = None if taken is None else await _candidate(ctx, line, taken)
        match = LineMatch(
            id=line.id,
            merchant=ACCOUNT,
            settlement=settlement.id,
            taken=candidate,
            actor=name_of(caller),
            created_at=ctx.now(),
            reason=reason,
        )
        result = DecidedLine(settlement, decided_line(line, match))
        # The settlement's version is the fence: one decision a line, and none that a sum missed.
        after = advanced(settlement, ctx.now())
        audit = ctx.audit(
            caller,
            Action.SETTLEMENT_LINE_MATCH,
            settlement_subject(after),
            details={"line": line.id, "taken": taken or "", "reason": reason or ""},
        )
        jobs = (Job(ConcludeSettlement(ACCOUNT, after.id)),)
        change = Change(audit, creates=(match,), advances=(after,), jobs=jobs, response=result)
        if isinstance(await ctx.door.commit(change), Committed):
            return result
        await patience.pause()


async def find_settlement(ctx: Context, caller: Caller, settlement_id: str) -> Settlement:
    """The settlement, for the account's merchant. Raises a refusal when there is none."""
    found = None
    if caller.merchant == ACCOUNT and is_id(PREFIXES["settlement"], settlement_id):
        found = await ctx.settlements.settlement(ACCOUNT, settlement_id)
    if found is None:
        raise missing("settlement")
    return found


async def find_discrepancy(ctx: Context, caller: Caller, discrepancy_id: str) -> Discrepancy:
    """The discrepancy, for the account's merchant. Raises a refusal when there is none."""
    found = None
    if caller.merchant == ACCOUNT and is_id(PREFIXES["discrepancy"], discrepancy_id):
        found = await ctx.settlements.discrepancy(ACCOUNT, discrepancy_id)
    if found is None:
        raise missing("discrepancy")
    return found


async def _find_line(ctx: Context, settlement: Settlement, line_id: str) -> SettlementLine:
    found = None
    if is_id(PREFIXES["settlement_line"], line_id):
        found = await ctx.settlement_pages.line(ACCOUNT, line_id)
    if found is None or found[0].settlement != settlement.id:
        raise missing("settlement_line")
    match = await ctx.settlements.matched_by_hand(ACCOUNT, line_id)
    return decided_line(found[1], match)


async def _candidate(ctx: Context, line: SettlementLine, taken: str) -> Candidate:
    """The candidate of this id. Raises a refusal when the line has none, or another has it."""
    candidate = next((each for each in line.candidates if each.fact == taken), None)
    if candidate is None:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            "take one of the line's candidates, by the id of its refund or payment intent",
            param="candidate",
        )
    if await ctx.settlement_pages.lines_of(ACCOUNT, [taken]):
        raise Refusal(ErrorCode.STATE_CONFLICT, "another line has settled this candidate")
    return candidate


def _check_open(settlement: Settlement) -> None:
    if not settlement.is_open:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "this settlement is closed: it stays as it is, and corrections are new entries",
        )


def name_of(caller: Caller) -> str:
    """Who decided: the person, where the merchant says so, else the key."""
    return caller.actor.name or caller.actor.id or caller.actor.type
