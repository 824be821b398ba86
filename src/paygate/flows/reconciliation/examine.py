"""Examine one payment: in step with the provider, healed by what the provider says, or held for a
person. What differs is asked for by its id before anything is made of it, with our side read again:
payments go on meanwhile. It is corrected as by any other answer (`attempt/conclude.py`).

Each raises NotTold when the provider did not say how the payment stands.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.access.roles import Action
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.payments.outcome import Answer, Approved, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.reconciliation.agreement import (
    Difference,
    difference,
    is_told,
    shown,
    state_of,
)
from paygate.domain.reconciliation.finding import Finding, FindingAction, FindingKind
from paygate.flows.context import Context, intent_subject
from paygate.flows.disputes.find import apply_disputes_of
from paygate.flows.payments.attempt.apply_answer import (
    Applied,
    Verdict,
    mismatch_problem,
    orphan_problem,
)
from paygate.flows.payments.attempt.begin import is_under_way
from paygate.flows.payments.attempt.conclude import conclude_with, payment_missing
from paygate.flows.payments.attempt.consequences import NOTHING, Consequences
from paygate.flows.payments.attempt.work import Work, reread, take_up
from paygate.flows.payments.sweeps.ask_provider import ask_provider
from paygate.flows.payments.sweeps.close_failed import GIVE_UP_AFTER
from paygate.flows.reconciliation.hold import NotTold
from paygate.flows.reconciliation.report import Report
from paygate.flows.refunds.find import apply_refunds_of
from paygate.providers.absence import Absent
from paygate.storage.installation import DEFAULT_MERCHANT

_HEALS: Final = frozenset({FindingKind.STATUS, FindingKind.CAPTURED})
"""What the provider's word sets right; the rest is a person's."""
_READS: Final = {
    FindingKind.REFUNDED: ("refunds", apply_refunds_of),
    FindingKind.DISPUTE: ("disputes", apply_disputes_of),
}
"""What has records of its own beside the payment's, and how they are read."""
_HEALED: Final = frozenset({Verdict.APPLIED, Verdict.CORRECTED, Verdict.HOLD_VOIDED})
_OPEN_STATES: Final = frozenset({"requires_action", "processing"})
_REASONS: Final = {
    FindingKind.STATUS: "the provider says another state, and it does not follow from ours",
    FindingKind.AMOUNT: "the provider's payment is of another amount or currency",
    FindingKind.CAPTURED: "the provider has taken or holds another amount",
    FindingKind.REFUNDED: "the provider has given back another amount, and its refunds do not say"
    " why",
    FindingKind.DISPUTE: "the provider says that the payment is disputed, and shows no dispute",
}
"""Why a finding is held."""


async def examine_listed(report: Report, intent: PaymentIntent, listed: Answer) -> None:
    """Hold a payment that the provider's list shows against the intent that rests on it."""
    if _agrees(report.ctx, intent, listed):
        if is_told(listed):  # else its status is not known here, or nothing goes on with it
            report.met(in_step=1)
        return
    work = await _work(report, intent)
    if work is not None:
        await _ask_again(report, work, str(intent.provider_reference))


async def examine_asked(report: Report, intent: PaymentIntent) -> None:
    """Ask the provider for an intent's payment, and hold the two against each other."""
    work = await _work(report, intent)
    if work is not None and work.intent.provider_reference is not None:
        await _ask_again(report, work, work.intent.provider_reference)


async def examine_unrecorded(report: Report, listed: Answer) -> None:
    """A payment that bears our mark and that no intent rests on: its event and its answer were both
    lost, it is a second one for an intent, or nobody here knows of it.
    """
    ctx, reference = report.ctx, str(listed.provider_reference)
    merchant, found = listed.merchant or DEFAULT_MERCHANT, None
    if listed.attempt is not None:
        found = await ctx.read.attempt_with_intent(merchant, listed.attempt)
    if found is None:
        await _hold_orphan(report, merchant, listed)
        return
    work = Work(report.caller(merchant), Action.RECONCILE, *found)
    if work.intent.provider_reference == reference:
        await _ask_again(report, work, reference)  # it was recorded just now
    elif not is_told(listed):
        return
    elif work.intent.provider_reference is None:
        await _ask_again(report, work, reference)
    elif not isinstance(listed.outcome, Approved):
        report.met(in_step=1)  # another try of the same intent, without money
    else:
        await _second_payment(report, work, reference)


