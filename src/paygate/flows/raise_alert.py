"""Raise an alert, or count the one that stands: one per type, subject and stage."""

from paygate.domain import alert
from paygate.domain.access import Action, Caller
from paygate.domain.alert import Alert, Concern
from paygate.domain.audit import Subject
from paygate.flows.context import TRIES, Context, pause
from paygate.storage.change import Change, Committed, Overloaded
from paygate.telemetry import log


async def raise_alert(ctx: Context, caller: Caller, concern: Concern) -> Alert:
    """The alert as it now stands, for the caller's merchant."""
    for _ in range(TRIES):
        standing = await ctx.read.alert_standing(caller.merchant, concern.name)
        now = ctx.now()
        if standing is None:
            raised = alert.raised(
                concern,
                alert_id=ctx.new_id("alert", now),
                merchant=caller.merchant,
                livemode=ctx.provider.livemode,
                at=now,
            )
        else:
            raised = alert.found_again(standing, concern, now)
        audit = ctx.audit(caller, Action.ALERT_RAISE, Subject("alert", raised.id))
        new = standing is None
        change = Change(audit, creates=(raised,) if new else (), advances=() if new else (raised,))
        if isinstance(await ctx.door.commit(change), Committed):
            if new:
                log.logger().warning("alert_raised", alert=raised.id, reason=concern.type)
            return raised
        await pause()
    raise Overloaded("an alert kept changing while it was raised")
