"""Close the alerts of payments that agree with the provider's by now."""

from collections.abc import Coroutine
from typing import Any

from paygate.domain.alert import Alert, AlertType
from paygate.domain.reconciliation.agreement import difference, is_told
from paygate.domain.reconciliation.run import Stage
from paygate.flows.alerts.close import close_alert
from paygate.flows.context import Context
from paygate.flows.payments.sweeps.ask_provider import ask_provider
from paygate.flows.reconciliation.go_through import Late, go_through
from paygate.flows.reconciliation.report import Report
from paygate.providers.absence import Absent
from paygate.storage.unreadable import UNREAD


async def close_agreed(report: Report, late: Late) -> bool:
    """Look at all that stand, from where the round stands; False when there was no time for all."""
    if report.dry:
        return True

    def one(standing: Alert) -> Coroutine[Any, Any, object] | None:
        drift = standing.problem.type is AlertType.RECONCILIATION_DRIFT
        return _look(report, standing) if drift else None

    read = report.ctx.read.alerts_standing
    return await go_through(report, Stage.ALERTS, read, one, late)


async def _look(report: Report, standing: Alert) -> None:
    ctx, problem = report.ctx, standing.problem
    try:
        agrees = await _agrees_by_now(ctx, standing.merchant, problem.subject.id)
    except UNREAD as fault:
        await report.unreadable(fault)
        return
    if agrees:
        caller = report.caller(standing.merchant)
        await close_alert(ctx, caller, problem.type, problem.subject, problem.stage)


async def _agrees_by_now(ctx: Context, merchant: str, intent_id: str) -> bool:
    intent = await ctx.read.payment_intent(merchant, intent_id)
    if intent is None or intent.provider_reference is None:
        return False
    answer = await ask_provider(ctx, intent.provider_reference)
    if isinstance(answer, Absent) or not is_told(answer):
        return False
    return difference(intent, answer) is None
