"""Declare that the database was restored from a backup: no payment is made a second time."""

from collections.abc import Mapping
from datetime import datetime

from paygate.domain.access.roles import Action, Caller
from paygate.flows.context import Context
from paygate.storage.change import Change
from paygate.storage.restores import Restore


async def declare_restore(
    ctx: Context,
    caller: Caller,
    taken_at: datetime | None = None,
    details: Mapping[str, str] | None = None,
) -> Restore:
    """Write the restore down, and return it; `taken_at` is the moment of the backup, where known,
    and `details` what the audit log lost.

    From now on an older payment intent is confirmed only after its payment was looked for at the
    provider.
    """
    restore = await ctx.restores.declare(ctx.now(), taken_at)
    entry = ctx.audit(caller, Action.RESTORE_DECLARE, details=dict(details or {}))
    await ctx.door.commit(Change(entry))
    return restore
