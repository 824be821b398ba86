"""Resolve refunds whose outcome nobody knows, and end those that nobody approved in time.

A refund is an order that stands: it is sent again while the provider knows its key, and then looked
up among the refunds of its payment. What two look-ups far apart do not find was never made.
"""

from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import RefundMoved
from paygate.domain.refunds.outcome import RefundAnswer, RefundFailed
from paygate.domain.refunds.refund import IN_DOUBT, Refund, missed
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.provider.clock import is_in_step
from paygate.flows.refunds.approve import expire_approval
from paygate.flows.refunds.commit import commit_refund, refund_subject
from paygate.flows.refunds.conclude import conclude, reread
from paygate.flows.refunds.send import commit_refund_resend, may_be_sent, send_refund
from paygate.flows.sweep import Crew, Sweep
from paygate.providers.absence import Absent, ProviderSilent

PAGE: Final = 200
AT_ONCE: Final = 25
MISSES_APART: Final = timedelta(minutes=10)
"""Two look-ups this far apart that find nothing: it never arrived."""
UNRESOLVED_AFTER: Final = timedelta(hours=1)
NEVER_ARRIVED: Final = RefundAnswer(
    RefundFailed("provider_unavailable", "The provider could not be reached; nothing was refunded.")
)


class ResolvedRefunds(NamedTuple):
    """How many were found out, and how many are still in doubt."""

    resolved: int
    unresolved: int


async def resolve_refunds(ctx: Context, run_id: str) -> ResolvedRefunds:
    """Find out what became of the refunds whose call must be over."""
    sweep = Sweep(ctx, "resolve-refunds", run_id)
    over = ctx.now() - timedelta(seconds=ctx.policy.provider_timeout_seconds)
    resolved = unresolved = 0

    async def one(refund: Refund) -> None:
        nonlocal resolved, unresolved
        if await _resolve(ctx, sweep.caller(refund.merchant), refund):
            resolved += 1
        else:
            unresolved += 1

    async with Crew(AT_ONCE, sweep) as crew:
        async for refund in sweep.every(partial(ctx.refunds.refunds_in_doubt, over), PAGE):
            await crew.take(one(refund))
    await sweep.end()
    return ResolvedRefunds(resolved, unresolved)


async def expire_refund_approvals(ctx: Context, run_id: str) -> int:
    """Fail refunds that nobody decided on in time; how many those were."""
    sweep = Sweep(ctx, "expire-refund-approvals", run_id)
    expired = 0
    async for refund in sweep.every(partial(ctx.refunds.refunds_unapproved, ctx.now()), PAGE):
        with sweep:
            expired += await expire_approval(ctx, sweep.caller(refund.merchant), refund)
    await sweep.end()
    return expired


async def _resolve(ctx: Context, caller: Caller, refund: Refund) -> bool:
    """Whether the refund came to an end, or to the provider."""
    intent, newest = await reread(ctx, refund)
    if newest.state not in IN_DOUBT:
        return True
    if may_be_sent(ctx, newest):
        action = Action.REFUND_RESOLVE
        sending = await commit_refund_resend(ctx, caller, action, intent, newest)
        if sending is None:
            return False  # somebody else has it in hand
        intent, newest = sending
        await ctx.pace.turn()
        answer: RefundAnswer | None = await send_refund(ctx, intent, newest)
        if answer is not None and isinstance(answer.outcome, Unknown):
            # The provider may repeat a fault under this key for a day, though it made the refund.
            answer = await _shown(ctx, intent, newest) or answer
    else:
        answer = await _look_up(ctx, caller, intent, newest)
    if answer is None:
        await _alert_if_old(ctx, caller, newest)
        return False
    after, _ = await conclude(ctx, caller, Action.REFUND_RESOLVE, intent, newest, answer)
    if after.state in IN_DOUBT:
        await _alert_if_old(ctx, caller, after)
        return False
    return True


async def _look_up(
    ctx: Context, caller: Caller, intent: PaymentIntent, refund: Refund
) -> RefundAnswer | None:
    """What the provider says of a refund whose key it may have forgotten; None while that is not
    certain.
    """
    timeout_seconds = ctx.policy.provider_timeout_seconds
    if refund.provider_reference is not None:
        await ctx.pace.turn()
        found = await ctx.provider.retrieve_refund(
            refund.provider_reference, timeout_seconds=timeout_seconds
        )
        return None if isinstance(found, Absent) else found
    try:
        listed = await _listed(ctx, intent, refund)
    except ProviderSilent:
        return None
    return listed or await _missed(ctx, caller, intent, refund)


async def _shown(ctx: Context, intent: PaymentIntent, refund: Refund) -> RefundAnswer | None:
    """The refund as the provider's list shows it; None when that does not tell."""
    try:
        return await _listed(ctx, intent, refund)
    except ProviderSilent:
        return None


async def _listed(ctx: Context, intent: PaymentIntent, refund: Refund) -> RefundAnswer | None:
    """The refund among those of its payment; None when the provider has none of our mark.

    Raises:
        ProviderSilent: the list could not be read to its end.
    """
    assert intent.provider_reference is not None, "what was paid is known to the provider"
    await ctx.pace.turn()
    listing = ctx.provider.list_refunds(
        intent.provider_reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    async for each in listing:
        if (each.refund, each.installation) == (refund.id, ctx.installation):
            return each
    return None


async def _missed(
    ctx: Context, caller: Caller, intent: PaymentIntent, refund: Refund
) -> RefundAnswer | None:
    """Write one miss down; a second one, long after, is the end. None counts on a node whose clock
    may be wrong.
    """
    if not is_in_step(ctx):
        return None
    if refund.missed_at is None:
        moved = RefundMoved(intent, intent, missed(refund, ctx.now()))
        await commit_refund(ctx, caller, Action.REFUND_RESOLVE, moved)
        return None
    return NEVER_ARRIVED if ctx.now() >= refund.missed_at + MISSES_APART else None


async def _alert_if_old(ctx: Context, caller: Caller, refund: Refund) -> None:
    """Tell a person of a refund that has been in doubt for long."""
    if refund.first_sent_at is None or ctx.now() < refund.first_sent_at + UNRESOLVED_AFTER:
        return
    problem = Problem(
        type=AlertType.ATTEMPT_UNRESOLVED,
        subject=refund_subject(refund.id),
        severity="critical",
        message="what became of a refund is not known since it was sent",
        what_to_do="Look the refund up in the provider's dashboard by its metadata"
        f" (paygate_refund: {refund.id}). Its amount stays reserved until the provider answers.",
    )
    await raise_alert(ctx, caller, problem)
