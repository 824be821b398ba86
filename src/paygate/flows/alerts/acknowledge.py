"""Acknowledge an alert: somebody has seen it. The alert stands until its problem is over."""

from paygate.domain import alert
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal, missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.flows.context import Context, Patience
from paygate.storage.change import Change, Committed


async def acknowledge_alert(
    ctx: Context, caller: Caller, alert_id: str, *, note: str | None = None
) -> Alert:
    """The acknowledged alert; `by` is the person that the request names, else its key.

    Raises:
        Refusal: not found, or `state_conflict` when it is not open.
    """
    patience = Patience("an alert kept changing while it was acknowledged")
    while True:
        standing = None
        if is_id(PREFIXES["alert"], alert_id):
            standing = await ctx.read.alert(caller.merchant, alert_id)
        if standing is None:
            raise missing("alert")
        if standing.status is not AlertStatus.OPEN:
            raise Refusal(ErrorCode.STATE_CONFLICT, f"the alert is {standing.status} already")
        by = caller.actor.name or str(caller.actor.id)
        after = alert.acknowledged(standing, by, ctx.now(), note)
        audit = ctx.audit(caller, Action.ALERT_ACKNOWLEDGE, Subject("alert", after.id))
        change = Change(audit, advances=(after,), response=after)
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()
