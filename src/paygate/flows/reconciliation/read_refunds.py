"""The provider's own list of refunds, whoever made them, and what became of those that wait.

What was made or has moved without our hearing of it becomes true here, as by an event of it.
"""

from collections.abc import Coroutine
from typing import Any, Final

from paygate.domain.alert import AlertType, Problem
from paygate.domain.payments.outcome import Unknown
from paygate.domain.reconciliation.finding import Finding, FindingAction, FindingKind, Shown
from paygate.domain.reconciliation.run import Stage
from paygate.domain.refunds.conclusion import state_of
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.domain.refunds.refund import Refund
from paygate.flows.context import intent_subject
from paygate.flows.provider.lists import pages_of_refunds
from paygate.flows.reconciliation.go_through import Late, go_through
from paygate.flows.reconciliation.hold import Item, NotTold, hold_missing, or_held
from paygate.flows.reconciliation.read_list import ProviderList
from paygate.flows.reconciliation.report import Report
from paygate.flows.refunds.commit import refund_subject
from paygate.flows.refunds.find import Finding as Became
from paygate.flows.refunds.find import Found, apply_refund, is_foreign, would_be_adopted
from paygate.providers.absence import Absent

_NOT_YET: Final = {
    Became.PAYMENT_FIRST: "its payment is not recorded here, or not with its money",
    Became.UNRESOLVED: "the provider did not say how it stands",
}


async def _compare(report: Report, page: list[RefundAnswer]) -> None:
    for answer in page[::-1]:  # the oldest first, as they were made
        reference = answer.provider_reference
        if reference is not None:
            report.seen.add(reference)
            item = Item(Stage.REFUNDS, reference)
            await or_held(report, item, _examine(report, answer))


async def _examine(report: Report, answer: RefundAnswer) -> None:
    """Have a refund become what the provider says of it, and find it, where that was news."""
    ctx = report.ctx
    if report.dry:
        if answer.payment_reference in report.seen:
            report.met(in_step=1)  # found with its payment
        elif await would_be_adopted(ctx, answer):
            report.keep(_healed(report, answer, Found(Became.ADOPTED), "it would become ours"))
        else:
            foreign = await is_foreign(ctx, answer)
            report.met(foreign=1) if foreign else report.met(in_step=1)
        return
    found = await apply_refund(ctx, report.caller(), answer)
    match found.finding:
        case Became.FOREIGN:
            report.met(foreign=1)
        case Became.NOTHING_NEW | Became.STALE:
            report.met(in_step=1)
        case Became.APPLIED | Became.ADOPTED:
            await report.write(_healed(report, answer, found, found.finding))
        case Became.PAYMENT_FIRST | Became.UNRESOLVED:
            raise NotTold(_NOT_YET[found.finding])
        case Became.MISMATCH | Became.UNREADABLE:
            await _hold(report, answer, found)


def _healed(report: Report, answer: RefundAnswer, found: Found, how: str) -> Finding:
    theirs = _shown(answer)
    return report.finding(
        FindingKind.REFUNDED,
        FindingAction.HEALED,
        f"refund:{answer.provider_reference}:{theirs['status']}",
        payment_intent=None if found.intent is None else found.intent.id,
        provider_reference=answer.provider_reference,
        theirs=theirs,
        reason=how,
    )


async def _hold(report: Report, answer: RefundAnswer, found: Found) -> None:
    """A refund that cannot be booked. One of ours has its alert already."""
    assert found.intent is not None, "it is a refund of a payment of ours"
    problem = None
    if found.refund is None:
        problem = Problem(
            type=AlertType.RECONCILIATION_DRIFT,
            subject=intent_subject(found.intent.id),
            stage=f"refund {answer.provider_reference}",
            severity="critical",
            message="the provider has a refund of the payment that cannot be booked:"
            f" {answer.amount} {answer.currency} (smallest units), {found.finding}",
            what_to_do=f"Look {answer.provider_reference} up in the provider's dashboard.",
        )
    await report.hold(
        FindingKind.REFUNDED,
        f"refund:{answer.provider_reference}",
        problem,
        merchant=found.intent.merchant,
        payment_intent=found.intent.id,
        provider_reference=answer.provider_reference,
        theirs=_shown(answer),
        reason=f"the refund cannot be booked: {found.finding}",
    )


def _shown(answer: RefundAnswer) -> Shown:
    """What the provider says of a refund."""
    status = None if isinstance(answer.outcome, Unknown) else state_of(answer.outcome).value
    return {"status": status, "amount": answer.amount, "currency": answer.currency}


async def _ask(report: Report, finding: Finding) -> None:
    found = await retrieved_refund(report, str(finding.provider_reference))
    if not isinstance(found, Absent):
        await _examine(report, found)


async def retrieved_refund(report: Report, reference: str) -> RefundAnswer | Absent:
    """How a refund stands. Raises NotTold."""
    ctx = report.ctx
    await ctx.pace.turn()
    found = await ctx.provider.retrieve_refund(
        reference, timeout_seconds=ctx.policy.provider_timeout_seconds
    )
    if not isinstance(found, Absent) and isinstance(found.outcome, Unknown):
        raise NotTold
    return found


async def ask_open_refunds(report: Report, late: Late) -> bool:
    """Examine every refund that the provider works on, from where the round stands; False when
    there was no time for all.
    """

    async def ask(refund: Refund, reference: str) -> None:
        found = await retrieved_refund(report, reference)
        if isinstance(found, Absent):
            kind, status = FindingKind.REFUNDED, refund.state.value
            await hold_missing(report, kind, refund_subject(refund.id), refund, status)
        else:
            await _examine(report, found)

    def one(refund: Refund) -> Coroutine[Any, Any, object] | None:
        reference = refund.provider_reference
        if reference is None or reference in report.seen:
            return None
        item = Item(Stage.REFUNDS, reference, refund.merchant, refund.intent)
        return or_held(report, item, ask(refund, reference))

    read = report.ctx.refunds.refunds_pending
    return await go_through(report, Stage.OPEN_REFUNDS, read, one, late)


REFUNDS: Final = ProviderList(Stage.REFUNDS, pages_of_refunds, _compare, _ask)
