"""List alerts: a page of a merchant's, all or those of one status."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import Alert, AlertStatus
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.storage.pages import Cut, Page


async def list_alerts(
    ctx: Context, caller: Caller, cut: Cut, status: AlertStatus | None, query: str
) -> Page[Alert]:
    """The page as it stands. `query` is for the audit log."""
    page = await ctx.read.alerts(caller.merchant, cut, status)
    ids = [alert.id for alert in page.items]
    await audit_list(ctx, caller, Action.ALERT_LIST, query, ids, page.unread)
    return page
