"""Seal every record anew that is not under the newest key, beside the payments.

A run may be killed at any moment, and another may be at work: what is sealed anew stays so, and the
next run finds what is left. Between two pages it rests as long as the page took.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from paygate.crypto.keyring import Purpose
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.encryption.loaded import WAIT_SECONDS, earlier_transactions_over
from paygate.storage.change import Change
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.resealing import ResealingSession, tables
from paygate.storage.stored import Stored
from paygate.storage.unreadable import SealBroken

JOB: Final = "reseal-records"
PASSES: Final = 5
"""A pass leaves rows that somebody held; what is left after so many is the next run's."""
REST: Final = 1.0
"""How long a run rests after a page, in times of what the page took: half of one connection's work
is left to the payments, whatever the machine is."""
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
    """Go on with a rotation that was left unfinished, if there is one."""
    loaded = await ctx.keysets.load()
    key = loaded.primary(Purpose.RECORDS)
    facts = (await ctx.keysets.facts()).get((Purpose.RECORDS, key))
    if facts is None or facts.sealed_at is not None or ctx.resealing.primary != key:
        return Resealed()
    caller = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, run_id)
    return await reseal(ctx, caller)


async def reseal(
    ctx: Context, caller: Caller, progress: Callable[[int], None] = lambda _: None
) -> Resealed:
    """Seal all that is left anew; `progress` hears how many rows were. When nothing is left but
    what does not open, that is written down.
    """
    run = _Run(ctx, caller, progress)
    async with ctx.resealing.session() as session:
        for _ in range(PASSES):
            run.passed_by = run.closed = 0
            for stored in tables():
                await run.table(session, stored)
            if not run.passed_by:
                break
    key = ctx.resealing.primary
    await earlier_transactions_over(ctx, lambda _: None, WAIT_SECONDS)
    counts = await ctx.resealing.counts()
    left = sum(count.rows for count in counts if count.key != key)
    if left <= run.closed:
        await ctx.keysets.seal_ended(Purpose.RECORDS, key)
    if run.written:
        details = {"key": str(key), "rows": str(run.written), "left": str(left)}
        entry = ctx.audit(caller, Action.ENCRYPTION_RESEAL, details=details)
        await ctx.door.commit(Change(entry))
    return Resealed(run.written, run.closed, left)


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
        self._told: set[tuple[str, str, str]] = set()

    async def table(self, session: ResealingSession, stored: Stored[Any]) -> None:
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

    async def _tell_of(self, fault: SealBroken) -> None:
        place = (fault.table, fault.merchant, fault.id)
        if place in self._told or len(self._told) >= ALERTS:
            return
        self._told.add(place)
        await report_unreadable(self._ctx, self._caller, fault)
