"""Raise an alert: one stands per type, subject and stage, and counts how often it was found.

A flow that commits a fact which a person must see puts an `occurrence` into that same commit, with
its job. `raise_alert` is for a problem without a commit of its own.
"""

from datetime import datetime

from paygate.domain import alert
from paygate.domain import event as events
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import Alert, Occurrence, Problem
from paygate.domain.audit import Subject
from paygate.domain.event import Event
from paygate.flows.context import Context, Patience
from paygate.jobs.messages import Job, RaiseAlert
from paygate.storage.change import Change, Committed, StorageError
from paygate.storage.unreadable import Unreadable
from paygate.telemetry import log


def occurrence(ctx: Context, merchant: str, problem: Problem) -> Occurrence:
    """The occurrence of a problem now, for the `creates` of the commit of its fact; `to_raise`
    makes that commit's jobs.
    """
    now = ctx.now()
    return Occurrence(
        id=ctx.new_id("alert_occurrence", now), merchant=merchant, problem=problem, at=now
    )


def to_raise(*occurrences: Occurrence) -> tuple[Job, ...]:
    """The jobs that have occurrences counted by their alerts."""
    return tuple(Job(RaiseAlert(each.merchant, each.id)) for each in occurrences)


async def raise_alert(ctx: Context, caller: Caller, problem: Problem) -> None:
    """Raise the alert for the caller's merchant, or count the one that stands: what happens each
    time, a condition that every look finds again once an hour.

    Others may raise the same one at this moment; a caller who loses that race too long leaves an
    occurrence, which nothing can refuse. An alert that stands and cannot be read is not counted:
    the sweep over alerts tells people of it.
    """
    patience = Patience("an alert kept changing while it was raised")
    while True:
        try:
            now = ctx.now()
            standing = await ctx.read.alert_standing(caller.merchant, problem.name)
            if standing is not None and alert.said_lately(standing, problem, now):
                return
            raised, change = _counting(ctx, caller, standing, problem, now)
        except Unreadable as error:
            log.logger().error("alert_not_raised", request_id=caller.request_id, error=error)
            return
        if await _done(ctx, raised, change):
            return
        if not await patience.lasts():
            break
    left = occurrence(ctx, caller.merchant, problem)
    audit = ctx.audit(caller, Action.ALERT_RAISE, Subject("alert_occurrence", left.id))
    await ctx.door.commit(Change(audit, creates=(left,), jobs=to_raise(left)))


async def count_occurrence(ctx: Context, message: RaiseAlert) -> bool:
    """Have an occurrence counted by its alert, once however often this is asked; whether it was
    now.

    One commit advances both, so that of two workers, or of a worker and its own repeated job, one
    finds the occurrence counted. What cannot be read waits for the sweep over alerts, which tells
    people of it.

    Raises:
        StorageError: others kept changing the alert; the job comes again.
    """
    patience = Patience("an alert kept changing while an occurrence was counted", end=StorageError)
    while True:
        try:
            found = await ctx.read.occurrence(message.merchant, message.occurrence)
            if found is None or found.alert is not None:
                return False
            caller = Caller(Actor("job", name="raise-alert"), found.merchant, request_id=found.id)
            standing = await ctx.read.alert_standing(found.merchant, found.problem.name)
            raised, change = _counting(ctx, caller, standing, found.problem, found.at, found)
        except Unreadable as error:
            log.logger().error("alert_not_raised", request_id=message.occurrence, error=error)
            return False
        if await _done(ctx, raised, change):
            return True
        await patience.pause()


def _counting(
    ctx: Context,
    caller: Caller,
    standing: Alert | None,
    problem: Problem,
    at: datetime,
    found: Occurrence | None = None,
) -> tuple[Alert, Change]:
    """The alert that counts a problem, and the change that makes it so."""
    if standing is None:
        raised = alert.raised(
            problem,
            alert_id=ctx.new_id("alert", at),
            merchant=caller.merchant,
            livemode=ctx.provider.livemode,
            at=at,
        )
    else:
        raised = alert.found_again(standing, problem, at)
    done = () if found is None else (alert.counted(found, raised),)
    audit = ctx.audit(caller, Action.ALERT_RAISE, Subject("alert", raised.id))
    tells = (_event(ctx, caller, raised),) if alert.has_opened(standing, raised) else ()
    if standing is None:
        return raised, Change(audit, creates=(raised, *tells), advances=done)
    return raised, Change(audit, creates=tells, advances=(raised, *done))


def _event(ctx: Context, caller: Caller, raised: Alert) -> Event:
    """What the alert's merchant is told; of what concerns the account, that is `default`."""
    now = ctx.now()
    return events.of(
        raised,
        "alert.opened",
        event_id=ctx.new_id("event", now),
        at=now,
        request_id=caller.request_id,
    )


async def _done(ctx: Context, raised: Alert, change: Change) -> bool:
    """Commit the change, log a new alert, and return whether the commit was made."""
    if not isinstance(await ctx.door.commit(change), Committed):
        return False
    if raised.version == 1:
        log.logger().warning("alert_raised", alert=raised.id, reason=raised.problem.type)
    return True