async def examine_stranger(report: Report, listed: Answer) -> None:
    """Money of somebody else, on an account that is ours alone (`PAYGATE_EXCLUSIVE_ACCOUNT`)."""
    await _hold_orphan(report, DEFAULT_MERCHANT, listed, "the account is ours alone")


async def _work(report: Report, intent: PaymentIntent) -> Work | None:
    """The intent as it stands now, with its latest attempt; None when there is none to speak of."""
    if intent.attempt is None:
        return None
    caller = report.caller(intent.merchant)
    return await take_up(report.ctx, caller, Action.RECONCILE, intent.merchant, intent.attempt)


async def _ask_again(report: Report, work: Work, reference: str) -> None:
    """Judge by how the payment stands now, on both sides."""
    answer = await ask_provider(report.ctx, reference)
    work = await reread(report.ctx, work)
    intent = work.intent
    if isinstance(answer, Absent):
        await _hold_missing(report, intent, reference)
        return
    if is_under_way(report.ctx, work.attempt):
        return  # an answer is about to tell
    if _agrees(report.ctx, intent, answer):
        if not is_told(answer):
            raise NotTold
        report.met(in_step=1)
        return
    differs = difference(intent, answer)
    assert differs is not None, "what does not agree differs"
    if differs.kind in _HEALS:
        await _heal(report, work, answer, differs)
    elif differs.kind in _READS:
        await _heal_beside(report, work, answer, differs)
    else:
        await _hold(report, intent, answer, differs)


def _agrees(ctx: Context, intent: PaymentIntent, answer: Answer) -> bool:
    if difference(intent, answer) is None:
        return True
    # What has failed here is being closed there, which may take days.
    closing = intent.status is Status.FAILED and state_of(answer) in _OPEN_STATES
    ended_at = intent.final_at or intent.updated_at
    return closing and ctx.now() <= ended_at + GIVE_UP_AFTER + timedelta(hours=1)


async def _heal(report: Report, work: Work, answer: Answer, differs: Difference) -> None:
    """Have the payment become what the provider says, by the flow of every answer."""
    ctx, intent = report.ctx, work.intent
    if report.dry:
        report.keep(_healed(report, intent, answer, differs, "it would be set right"))
        return

    def beside(applied: Applied) -> Consequences:
        if applied.verdict not in _HEALED:
            return NOTHING
        return Consequences((_healed(report, intent, answer, differs, applied.verdict),))

    applied = await conclude_with(ctx, work, answer, beside)
    if applied.verdict in _HEALED:
        healed = _healed(report, intent, answer, differs, applied.verdict)
        if applied.commits == NOTHING:  # a hold was given back: nothing here has changed
            await report.write(healed)
        else:
            report.count(healed)
        return
    if applied.verdict is Verdict.UNRESOLVED:
        raise NotTold
    after = (await reread(ctx, work)).intent
    if _agrees(ctx, after, answer):
        report.met(in_step=1)
    else:
        await _hold(report, after, answer, difference(after, answer) or differs)


async def _heal_beside(report: Report, work: Work, answer: Answer, differs: Difference) -> None:
    """Bring every refund or dispute that the provider has of a payment to our records; of a payment
    that has both, one after the other.
    """
    ctx, intent = report.ctx, work.intent
    still: Difference | None = differs
    while still is not None and still.kind in _READS:
        kind, (what, read) = still.kind, _READS[still.kind]
        if report.dry:
            report.keep(_healed(report, intent, answer, differs, f"its {what} would be read"))
            report.seen.add(str(intent.provider_reference))
            return
        await read(ctx, work.caller, str(intent.provider_reference))
        intent = (await reread(ctx, work)).intent
        still = difference(intent, answer)
        if still is None:
            how = f"its {what} were read"
            await report.write(_healed(report, work.intent, answer, differs, how))
        elif still.kind is kind:
            break
    if still is not None:
        await _hold(report, intent, answer, still)


