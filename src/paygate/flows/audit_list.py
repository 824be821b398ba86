"""Audit the reading of a list: one entry, which says what was asked and what was shown."""

from collections.abc import Iterable

from paygate.domain.access.roles import Action, Caller
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.storage.change import Change
from paygate.storage.unreadable import Unread


async def audit_list(
    ctx: Context,
    caller: Caller,
    action: Action,
    query: str,
    ids: Iterable[str],
    unread: Iterable[Unread] = (),
) -> None:
    """Write the audit entry of a reading, durable before the list is shown. `query` is the query
    string as it came, once parsed. A record left out because it cannot be read gets an alert.
    """
    details = {"query": query, "ids": ",".join(ids)}
    await ctx.door.commit(Change(ctx.audit(caller, action, details=details)))
    for fault in unread:
        await report_unreadable(ctx, caller, fault)
