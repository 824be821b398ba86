"""Begin a round. There is one at a time of a provider's account: a round that runs is a claim."""

from datetime import datetime

from msgspec.structs import replace

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.reconciliation.run import Cause, Reconciliation, RunStatus
from paygate.flows.context import Context
from paygate.jobs.messages import Job, Reconcile
from paygate.storage.change import Change, Impossible
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.storage.pages import newest
from paygate.storage.tables import RUNNING_ALREADY
from paygate.storage.unreadable import Unreadable


def subject_of(run: Reconciliation) -> Subject:
    """A round, as the audit log names it."""
    return Subject("reconciliation", run.id)


async def order_reconciliation(
    ctx: Context, caller: Caller, *, since: datetime | None = None
) -> Reconciliation:
    """A round that a worker goes on with, asked for over the API.

    Raises:
        Refusal: `resource_missing` for another merchant than the account's, `parameter_invalid` for
            a time to come, `reconciliation_running` when one runs.
    """
    if caller.merchant != DEFAULT_MERCHANT:
        raise Refusal(
            ErrorCode.RESOURCE_MISSING,
            f"reconciliations are of the provider's account, and so of merchant {DEFAULT_MERCHANT}",
        )
    run = await new_run(ctx, Cause.PERSON, since)
    job = Job(Reconcile(run.merchant, run.id))
    audit = ctx.audit(caller, Action.RECONCILIATION_BEGIN, subject_of(run))
    change = Change(audit, creates=(run,), jobs=(job,), response=run)
    await _claim(ctx, change)
    return run


async def begin_reconciliation(
    ctx: Context, caller: Caller, cause: Cause, *, since: datetime | None = None
) -> Reconciliation:
    """A round that the caller works on itself. Raises Refusal as `order_reconciliation` does."""
    run = await new_run(ctx, cause, since)
    audit = ctx.audit(caller, Action.RECONCILIATION_BEGIN, subject_of(run))
    await _claim(ctx, Change(audit, creates=(run,)))
    return run


async def new_run(ctx: Context, cause: Cause, since: datetime | None = None) -> Reconciliation:
    """A round as it begins, with the cursors of the one before.

    Raises:
        Refusal: `parameter_invalid`: it would compare a time to come.
    """
    now = ctx.now()
    if since is not None and since >= now:
        raise Refusal(ErrorCode.PARAMETER_INVALID, "since must be in the past", param="since")
    last = await _ended_last(ctx)
    if last is None and cause is Cause.SCHEDULE:
        cause = Cause.START
    # An id sorts as its round began, though the node before had a clock that was ahead.
    at = now if last is None else max(now, last.created_at)
    run = Reconciliation(
        id=ctx.new_id("reconciliation", at),
        merchant=DEFAULT_MERCHANT,
        livemode=ctx.provider.livemode,
        cause=cause,
        status=RunStatus.RUNNING,
        wanted_since=since,
        started_at=now,
        created_at=at,
        updated_at=at,
    )
    if last is None:
        return run
    return replace(run, cursors=last.cursors, before=last.started_at)


async def _ended_last(ctx: Context) -> Reconciliation | None:
    """The newest round that has ended and can be read: behind an older one's cursors more is read
    once more. The round tells of the others (`ask_held.py`).

    Raises:
        Outdated: it is for a later version, which goes on from there.
    """
    try:
        return await ctx.reconciliations.ended_last(DEFAULT_MERCHANT)
    except Unreadable:
        # One of the two may be running.
        page = await ctx.reconciliations.page(DEFAULT_MERCHANT, newest("reconciliation", 2))
    ended = (run for run in page.items if run.status is not RunStatus.RUNNING)
    return next(ended, None)


async def _claim(ctx: Context, change: Change) -> None:
    try:
        await ctx.door.commit(change)
    except Impossible as error:
        if error.constraint != RUNNING_ALREADY:
            raise
        raise Refusal(
            ErrorCode.RECONCILIATION_RUNNING,
            "a reconciliation is running; look at it with GET /reconciliations",
            retry_after_seconds=60,
        ) from None
