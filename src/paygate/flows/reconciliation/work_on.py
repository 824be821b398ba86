"""Work on a round that was asked for over the API, a few seconds at a time: it holds no place in
the queue, and a worker that is to stop waits for none.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.reconciliation.run import RunStatus
from paygate.flows.context import Context
from paygate.flows.reconciliation.report import JOB
from paygate.flows.reconciliation.run import reconcile
from paygate.jobs.messages import Reconcile

SLICE_SECONDS: Final = 3.0
AGAIN_AFTER: Final = timedelta(milliseconds=10)
BESIDE: Final = timedelta(seconds=5)
"""Somebody else is at work on the round; should they die, it is gone on with here."""


async def reconcile_as_asked(ctx: Context, message: Reconcile) -> timedelta | None:
    """How long until the round is to be gone on with; None when it has come to its end."""
    async with ctx.sole_runs.alone(JOB) as alone:
        run = await ctx.reconciliations.reconciliation(message.merchant, message.reconciliation)
        if run is None or run.status is not RunStatus.RUNNING:
            return None
        if not alone:
            return BESIDE
        run = await reconcile(ctx, run, ctx.new_id("run"), seconds=SLICE_SECONDS)
    return AGAIN_AFTER if run.status is RunStatus.RUNNING else None
