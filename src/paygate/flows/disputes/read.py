"""Read a dispute, or the merchant's disputes; both are audited before they are shown."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.flows.disputes.problems import dispute_subject
from paygate.storage.change import Change
from paygate.storage.disputes import DisputeFilters
from paygate.storage.pages import Cut, Page


async def find_dispute(ctx: Context, merchant: str, dispute_id: str) -> Dispute:
    """The merchant's dispute. Raises a refusal when there is none of that id."""
    found = None
    if is_id(PREFIXES["dispute"], dispute_id):
        found = await ctx.disputes.dispute(merchant, dispute_id)
    if found is None:
        raise missing("dispute")
    return found


async def read_dispute(ctx: Context, caller: Caller, dispute_id: str) -> Dispute:
    """The dispute as it stands.

    Raises:
        Refusal: not found.
    """
    dispute = await find_dispute(ctx, caller.merchant, dispute_id)
    audit = ctx.audit(caller, Action.DISPUTE_READ, dispute_subject(dispute))
    await ctx.door.commit(Change(audit))
    return dispute


async def list_disputes(
    ctx: Context, caller: Caller, cut: Cut, filters: DisputeFilters, query: str
) -> Page[Dispute]:
    """A page of the merchant's disputes. `query` is for the audit log."""
    page = await ctx.disputes.disputes(caller.merchant, cut, filters)
    ids = [dispute.id for dispute in page.items]
    await audit_list(ctx, caller, Action.DISPUTE_LIST, query, ids, page.unread)
    return page
