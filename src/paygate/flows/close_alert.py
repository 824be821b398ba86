"""Close an alert, because what it tells of is over; should it come back, that is a new alert."""

from paygate.domain import alert
from paygate.domain.access import Action, Caller
from paygate.domain.alert import Concern
from paygate.domain.audit import Subject
from paygate.flows.context import TRIES, Context, pause
from paygate.storage.change import Change, Committed, Overloaded


async def close_alert(ctx: Context, caller: Caller, concern: Concern) -> None:
    """Close the alert that stands for a concern, if one does."""
    for _ in range(TRIES):
        standing = await ctx.read.alert_standing(caller.merchant, concern.name)
        if standing is None:
            return
        after = alert.closed(standing, ctx.now())
        audit = ctx.audit(caller, Action.ALERT_CLOSE, Subject("alert", after.id))
        if isinstance(await ctx.door.commit(Change(audit, advances=(after,))), Committed):
            return
        await pause()
    raise Overloaded("an alert kept changing while it was closed")
