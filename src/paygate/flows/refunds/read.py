"""Read a refund, or the merchant's refunds; both are audited before they are shown."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.refunds.refund import Refund
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.flows.refunds.commit import refund_subject
from paygate.storage.change import Change
from paygate.storage.pages import Cut, Page
from paygate.storage.refunds import RefundFilters


async def find_refund(ctx: Context, merchant: str, refund_id: str) -> Refund:
    """The merchant's refund. Raises a refusal when there is none of that id."""
    found = None
    if is_id(PREFIXES["refund"], refund_id):
        found = await ctx.refunds.refund(merchant, refund_id)
    if found is None:
        raise missing("refund")
    return found


async def read_refund(ctx: Context, caller: Caller, refund_id: str) -> Refund:
    """The refund as it stands.

    Raises:
        Refusal: not found.
    """
    refund = await find_refund(ctx, caller.merchant, refund_id)
    audit = ctx.audit(caller, Action.REFUND_READ, refund_subject(refund.id))
    await ctx.door.commit(Change(audit))
    return refund


async def list_refunds(
    ctx: Context, caller: Caller, cut: Cut, filters: RefundFilters, query: str
) -> Page[Refund]:
    """A page of the merchant's refunds. `query` is for the audit log."""
    page = await ctx.refunds.refunds(caller.merchant, cut, filters)
    ids = [refund.id for refund in page.items]
    await audit_list(ctx, caller, Action.REFUND_LIST, query, ids, page.unread)
    return page
