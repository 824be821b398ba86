"""What a restore of the database made the audit log forget: the numbers between its end and the
last checkpoint outside. A declaration names both, and is refused over a log that is not whole.
"""

from collections.abc import Callable, Iterator

from paygate.domain.access.roles import Caller
from paygate.domain.audit_chain import Head
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.audit_log.checkpoint import (
    Contradiction,
    check_told,
    details_of,
    last_told,
    read,
)
from paygate.flows.audit_log.verify import Progress, verify_audit_log
from paygate.flows.context import Context


async def lost_by_restore(
    ctx: Context,
    caller: Caller,
    *,
    lines: Callable[[], Iterator[bytes]] | None = None,
    progress: Progress,
) -> dict[str, str]:
    """What the declaration of a restore says of the audit log; nothing where nothing is lost.

    `lines` reads the checkpoints from another place than they are told to.

    Raises:
        Refusal: what is left of the log is not what was sealed, or the checkpoints are not ours.
    """
    line = await _last(ctx, lines)
    if line is None:
        return {}
    head = (await ctx.audit_seals.state()).head
    try:
        told = read(ctx, line).head
        if told.number <= head.number:
            await check_told(ctx, told)
            return {}
    except Contradiction as fault:
        raise _refused(str(fault)) from None
    verified = await verify_audit_log(
        ctx, caller, lines=lambda: _up_to(ctx, head, lines), progress=progress
    )
    if verified.fault is not None:
        raise _refused(verified.fault.words())
    if lines is not None:
        await ctx.audit_seals.keep_checkpoint(line.decode())
    return details_of(head, told)


async def _last(ctx: Context, lines: Callable[[], Iterator[bytes]] | None) -> bytes | None:
    if lines is None:
        return await last_told(ctx)
    last = None
    for line in lines():
        last = line
    return last


def _up_to(
    ctx: Context, head: Head, lines: Callable[[], Iterator[bytes]] | None
) -> Iterator[bytes]:
    """The checkpoints of what is left."""
    known = lines() if lines is not None else ctx.checkpoints and ctx.checkpoints.lines()
    for line in known or ():
        try:
            if read(ctx, line).number > head.number:
                return
        except Contradiction:
            pass  # the verification says so
        yield line


def _refused(why: str) -> Refusal:
    return Refusal(ErrorCode.AUDIT_LOG_NOT_WHOLE, f"the audit log is not as it was: {why}")
