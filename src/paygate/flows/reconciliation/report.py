"""The report of a round while it is written: what was met since the last commit, and what was
found.

A finding is written once, for its id is made from what it says. What was healed is found in the
commit that healed it; what is held is told by an alert first, so that no crash between the two
leaves it unsaid.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple

import msgspec

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id, milliseconds_of
from paygate.domain.reconciliation import run as rounds
from paygate.domain.reconciliation.finding import Finding, FindingAction, FindingKind
from paygate.domain.reconciliation.run import Place, Reconciliation, Stage, Tally
from paygate.flows.alerts.close import close_alert
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.provider.pace import CountedPace
from paygate.flows.reconciliation import problems
from paygate.flows.reconciliation.begin import subject_of
from paygate.flows.sweep import Faults
from paygate.providers.absence import ProviderSilent
from paygate.storage.change import (
    Change,
    Committed,
    OutcomeUnknown,
    Outdated,
    Overloaded,
    Unavailable,
)
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.unreadable import Unread
from paygate.telemetry import log

JOB: Final = "reconcile-provider"
LONG: Final = timedelta(minutes=15)
"""A round that takes longer is late for the next one."""
_NAMES: Final = {Stage.OPEN: "open payments", Stage.WHOLE: "30 days"}
KEPT_MOST: Final = 1000
"""Findings of a dry run that are shown one by one."""


Progress = Callable[[str, float, float | None], None]
"""Called now and then with what is worked on, how far, and of how much when that is known."""


def unheard(_stage: str, _done: float, _total: float | None) -> None:
    """Nobody watches."""


class Superseded(Exception):
    """Somebody else has taken the round over, or ended it: nothing more of it is written here."""


ENDS_THE_TURN: Final = (Superseded, OutcomeUnknown, Outdated, Overloaded, Unavailable)
"""What ends a worker's turn, and no part of a round: another takes the round up where it stands."""


class OpenSeen:
    """Which open payments, refunds and disputes a list has shown in this round: they need not be
    asked for again.
    """

    MOST: Final = 100_000
    """Some ten megabytes; beyond it an object costs its call."""

    def __init__(self) -> None:
        self._references: set[str] = set()

    def add(self, reference: str) -> None:
        if len(self._references) < self.MOST:
            self._references.add(reference)

    def __contains__(self, reference: object) -> bool:
        return reference in self._references


class Compared(NamedTuple):
    """What was met that is no finding."""

    in_step: int
    foreign: int


