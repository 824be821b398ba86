"""Verify the audit log: every entry against its seal, every seal against the one before, the end
against its signature, and the whole against what was told outside. The first that is not as it was
is named.

A restore that was declared is a gap, and a month that was taken away has its seals without its
entries: both are told, and neither is a fault.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

import msgspec

from paygate.crypto.audit_keys import Signature
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType
from paygate.domain.audit_chain import GENESIS, Gap, Head
from paygate.flows.alerts.close import close_alert
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.audit_log.chain import Chain, Fault, Told
from paygate.flows.audit_log.checkpoint import NOT_OURS, Contradiction, last_told, read
from paygate.flows.audit_log.detached import detached_in
from paygate.flows.audit_log.seal import AUDIT_LOG, tampered
from paygate.flows.context import Context
from paygate.storage.audit_chain import ChainSession
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.pages import first_id

EARLIER: Final = timedelta(days=2)
"""How far before the last good verification entries may have been made that came after it."""
WHOLE_EVERY: Final = timedelta(days=7)
"""How often the job goes through the whole log; on all other days it goes on where it ended."""

Progress = Callable[[str, float, float | None], None]


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a run found. `first` is where it began, `detached` counts entries whose month was taken
    away, `checkpoints` what was told outside and agrees.
    """

    first: int
    head: int
    entries: int
    detached: int
    checkpoints: int
    gaps: tuple[Gap, ...]
    fault: Fault | None
    checkpoints_known: bool

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        return self.fault is None


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """The last good verification, as it is kept, signed: `whole_at` is when all was last gone
    through.
    """

    number: int
    hash: str
    at: datetime
    whole_at: datetime
    key: int = 0
    signature: str = ""


def _unheard(_stage: str, _done: float, _total: float | None) -> None:
    return None


async def verify_audit_log(
    ctx: Context,
    caller: Caller,
    *,
    whole: bool = True,
    lines: Callable[[], Iterator[bytes] | None] | None = None,
    progress: Progress = _unheard,
) -> Verified:
    """Verify the log, all of it or what is new since the last good verification; raise an alert for
    a fault, close it when all is well. `lines` reads checkpoints from another place than they are
    told to.
    """
    await ctx.door.commit(
        Change(ctx.audit(caller, Action.AUDIT_VERIFY, details={"whole": str(whole).lower()}))
    )
    remembered = await last_verified(ctx)
    began = ctx.now()
    start = None if whole else remembered
    lacking = await _lacking(ctx) if lines is None else None
    told = await _told(ctx, lines)  # before the snapshot: what is told later may not be in that
    async with ctx.audit_chain.session() as session:
        verified = await _Run(ctx, session, start, progress).verify(told)
    verified = msgspec.structs.replace(verified, fault=verified.fault or lacking)
    if verified.fault is not None:
        await raise_alert(ctx, caller, tampered(verified.fault.words()))
        return verified
    whole_at = began if start is None else start.whole_at
    await _remember(ctx, verified.head, began, whole_at)
    if start is None and verified.checkpoints_known:
        account = Caller(caller.actor, DEFAULT_MERCHANT, caller.request_id)
        await close_alert(ctx, account, AlertType.AUDIT_TAMPERED, AUDIT_LOG)
    return verified


async def verify_by_the_clock(ctx: Context, caller: Caller) -> Verified:
    """Verify what is new; the whole when that was not done for a week."""
    remembered = await last_verified(ctx)
    due = remembered is None or ctx.now() - remembered.whole_at >= WHOLE_EVERY
    return await verify_audit_log(ctx, caller, whole=due)


async def last_verified(ctx: Context) -> Remembered | None:
    """The last good verification; None when there was none, or what is kept of it is not ours."""
    kept = (await ctx.audit_seals.state()).verified
    if kept is None:
        return None
    try:
        remembered = msgspec.json.decode(kept, type=Remembered)
        signature = Signature(remembered.key, bytes.fromhex(remembered.signature))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    signed = ctx.audit_keys.signed(_message(ctx, remembered), signature)
    return remembered if signed else None


