"""Take months out of the audit log that are past their time: the oldest first, and only what is
sealed, told outside and verified. An entry says so before it is done, for all months before as
well; the seals stay.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile
from typing import Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit_chain import gaps_text
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.audit_log.checkpoint import Contradiction, last_told, read
from paygate.flows.audit_log.detached import ENDS, GAPS
from paygate.flows.audit_log.seal import LogSealer
from paygate.flows.audit_log.verify import Progress, Verified, verify_audit_log
from paygate.flows.context import Context
from paygate.flows.provider.clock import clock_fault
from paygate.storage.audit_seals import Month
from paygate.storage.change import Change

SEALED_WITHIN_SECONDS: Final = 30.0
"""The worker seals within a second; without one this run does."""
LOOK_SECONDS: Final = 0.2

Take = Callable[[Sequence[str]], Awaitable[None]]
"""Takes months away, as the tables' owner."""


async def detach_past_months(
    ctx: Context, caller: Caller, take: Take | None, *, progress: Progress
) -> Sequence[str]:
    """The names of the months that were taken away; without `take`, that would be.

    Raises:
        Refusal: the log is not whole, or nobody outside knows so much of it; or this machine's
            clock is known to be wrong, and with it how old a month is.
    """
    if (why := await clock_fault(ctx)) is not None:
        raise _refused(f"the clock is wrong ({why})")
    cut = ctx.now() - ctx.policy.audit_kept
    months = [*takewhile(lambda month: month.ends <= cut, await ctx.audit_seals.months())]
    if not months:
        return []
    verified = await verify_audit_log(ctx, caller, progress=progress)
    await _check(ctx, months, verified)
    names = [month.name for month in months]
    if take is not None:
        await _declare(ctx, caller, months, verified)
        await take(names)
    return names


async def _check(ctx: Context, months: Sequence[Month], verified: Verified) -> None:
    """Raises Refusal: something speaks against it."""
    if verified.fault is not None:
        raise _refused(verified.fault.words())
    ends = months[-1].ends
    if unsealed := await ctx.audit_seals.unsealed_before(ends):
        raise _refused(f"{unsealed} entries of before {ends:%Y-%m-%d} are not sealed")
    line = await last_told(ctx)
    if line is None:
        raise _refused("no checkpoint was told outside (PAYGATE_AUDIT_CHECKPOINTS)")
    try:
        told = read(ctx, line).number
    except Contradiction as fault:
        raise _refused(str(fault)) from None
    if (last := await ctx.audit_seals.sealed_before(ends)) > told:
        raise _refused(f"number {last} was not told outside yet, only up to {told}")


async def _declare(
    ctx: Context, caller: Caller, months: Sequence[Month], verified: Verified
) -> None:
    """Commit the entry, and see it sealed."""
    details = {
        ENDS: months[-1].ends.isoformat(),
        GAPS: gaps_text(verified.gaps),
        "months": ",".join(month.name for month in months),
    }
    entry = ctx.audit(caller, Action.AUDIT_DETACH, details=details)
    await ctx.door.commit(Change(entry))
    sealer = LogSealer(ctx)
    end = asyncio.get_running_loop().time() + SEALED_WITHIN_SECONDS
    while not await ctx.audit_log.seals_of(entry.merchant, [entry.id]):
        if asyncio.get_running_loop().time() > end:
            raise _refused("the entry that declares it was not sealed: see the worker's log")
        try:
            await sealer.seal_waiting()
        except Contradiction as fault:
            raise _refused(str(fault)) from None
        await asyncio.sleep(LOOK_SECONDS)
    await sealer.tell()


def _refused(why: str) -> Refusal:
    return Refusal(ErrorCode.AUDIT_LOG_NOT_WHOLE, f"no month is taken away: {why}")
