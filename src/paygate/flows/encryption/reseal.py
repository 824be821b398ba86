"""Seal every record anew that is not under the newest key, and hash every look-up anew, beside the
payments.

A run may be killed at any moment, and another may be at work: what is sealed anew stays so, and the
next run finds what is left. Between two pages it rests as long as the page took.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from paygate.crypto.keyring import Purpose
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.encryption.loaded import WAIT_SECONDS, earlier_transactions_over
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.rehashing import Rehashing, rotated_tables
from paygate.storage.resealing import Resealing, tables
from paygate.storage.rewriting import Count, Rewriting
from paygate.storage.stored import Stored
from paygate.storage.unreadable import Unread

JOB: Final = "reseal-records"
PASSES: Final = 5
"""A pass leaves rows that somebody held; what is left after so many is the next run's."""
REST: Final = 1.0
"""How long a run rests after a page, in times of what the page took: half of one connection's work
is left to the payments, whatever the machine is."""
ROTATED: Final = (Purpose.RECORDS, Purpose.INDEX)
"""Keysets whose rows are written anew under a newer key."""
ALERTS: Final = 20
"""Records that do not open, each told of by an alert. More of them are one thing: a key is gone."""


class Resealed(NamedTuple):
    """What a run did; `left` counts rows that are under another key still, `unread` those of them
    that do not open.
    """

    rows: int = 0
    unread: int = 0
    left: int = 0


async def reseal_by_the_clock(ctx: Context, run_id: str) -> Resealed:
    """Go on with the rotations that were left unfinished, if there are any."""
    caller = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, run_id)
    loaded, facts = await ctx.keysets.load(), await ctx.keysets.facts()
    done = Resealed()
    for purpose in ROTATED:
        key = loaded.primary(purpose)
        known = facts.get((purpose, key))
        if known is None or known.sealed_at is not None or _written(ctx, purpose).primary != key:
            continue
        more = await reseal(ctx, caller, purpose=purpose)
        done = Resealed(*(ours + theirs for ours, theirs in zip(done, more, strict=True)))
    return done


async def reseal(
    ctx: Context,
    caller: Caller,
    progress: Callable[[int], None] = lambda _: None,
    purpose: Purpose = Purpose.RECORDS,
) -> Resealed:
    """Seal all that is left anew, or hash it; `progress` hears how many rows were. When nothing is
    left but what does not open, that is written down.
    """
    run = _Run(ctx, caller, progress)
    work = _written(ctx, purpose)
    through: Sequence[Stored[Any]] = tuple(_tables(purpose))
    async with work.session() as session:
        for _ in range(PASSES):
            run.passed_by = run.closed = 0
            for stored in through:
                await run.table(session, stored)
            if not run.passed_by:
                break
    key = work.primary
    await earlier_transactions_over(ctx, lambda _: None, WAIT_SECONDS)
    left = sum(count.rows for count in await work.counts() if count.key != key)
    if left <= run.closed:
        await ctx.keysets.seal_ended(purpose, key)
    if run.written:
        details = {
            "purpose": purpose.value,
            "key": str(key),
            "rows": str(run.written),
            "left": str(left),
        }
        entry = ctx.audit(caller, Action.ENCRYPTION_RESEAL, details=details)
        await ctx.door.commit(Change(entry))
    return Resealed(run.written, run.closed, left)


async def counts_of(ctx: Context, purpose: Purpose) -> list[Count]:
    """How many rows of every table are under each key of a keyset."""
    return await _written(ctx, purpose).counts()


def _written(ctx: Context, purpose: Purpose) -> Resealing | Rehashing:
    """What writes the rows of a keyset anew."""
    assert purpose in ROTATED, "others are not rotated"
    return ctx.resealing if purpose is Purpose.RECORDS else ctx.rehashing


def _tables(purpose: Purpose) -> Iterable[Stored[Any]]:
    return tables() if purpose is Purpose.RECORDS else rotated_tables()


class _Run:
    """The counts of a run."""

    def __init__(self, ctx: Context, caller: Caller, progress: Callable[[int], None]) -> None:
        self._ctx = ctx
        self._caller = caller
        self._progress = progress
        self.written = 0
        self.passed_by = 0
        """Rows of this pass that somebody held, or had just written."""
        self.closed = 0
        """Rows of this pass that do not open."""
        self._told: set[str] = set()

    async def table(self, session: Rewriting, stored: Stored[Any]) -> None:
        """Go through a table once."""
        time = asyncio.get_running_loop().time
        after: tuple[Any, ...] | None = None
        while True:
            began = time()
            page = await session.page(stored, after)
            if page.rows:
                done = await session.rewrite(stored, page.rows)
                self.passed_by += len(page.rows) - done.written - len(done.unread)
                self.written += done.written
                self.closed += len(done.unread)
                for fault in done.unread:
                    await self._tell_of(fault)
                self._progress(self.written)
                await asyncio.sleep(REST * (time() - began))
            after = page.last
            if after is None:
                return

    async def _tell_of(self, fault: Unread) -> None:
        if str(fault) in self._told or len(self._told) >= ALERTS:
            return
        self._told.add(str(fault))
        await report_unreadable(self._ctx, self._caller, fault)
