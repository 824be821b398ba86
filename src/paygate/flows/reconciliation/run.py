"""One round, from where it stands to its end: dead letters, events, payments, what is open, and
once a day all payments of the last 30 days; then the alerts whose cause is gone.

Each step is committed with the place behind it, and every step may be done twice: a round that was
killed goes on from its last place, on any node. A part that fails is told, its cursor stays where
it was, and the other parts are done all the same.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import AlertType
from paygate.domain.reconciliation.agreement import difference, is_told
from paygate.domain.reconciliation.run import Cause, Place, Reconciliation, RunStatus, Stage
from paygate.flows.alerts.close import close_alert
from paygate.flows.context import Context
from paygate.flows.payments.sweeps.ask_provider import ask_provider
from paygate.flows.provider.clock import learn_the_time
from paygate.flows.provider_events.replay_dead_letters import replay_dead_letters
from paygate.flows.provider_events.take_up import take_up_events
from paygate.flows.reconciliation.ask_open import ask_open
from paygate.flows.reconciliation.begin import begin_reconciliation
from paygate.flows.reconciliation.read_events import read_events
from paygate.flows.reconciliation.read_payments import (
    LAG,
    OpenSeen,
    Windows,
    lists_too_little,
    read_window,
)
from paygate.flows.reconciliation.read_refunds import read_refunds
from paygate.flows.reconciliation.report import JOB, Report, Superseded
from paygate.flows.sweep import Sweep
from paygate.providers.contract import Absent, ProviderSilent
from paygate.storage.change import OutcomeUnknown, Outdated, Overloaded, Unavailable
from paygate.storage.installation import DEFAULT_MERCHANT
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
PAGE: Final = 200
_NOT_THE_PARTS: Final = (Superseded, OutcomeUnknown, Outdated, Overloaded, Unavailable)
"""What ends a worker's turn, and no part of a round: another takes the round up where it stands."""

Progress = Callable[[str, float, float | None], None]
Step = Callable[[Report, datetime, datetime], Awaitable[int]]


def unheard(_stage: str, _done: float, _total: float | None) -> None:
    """Nobody watches."""


async def reconcile_by_the_clock(ctx: Context, run_id: str) -> Reconciliation:
    """The round of this occurrence, or what is left of one that did not come to its end."""
    caller = Caller(Actor("job", name=JOB), DEFAULT_MERCHANT, run_id)
    run = await ctx.reconciliations.running(DEFAULT_MERCHANT)
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
    report = Report(ctx, run, run_id, dry=False)
    try:
        await _Round(report, seconds, progress).go_on()
    except Superseded:
        log.logger().warning("reconciliation_superseded", request_id=run_id)
        now = await ctx.reconciliations.reconciliation(run.merchant, run.id)
        return now or run
    return report.run


async def rehearse(
    ctx: Context, run: Reconciliation, run_id: str, *, progress: Progress = unheard
) -> Report:
    """What a round would find. Nothing is written, at the provider or here."""
    report = Report(ctx, run, run_id, dry=True)
    await _Round(report, math.inf, progress).go_on()
    return report