def _healed(
    report: Report, intent: PaymentIntent, answer: Answer, differs: Difference, how: str
) -> Finding:
    return report.finding(
        differs.kind,
        FindingAction.HEALED,
        f"{intent.id}:{intent.version}",
        payment_intent=intent.id,
        provider_reference=answer.provider_reference,
        ours=differs.ours,
        theirs=differs.theirs,
        reason=how,
    )


async def _hold(report: Report, intent: PaymentIntent, answer: Answer, differs: Difference) -> None:
    reason = _REASONS[differs.kind]
    if differs.kind is FindingKind.AMOUNT:
        problem = mismatch_problem(intent, answer)
    else:
        problem = _drift(intent, answer, differs, reason)
    await report.hold(
        differs.kind,
        intent.id,
        problem,
        merchant=intent.merchant,
        payment_intent=intent.id,
        provider_reference=answer.provider_reference,
        ours=differs.ours,
        theirs=differs.theirs,
        reason=reason,
    )


async def _hold_missing(report: Report, intent: PaymentIntent, reference: str) -> None:
    await report.hold(
        FindingKind.STATUS,
        intent.id,
        payment_missing(intent),
        merchant=intent.merchant,
        payment_intent=intent.id,
        provider_reference=reference,
        ours={"status": intent.status.value},
        theirs={"status": None},
        reason="the provider says that it has no such payment",
    )


async def _second_payment(report: Report, work: Work, reference: str) -> None:
    """Money of another payment than the one that an intent rests on: a hold is given back, captured
    money is a person's to refund.
    """
    ctx = report.ctx
    answer = await ask_provider(ctx, reference)
    work = await reread(ctx, work)
    if not isinstance(answer, Absent) and isinstance(answer.outcome, Unknown):
        raise NotTold
    if isinstance(answer, Absent) or not isinstance(answer.outcome, Approved):
        return
    differs = Difference(FindingKind.STATUS, {"status": "cancelled"}, shown(answer))
    if not answer.outcome.captured or work.intent.status in {Status.FAILED, Status.CANCELLED}:
        await _heal(report, work, answer, differs)
        return
    await report.hold(
        FindingKind.ORPHAN,
        reference,
        orphan_problem(work.intent, answer),
        merchant=work.intent.merchant,
        payment_intent=work.intent.id,
        provider_reference=reference,
        theirs=shown(answer),
        reason="a second payment of the same payment intent",
    )


async def _hold_orphan(
    report: Report,
    merchant: str,
    listed: Answer,
    why: str = "the payment bears our mark",
) -> None:
    if await report.ctx.merchants.get(merchant) is None:
        merchant = DEFAULT_MERCHANT  # the provider's metadata name nobody whom we know
    reference = str(listed.provider_reference)
    await report.hold(
        FindingKind.ORPHAN,
        reference,
        _unknown_charge(listed, why),
        merchant=merchant,
        provider_reference=reference,
        theirs=shown(listed),
        reason=f"{why}, and no record of ours is about it",
    )


def _unknown_charge(listed: Answer, why: str) -> Problem:
    outcome = listed.outcome
    money = isinstance(outcome, Approved)
    return Problem(
        type=AlertType.ORPHAN_CHARGE,
        subject=Subject("provider_payment", str(listed.provider_reference)),
        severity="critical" if money else "warning",
        message=f"{why}, and the provider has a payment that we do not know:"
        f" {listed.amount} {listed.currency} (smallest units), {state_of(listed) or 'not begun'}",
        what_to_do=f"Look {listed.provider_reference} up in the provider's dashboard. If a backup"
        " was restored, see `paygate restored`; else refund or cancel it there.",
    )


def _drift(intent: PaymentIntent, answer: Answer, differs: Difference, reason: str) -> Problem:
    said = ", ".join(
        f"{name} {differs.theirs[name]} for {differs.ours[name]}" for name in differs.theirs
    )
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=intent_subject(intent.id),
        stage=differs.kind,
        severity="critical",
        message=f"{reason}: {said}",
        what_to_do=f"Look {answer.provider_reference} up in the provider's dashboard.",
    )