async def _remember(ctx: Context, number: int, at: datetime, whole_at: datetime) -> None:
    seal = await ctx.audit_seals.at(number)
    digest = GENESIS if seal is None or seal.number != number else seal.hash
    unsigned = Remembered(number=number, hash=digest.hex(), at=at, whole_at=whole_at)
    key, signature = ctx.audit_keys.sign(_message(ctx, unsigned))
    kept = msgspec.structs.replace(unsigned, key=key, signature=signature.hex())
    await ctx.audit_seals.keep_verified(msgspec.json.encode(kept).decode())


def _message(ctx: Context, kept: Remembered) -> bytes:
    unsigned = msgspec.structs.replace(kept, key=0, signature="")
    return b"paygate.verified.1 " + ctx.installation.encode() + msgspec.json.encode(unsigned)


async def _told(
    ctx: Context, lines: Callable[[], Iterator[bytes] | None] | None
) -> Iterator[bytes] | None:
    """The checkpoints that can be had: all of them, or the last one that was sent."""
    if lines is not None:
        return lines()
    if ctx.checkpoints is None:
        return None
    if (found := ctx.checkpoints.lines()) is not None:
        return found
    line = await last_told(ctx)
    return None if line is None else iter([line])


async def _lacking(ctx: Context) -> Fault | None:
    """Whether the last checkpoint that was told is not outside any more: an emptied file, one that
    was cut, or a folder that is not mounted, would have nothing to say against a log that was cut.
    """
    kept = (await ctx.audit_seals.state()).checkpoint
    if kept is None or ctx.checkpoints is None or ctx.checkpoints.lines() is None:
        return None
    last = await ctx.checkpoints.last()
    try:
        number = read(ctx, kept.encode()).number
        if last is not None and read(ctx, last).number >= number:
            return None
    except Contradiction:
        return None  # what is not ours is found by who goes through them all
    what = f"it was told to {ctx.checkpoints.name}, and is not there: is that the right place?"
    return Fault(number, None, what)


class _Run:
    def __init__(
        self, ctx: Context, session: ChainSession, start: Remembered | None, progress: Progress
    ) -> None:
        self._ctx = ctx
        self._session = session
        self._start = start
        self._progress = progress

    async def verify(self, lines: Iterator[bytes] | None) -> Verified:
        """Go through the chain, from where it is to begin."""
        start = Head(0, GENESIS)
        if self._start is not None:
            start = Head(self._start.number, bytes.fromhex(self._start.hash))
        head = await self._session.head()
        detached = detached_in(
            await self._session.entries_of(DEFAULT_MERCHANT, Action.AUDIT_DETACH)
        )
        chain = Chain(self._ctx, Told(self._ctx, lines, start.number), start, detached)
        fault = await self._fault(chain, head)
        return Verified(
            first=start.number + 1,
            head=head.number,
            entries=chain.entries,
            detached=chain.detached,
            checkpoints=chain.told.agreed,
            gaps=tuple(chain.gaps),
            fault=fault,
            checkpoints_known=lines is not None,
        )

    async def _fault(self, chain: Chain, head: Head) -> Fault | None:
        if (fault := await self._at_start(chain.head)) is not None:
            return fault
        async for links in self._session.links(chain.head.number + 1):
            for link in links:
                if (fault := chain.follow(link)) is not None:
                    return fault
            self._progress("audit entries", chain.head.number, head.number)
        if (fault := chain.end(head, await self._session.last())) is not None:
            return fault
        if not self._ctx.audit_seals.may_move((await self._ctx.audit_seals.state()).turn):
            return Fault(head.number, None, NOT_OURS)
        return await self._unsealed()

    async def _at_start(self, start: Head) -> Fault | None:
        """Whether the entry up to which all was well is still the one that it was."""
        if start.number == 0:
            return None
        async for links in self._session.links(start.number):
            seal = links[0].seal
            if (seal.number, seal.hash) == start:
                return None
            break
        return Fault(start.number, None, "it is not the entry up to which all was well last")

    async def _unsealed(self) -> Fault | None:
        since = "" if self._start is None else first_id("audit_entry", self._start.at - EARLIER)
        for merchant, entry_id in sorted(await self._session.unsealed(since)):
            return Fault(None, entry_id, f"it is in the log of {merchant}, and was never sealed")
        return None
