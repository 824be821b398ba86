"""A round that a person runs and waits for."""

from datetime import datetime

from paygate.domain.access.roles import Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.reconciliation.run import Cause, Reconciliation
from paygate.flows.context import Context
from paygate.flows.reconciliation.begin import begin_reconciliation, new_run
from paygate.flows.reconciliation.report import JOB, Progress, unheard
from paygate.flows.reconciliation.run import reconcile
from paygate.storage.installation import DEFAULT_MERCHANT


async def reconcile_by_hand(
    ctx: Context,
    caller: Caller,
    *,
    since: datetime | None = None,
    progress: Progress = unheard,
) -> Reconciliation:
    """The round at its end; one that was left behind is brought to its end before.

    Raises:
        Refusal: `reconciliation_running` while another is at work, `parameter_invalid` for a time
            to come.
    """
    await new_run(ctx, Cause.PERSON, since)  # what is wrong with it is said before anything is done
    async with ctx.sole_runs.alone(JOB) as alone:
        if not alone:
            raise Refusal(
                ErrorCode.RECONCILIATION_RUNNING, "a reconciliation is at work; try again later"
            )
        left = await ctx.reconciliations.running(DEFAULT_MERCHANT)
        if left is not None:
            await reconcile(ctx, left, ctx.new_id("run"), progress=progress)
        run = await begin_reconciliation(ctx, caller, Cause.PERSON, since=since)
        return await reconcile(ctx, run, ctx.new_id("run"), progress=progress)
