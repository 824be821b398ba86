"""List audit entries: a page of a merchant's, by subject, action, actor and time.

A merchant's log is its own. What concerns the provider's account - provider events, rounds of the
reconciliation - is written for the default merchant, and seen by those who read that one's log.
"""

from collections.abc import Mapping
from typing import NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import AuditEntry
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.storage.audit_log import AuditFilters, Sealed
from paygate.storage.pages import Cut, Page


class Listed(NamedTuple):
    """A page, and the places in the chain of those entries that are sealed, by id."""

    page: Page[AuditEntry]
    seals: Mapping[str, Sealed]


async def list_audit_entries(
    ctx: Context, caller: Caller, cut: Cut, filters: AuditFilters, query: str
) -> Listed:
    """The page as it stands, without the entry that this reading itself leaves. `query` is for that
    entry.
    """
    page = await ctx.audit_log.page(caller.merchant, cut, filters)
    ids = [entry.id for entry in page.items]
    seals = await ctx.audit_log.seals_of(caller.merchant, ids)
    await audit_list(ctx, caller, Action.AUDIT_LIST, query, ids, page.unread)
    return Listed(page, seals)
