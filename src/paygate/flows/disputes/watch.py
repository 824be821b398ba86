"""Watch the deadlines for evidence: an alert two days before, half a day before, and when one has
passed with nothing submitted; each once. What arrives with less time left is told of in the commit
that records it (`problems.py`).
"""

from functools import partial
from typing import Final, NamedTuple

from paygate.domain.alert import AlertType, name_of
from paygate.domain.disputes.dispute import Dispute
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.disputes.problems import (
    WITHIN,
    Deadline,
    deadline_of,
    deadline_problem,
    dispute_subject,
)
from paygate.flows.sweep import Sweep

PAGE: Final = 200


class WatchedDisputes(NamedTuple):
    """The counts of a run: disputes whose deadline is near, and those that missed it."""

    due: int
    missed: int


async def watch_disputes(ctx: Context, run_id: str) -> WatchedDisputes:
    """Look at every dispute that evidence is waited for. Returns the counts of this run."""
    due = missed = 0
    sweep = Sweep(ctx, "watch-disputes", run_id)
    read = partial(ctx.disputes.disputes_awaiting_evidence, ctx.now() + WITHIN)
    async for dispute in sweep.every(read, PAGE):
        with sweep:
            deadline = deadline_of(dispute, ctx.now())
            if deadline is not None:
                missed += deadline is Deadline.MISSED
                due += deadline is not Deadline.MISSED
                await _tell(ctx, sweep, dispute, deadline)
    await sweep.end()
    return WatchedDisputes(due, missed)


async def _tell(ctx: Context, sweep: Sweep, dispute: Dispute, deadline: Deadline) -> None:
    """Raise the stage's alert, unless it stands."""
    name = name_of(AlertType.DISPUTE_DEADLINE, dispute_subject(dispute), deadline)
    if await ctx.read.alert_standing(dispute.merchant, name) is None:
        problem = deadline_problem(dispute, deadline)
        await raise_alert(ctx, sweep.caller(dispute.merchant), problem)
