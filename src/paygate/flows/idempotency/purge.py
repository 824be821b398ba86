"""Purge idempotency keys that are past their time. Unfinished keys stay, each with an alert.

An unfinished key may stand for a charge that nobody knows of, until the payment that its request
was about has ended: the merchant has then heard what became of the payment, and the key waits for
its request in silence.

A finished key keeps a retry from being charged again, so no wrong clock may judge the key's age: a
node whose own clock is known to be wrong leaves the purge to the others.
"""

import asyncio
from functools import partial
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.payments.payment_intent import FINAL
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.provider.clock import clock_fault
from paygate.flows.sweep import Sweep
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.telemetry import log

BATCH: Final = 1000
"""Keys deleted in one statement, of a few milliseconds."""
AT_ONCE: Final = 50
"""Unfinished keys that are looked at together, so few that payments have the door to themselves."""


class Purged(NamedTuple):
    """The counts of a run."""

    deleted: int
    unfinished: int


async def purge_idempotency_keys(ctx: Context, run_id: str) -> Purged:
    """Delete the finished keys of more than `PAYGATE_IDEMPOTENCY_TTL` ago, and alert for every
    other one of that age whose request may have left something undone. Nothing is done by a clock
    that is known to be wrong.
    """
    before = ctx.now() - ctx.policy.idempotency_ttl
    if (why := await clock_fault(ctx)) is not None:
        log.logger().warning("purge_put_off", request_id=run_id, reason=why)
        return Purged(0, 0)
    sweep = Sweep(ctx, "purge-idempotency-keys", run_id)
    deleted = 0
    while batch := await ctx.keys.purge(before, BATCH):
        deleted += batch
    if deleted:
        job, details = sweep.caller(DEFAULT_MERCHANT), {"deleted": str(deleted)}
        await ctx.door.commit(Change(ctx.audit(job, Action.IDEMPOTENCY_KEY_PURGE, details=details)))

    async def look(key: IdempotencyKey) -> bool:
        with sweep:
            if await is_unfinished(ctx, key):
                await raise_alert(ctx, sweep.caller(key.merchant), _problem(key))
                return True
        return False

    unfinished = 0
    read = partial(ctx.read.idempotency_keys_unfinished, before)
    async for keys in sweep.stretches(read, AT_ONCE):
        unfinished += sum(await asyncio.gather(*map(look, keys)))
    await sweep.end()
    return Purged(deleted, unfinished)


async def is_unfinished(ctx: Context, key: IdempotencyKey) -> bool:
    """Whether a key's request may have left something undone."""
    if key.state is KeyState.FINISHED:
        return False
    if key.about is None or key.about.object != "payment_intent":
        return True
    intent = await ctx.read.payment_intent(key.merchant, key.about.id)
    return intent is None or intent.status not in FINAL or intent.pending_operation is not None


def _problem(key: IdempotencyKey) -> Problem:
    return Problem(
        type=AlertType.IDEMPOTENCY_UNFINISHED,
        subject=Subject("idempotency_key", key.id),
        severity="warning",
        message=f"the request {key.claim} began under an Idempotency-Key and never ended",
        what_to_do="Send the same request with the same key again: it resumes. If its sender is"
        " gone, look for the request id in the log and the audit log, and compare with the"
        " provider.",
    )
