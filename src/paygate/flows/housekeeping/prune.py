"""Delete what is older than `PAYGATE_RETENTION_EVENTS`: the bodies of provider events that came to
their end, deliveries to merchants that are over, and what they sent.

Kept for ever are the events themselves, so that none is applied or told twice. Kept as long as they
wait are bodies of events that are received, parked or dead letters, and deliveries that are
pending. Nothing is deleted by a clock that is known to be wrong.
"""

from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.flows.context import Context
from paygate.flows.provider.clock import clock_fault
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.telemetry import log

BATCH: Final = 500
"""Deleted in one statement, of some ten milliseconds."""
JOB: Final = "housekeeping"


class Pruned(NamedTuple):
    """How many rows of each kind a run deleted."""

    bodies: int = 0
    deliveries: int = 0
    webhooks: int = 0


async def prune(ctx: Context, run_id: str) -> Pruned:
    """Delete what is past its time. Each batch stands by itself, so that a run that is cut off has
    done what it has done, and the next goes on.
    """
    if (why := await clock_fault(ctx)) is not None:
        log.logger().warning("housekeeping_put_off", request_id=run_id, reason=why)
        return Pruned()
    before = ctx.now() - ctx.policy.events_kept
    bodies, last = 0, ""
    while gone := await ctx.retention.delete_bodies(DEFAULT_MERCHANT, before, last, BATCH):
        bodies, last = bodies + len(gone), gone[-1]
    deliveries = webhooks = 0
    while count := await ctx.retention.delete_deliveries(before, BATCH):
        deliveries += count
    while count := await ctx.retention.delete_webhook_bodies(before, BATCH):
        webhooks += count
    pruned = Pruned(bodies, deliveries, webhooks)
    if any(pruned):
        details = {name: str(count) for name, count in pruned._asdict().items()}
        job = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, run_id)
        await ctx.door.commit(Change(ctx.audit(job, Action.EVENT_PRUNE, details=details)))
    return pruned