class Report:
    """What one worker knows of a round."""

    def __init__(
        self,
        ctx: Context,
        run: Reconciliation,
        run_id: str,
        *,
        dry: bool,
        progress: Progress = unheard,
    ) -> None:
        self.pace = CountedPace(ctx.pace)
        self.ctx: Context = msgspec.structs.replace(ctx, pace=self.pace)
        self.run = run
        self.dry = dry
        self.progress = progress
        self.seen = OpenSeen()
        self.kept: list[Finding] = []
        """What a dry run would have written, the first of it."""
        self._actor = Actor("job", name=JOB)
        self._run_id = run_id
        self._met = Tally()
        self._called = 0
        self._told = 0
        self._looked_at = Counter[Stage]()

    def caller(self, merchant: str = DEFAULT_MERCHANT) -> Caller:
        """The round, at work for a merchant."""
        return Caller(self._actor, merchant, self._run_id)

    def met(self, **counts: int) -> None:
        """Count what was met beside findings."""
        known = {name: getattr(self._met, name) + count for name, count in counts.items()}
        self._met = msgspec.structs.replace(self._met, **known)

    def looked_at(self, stage: Stage) -> None:
        """Show that one more record of ours was looked at in a stage."""
        self._looked_at[stage] += 1
        self.progress(name_of(stage), self._looked_at[stage], None)

    @property
    def compared(self) -> Compared:
        """What was met since the last commit of what is no finding, to be put back to."""
        return Compared(self._met.in_step, self._met.foreign)

    def back_to(self, compared: Compared) -> None:
        """Forget what was met since then: it is about to be met once more."""
        self._met = msgspec.structs.replace(self._met, **compared._asdict())

    def count(self, found: Finding) -> None:
        """Count a finding that was written just now."""
        self._met = _counted(self._met, found.kind, found.action, 1)

    async def advance(self, place: Place, **changes: Any) -> None:
        """Go on at a place, once what stands before it is done.

        Raises:
            Superseded: somebody else goes on with the round.
        """
        changes = {"place": place, "tally": self._tally(), **changes}
        await self._write(rounds.advanced(self.run, self.ctx.now(), **changes))
        if self.ctx.now() - self.run.started_at > LONG:
            await self._tell(problems.late(self.ctx))

    async def end(self) -> None:
        """Bring the round to its end.

        Raises:
            Superseded: somebody else has ended it.
        """
        tally = self._tally()
        run = rounds.ended(self.run, self.ctx.now(), tally=await self._recounted(tally))
        if run.faults:
            await self._tell(problems.failed(self.ctx, run.faults))
        await self._write(run)
        if not run.faults and not self.dry:
            await self._well(problems.FAILED)
            if self.ctx.now() - run.started_at <= LONG:
                await self._well(problems.LATE)
            if run.tally.held + run.tally.orphans <= problems.TOLD_MOST:
                await self._well(problems.MANY)

    async def told(self, stage: Stage, faults: Faults) -> None:
        """Write down the first of what went wrong in a stage.

        Raises:
            Exception: of `ENDS_THE_TURN`, when one of them is.
        """
        faults.tell(*ENDS_THE_TURN)
        try:
            faults.tell()
        except Exception as error:  # noqa: BLE001 -- whatever it is, the rest of the round is done
            why = "a fault"
            if isinstance(error, ProviderSilent):
                why = "the provider did not answer"
            else:
                log.logger().error("reconciliation_faulted", reason=stage, error=error)
            await self.fault(f"{name_of(stage)}: {why} ({type(error).__name__})")

    def has_failed(self, stage: Stage) -> bool:
        """Whether a part of a stage could not be done."""
        return failed_in(self.run, stage)

    async def fault(self, said: str) -> None:
        """Write down what could not be done: the round goes on, and will have failed."""
        log.logger().warning("reconciliation_fault", reason=said)
        if said not in self.run.faults:
            await self.advance(self.run.place, faults=(*self.run.faults, said))

    async def unreadable(self, fault: Unread) -> None:
        """Tell people of a record of ours that cannot be read."""
        if not self.dry:
            await report_unreadable(self.ctx, self.caller(), fault)

    async def hold(
        self,
        kind: FindingKind,
        key: str,
        problem: Problem | None,
        *,
        merchant: str = DEFAULT_MERCHANT,
        **says: Any,
    ) -> None:
        """Something that only a person can decide: told by its alert, where it has none yet, and
        found.
        """
        found = self.finding(kind, FindingAction.HELD, key, **says)
        if problem is not None and not self.dry:
            if self._told < problems.TOLD_MOST:
                self._told += 1
                await raise_alert(self.ctx, self.caller(merchant), problem)
            else:
                await self._tell(problems.many(self.ctx))
        await self.write(found)

    async def write(self, found: Finding) -> None:
        """Write a finding that no other commit bears; one that was written stays as it is."""
        if self.dry:
            self.keep(found)
            return
        audit = self.ctx.audit(self.caller(), Action.RECONCILE, _subject(found))
        if isinstance(await self.ctx.door.commit(Change(audit, creates=(found,))), Committed):
            self.count(found)

    def finding(self, kind: FindingKind, action: FindingAction, key: str, **says: Any) -> Finding:
        """A finding of this round; `key` sets those of one kind apart."""
        name = f"{self.run.id}:{kind}:{action}:{key}"
        found_id = make_id(
            PREFIXES["reconciliation_finding"],
            milliseconds_of(self.run.id),
            self.ctx.index.name(name.encode())[:RANDOM_BYTES],
        )
        return Finding(
            id=found_id,
            merchant=self.run.merchant,
            reconciliation=self.run.id,
            livemode=self.run.livemode,
            kind=kind,
            action=action,
            created_at=self.ctx.now(),
            **says,
        )

    def keep(self, found: Finding) -> None:
        """Keep what a dry run would have written."""
        if len(self.kept) < KEPT_MOST:
            self.kept.append(found)
        self.count(found)

    def _tally(self) -> Tally:
        """All that was met, and found, until now."""
        before, met = self.run.tally, self._met
        calls, self._called = self.pace.turns - self._called, self.pace.turns
        met, self._met = msgspec.structs.replace(met, provider_calls=calls), Tally()
        fields = Tally.__struct_fields__
        return Tally(**{name: getattr(before, name) + getattr(met, name) for name in fields})

    async def _recounted(self, tally: Tally) -> Tally:
        """The tally with its findings counted anew: a worker that died had not counted its last.
        Once a round, for it looks at all of them.
        """
        if self.dry:
            return tally
        tally = msgspec.structs.replace(tally, healed=0, held=0, orphans=0)
        found = await self.ctx.reconciliations.found(self.run.merchant, self.run.id)
        for (kind, action), count in found.items():
            tally = _counted(tally, kind, action, count)
        return tally

    async def _write(self, after: Reconciliation) -> None:
        if self.dry:
            self.run = after
            return
        audit = self.ctx.audit(self.caller(), Action.RECONCILE, subject_of(after))
        if not isinstance(await self.ctx.door.commit(Change(audit, advances=(after,))), Committed):
            raise Superseded
        self.run = after

    async def _tell(self, problem: Problem) -> None:
        if not self.dry:
            await raise_alert(self.ctx, self.caller(), problem)

    async def _well(self, stage: str) -> None:
        await close_alert(
            self.ctx,
            self.caller(),
            AlertType.RECONCILIATION_DRIFT,
            problems.about_rounds(self.ctx),
            stage,
        )


def name_of(stage: Stage) -> str:
    """A stage, as people are told of it."""
    return _NAMES.get(stage, stage.value.replace("_", " "))


def failed_in(run: Reconciliation, stage: Stage) -> bool:
    """Whether a part of a round's stage could not be done."""
    return any(said.startswith(f"{name_of(stage)}: ") for said in run.faults)


def _counted(tally: Tally, kind: str, action: str, count: int) -> Tally:
    """The tally with so many findings more."""
    name = "healed" if action == FindingAction.HEALED else "held"
    if kind == FindingKind.ORPHAN:
        name = "orphans"
    return msgspec.structs.replace(tally, **{name: getattr(tally, name) + count})


def _subject(found: Finding) -> Subject:
    return Subject("reconciliation_finding", found.id)
