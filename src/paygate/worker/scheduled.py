"""What each scheduled job does, by its name; the worker and `paygate jobs run` call the same."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.access import Actor, Caller
from paygate.flows.close_overdue_attempts import close_overdue_attempts
from paygate.flows.context import Context
from paygate.flows.expire_payment_intents import expire_payment_intents
from paygate.flows.purge_idempotency_keys import purge_idempotency_keys
from paygate.flows.resolve_attempts import resolve_attempts
from paygate.flows.verify_ledger import verify_ledger
from paygate.flows.watch_authorizations import watch_authorizations
from paygate.storage.installation import DEFAULT_MERCHANT

Report = Mapping[str, int]
"""What a run did, counted."""
Run = Callable[[Context, str], Awaitable[Report]]
"""With the context, and the run's id as the audit log will name it."""


async def _expire_intents(ctx: Context, run_id: str) -> Report:
    cancelled = await expire_payment_intents(ctx, run_id)
    return {"cancelled": cancelled, "closed": await close_overdue_attempts(ctx, run_id)}


async def _watch_authorizations(ctx: Context, run_id: str) -> Report:
    watched = await watch_authorizations(ctx, run_id)
    return {"expiring": watched.expiring, "lapsed": watched.lapsed}


async def _resolve_attempts(ctx: Context, run_id: str) -> Report:
    resolved = await resolve_attempts(ctx, run_id)
    return {"resolved": resolved.resolved, "unresolved": resolved.unresolved}


async def _purge_idempotency_keys(ctx: Context, run_id: str) -> Report:
    purged = await purge_idempotency_keys(ctx, run_id)
    return {"deleted": purged.deleted, "unfinished": purged.unfinished}


async def _verify_ledger(ctx: Context, run_id: str) -> Report:
    caller = Caller(Actor("job", name="verify-ledger"), DEFAULT_MERCHANT, run_id)
    verified = await verify_ledger(ctx, caller)
    return {
        "intents": verified.intents,
        "mismatches": len(verified.mismatches) + verified.more,
        "not_compared": len(verified.not_compared),
    }


RUNS: Final[Mapping[str, Run]] = MappingProxyType(
    {
        "expire-intents": _expire_intents,
        "watch-authorizations": _watch_authorizations,
        "resolve-attempts": _resolve_attempts,
        "purge-idempotency-keys": _purge_idempotency_keys,
        "verify-ledger": _verify_ledger,
    }
)
"""A test holds these to `jobs.schedule.SCHEDULE`."""


async def run_scheduled(ctx: Context, name: str) -> Report:
    """Run a scheduled job once."""
    return await RUNS[name](ctx, ctx.new_id("run"))