class _Round:
    """The steps of a round."""

    def __init__(self, report: Report, seconds: float, progress: Progress) -> None:
        self._report = report
        self._until = asyncio.get_running_loop().time() + seconds
        self._progress = progress
        self._seen = OpenSeen()
        self._steps: dict[Stage, Callable[[], Awaitable[Stage | None]]] = {
            Stage.BEGIN: self._begin,
            Stage.DEAD_LETTERS: self._dead_letters,
            Stage.EVENTS: self._events,
            Stage.PAYMENTS: self._payments,
            Stage.REFUNDS: self._refunds,
            Stage.OPEN: self._open,
            Stage.WHOLE: self._whole,
            Stage.ALERTS: self._alerts,
        }

    async def go_on(self) -> None:
        """Step by step, until the end or until there is no time for another."""
        while self._report.run.status is RunStatus.RUNNING:
            following = await self._steps[self._report.run.place.stage]()
            if following is None:
                return
            if following is Stage.END:
                await self._report.end(self._report.run.cursors)
                return
            await self._report.advance(Place(following))
            if self._is_late():
                return

    def _is_late(self) -> bool:
        return asyncio.get_running_loop().time() >= self._until

    async def _begin(self) -> Stage | None:
        """Set the window, by the provider's clock."""
        report = self._report
        await learn_the_time(report.ctx)
        now = report.ctx.provider_time()
        if now is None:
            await self._give_up("the provider's time is not known, for it does not answer")
            return None
        run = report.run
        cursors, wanted = run.cursors, run.wanted_since
        # Whole seconds, as the provider's times are: no two windows have one in common.
        begun = now.replace(microsecond=0)
        since = (cursors.payments or begun - FIRST) - OVERLAP
        compared = cursors.compared_at
        whole = None if compared and now - compared < WHOLE_EVERY else begun - WHOLE
        events = max((cursors.events or begun - FIRST) - OVERLAP, begun - EVENTS_KEPT)
        if wanted is not None:
            wanted = wanted.replace(microsecond=0)
            since, whole, events = wanted, None, max(wanted, begun - EVENTS_KEPT)
        await report.advance(
            Place(Stage.DEAD_LETTERS),
            since=since,
            until=now,
            events_since=events,
            whole_since=whole if whole is not None and whole < since else None,
        )
        return Stage.DEAD_LETTERS

    async def _give_up(self, said: str) -> None:
        run = self._report.run
        self._report.run = replace(run, faults=self._report.fault(said))
        await self._report.end(run.cursors)

    async def _dead_letters(self) -> Stage | None:
        report = self._report
        if not report.dry:
            replayed = await replay_dead_letters(report.ctx)
            report.met(dead_letters_replayed=replayed.tried)
            await take_up_events(report.ctx, report.caller())
        return Stage.EVENTS

    async def _events(self) -> Stage | None:
        since = self._report.run.events_since
        assert since is not None, "the window is set"
        listed = await self._windows(Stage.EVENTS, since, read_events, "events")
        if listed is None:
            return None
        drained = listed >= 0 and await self._believed(listed, "events")
        run = self._report.run
        if drained and run.cursors.events != run.until:
            await self._moved(Stage.PAYMENTS, events=self._known_until(since, run.cursors.events))
        return Stage.PAYMENTS

    async def _payments(self) -> Stage | None:
        since = self._report.run.since
        assert since is not None, "the window is set"
        listed = await self._windows(Stage.PAYMENTS, since, self._window, "payments")
        if listed is None:
            return None
        if listed >= 0 and await self._believed(listed, "payments"):
            known = self._known_until(since, self._report.run.cursors.payments)
            await self._moved(Stage.REFUNDS, payments=known)
        return Stage.REFUNDS

    async def _refunds(self) -> Stage | None:
        """Refunds made in a window of their own, of payments of any age, and those that wait."""
        report = self._report
        run = report.run
        assert run.since is not None and run.until is not None, "the window is set"  # noqa: PT018
        self._progress("refunds", 0, None)
        if report.dry:
            return Stage.OPEN
        since = run.since
        if run.wanted_since is None:
            since = min(since, (run.cursors.refunds or run.until - FIRST) - OVERLAP)
        try:
            await read_refunds(report, since, run.until)
            known = self._known_until(since, run.cursors.refunds)
            await self._moved(Stage.OPEN, refunds=known)
        except _NOT_THE_PARTS:
            raise
        except Exception as error:  # noqa: BLE001 -- the other parts are done, and this one is told
            await self._failed(Stage.REFUNDS, "refunds", error)
        return Stage.OPEN

    async def _open(self) -> Stage | None:
        self._progress("open payments", 0, None)
        try:
            if not await ask_open(self._report, self._seen, self._is_late):
                return None
        except _NOT_THE_PARTS:
            raise
        except Exception as error:  # noqa: BLE001 -- the other parts are done, and this one is told
            await self._failed(Stage.OPEN, "open payments", error)
        return Stage.WHOLE

    async def _whole(self) -> Stage | None:
        run = self._report.run
        if run.whole_since is None:
            return Stage.ALERTS
        assert run.since is not None, "the window is set"
        listed = await self._windows(
            Stage.WHOLE, run.whole_since, self._window, "30 days", until=run.since - SECOND
        )
        if listed is None:
            return None
        if listed >= 0:
            await self._moved(Stage.ALERTS, compared_at=run.until)
        return Stage.ALERTS

    async def _alerts(self) -> Stage | None:
        """Close the alerts of payments that agree by now."""
        report = self._report
        if report.dry:
            return Stage.END
        try:
            await self._close_alerts(report)
        except _NOT_THE_PARTS:
            raise
        except Exception as error:  # noqa: BLE001 -- the round has come to its end all the same
            await self._failed(Stage.ALERTS, "alerts", error)
        return Stage.END

    async def _close_alerts(self, report: Report) -> None:
        sweep = Sweep(report.ctx, JOB, report.run.id)
        async for standing in sweep.every(report.ctx.read.alerts_standing, PAGE):
            problem = standing.problem
            if problem.type is not AlertType.RECONCILIATION_DRIFT:
                continue
            with sweep:
                if await self._agrees_by_now(standing.merchant, problem.subject.id):
                    caller = report.caller(standing.merchant)
                    await close_alert(
                        report.ctx, caller, problem.type, problem.subject, problem.stage
                    )
        await sweep.end()

    async def _agrees_by_now(self, merchant: str, intent_id: str) -> bool:
        ctx = self._report.ctx
        intent = await ctx.read.payment_intent(merchant, intent_id)
        if intent is None or intent.provider_reference is None:
            return False
        answer = await ask_provider(ctx, intent.provider_reference)
        if isinstance(answer, Absent) or not is_told(answer):
            return False
        return difference(intent, answer) is None

    async def _window(self, report: Report, since: datetime, until: datetime) -> int:
        return await read_window(report, since, until, self._seen)

    async def _windows(
        self,
        stage: Stage,
        since: datetime,
        read: Step,
        named: str,
        *,
        until: datetime | None = None,
    ) -> int | None:
        """Read a time window by window: how much was listed; less than nothing when the list broke
        off, or when something in it tripped a window up, which hides none of the later windows;
        None when there was no time for all.
        """
        report = self._report
        last = until or report.run.until
        assert last is not None, "the window is set"
        windows = Windows(since, last, report.run.place)
        listed = report.run.place.listed
        while (window := windows.next()) is not None:
            try:
                found = await read(report, *window)
            except _NOT_THE_PARTS:
                raise
            except Exception as error:  # noqa: BLE001 -- whatever it is, the other parts are done
                await self._failed(stage, named, error)
                if isinstance(error, ProviderSilent):
                    return -1
                found = 0
            listed += found
            windows.read(window[1], found)
            self._progress(named, windows.share, 1.0)
            await report.advance(windows.place(stage, listed))
            if self._is_late() and windows.next() is not None:
                return None
        return -1 if any(said.startswith(f"{named}: ") for said in report.run.faults) else listed

    async def _believed(self, listed: int, named: str) -> bool:
        """Whether a list that shows nothing may be true."""
        report = self._report
        if listed or not await lists_too_little(report):
            return True
        said = f"the provider lists no {named} in a time in which payments of ours were made"
        await report.advance(report.run.place, faults=report.fault(said))
        return False

    async def _failed(self, stage: Stage, named: str, error: Exception) -> None:
        why = "the provider did not answer" if isinstance(error, ProviderSilent) else "a fault"
        if not isinstance(error, ProviderSilent):
            log.logger().error("reconciliation_faulted", reason=stage, error=error)
        said = f"{named}: {why} ({type(error).__name__})"
        await self._report.advance(self._report.run.place, faults=self._report.fault(said))

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

    async def _moved(self, following: Stage, **cursors: datetime | None) -> None:
        run = self._report.run
        await self._report.advance(Place(following), cursors=replace(run.cursors, **cursors))
