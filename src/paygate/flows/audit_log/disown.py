"""Take seals out of the chain of the audit log that are none of ours: those behind the last one
that we signed. A hand wrote them that no trigger stops; the sealer signs nothing behind them.

An entry says so before it is done, and the seals are kept elsewhere. What was told outside, or was
signed by us, stays: a change of that is no forged seal, and nothing here mends it.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from paygate.crypto.audit_keys import Signature
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit_chain import GENESIS, Head, Seal, head_message
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.audit_log.chain import Chain, Fault, Told
from paygate.flows.audit_log.checkpoint import (
    HEAD,
    NOT_OURS,
    Contradiction,
    check_told,
    last_told,
    read,
)
from paygate.flows.audit_log.detached import detached_in
from paygate.flows.audit_log.verify import Progress
from paygate.flows.context import Context
from paygate.storage.audit_chain import ChainSession
from paygate.storage.audit_seals import Turn
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT

PAGE: Final = 100
"""Signed seals at once, from the newest back: the first one most often is ours."""

Take = Callable[[int, int, Turn], Awaitable[int]]
"""Takes the chain back to a seal, as the tables' owner, where another is the highest; with what the
head's row then asks for. How many seals were taken out.
"""


class Disowned(NamedTuple):
    """How many seals were taken out, and behind which number."""

    seals: int
    behind: int


class _Found(NamedTuple):
    """The last seal of ours, the highest one that there is, and what is wrong with what follows."""

    ours: Seal | None
    highest: int
    head: Head
    fault: Fault | None

    @property
    def ends_with_ours(self) -> bool:
        """Whether nothing is behind the last seal of ours, and the head is there."""
        ours = self.ours
        return ours is None or (
            self.highest == ours.number and self.head == Head(ours.number, ours.hash)
        )


async def disown_seals(
    ctx: Context, caller: Caller, take: Take, *, progress: Progress
) -> Disowned | None:
    """Take the chain back to the last seal of ours; None where that is its end.

    Raises:
        Refusal: what is wrong with the log is no forged seal at its end.
    """
    state = await ctx.audit_seals.state()
    async with ctx.audit_chain.session() as session:
        found = await _look(ctx, session, progress)
    if found.ends_with_ours and ctx.audit_seals.may_move(state.turn):
        if found.fault is not None:
            raise _refused(found.fault.words())
        return None
    ours = found.ours
    if ours is None:
        raise _refused("no seal of it is ours: are the keys those of this log?")
    await _refuse_later(ctx, ours, found.highest)
    last = max(found.highest, found.head.number)
    details = {HEAD: f"{ours.number}:{ours.hash.hex()}", "disowned": f"{ours.number + 1}-{last}"}
    await ctx.door.commit(Change(ctx.audit(caller, Action.AUDIT_DISOWN, details=details)))
    seals = await take(ours.number, found.highest, ctx.audit_seals.turn_after(state.turn))
    return Disowned(seals, ours.number)


async def _look(ctx: Context, session: ChainSession, progress: Progress) -> _Found:
    head, last = await session.head(), await session.last()
    detached = detached_in(await session.entries_of(DEFAULT_MERCHANT, Action.AUDIT_DETACH))
    chain = Chain(ctx, Told(ctx, None, 0), Head(0, GENESIS), detached)
    fault = await _first_fault(session, chain, head, progress)
    if fault is None:
        fault = chain.end(head, last)
    if fault is None and not ctx.audit_seals.may_move((await ctx.audit_seals.state()).turn):
        fault = Fault(head.number, None, NOT_OURS)
    highest = 0 if last is None else last.number
    return _Found(await _last_of_ours(ctx, 1, chain.head.number), highest, head, fault)


async def _first_fault(
    session: ChainSession, chain: Chain, head: Head, progress: Progress
) -> Fault | None:
    async for links in session.links(1):
        for link in links:
            if (fault := chain.follow(link)) is not None:
                return fault
        progress("audit entries", chain.head.number, head.number)
    return None


async def _last_of_ours(ctx: Context, first: int, last: int) -> Seal | None:
    """The last seal between two numbers that bears a signature of ours."""
    while seals := await ctx.audit_seals.signed(first, last, PAGE):
        for seal in seals:
            if _is_signed_by_us(ctx, seal):
                return seal
        last = seals[-1].number - 1
    return None


async def _refuse_later(ctx: Context, ours: Seal, highest: int) -> None:
    """Raises Refusal: something behind that seal was ours."""
    later = await _last_of_ours(ctx, ours.number + 1, highest)
    if later is not None:
        raise _refused(
            f"number {later.number} was signed by us, and what is before it was changed behind"
            f" number {ours.number}"
        )
    line = await last_told(ctx)
    if line is None:
        return
    try:
        told = read(ctx, line).head
        if told.number > ours.number:
            raise _refused(f"number {told.number} was told outside, and is not there")
        await check_told(ctx, told)
    except Contradiction as fault:
        raise _refused(str(fault)) from None


def _is_signed_by_us(ctx: Context, seal: Seal) -> bool:
    assert seal.signature is not None, "signed ones were asked for"
    message = head_message(ctx.installation, Head(seal.number, seal.hash))
    return ctx.audit_keys.signed(message, Signature(seal.key, seal.signature))


def _refused(why: str) -> Refusal:
    return Refusal(ErrorCode.AUDIT_LOG_NOT_WHOLE, f"no seal is taken out of the audit log: {why}")
