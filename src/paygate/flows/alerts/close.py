"""Close alerts whose cause is gone, so that nobody need acknowledge them.

For most types the records themselves say whether the cause still stands, and a run by the clock
looks. An alert that only its own check can judge is closed by that check, with `close_alert` or
`close_cleared`. An alert about a single happening stays for a person (docs/alerts.md).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

from paygate.domain import alert
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import Alert, AlertType
from paygate.domain.audit import Subject
from paygate.domain.payments.attempt import OPEN, AttemptState
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import EventStatus
from paygate.domain.refunds.refund import IN_DOUBT as REFUND_IN_DOUBT
from paygate.domain.webhooks.endpoint import EndpointStatus
from paygate.flows.alerts.raise_alert import count_occurrence
from paygate.flows.alerts.watch_jobs import STUCK_AFTER
from paygate.flows.context import Context
from paygate.flows.disputes.problems import LATE, MONEY_MISSING, deadline_of
from paygate.flows.idempotency.purge import is_unfinished
from paygate.flows.payments.attempt.conclude import MISSING
from paygate.flows.payments.sweeps.close_failed import LEFT_OPEN
from paygate.flows.settlements.stands import payout_is_failed, settlement_differs
from paygate.flows.sweep import Sweep
from paygate.jobs.messages import RaiseAlert
from paygate.storage.change import Change, Committed
from paygate.storage.pages import newest
from paygate.storage.reader import IntentFilters

PAGE: Final = 200
WORKER_IS_LATE: Final = timedelta(minutes=5)
"""The wait after which an occurrence is counted here: its job was lost."""

_IN_DOUBT: Final = frozenset({AttemptState.STARTED, AttemptState.UNKNOWN})


class Closed(NamedTuple):
    """The counts of a run: alerts closed, and occurrences counted whose job was lost."""

    closed: int
    counted: int


async def close_alerts(ctx: Context, run_id: str) -> Closed:
    """Close every alert whose cause is gone. Returns the counts of this run."""
    sweep = Sweep(ctx, "close-alerts", run_id)
    closed = counted = 0
    waiting = partial(ctx.read.occurrences_waiting, ctx.now() - WORKER_IS_LATE)
    async for found in sweep.every(waiting, PAGE):
        with sweep:
            counted += await count_occurrence(ctx, RaiseAlert(found.merchant, found.id))
    async for standing in sweep.every(ctx.read.alerts_standing, PAGE):
        stands = _STANDS.get(standing.problem.type)
        with sweep:
            if stands is not None and not await stands(ctx, standing):
                closed += await _close(ctx, sweep.caller(standing.merchant), standing)
    await sweep.end()
    return Closed(closed, counted)


async def close_alert(
    ctx: Context, caller: Caller, kind: AlertType, subject: Subject, stage: str | None = None
) -> bool:
    """Close the alert of the caller's merchant that a check finds gone; False when none stands, or
    when it was found once more at this moment.
    """
    name = alert.name_of(kind, subject, stage)
    standing = await ctx.read.alert_standing(caller.merchant, name)
    return standing is not None and await _close(ctx, caller, standing)


async def close_cleared(
    ctx: Context, sweep: Sweep, kind: AlertType, found: Collection[tuple[str, str]], since: datetime
) -> int:
    """Close all alerts of a type that a whole check, begun at `since`, has not found again; `found`
    names merchant and subject. How many it closed.
    """
    closed = 0
    async for standing in sweep.every(ctx.read.alerts_standing, PAGE):
        with sweep:
            gone = (standing.merchant, standing.problem.subject.id) not in found
            # Another check may have found it meanwhile.
            if standing.problem.type is kind and gone and standing.last_at < since:
                closed += await _close(ctx, sweep.caller(standing.merchant), standing)
    return closed


async def _close(ctx: Context, caller: Caller, standing: Alert) -> bool:
    """Close an alert; False when it has moved on, which the next run looks at."""
    after = alert.closed(standing, ctx.now())
    audit = ctx.audit(caller, Action.ALERT_CLOSE, Subject("alert", after.id))
    return isinstance(await ctx.door.commit(Change(audit, advances=(after,))), Committed)


async def _hold_stands(ctx: Context, standing: Alert) -> bool:
    intent = await ctx.read.payment_intent(standing.merchant, standing.problem.subject.id)
    return intent is not None and intent.status is Status.REQUIRES_CAPTURE


async def _attempt_is_unresolved(ctx: Context, standing: Alert) -> bool:
    subject = standing.problem.subject
    if subject.object == "refund":
        refund = await ctx.refunds.refund(standing.merchant, subject.id)
        return refund is not None and refund.state in REFUND_IN_DOUBT
    if subject.object == "dispute":
        dispute = await ctx.disputes.dispute(standing.merchant, subject.id)
        return dispute is not None and dispute.pending_operation is not None
    intent = await ctx.read.payment_intent(standing.merchant, standing.problem.subject.id)
    if intent is None or intent.attempt is None:
        return False
    attempt = await ctx.read.attempt(intent.merchant, intent.attempt)
    if attempt is None or attempt.state is AttemptState.CANCELLED:
        return False
    if standing.problem.stage in {MISSING, LEFT_OPEN} and intent.status is Status.FAILED:
        return True  # whether the payment takes money still, only a person can see
    return attempt.state in (OPEN if standing.problem.stage == MISSING else _IN_DOUBT)


async def _key_is_unfinished(ctx: Context, standing: Alert) -> bool:
    key = await ctx.read.idempotency_key(standing.merchant, standing.problem.subject.id)
    return key is not None and await is_unfinished(ctx, key)


async def _dispute_is_open(ctx: Context, standing: Alert) -> bool:
    if standing.problem.stage is not None:
        return True  # it has happened, and a person looks at it
    dispute = await ctx.disputes.dispute(standing.merchant, standing.problem.subject.id)
    return dispute is not None and dispute.is_open


async def _deadline_is_near(ctx: Context, standing: Alert) -> bool:
    if standing.problem.stage == LATE:
        return True
    dispute = await ctx.disputes.dispute(standing.merchant, standing.problem.subject.id)
    return dispute is not None and deadline_of(dispute, ctx.now()) == standing.problem.stage


async def _refund_spares_a_dispute(ctx: Context, standing: Alert) -> bool:
    intent = await ctx.read.payment_intent(standing.merchant, standing.problem.subject.id)
    return intent is not None and intent.disputes == 0 and intent.amount_refundable > 0


async def _drifts(ctx: Context, standing: Alert) -> bool:
    """Of a payment, the round of the reconciliation sees it."""
    if standing.problem.stage != MONEY_MISSING:
        return True
    dispute = await ctx.disputes.dispute(standing.merchant, standing.problem.subject.id)
    return dispute is not None and dispute.lacks_money


async def _event_is_dead(ctx: Context, standing: Alert) -> bool:
    event = await ctx.read.provider_event(standing.merchant, standing.problem.subject.id)
    return event is not None and event.status is EventStatus.DEAD_LETTER


async def _money_is_nobodys(ctx: Context, standing: Alert) -> bool:
    """Until the event that told of it was applied after all; else until a person has seen to it."""
    subject = standing.problem.subject
    if subject.object != "provider_event":
        return True
    event = await ctx.read.provider_event(standing.merchant, subject.id)
    return event is None or event.status not in {EventStatus.PROCESSED, EventStatus.STALE}


async def _record_is_closed(ctx: Context, standing: Alert) -> bool:
    subject = standing.problem.subject
    return not await ctx.read.opens(subject.object, standing.merchant, subject.id)


async def _jobs_wait(ctx: Context, standing: Alert) -> bool:
    waiting = await ctx.read.jobs_waiting(ctx.now() - STUCK_AFTER)
    return standing.problem.subject.id in waiting


async def _endpoint_fails(ctx: Context, standing: Alert) -> bool:
    subject = standing.problem.subject
    endpoint = await ctx.webhooks.webhook_endpoint(standing.merchant, subject.id)
    if endpoint is None or endpoint.status is EndpointStatus.DELETED:
        return False
    if standing.problem.stage is not None:
        return endpoint.disabled_because is not None
    return endpoint.enabled and endpoint.failing_since is not None


async def _provider_refuses(ctx: Context, standing: Alert) -> bool:
    """Until a payment that was made after the last refusal has come through: a key that may look
    around may still not charge, so that nothing less is proof.
    """
    for status in (Status.SUCCEEDED, Status.REQUIRES_CAPTURE, Status.REQUIRES_ACTION):
        after = IntentFilters(status=status, created_after=standing.last_at)
        page = await ctx.read.payment_intents(standing.merchant, newest("payment_intent", 1), after)
        if page.items:
            return False
    return True


_STANDS: Final[Mapping[AlertType, Callable[[Context, Alert], Awaitable[bool]]]] = MappingProxyType(
    {
        AlertType.AUTHORIZATION_EXPIRING: _hold_stands,
        AlertType.ATTEMPT_UNRESOLVED: _attempt_is_unresolved,
        AlertType.DISPUTE_OPENED: _dispute_is_open,
        AlertType.DISPUTE_DEADLINE: _deadline_is_near,
        AlertType.EARLY_FRAUD_WARNING: _refund_spares_a_dispute,
        AlertType.SETTLEMENT_DISCREPANCY: settlement_differs,
        AlertType.PAYOUT_FAILED: payout_is_failed,
        AlertType.RECONCILIATION_DRIFT: _drifts,
        AlertType.IDEMPOTENCY_UNFINISHED: _key_is_unfinished,
        AlertType.WEBHOOK_DEAD_LETTER: _event_is_dead,
        AlertType.ORPHAN_CHARGE: _money_is_nobodys,
        AlertType.RECORD_UNREADABLE: _record_is_closed,
        AlertType.PROVIDER_MISCONFIGURED: _provider_refuses,
        AlertType.JOB_STUCK: _jobs_wait,
        AlertType.MERCHANT_WEBHOOK_FAILING: _endpoint_fails,
    }
)
"""Whether the cause of an alert still stands, for the types whose records say so."""
