"""What readiness says of the audit log: whether it is sealed, told outside and verified, and
whether the database's role could undo what the schema holds.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from paygate.domain.audit_chain import Checkpoint
from paygate.domain.warning import Warned, WarningCode
from paygate.flows.audit_log.verify import last_verified
from paygate.flows.context import Context
from paygate.storage.audit_seals import State

UNSEALED_SECONDS: Final = 60.0
"""Many times what sealing takes, and longer than a worker is away in a deployment."""
UNVERIFIED: Final = timedelta(days=2)
"""The job verifies every day."""
UNTOLD: Final = timedelta(minutes=10)
"""A checkpoint is told every minute."""


class AuditLook(NamedTuple):
    """What is to be said, and when the log was last found good."""

    warnings: tuple[Warned, ...]
    verified_at: datetime | None


async def look_at_audit_log(ctx: Context) -> AuditLook:
    """What readiness says."""
    state, remembered = await ctx.audit_seals.state(), await last_verified(ctx)
    lag, bound = await ctx.audit_seals.lag_seconds(), await ctx.audit_seals.role_is_bound()
    verified_at = None if remembered is None else remembered.at
    found = [*_of_chain(ctx, state, lag, verified_at)]
    if ctx.checkpoints is not None and await _is_behind(ctx, state):
        why = f"{ctx.checkpoints.name} does not take checkpoints"
        found.append(Warned(WarningCode.AUDIT_NOT_TOLD, why))
    if ctx.policy.production and not bound:
        found.append(
            Warned(
                WarningCode.DATABASE_ROLE,
                "PAYGATE_DATABASE_URL is of a role that owns the tables or is a superuser: name the"
                " owner in PAYGATE_OWNER_DATABASE_URL, and another role here",
            )
        )
    return AuditLook(tuple(found), verified_at)


def _of_chain(
    ctx: Context, state: State, lag: float | None, verified_at: datetime | None
) -> Iterator[Warned]:
    if lag is not None and lag > UNSEALED_SECONDS:
        yield Warned(
            WarningCode.AUDIT_NOT_SEALED,
            f"the oldest audit entry waits for its seal since {lag:.0f} s: see the worker's log,"
            " and transactions that are open in the database server",
        )
    if ctx.now() - (verified_at or state.created_at) > UNVERIFIED:
        yield Warned(
            WarningCode.AUDIT_NOT_VERIFIED,
            f"the audit log was found good last at {verified_at or 'no time'}",
        )
    if ctx.checkpoints is None and ctx.policy.production:
        yield Warned(
            WarningCode.AUDIT_NOT_TOLD,
            "nobody outside knows the audit log's end: PAYGATE_AUDIT_CHECKPOINTS is not set",
        )


async def _is_behind(ctx: Context, state: State) -> bool:
    """Whether there is something that should have been told outside long ago."""
    told = 0
    if state.checkpoint is not None:
        try:
            told = msgspec.json.decode(state.checkpoint, type=Checkpoint).number
        except msgspec.MsgspecError:
            return True
    since = await ctx.audit_seals.at(told + 1)
    return since is not None and ctx.now() - since.at > UNTOLD
