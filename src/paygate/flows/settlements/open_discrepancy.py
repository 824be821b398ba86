"""Open discrepancies, each once however often it is found, and heal those that are found no more.
What a person decided of one, no run takes back.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from paygate.crypto.encoding import length_prefixed
from paygate.domain import event
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import Problem
from paygate.domain.audit import Subject
from paygate.domain.event import Event
from paygate.domain.ids import PREFIXES, id_from
from paygate.domain.settlements.discrepancy import (
    Decision,
    DecisionAction,
    Discrepancy,
    DiscrepancyStatus,
    Found,
    advanced,
)
from paygate.flows.alerts.raise_alert import occurrence, to_raise
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.storage.change import Change, Committed, StorageError

SEEN_AGAIN: Final = timedelta(days=1)
"""How often it is written down that a discrepancy is still found."""
JOB: Final = "settle-payouts"
KEPT_CHANGING: Final = "a discrepancy kept changing"


def discrepancy_subject(discrepancy: Discrepancy) -> Subject:
    """A discrepancy, as the audit log names it."""
    return Subject("discrepancy", discrepancy.id)


def discrepancy_id(ctx: Context, found: Found, occurrence: int = 1) -> str:
    """The id of what was found: one for each kind of thing about each line, payout or record, and
    for each time that it came back after it was over.
    """
    again = () if occurrence == 1 else (str(occurrence),)
    name = length_prefixed("discrepancy", ctx.provider.name, found.kind, found.about, *again)
    return id_from(PREFIXES["discrepancy"], ctx.index.name(name))


async def latest_discrepancy(ctx: Context, found: Found) -> Discrepancy | None:
    """What is known of this kind of thing: its last occurrence. None when it was never found."""
    latest, occurrence = None, 1
    while True:
        known = discrepancy_id(ctx, found, occurrence)
        standing = await ctx.settlements.discrepancy(ACCOUNT, known)
        if standing is None:
            return latest
        latest, occurrence = standing, occurrence + 1


async def open_discrepancy(
    ctx: Context,
    caller: Caller,
    found: Found,
    settlement: str | None,
    problem: Problem | None = None,
    *also: Event,
) -> Discrepancy:
    """The discrepancy of what was found, opened now unless it was before; `problem` is what people
    are told when it is new, where no settlement tells them; `also` are events of the same fact.

    One that had healed and is found again is another occurrence, and so is one of which a person
    has decided and which is another sum by now: what was decided stays, and holds for what it was.

    Raises:
        StorageError: others kept changing it.
    """
    patience = Patience(KEPT_CHANGING, end=StorageError, seconds=CONCLUDING_SECONDS)
    occurrence = 1
    while True:
        known = discrepancy_id(ctx, found, occurrence)
        standing = await ctx.settlements.discrepancy(ACCOUNT, known)
        if standing is not None and _is_over(standing, found):
            occurrence += 1
            continue
        if standing is None:
            after = new_discrepancy(ctx, known, found, settlement)
            change = _opening(ctx, caller, after, problem, also)
        else:
            after = _seen_again(ctx, standing, found)
            if after is standing:
                return standing
            audit = ctx.audit(caller, Action.DISCREPANCY_OPEN, discrepancy_subject(after))
            change = Change(audit, advances=(after,))
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()


async def heal_discrepancy(
    ctx: Context, caller: Caller, discrepancy: Discrepancy, reason: str
) -> bool:
    """Resolve a discrepancy that is found no more; False when somebody has seen to it meanwhile."""
    if discrepancy.status is not DiscrepancyStatus.OPEN:
        return False
    after = decided(ctx, discrepancy, DecisionAction.RESOLVE, reason, JOB, by_job=True)
    audit = ctx.audit(caller, Action.DISCREPANCY_HEAL, discrepancy_subject(after))
    told = discrepancy_event(ctx, caller, after, "discrepancy.resolved")
    return isinstance(
        await ctx.door.commit(Change(audit, creates=(told,), advances=(after,))), Committed
    )


def is_healed(decision: Decision) -> bool:
    """Whether a run decided it, and no person: keys and people may have the job's name too."""
    return decision.actor == JOB if decision.by_job is None else decision.by_job


def decided(
    ctx: Context,
    discrepancy: Discrepancy,
    action: DecisionAction,
    reason: str,
    actor: str,
    *,
    by_job: bool = False,
) -> Discrepancy:
    """The discrepancy with what was decided of it."""
    now = ctx.now()
    resolves = action is DecisionAction.RESOLVE
    return advanced(
        discrepancy,
        now,
        status=DiscrepancyStatus.RESOLVED if resolves else DiscrepancyStatus.EXPLAINED,
        decision=Decision(action, reason, actor, now, by_job),
    )


def discrepancy_event(ctx: Context, caller: Caller, discrepancy: Discrepancy, type_: str) -> Event:
    """What the account's merchant is told of a discrepancy."""
    return event.of(
        discrepancy,
        type_,
        event_id=ctx.new_id("event"),
        at=discrepancy.updated_at,
        request_id=caller.request_id,
    )


def new_discrepancy(ctx: Context, known: str, found: Found, settlement: str | None) -> Discrepancy:
    """What was found, under its id, as it is first seen."""
    now = ctx.now()
    return Discrepancy(
        id=known,
        merchant=ACCOUNT,
        livemode=ctx.provider.livemode,
        what=found,
        settlement=settlement,
        first_seen_at=now,
        last_seen_at=now,
        created_at=now,
        updated_at=now,
    )


def _opening(
    ctx: Context,
    caller: Caller,
    discrepancy: Discrepancy,
    problem: Problem | None,
    also: Sequence[Event],
) -> Change:
    alerts = () if problem is None else (occurrence(ctx, ACCOUNT, problem),)
    audit = ctx.audit(
        caller,
        Action.DISCREPANCY_OPEN,
        discrepancy_subject(discrepancy),
        details={"kind": discrepancy.kind, "settlement": discrepancy.settlement or ""},
    )
    told = discrepancy_event(ctx, caller, discrepancy, "discrepancy.opened")
    return Change(audit, creates=(discrepancy, told, *also, *alerts), jobs=to_raise(*alerts))


def _is_over(standing: Discrepancy, found: Found) -> bool:
    """Whether what was known is another occurrence than what is found now."""
    if standing.decision is None:
        return False
    return is_healed(standing.decision) or standing.what.found != found.found


def _seen_again(ctx: Context, standing: Discrepancy, found: Found) -> Discrepancy:
    """One that is open is as it is found now, and by and by it is written that it still is."""
    now = ctx.now()
    if standing.status is not DiscrepancyStatus.OPEN:
        return standing
    # What it is about stays, whatever else is learned of it.
    same = found.payment_intent == standing.payment_intent
    what = found if same else standing.what
    if what == standing.what and now - standing.last_seen_at < SEEN_AGAIN:
        return standing
    return advanced(standing, now, what=what, last_seen_at=max(now, standing.last_seen_at))
