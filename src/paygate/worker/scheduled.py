"""What each scheduled job does, by its name; the worker and `paygate jobs run` call the same."""

import socket
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import AlertType
from paygate.domain.audit import Subject
from paygate.flows.alerts.close import close_alert, close_alerts
from paygate.flows.alerts.send import send_alerts
from paygate.flows.alerts.watch_jobs import watch_jobs
from paygate.flows.audit_log.seal import seal_audit_log
from paygate.flows.audit_log.verify import verify_by_the_clock
from paygate.flows.context import Context
from paygate.flows.disputes.evidence_files import sweep_evidence_files
from paygate.flows.disputes.resolve import resolve_dispute_orders
from paygate.flows.disputes.watch import watch_disputes
from paygate.flows.encryption.reseal import JOB as RESEAL
from paygate.flows.encryption.reseal import reseal_by_the_clock
from paygate.flows.encryption.watch import watch_keys
from paygate.flows.housekeeping.late_events import go_on_erasing
from paygate.flows.housekeeping.months import watch_months
from paygate.flows.housekeeping.prune import prune
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.ledger.verify import verify_ledger
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.flows.payments.sweeps.watch_authorizations import watch_authorizations
from paygate.flows.provider.watch import WATCHED, watch_provider
from paygate.flows.provider_events.apply_waiting import apply_waiting_events
from paygate.flows.reconciliation.report import JOB
from paygate.flows.reconciliation.run import reconcile_by_the_clock
from paygate.flows.refunds.resolve import expire_refund_approvals, resolve_refunds
from paygate.flows.settlements.open_discrepancy import JOB as SETTLE
from paygate.flows.settlements.problems import NO_PROGRESS
from paygate.flows.settlements.run import settle_payouts
from paygate.flows.settlements.upload_report import sweep_report_files
from paygate.flows.sweep import Faults
from paygate.flows.webhooks.watch import watch_webhook_endpoints
from paygate.storage.installation import DEFAULT_MERCHANT

Report = Mapping[str, int]
"""The counts of a run, by name."""
Run = Callable[[Context, str], Awaitable[Report]]
"""A run, given the context and the run's id, which the audit log will name."""


async def _expire_intents(ctx: Context, run_id: str) -> Report:
    cancelled = closed = 0
    faults = Faults()  # each half runs, whatever became of the other
    with faults:
        cancelled = await expire_payment_intents(ctx, run_id)
    with faults:
        closed = await close_overdue_attempts(ctx, run_id)
    with faults:
        closed += await expire_refund_approvals(ctx, run_id)
    faults.tell()
    return {"cancelled": cancelled, "closed": closed}


async def _watch_authorizations(ctx: Context, run_id: str) -> Report:
    watched = await watch_authorizations(ctx, run_id)
    return {"expiring": watched.expiring, "lapsed": watched.lapsed}


async def _watch_disputes(ctx: Context, run_id: str) -> Report:
    watched = deleted = None
    faults = Faults()
    with faults:
        watched = await watch_disputes(ctx, run_id)
    with faults:
        deleted = await sweep_evidence_files(ctx)
    faults.tell()
    assert watched is not None, "what failed was told"
    return {**watched._asdict(), "deleted": deleted or 0}


async def _resolve_attempts(ctx: Context, run_id: str) -> Report:
    resolved = unresolved = 0
    faults = Faults()
    with faults:
        resolved, unresolved = await resolve_attempts(ctx, run_id)
    with faults:
        refunds = await resolve_refunds(ctx, run_id)
        resolved, unresolved = resolved + refunds.resolved, unresolved + refunds.unresolved
    with faults:
        orders = await resolve_dispute_orders(ctx, run_id)
        resolved, unresolved = resolved + orders.resolved, unresolved + orders.unresolved
    faults.tell()
    return {"resolved": resolved, "unresolved": unresolved}


async def _watch_provider(ctx: Context, run_id: str) -> Report:
    warnings = await watch_provider(ctx, run_id, node=socket.gethostname())
    found = {warned.code for warned in warnings}
    return {str(code): int(code in found) for code in WATCHED}


async def _close_alerts(ctx: Context, run_id: str) -> Report:
    return (await close_alerts(ctx, run_id))._asdict()


async def _send_alerts(ctx: Context, run_id: str) -> Report:
    return (await send_alerts(ctx, run_id))._asdict()


async def _apply_provider_events(ctx: Context, _: str) -> Report:
    swept = await apply_waiting_events(ctx)
    return {"waiting": swept.waiting, "failed": swept.failed}


