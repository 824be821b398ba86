"""Go on with orders of disputes whose outcome nobody knows: the provider is looked at first.

Evidence whose count has risen was submitted, whoever heard of it. One that has not is sent again
until the deadline; a dispute that was accepted is looked at until it is lost.
"""

from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.disputes.dispute import Dispute, DisputeOperation
from paygate.domain.payments.outcome import Unknown
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.disputes.accept import send_acceptance
from paygate.flows.disputes.find import apply_dispute, fetched_dispute
from paygate.flows.disputes.orders import LONG_AFTER, reread
from paygate.flows.disputes.problems import dispute_subject
from paygate.flows.disputes.submit import send_evidence
from paygate.flows.sweep import Crew, Sweep
from paygate.providers.absence import Absent

PAGE: Final = 200
AT_ONCE: Final = 5
"""Files are megabytes, and payments come first."""
UNRESOLVED_AFTER: Final = timedelta(hours=1)


class ResolvedOrders(NamedTuple):
    """How many orders came to their end, and how many are under way still."""

    resolved: int
    unresolved: int


async def resolve_dispute_orders(ctx: Context, run_id: str) -> ResolvedOrders:
    """Find out what became of the orders whose call must be over, and send those on that nothing
    became of.
    """
    sweep = Sweep(ctx, "resolve-dispute-orders", run_id)
    over = ctx.now() - timedelta(seconds=ctx.policy.provider_timeout_seconds)
    resolved = unresolved = 0

    async def one(dispute: Dispute) -> None:
        nonlocal resolved, unresolved
        if await _resolve(ctx, sweep.caller(dispute.merchant), dispute):
            resolved += 1
        else:
            unresolved += 1

    async with Crew(AT_ONCE, sweep) as crew:
        async for dispute in sweep.every(partial(ctx.disputes.disputes_pending, over), PAGE):
            await crew.take(one(dispute))
    await sweep.end()
    return ResolvedOrders(resolved, unresolved)


async def _resolve(ctx: Context, caller: Caller, dispute: Dispute) -> bool:
    """Whether the order came to its end."""
    newest = await reread(ctx, dispute)
    if newest.pending_operation is None:
        return True
    await ctx.pace.turn()
    found = await fetched_dispute(ctx, newest.provider_reference)
    if not isinstance(found, Absent | Unknown):
        await apply_dispute(ctx, caller, found)
        newest = await reread(ctx, newest)
        if newest.pending_operation is not None:
            newest = await _send_on(ctx, caller, newest)
    if newest.pending_operation is None:
        return True
    await _alert_if_old(ctx, caller, newest)
    return False


async def _send_on(ctx: Context, caller: Caller, dispute: Dispute) -> Dispute:
    """The dispute after its order was sent once more, if that helps."""
    assert dispute.order is not None, "an order is under way"
    action, last = Action.DISPUTE_RESOLVE, dispute.order.last_sent_at
    await ctx.pace.turn()
    if dispute.pending_operation is DisputeOperation.SUBMIT:
        after, _ = await send_evidence(ctx, caller, action, dispute)
        return after
    if last is not None and ctx.now() < last + LONG_AFTER:
        return dispute  # the provider has taken it, and takes its time
    after, _ = await send_acceptance(ctx, caller, action, dispute)
    return after


async def _alert_if_old(ctx: Context, caller: Caller, dispute: Dispute) -> None:
    """Tell a person of an order that has been under way for long."""
    assert dispute.order is not None, "an order is under way"
    if ctx.now() < dispute.order.begun_at + UNRESOLVED_AFTER:
        return
    submit = dispute.pending_operation is DisputeOperation.SUBMIT
    problem = Problem(
        type=AlertType.ATTEMPT_UNRESOLVED,
        subject=dispute_subject(dispute),
        severity="critical",
        message="evidence was ordered to be submitted, and the provider does not show it"
        if submit
        else "a dispute was accepted, and the provider does not show it as lost",
        what_to_do=f"Look {dispute.provider_reference} up in the provider's dashboard. Orders are"
        " sent on from here until the provider shows what became of them, evidence until its"
        " deadline.",
        due_at=dispute.evidence_due_by,
    )
    await raise_alert(ctx, caller, problem)
