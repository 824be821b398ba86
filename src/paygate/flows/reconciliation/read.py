"""Read reconciliations and what they found. A read leaves its audit entry before it is shown."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Reconciliation
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.flows.reconciliation.begin import subject_of
from paygate.storage.change import Change
from paygate.storage.pages import Cut, Page


async def read_reconciliation(ctx: Context, caller: Caller, run_id: str) -> Reconciliation:
    """The round as it stands.

    Raises:
        Refusal: `resource_missing` for an id that is malformed or unknown, or for another merchant
            than the account's.
    """
    run = await _find(ctx, caller, run_id)
    await ctx.door.commit(Change(ctx.audit(caller, Action.RECONCILIATION_READ, subject_of(run))))
    return run


async def list_reconciliations(
    ctx: Context, caller: Caller, cut: Cut, query: str
) -> Page[Reconciliation]:
    """A page of the rounds. `query` is for the audit log."""
    page = await ctx.reconciliations.page(caller.merchant, cut)
    ids = [run.id for run in page.items]
    await audit_list(ctx, caller, Action.RECONCILIATION_LIST, query, ids, page.unread)
    return page


async def list_findings(
    ctx: Context, caller: Caller, run_id: str, cut: Cut, query: str
) -> Page[Finding]:
    """A page of what a round found. Raises as `read_reconciliation` does."""
    run = await _find(ctx, caller, run_id)
    page = await ctx.reconciliations.findings(run.merchant, run.id, cut)
    ids = [finding.id for finding in page.items]
    await audit_list(ctx, caller, Action.RECONCILIATION_FINDING_LIST, query, ids, page.unread)
    return page


async def _find(ctx: Context, caller: Caller, run_id: str) -> Reconciliation:
    run = None
    if is_id(PREFIXES["reconciliation"], run_id):
        run = await ctx.reconciliations.reconciliation(caller.merchant, run_id)
    if run is None:
        raise missing("reconciliation")
    return run
