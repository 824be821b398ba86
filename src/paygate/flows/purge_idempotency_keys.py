"""Purge idempotency keys that are past their time. Those that are not finished stay."""

from typing import Final

from paygate.flows.context import Context

BATCH: Final = 1000
"""Deleted in one statement: a few milliseconds, during which nobody waits for it."""


async def purge_idempotency_keys(ctx: Context) -> int:
    """Delete the finished keys of more than `PAYGATE_IDEMPOTENCY_TTL` ago; how many there were."""
    before = ctx.now() - ctx.policy.idempotency_ttl
    total = 0
    while deleted := await ctx.keys.purge(before, BATCH):
        total += deleted
    return total
