"""The provider's own list of disputes, and what became of those that its word is waited for.

What was made, or has come to its end, without our hearing of it becomes true here, as by an event
of it. Nothing is credited but by the provider's own row.
"""

from collections.abc import Coroutine
from typing import Any, Final

from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeAnswer, Disputed, DisputeUnfamiliar
from paygate.domain.reconciliation.finding import Finding, FindingAction, FindingKind, Shown
from paygate.domain.reconciliation.run import Stage
from paygate.flows.disputes.find import Finding as Became
from paygate.flows.disputes.find import Found, apply_dispute, fetched_dispute, whose_dispute
from paygate.flows.disputes.problems import dispute_subject
from paygate.flows.provider.lists import pages_of_disputes
from paygate.flows.reconciliation.go_through import Late, go_through
from paygate.flows.reconciliation.hold import Item, NotTold, hold_missing, or_held
from paygate.flows.reconciliation.read_list import ProviderList
from paygate.flows.reconciliation.report import Report
from paygate.providers.absence import Absent
from paygate.storage.installation import DEFAULT_MERCHANT

_NOT_YET: Final = {
    Became.PAYMENT_FIRST: "its payment is not recorded here with its money",
    Became.UNRESOLVED: "the provider did not say how it stands",
}


async def _compare(report: Report, page: list[DisputeAnswer]) -> None:
    for answer in page[::-1]:  # the oldest first, as they were made
        reference = answer.provider_reference
        if reference is not None:
            report.seen.add(reference)
            await or_held(report, Item(Stage.DISPUTES, reference), _examine(report, answer))


async def _examine(report: Report, answer: DisputeAnswer) -> None:
    """Have a dispute become what the provider says of it, and find it, where that was news."""
    ctx = report.ctx
    if report.dry:
        await _rehearse(report, answer)
        return
    found = await apply_dispute(ctx, report.caller(), answer)
    match found.finding:
        case Became.FOREIGN:
            report.met(foreign=1)
        case Became.NOTHING_NEW | Became.STALE:
            report.met(in_step=1)
        case Became.APPLIED | Became.RECORDED:
            await report.write(_healed(report, answer, found, found.finding))
        case Became.PAYMENT_FIRST | Became.UNRESOLVED:
            raise NotTold(_NOT_YET[found.finding])
        case Became.ORPHAN | Became.UNFAMILIAR | Became.BACKWARDS:
            await _hold(report, answer, found)


async def _rehearse(report: Report, answer: DisputeAnswer) -> None:
    intent, dispute = await whose_dispute(report.ctx, answer)
    said = answer.outcome
    if intent is None:
        report.met(foreign=1)
    elif isinstance(said, Disputed) and (dispute is None or dispute.status is not said.status):
        found = Found(Became.RECORDED, intent, dispute)
        report.keep(_healed(report, answer, found, "it would become what the provider says"))
    else:
        report.met(in_step=1)


def _healed(report: Report, answer: DisputeAnswer, found: Found, how: str) -> Finding:
    theirs = _shown(answer)
    return report.finding(
        FindingKind.DISPUTE,
        FindingAction.HEALED,
        f"dispute:{answer.provider_reference}:{theirs['status']}",
        payment_intent=None if found.intent is None else found.intent.id,
        provider_reference=answer.provider_reference,
        theirs=theirs,
        reason=how,
    )


async def _hold(report: Report, answer: DisputeAnswer, found: Found) -> None:
    """A dispute that cannot be followed. One of ours has its alert already."""
    problem = None
    if found.dispute is None:
        orphan = found.finding is Became.ORPHAN
        problem = Problem(
            type=AlertType.ORPHAN_CHARGE if orphan else AlertType.RECONCILIATION_DRIFT,
            subject=Subject("provider_dispute", str(answer.provider_reference)),
            severity="critical",
            message=f"the provider has a dispute that cannot be recorded: {found.finding}",
            what_to_do=f"Look {answer.provider_reference} up in the provider's dashboard; it may"
            " have to be answered there.",
        )
    await report.hold(
        FindingKind.DISPUTE,
        f"dispute:{answer.provider_reference}",
        problem,
        merchant=DEFAULT_MERCHANT if found.intent is None else found.intent.merchant,
        payment_intent=None if found.intent is None else found.intent.id,
        provider_reference=answer.provider_reference,
        theirs=_shown(answer),
        reason=f"the dispute cannot be followed: {found.finding}",
    )


def _shown(answer: DisputeAnswer) -> Shown:
    """What the provider says of a dispute."""
    said = answer.outcome
    if isinstance(said, Disputed):
        return {"status": said.status.value, "amount": said.amount, "currency": said.currency}
    return {"status": said.status if isinstance(said, DisputeUnfamiliar) else None}


async def _ask(report: Report, finding: Finding) -> None:
    found = await retrieved_dispute(report, str(finding.provider_reference))
    if not isinstance(found, Absent):
        await _examine(report, found)


async def retrieved_dispute(report: Report, reference: str) -> DisputeAnswer | Absent:
    """How a dispute stands. Raises NotTold."""
    await report.ctx.pace.turn()
    found = await fetched_dispute(report.ctx, reference)
    if isinstance(found, DisputeAnswer | Absent):
        return found
    raise NotTold


async def ask_open_disputes(report: Report, late: Late) -> bool:
    """Examine every dispute of which the provider's word is still to come, from where the round
    stands; False when there was no time for all.
    """

    async def ask(dispute: Dispute) -> None:
        found = await retrieved_dispute(report, dispute.provider_reference)
        if isinstance(found, Absent):
            kind, status = FindingKind.DISPUTE, dispute.status.value
            await hold_missing(report, kind, dispute_subject(dispute), dispute, status)
        else:
            await _examine(report, found)

    def one(dispute: Dispute) -> Coroutine[Any, Any, object] | None:
        reference = dispute.provider_reference
        if reference in report.seen:
            return None
        item = Item(Stage.DISPUTES, reference, dispute.merchant, dispute.intent)
        return or_held(report, item, ask(dispute))

    read = report.ctx.disputes.disputes_watched
    return await go_through(report, Stage.OPEN_DISPUTES, read, one, late)


DISPUTES: Final = ProviderList(Stage.DISPUTES, pages_of_disputes, _compare, _ask)
