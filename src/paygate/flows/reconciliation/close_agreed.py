"""Close the alerts of payments, refunds and disputes that agree with the provider's by now."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

from paygate.domain.alert import Alert, AlertType
from paygate.domain.disputes.outcome import Disputed
from paygate.domain.reconciliation.agreement import difference, is_told
from paygate.domain.reconciliation.run import Stage
from paygate.domain.refunds.conclusion import state_of
from paygate.flows.alerts.close import close_alert
from paygate.flows.disputes.problems import MONEY_MISSING
from paygate.flows.payments.sweeps.ask_provider import ask_provider
from paygate.flows.reconciliation.go_through import Late, go_through
from paygate.flows.reconciliation.hold import NotTold
from paygate.flows.reconciliation.read_disputes import retrieved_dispute
from paygate.flows.reconciliation.read_refunds import retrieved_refund
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
    subject = standing.problem.subject
    agrees = _AGREES.get(subject.object)
    if agrees is None or standing.problem.stage == MONEY_MISSING:  # which the record itself tells
        return
    try:
        if not await agrees(report, standing.merchant, subject.id):
            return
    except NotTold:
        return
    except UNREAD as fault:
        await report.unreadable(fault)
        return
    caller = report.caller(standing.merchant)
    await close_alert(report.ctx, caller, standing.problem.type, subject, standing.problem.stage)


async def _payment_agrees(report: Report, merchant: str, intent_id: str) -> bool:
    intent = await report.ctx.read.payment_intent(merchant, intent_id)
    if intent is None or intent.provider_reference is None:
        return False
    answer = await ask_provider(report.ctx, intent.provider_reference)
    if isinstance(answer, Absent) or not is_told(answer):
        return False
    return difference(intent, answer) is None


async def _refund_agrees(report: Report, merchant: str, refund_id: str) -> bool:
    refund = await report.ctx.refunds.refund(merchant, refund_id)
    if refund is None or refund.provider_reference is None:
        return False
    answer = await retrieved_refund(report, refund.provider_reference)
    if isinstance(answer, Absent):
        return False
    theirs = state_of(answer.outcome), answer.amount, answer.currency
    return theirs == (refund.state, refund.amount, refund.currency)


async def _dispute_agrees(report: Report, merchant: str, dispute_id: str) -> bool:
    dispute = await report.ctx.disputes.dispute(merchant, dispute_id)
    if dispute is None:
        return False
    answer = await retrieved_dispute(report, dispute.provider_reference)
    if isinstance(answer, Absent) or not isinstance(answer.outcome, Disputed):
        return False
    return answer.outcome.status is dispute.status


_AGREES: Final[Mapping[str, Callable[[Report, str, str], Awaitable[bool]]]] = MappingProxyType(
    {
        "payment_intent": _payment_agrees,
        "refund": _refund_agrees,
        "dispute": _dispute_agrees,
    }
)
"""Whether a record agrees with what the provider has, by its name and what it is."""
