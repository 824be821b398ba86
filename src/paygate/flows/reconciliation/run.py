"""One round, from where it stands to its end: dead letters, what is new in the provider's lists,
what is open, what the round before held, and once a day all payments of the last 30 days; then the
alerts whose cause is gone.

Each step is committed with the place behind it, and every step may be done twice: a round that was
killed goes on from its last place, on any node. A part that fails is told, its cursor stays where
it was, and the other parts are done all the same.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from msgspec.structs import replace

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.reconciliation.run import Cause, Place, Reconciliation, RunStatus, Stage
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.provider.clock import learn_the_time
from paygate.flows.provider_events.replay_dead_letters import replay_dead_letters
from paygate.flows.provider_events.take_up import take_up_events
from paygate.flows.reconciliation.ask_held import LISTS, ask_held
from paygate.flows.reconciliation.ask_open import ask_open
from paygate.flows.reconciliation.begin import begin_reconciliation
from paygate.flows.reconciliation.close_agreed import close_agreed
from paygate.flows.reconciliation.go_through import Late
from paygate.flows.reconciliation.read_disputes import ask_open_disputes
from paygate.flows.reconciliation.read_list import ProviderList, Windows, read_window
from paygate.flows.reconciliation.read_payments import LAG, PAYMENTS, lists_too_little
from paygate.flows.reconciliation.read_refunds import ask_open_refunds
from paygate.flows.reconciliation.report import (
    JOB,
    Progress,
    Report,
    Superseded,
    name_of,
    unheard,
)
from paygate.flows.sweep import Faults
from paygate.providers.absence import ProviderSilent
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.reader import WaitingEvent
from paygate.storage.unreadable import UNREAD
from paygate.telemetry import log

OVERLAP: Final = timedelta(minutes=5)
"""Read once more behind what is known: the provider's clock may be many machines'."""
FIRST: Final = timedelta(days=1)
"""How far back the first round looks for events and payments; the whole comparison goes further."""
SECOND: Final = timedelta(seconds=1)
WHOLE: Final = timedelta(days=30)
WHOLE_EVERY: Final = timedelta(days=1)
EVENTS_KEPT: Final = timedelta(days=30)
"""How long the provider lists an event. Where that is over, the objects are compared instead."""
_ORDER: Final = tuple(Stage)
_OURS: Final[Mapping[Stage, Callable[[Report, Late], Awaitable[bool]]]] = MappingProxyType(
    {
        Stage.OPEN: ask_open,
        Stage.OPEN_REFUNDS: ask_open_refunds,
        Stage.OPEN_DISPUTES: ask_open_disputes,
        Stage.HELD: ask_held,
        Stage.ALERTS: close_agreed,
    }
)
"""The stages that go through records of ours; each says whether there was time for all."""

Changes = Mapping[str, Any]
"""What of a round changes with its place."""


async def reconcile_by_the_clock(ctx: Context, run_id: str) -> Reconciliation:
    """The round of this occurrence, or what is left of one that did not come to its end.

    Raises:
        Unreadable, Outdated: one runs that cannot be read, of which people are told.
    """
    caller = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, run_id)
    try:
        run = await ctx.reconciliations.running(DEFAULT_MERCHANT)
    except UNREAD as fault:
        await report_unreadable(ctx, caller, fault)
        raise
    if run is None:
        run = await begin_reconciliation(ctx, caller, Cause.SCHEDULE)
    return await reconcile(ctx, run, run_id)


async def reconcile(
    ctx: Context,
    run: Reconciliation,
    run_id: str,
    *,
    seconds: float = math.inf,
    progress: Progress = unheard,
) -> Reconciliation:
    """The round as this worker leaves it: at its end, or running on when the seconds are over or
    another worker has taken it up.
    """
    report = Report(ctx, run, run_id, dry=False, progress=progress)
    try:
        await _Round(report, seconds).go_on()
    except Superseded:
        log.logger().warning("reconciliation_superseded", request_id=run_id)
        now = await ctx.reconciliations.reconciliation(run.merchant, run.id)
        return now or run
    return report.run


async def rehearse(
    ctx: Context, run: Reconciliation, run_id: str, *, progress: Progress = unheard
) -> Report:
    """What a round would find. Nothing is written, at the provider or here."""
    report = Report(ctx, run, run_id, dry=True, progress=progress)
    await _Round(report, math.inf).go_on()
    return report


class _Round:
    """The steps of a round. Each returns what is committed with the place behind it, or None when
    there was no time for all of it.
    """

    def __init__(self, report: Report, seconds: float) -> None:
        self._report = report
        self._until = asyncio.get_running_loop().time() + seconds
        self._steps: dict[Stage, Callable[[], Awaitable[Changes | None]]] = {
            Stage.BEGIN: self._begin,
            Stage.DEAD_LETTERS: self._dead_letters,
            Stage.WHOLE: self._whole,
            **{each.stage: partial(self._list, each) for each in LISTS},
            **{stage: partial(self._ours, go) for stage, go in _OURS.items()},
        }

    async def go_on(self) -> None:
        """Step by step, until the end or until there is no time for another."""
        report = self._report
        while report.run.status is RunStatus.RUNNING:
            stage, faults = report.run.place.stage, Faults()
            done: Changes | None = {}
            with faults:
                done = await self._steps[stage]()
            if stage is Stage.BEGIN:
                faults.tell()  # without a window nothing can be compared
            await report.told(stage, faults)
            if done is None:
                return
            following = _ORDER[_ORDER.index(stage) + 1]
            if following is Stage.END:
                await report.end()
                return
            await report.advance(Place(following), **done)
            if self._is_late():
                return

    def _is_late(self) -> bool:
        return asyncio.get_running_loop().time() >= self._until

    async def _begin(self) -> Changes | None:
        """Set the window, by the provider's clock."""
        report = self._report
        await learn_the_time(report.ctx)
        now = report.ctx.provider_time()
        if now is None:
            await report.fault("the provider's time is not known, for it does not answer")
            await report.end()
            return None
        cursors, wanted = report.run.cursors, report.run.wanted_since
        # Whole seconds, as the provider's times are: no two windows have one in common.
        begun = now.replace(microsecond=0)
        since = (cursors.payments or begun - FIRST) - OVERLAP
        compared = cursors.compared_at
        whole = None if compared and now - compared < WHOLE_EVERY else begun - WHOLE
        events = max((cursors.events or begun - FIRST) - OVERLAP, begun - EVENTS_KEPT)
        if wanted is not None:
            wanted = wanted.replace(microsecond=0)
            since, whole, events = wanted, None, max(wanted, begun - EVENTS_KEPT)
        return {
            "since": since,
            "until": now,
            "events_since": events,
            "whole_since": whole if whole is not None and whole < since else None,
        }

    async def _dead_letters(self) -> Changes | None:
        report, after = self._report, self._report.run.place.after
        if report.dry:
            return {}
        stands = None
        if after is not None:
            stands = WaitingEvent(datetime.fromisoformat(after[0]), *after[1:])
        replayed = await replay_dead_letters(
            report.ctx, before=report.run.started_at, after=stands, late=self._is_late
        )
        report.met(dead_letters_replayed=replayed.tried)
        left = replayed.left_behind
        if left is None:
            await take_up_events(report.ctx, report.caller(), late=self._is_late)
            return {}
        place = (left.updated_at.isoformat(), left.merchant, left.id)
        await report.advance(Place(Stage.DEAD_LETTERS, after=place))
        return None

    async def _list(self, of: ProviderList) -> Changes | None:
        """Read a list from its cursor on, and return the cursor behind what was read to its end."""
        run = self._report.run
        assert run.until is not None, "the window is set"
        cursor: datetime | None = getattr(run.cursors, of.stage)
        since = self._since(of.stage, cursor)
        listed = await self._windows(of.stage, of, since, run.until)
        if listed is None:
            return None
        if self._report.has_failed(of.stage):
            return {}
        if of.shows_confirms and not listed and await lists_too_little(self._report):
            said = f"the provider lists no {of.stage} in a time in which payments of ours were made"
            await self._report.fault(said)
            return {}
        known = self._known_until(since, cursor)
        return {"cursors": replace(self._report.run.cursors, **{of.stage: known})}

    def _since(self, stage: Stage, cursor: datetime | None) -> datetime:
        """From when on a list is read: each list has a cursor of its own."""
        run = self._report.run
        assert run.since is not None and run.until is not None, "the window is set"  # noqa: PT018
        assert run.events_since is not None, "the window is set"
        if stage is Stage.EVENTS:
            return run.events_since
        if stage is Stage.PAYMENTS or run.wanted_since is not None:
            return run.since
        return (cursor or run.until.replace(microsecond=0) - FIRST) - OVERLAP

    async def _ours(self, go: Callable[[Report, Late], Awaitable[bool]]) -> Changes | None:
        return {} if await go(self._report, self._is_late) else None

    async def _whole(self) -> Changes | None:
        """Compare the payments of before the window, final ones too."""
        run = self._report.run
        if run.whole_since is None:
            return {}
        assert run.since is not None, "the window is set"
        until = run.since - SECOND
        if await self._windows(Stage.WHOLE, PAYMENTS, run.whole_since, until) is None:
            return None
        if self._report.has_failed(Stage.WHOLE):
            return {}
        return {"cursors": replace(self._report.run.cursors, compared_at=run.until)}

    async def _windows(
        self, stage: Stage, of: ProviderList, since: datetime, until: datetime
    ) -> int | None:
        """Read a time window by window: how much was listed; None when there was no time for all.

        A window that something trips up hides none of the later ones; a list that breaks off ends
        them, for the provider is away. Both are told.
        """
        report = self._report
        windows = Windows(since, until, report.run.place)
        listed = report.run.place.listed
        report.progress(name_of(stage), windows.share, 1.0)
        while (window := windows.next()) is not None:
            found, faults, is_away = 0, Faults(), False
            with faults:
                try:
                    found = await read_window(report, of, *window)
                except ProviderSilent:
                    is_away = True
                    raise
            await report.told(stage, faults)
            if is_away:
                break
            listed += found
            windows.read(window[1], found)
            report.progress(name_of(stage), windows.share, 1.0)
            await report.advance(windows.place(stage, listed))
            if self._is_late() and windows.next() is not None:
                return None
        return listed

    def _known_until(self, since: datetime, cursor: datetime | None) -> datetime | None:
        """The cursor behind a time that was read to its end: so long before that as the provider
        may list things late. A time that does not join what was known moves nothing.
        """
        until = self._report.run.until
        assert until is not None, "the window is set"
        if cursor is not None and since > cursor:
            return cursor
        known = until.replace(microsecond=0) - LAG
        return max(known, cursor or known)
