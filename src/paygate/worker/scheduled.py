"""What each scheduled job does, by its name; the worker and `paygate jobs run` call the same."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.flows.context import Context
from paygate.flows.expire_payment_intents import expire_payment_intents
from paygate.flows.purge_idempotency_keys import purge_idempotency_keys

Report = Mapping[str, int]
"""What a run did, counted."""
Run = Callable[[Context, str], Awaitable[Report]]
"""With the context, and the run's id as the audit log will name it."""


async def _expire_intents(ctx: Context, run_id: str) -> Report:
    return {"cancelled": await expire_payment_intents(ctx, run_id)}


async def _purge_idempotency_keys(ctx: Context, run_id: str) -> Report:
    purged = await purge_idempotency_keys(ctx, run_id)
    return {"deleted": purged.deleted, "unfinished": purged.unfinished}


RUNS: Final[Mapping[str, Run]] = MappingProxyType(
    {
        "expire-intents": _expire_intents,
        "purge-idempotency-keys": _purge_idempotency_keys,
    }
)
"""A test holds these to `jobs.schedule.SCHEDULE`."""


async def run_scheduled(ctx: Context, name: str) -> Report:
    """Run a scheduled job once."""
    return await RUNS[name](ctx, ctx.new_id("run"))
