"""The report of a round while it is written: what was met since the last commit, and what was
found.

A finding is written once, for its id is made from what it says. What was healed is found in the
commit that healed it; what is held is told by an alert first, so that no crash between the two
leaves it unsaid.
"""

from datetime import timedelta
from typing import Any, Final

import msgspec

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id, milliseconds_of
from paygate.domain.reconciliation import run as rounds
from paygate.domain.reconciliation.finding import Finding, FindingAction, FindingKind
from paygate.domain.reconciliation.run import Cursors, Place, Reconciliation, Tally
from paygate.flows.alerts.close import close_alert
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.context import Context
from paygate.flows.provider.pace import CountedPace
from paygate.flows.reconciliation.begin import subject_of
from paygate.storage.change import Change, Committed
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.telemetry import log

JOB: Final = "reconcile-provider"
LONG: Final = timedelta(minutes=15)
"""A round that takes longer is late for the next one."""
LATE: Final = "late"
FAILED: Final = "failed"
"""Stages of the alerts about rounds themselves."""
TOLD_MOST: Final = 500
"""Alerts that one worker raises in a round. More are one cause, which so many show well enough:
other books, or none. The rest are findings alone."""
MANY: Final = "many"
KEPT_MOST: Final = 1000
"""Findings of a dry run that are shown one by one."""


class Superseded(Exception):
    """Somebody else has taken the round over, or ended it: nothing more of it is written here."""


class Report:
    """What one worker knows of a round."""

    def __init__(self, ctx: Context, run: Reconciliation, run_id: str, *, dry: bool) -> None:
        self.pace = CountedPace(ctx.pace)
        self.ctx: Context = msgspec.structs.replace(ctx, pace=self.pace)
        self.run = run
        self.dry = dry
        self.kept: list[Finding] = []
        """What a dry run would have written, the first of it."""
        self._actor = Actor("job", name=JOB)
        self._run_id = run_id
        self._met = Tally()
        self._called = 0
        self._told = 0

    def caller(self, merchant: str = DEFAULT_MERCHANT) -> Caller:
        """The round, at work for a merchant."""
        return Caller(self._actor, merchant, self._run_id)

    def met(self, **counts: int) -> None:
        """Count what was met beside findings."""
        known = {name: getattr(self._met, name) + count for name, count in counts.items()}
        self._met = msgspec.structs.replace(self._met, **known)

    async def advance(self, place: Place, **changes: Any) -> None:
        """Go on at a place, once what stands before it is done.

        Raises:
            Superseded: somebody else goes on with the round.
        """
        changes = {"place": place, "tally": await self._tally(), **changes}
        await self._write(rounds.advanced(self.run, self.ctx.now(), **changes))
        if self.ctx.now() - self.run.started_at > LONG:
            await self._tell(_late(self.ctx))

    async def end(self, cursors: Cursors) -> Reconciliation:
        """The round at its end, with how far everything is known.

        Raises:
            Superseded: somebody else has ended it.
        """
        changes = {"tally": await self._tally(), "cursors": cursors}
        run = rounds.ended(self.run, self.ctx.now(), **changes)
        if run.faults:
            await self._tell(_failed(self.ctx, run.faults))
        await self._write(run)
        if not run.faults and not self.dry:
            await self._well(FAILED)
            if self.ctx.now() - run.started_at <= LONG:
                await self._well(LATE)
        return self.run

    def fault(self, said: str) -> tuple[str, ...]:
        """The faults of the round with one more."""
        log.logger().warning("reconciliation_fault", reason=said)
        return self.run.faults if said in self.run.faults else (*self.run.faults, said)

    async def hold(
        self, kind: FindingKind, key: str, problem: Problem, *, merchant: str, **says: Any
    ) -> None:
        """Something that only a person can decide: told by its alert, and found."""
        found = self.finding(kind, FindingAction.HELD, key, **says)
        if self.dry:
            self.keep(found)
            return
        if self._told < TOLD_MOST:
            self._told += 1
            await raise_alert(self.ctx, self.caller(merchant), problem)
        else:
            await self._tell(_many(self.ctx))
        await self.write(found)

    async def write(self, found: Finding) -> None:
        """Write a finding that no other commit bears; one that was written stays as it is."""
        if self.dry:
            self.keep(found)
            return
        audit = self.ctx.audit(self.caller(), Action.RECONCILE, _subject(found))
        await self.ctx.door.commit(Change(audit, creates=(found,)))

    def finding(self, kind: FindingKind, action: FindingAction, key: str, **says: Any) -> Finding:
        """A finding of this round; `key` sets those of one kind apart."""
        name = f"{self.run.id}:{kind}:{action}:{key}"
        found_id = make_id(
            PREFIXES["reconciliation_finding"],
            milliseconds_of(self.run.id),
            self.ctx.index.fingerprint(name.encode())[:RANDOM_BYTES],
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
        self._met = _counted(self._met, found.kind, found.action, 1)

    async def _tally(self) -> Tally:
        """All that was met, and found, until now."""
        before, met = self.run.tally, self._met
        calls, self._called = self.pace.turns - self._called, self.pace.turns
        self._met = Tally()
        names = ("in_step", "foreign", "dead_letters_replayed")
        counts = {name: getattr(before, name) + getattr(met, name) for name in names}
        tally = Tally(**counts, provider_calls=before.provider_calls + calls)
        if self.dry:
            found = ("healed", "held", "orphans")
            counts = {name: getattr(before, name) + getattr(met, name) for name in found}
            return msgspec.structs.replace(tally, **counts)
        found_here = await self.ctx.reconciliations.found(self.run.merchant, self.run.id)
        for (kind, action), count in found_here.items():
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
            self.ctx, self.caller(), AlertType.RECONCILIATION_DRIFT, _provider(self.ctx), stage
        )


def _counted(tally: Tally, kind: str, action: str, count: int) -> Tally:
    """The tally with so many findings more."""
    name = "healed" if action == FindingAction.HEALED else "held"
    if kind == FindingKind.ORPHAN:
        name = "orphans"
    return msgspec.structs.replace(tally, **{name: getattr(tally, name) + count})


def _subject(found: Finding) -> Subject:
    return Subject("reconciliation_finding", found.id)


def _provider(ctx: Context) -> Subject:
    return Subject("provider", ctx.provider.name)


def _late(ctx: Context) -> Problem:
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=_provider(ctx),
        stage=LATE,
        severity="warning",
        message="a reconciliation takes longer than the 15 minutes after which the next one is due;"
        " it goes on",
        what_to_do="Look at PAYGATE_PROVIDER_RATE, of which it may use a quarter, and at how long"
        " the provider takes to answer.",
    )


def _many(ctx: Context) -> Problem:
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=_provider(ctx),
        stage=MANY,
        severity="critical",
        message=f"a reconciliation holds more than {TOLD_MOST} payments for a person: not each of"
        " them has an alert",
        what_to_do="Look at the findings of the reconciliation. If a backup was restored, see"
        " `paygate restored`.",
    )


def _failed(ctx: Context, faults: tuple[str, ...]) -> Problem:
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=_provider(ctx),
        stage=FAILED,
        severity="critical",
        message=f"a reconciliation could not be brought to its end: {'; '.join(faults)}",
        what_to_do="See whether the provider answers, and whether its key may list payments and"
        " events. The next round begins where this one did.",
    )
