"""Read a dispute."""

from paygate.domain.audit import Subject
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.flows.context import Context


def dispute_subject(dispute_id: str) -> Subject:
    """A dispute, as the audit log names it."""
    return Subject("dispute", dispute_id)


async def find_dispute(ctx: Context, merchant: str, dispute_id: str) -> Dispute:
    """The merchant's dispute. Raises a refusal when there is none of that id."""
    found = None
    if is_id(PREFIXES["dispute"], dispute_id):
        found = await ctx.disputes.dispute(merchant, dispute_id)
    if found is None:
        raise missing("dispute")
    return found
