"""Watch the queue for jobs that nobody gets done: this version cannot read them or does not know
their kind, each try ends in a fault, or the provider does not do what they ask. Such jobs wait, and
an alert says so. Events that nobody makes into deliveries wait in the same way.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.storage.installation import DEFAULT_MERCHANT

STUCK_AFTER: Final = timedelta(hours=1)
"""Longer than a deployment, during which the other version's jobs wait, and than most outages."""


async def watch_jobs(ctx: Context, run_id: str) -> int:
    """How many jobs have been in the queue since `STUCK_AFTER` ago; one alert for each kind."""
    waiting = await ctx.read.jobs_waiting(ctx.now() - STUCK_AFTER)
    caller = Caller(Actor("job", name="watch-jobs"), DEFAULT_MERCHANT, run_id)
    for kind, count in waiting.items():
        await raise_alert(ctx, caller, _problem(kind, count))
    return sum(waiting.values())


def _problem(kind: str, count: int) -> Problem:
    return Problem(
        type=AlertType.JOB_STUCK,
        subject=Subject("job", kind),
        severity="warning",
        message=f"jobs have been in the queue for an hour: {count} of {kind}",
        what_to_do="Look for job_failed in the worker's log, and whether the provider answers. What"
        " this version does not know or cannot read was made by a later one: it waits for a worker"
        " of that version. Events that are to be told (tell-events) wait for every transaction that"
        " was open before them too, in any database of the server: see pg_stat_activity and"
        " pg_prepared_xacts.",
    )