async def _watch_jobs(ctx: Context, run_id: str) -> Report:
    return {"waiting": await watch_jobs(ctx, run_id)}


async def _reconcile_provider(ctx: Context, run_id: str) -> Report:
    run = await reconcile_by_the_clock(ctx, run_id)
    tally = run.tally
    return {
        "examined": tally.theirs,
        "in_step": tally.in_step,
        "healed": tally.healed,
        "held": tally.held,
        "orphans": tally.orphans,
        "failed": len(run.faults),
    }


async def _settle_payouts(ctx: Context, run_id: str) -> Report:
    ran = await settle_payouts(ctx, run_id)
    if ran.settled or not ran.failed:
        caller = Caller(Actor("job", name=SETTLE), DEFAULT_MERCHANT, run_id)
        subject = Subject("provider", ctx.provider.name)
        kind = AlertType.SETTLEMENT_DISCREPANCY
        await close_alert(ctx, caller, kind, subject, NO_PROGRESS)
    return {
        "settled": ran.settled,
        "closed": ran.closed,
        "failed": ran.failed,
        "discrepancies": ran.discrepancies,
        **ran.unsettled._asdict(),
    }


async def _purge_idempotency_keys(ctx: Context, run_id: str) -> Report:
    purged = await purge_idempotency_keys(ctx, run_id)
    return {"deleted": purged.deleted, "unfinished": purged.unfinished}


async def _housekeeping(ctx: Context, run_id: str) -> Report:
    await watch_months(ctx)
    deleted = 0
    faults = Faults()
    with faults:
        deleted += await sweep_report_files(ctx)
    with faults:
        deleted += sum(await prune(ctx, run_id))
    with faults:
        deleted += await go_on_erasing(ctx, run_id)
    with faults:
        await watch_keys(ctx, run_id)
    faults.tell()
    return {"deleted": deleted}


async def _reseal_records(ctx: Context, run_id: str) -> Report:
    return (await reseal_by_the_clock(ctx, run_id))._asdict()


async def _watch_webhook_endpoints(ctx: Context, run_id: str) -> Report:
    return (await watch_webhook_endpoints(ctx, run_id))._asdict()


async def _verify_ledger(ctx: Context, run_id: str) -> Report:
    caller = Caller(Actor("job", name="verify-ledger"), DEFAULT_MERCHANT, run_id)
    verified = await verify_ledger(ctx, caller)
    return {
        "intents": verified.intents,
        "mismatches": len(verified.mismatches) + verified.more,
        "not_compared": len(verified.not_compared),
    }


async def _seal_audit_log(ctx: Context, _: str) -> Report:
    return {"sealed": await seal_audit_log(ctx)}


async def _verify_audit_log(ctx: Context, run_id: str) -> Report:
    caller = Caller(Actor("job", name="verify-audit-log"), DEFAULT_MERCHANT, run_id)
    verified = await verify_by_the_clock(ctx, caller)
    return {"entries": verified.entries, "faults": int(not verified.is_good)}


RUNS: Final[Mapping[str, Run]] = MappingProxyType(
    {
        "expire-intents": _expire_intents,
        "watch-authorizations": _watch_authorizations,
        "watch-disputes": _watch_disputes,
        "resolve-attempts": _resolve_attempts,
        "watch-provider": _watch_provider,
        "close-alerts": _close_alerts,
        "send-alerts": _send_alerts,
        "apply-provider-events": _apply_provider_events,
        JOB: _reconcile_provider,
        SETTLE: _settle_payouts,
        "watch-jobs": _watch_jobs,
        "watch-webhook-endpoints": _watch_webhook_endpoints,
        "purge-idempotency-keys": _purge_idempotency_keys,
        "housekeeping": _housekeeping,
        RESEAL: _reseal_records,
        "seal-audit-log": _seal_audit_log,
        "verify-audit-log": _verify_audit_log,
        "verify-ledger": _verify_ledger,
    }
)
"""The runs by name; a test holds the names to `jobs.schedule.SCHEDULE`."""

AT_WORK_ALREADY: Final = "at_work_already"
"""In the report of a run that found another at work, and did nothing."""


async def run_scheduled(ctx: Context, name: str) -> Report:
    """Run a scheduled job once, unless another run of the job is at work on any node. Returns the
    counts.
    """
    async with ctx.sole_runs.alone(name) as alone:
        if not alone:
            return {AT_WORK_ALREADY: 1}
        return await RUNS[name](ctx, ctx.new_id("run"))
