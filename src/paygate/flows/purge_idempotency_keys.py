"""Purge idempotency keys that are past their time. Those that are not finished stay, and alert."""

from typing import Final, NamedTuple

from paygate.domain.access import Action, Actor, Caller
from paygate.domain.alert import AlertType, Concern
from paygate.domain.audit import Subject
from paygate.domain.idempotency import IdempotencyKey
from paygate.flows.context import Context
from paygate.flows.raise_alert import raise_alert
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT

BATCH: Final = 1000
"""Deleted in one statement: a few milliseconds, during which nobody waits for it."""
ALERTED: Final = 100
"""So many unfinished keys in one run; beyond it something larger is wrong than a request."""


class Purged(NamedTuple):
    """What a run did."""

    deleted: int
    unfinished: int


async def purge_idempotency_keys(ctx: Context, run_id: str) -> Purged:
    """Delete the finished keys of more than `PAYGATE_IDEMPOTENCY_TTL` ago."""
    before = ctx.now() - ctx.policy.idempotency_ttl
    job = Caller(Actor("job", name="purge-idempotency-keys"), DEFAULT_MERCHANT, run_id)
    deleted = 0
    while batch := await ctx.keys.purge(before, BATCH):
        deleted += batch
    if deleted:
        details = {"deleted": str(deleted)}
        await ctx.door.commit(Change(ctx.audit(job, Action.IDEMPOTENCY_KEY_PURGE, details=details)))
    unfinished = await ctx.read.idempotency_keys_unfinished(before, ALERTED)
    for key in unfinished:
        caller = Caller(job.actor, key.merchant, run_id)
        await raise_alert(ctx, caller, _concern(key))
    return Purged(deleted, len(unfinished))


def _concern(key: IdempotencyKey) -> Concern:
    return Concern(
        type=AlertType.IDEMPOTENCY_UNFINISHED,
        subject=Subject("idempotency_key", key.id),
        severity="warning",
        message=f"the request {key.claim} began under an Idempotency-Key and never ended",
        what_to_do="Send the same request with the same key again: it resumes. If its sender is"
        " gone, look for the request id in the log and the audit log, and compare with the"
        " provider.",
    )
