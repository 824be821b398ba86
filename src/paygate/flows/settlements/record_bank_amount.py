"""Write down what the bank received of a payout. It is known days after the payout was made, and so
mostly of a settlement that is closed. That stays as it is: what is told of it then is an entry of
its own, a comparison with the bank that is told once.
"""

from typing import Final

from msgspec.structs import replace

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.close import compared_with_bank
from paygate.domain.settlements.discrepancy import DecisionAction
from paygate.domain.settlements.settlement import Settlement, advanced
from paygate.flows.alerts.raise_alert import occurrence, to_raise
from paygate.flows.context import Context, Patience
from paygate.flows.settlements.decide import SETTLEMENT_CHANGES, find_settlement, name_of
from paygate.flows.settlements.open_discrepancy import (
    decided,
    discrepancy_event,
    discrepancy_id,
    new_discrepancy,
)
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.problems import bank_differs
from paygate.flows.settlements.read_lines import settlement_subject
from paygate.jobs.messages import ConcludeSettlement, Job
from paygate.storage.change import Change, Committed

SAME: Final = "the bank received what was paid out"


async def record_bank_amount(
    ctx: Context, caller: Caller, settlement_id: str, bank_amount: int
) -> Settlement:
    """The settlement with what the bank says that it received: where that is not the payout's
    amount, it is a discrepancy. While a settlement is open it may be told anew; of one that is
    closed it is told once.

    Raises:
        Refusal: `resource_missing`; `state_conflict` when the settlement is closed, and it was told
            what the bank received.
    """
    patience = Patience(SETTLEMENT_CHANGES)
    is_begun = False
    while True:
        standing = await find_settlement(ctx, caller, settlement_id)
        if standing.is_open:
            after, change = _while_open(ctx, caller, standing, bank_amount)
        else:
            after, change = await _beside(ctx, caller, standing, bank_amount)
            if not is_begun:
                # An idempotency key is claimed with the first commit, and a change has one claim.
                await ctx.door.commit(Change(_audit(ctx, caller, standing, bank_amount)))
                is_begun = True
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()


def _while_open(
    ctx: Context, caller: Caller, standing: Settlement, bank_amount: int
) -> tuple[Settlement, Change]:
    after = advanced(standing, ctx.now(), bank_amount=bank_amount)
    audit = _audit(ctx, caller, after, bank_amount)
    jobs = (Job(ConcludeSettlement(ACCOUNT, after.id)),)
    return after, Change(audit, advances=(after,), jobs=jobs, response=after)


async def _beside(
    ctx: Context, caller: Caller, closed: Settlement, bank_amount: int
) -> tuple[Settlement, Change]:
    """The comparison beside a closed settlement: one that is open where the amounts differ, and
    else one that the same person has resolved.
    """
    after = replace(closed, bank_amount=bank_amount)
    found = compared_with_bank(after, bank_amount)
    known = discrepancy_id(ctx, found)
    told_before = await ctx.settlements.discrepancy(ACCOUNT, known)
    if closed.bank_amount is not None or told_before is not None:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            "this settlement is closed, and what the bank received was told: it stays as it is",
        )
    comparison = new_discrepancy(ctx, known, found, closed.id)
    audit = _audit(ctx, caller, closed, bank_amount)
    if bank_amount == closed.amount:
        resolve = DecisionAction.RESOLVE
        even = replace(decided(ctx, comparison, resolve, SAME, name_of(caller)), version=1)
        return after, Change(audit, creates=(even,), response=after)
    alert = occurrence(ctx, ACCOUNT, bank_differs(closed.id, found))
    told = discrepancy_event(ctx, caller, comparison, "discrepancy.opened")
    creates = (comparison, told, alert)
    return after, Change(audit, creates=creates, jobs=to_raise(alert), response=after)


def _audit(ctx: Context, caller: Caller, settlement: Settlement, bank_amount: int) -> AuditEntry:
    details = {"bank_amount": f"{bank_amount} {settlement.currency}"}
    if not settlement.is_open:
        details["closed"] = "true"
    subject = settlement_subject(settlement)
    return ctx.audit(caller, Action.SETTLEMENT_BANK_AMOUNT, subject, details=details)
