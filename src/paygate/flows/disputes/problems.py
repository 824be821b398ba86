"""What people are told of disputes: the words of their alerts."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from paygate.domain.alert import AlertType, Problem, Severity
from paygate.domain.audit import Subject
from paygate.domain.disputes.conclusion import DisputeMoved
from paygate.domain.disputes.dispute import Dispute, DisputeOperation
from paygate.domain.disputes.outcome import Disputed, DisputeKind, DisputeStatus, FraudWarning
from paygate.domain.money import major_units
from paygate.domain.payments.payment_intent import PaymentIntent

ENDED: Final = "ended"
"""Stage of a dispute that had come to its end when we first heard of it."""
ANSWERED_ELSEWHERE: Final = "answered_elsewhere"
PAID_TWICE: Final = "paid_twice"
LATE: Final = "late"
"""Stage of evidence that was submitted, and may not have been delivered."""
MONEY_MISSING: Final = "money_missing"
BACKWARDS: Final = "backwards"
UNFAMILIAR: Final = "unfamiliar"


class Deadline(StrEnum):
    """How near the deadline for evidence is; the stages of its alert."""

    TWO_DAYS = "48h"
    HALF_A_DAY = "12h"
    MISSED = "missed"


WITHIN: Final = timedelta(hours=48)
"""Before that nobody is told of a deadline."""
_CLOSE: Final = timedelta(hours=12)


def dispute_subject(dispute: Dispute) -> Subject:
    """A dispute, as the audit log names it."""
    return Subject("dispute", dispute.id)


def deadline_of(dispute: Dispute, now: datetime) -> Deadline | None:
    """How near the deadline is; None while it is far, when there is none, and once evidence was
    submitted. Instants are compared, so that no clock of any place matters.
    """
    due = dispute.answer_due_at
    if due is None or due - now > WITHIN:
        return None
    if due <= now:
        return Deadline.MISSED
    return Deadline.HALF_A_DAY if due - now <= _CLOSE else Deadline.TWO_DAYS


def deadline_problem(dispute: Dispute, deadline: Deadline) -> Problem:
    """Evidence is waited for; the words say whether any is staged here."""
    staged = (
        f"evidence is staged here ({len(dispute.texts)} texts, {len(dispute.files)} files)"
        if dispute.staged_at is not None
        else "no evidence is staged here"
    )
    if dispute.pending_operation is DisputeOperation.SUBMIT:
        staged = "its submission is under way, and not confirmed"
    due = f"{dispute.evidence_due_by:%Y-%m-%d %H:%M:%S} UTC"
    if deadline is Deadline.MISSED:
        message = f"the deadline of {_named(dispute)} passed at {due} with nothing submitted"
        what_to_do = "The bank decides without your side: it is most likely lost."
    else:
        message = f"{_named(dispute)} must be answered by {due}"
        what_to_do = (
            "Submit the evidence, or accept the dispute. Where the payer says that they have"
            " withdrawn it, evidence is still due: only the bank's word ends a dispute."
        )
    return Problem(
        type=AlertType.DISPUTE_DEADLINE,
        subject=dispute_subject(dispute),
        severity="warning" if deadline is Deadline.TWO_DAYS else "critical",
        message=f"{message}; {staged}",
        what_to_do=what_to_do,
        stage=deadline,
        due_at=dispute.evidence_due_by,
    )


def problems_of(moved: DisputeMoved, now: datetime) -> list[Problem]:
    """What a person must hear of a move."""
    dispute, was = moved.dispute, moved.was
    found = []
    if was is None or moved.escalates:
        found.append(_opened(moved))
    deadline = deadline_of(dispute, now)
    moved_deadline = was is None or was.answer_due_at != dispute.answer_due_at
    if deadline is not None and moved_deadline:
        found.append(deadline_problem(dispute, deadline))
    if was is not None and _answered_elsewhere(was, dispute):
        found.append(_elsewhere(dispute))
    newly_late = dispute.past_due and not (was is not None and was.past_due)
    if newly_late and dispute.submission_count:
        found.append(_late(dispute))
    if _lost_twice(moved.intent) > max(0, _lost_twice(moved.before)):
        found.append(_paid_twice(moved))
    word = dispute.unfamiliar_status
    if word is not None and (was is None or was.unfamiliar_status != word):
        found.append(_unfamiliar(dispute))
    return found


def money_missing(dispute: Dispute) -> Problem:
    """It was won, and the provider shows no row that gives the money back."""
    return _drift(
        dispute,
        MONEY_MISSING,
        f"{_named(dispute)} was won, and the provider has not given the money back",
        "Nothing is credited without the provider's own row. Ask the provider where the money is.",
    )


def backwards(dispute: Dispute, said: Disputed) -> Problem:
    """The provider says what cannot be."""
    return _drift(
        dispute,
        BACKWARDS,
        f"the provider says {said.status} of {_named(dispute)}, which is {dispute.status} here and"
        " stays so",
        "Look the dispute up in the provider's dashboard.",
    )


def fraud_warned(
    intent: PaymentIntent, warning: FraudWarning, dispute_fee: tuple[int, str] | None
) -> Problem:
    """A bank takes a payment for fraud, and a refund may spare the dispute; with what the last
    dispute's fee was, smallest units and currency, where there was one.
    """
    left = major_units(intent.amount_refundable, intent.currency)
    fee = ""
    if dispute_fee is not None:
        cost, currency = dispute_fee
        fee = f" The last dispute cost a fee of {cost} {currency} (smallest units)."
        if currency == intent.currency and cost >= intent.amount_refundable:
            fee += " The refund is the cheaper of the two, even if the dispute were won."
    return Problem(
        type=AlertType.EARLY_FRAUD_WARNING,
        subject=Subject("payment_intent", intent.id),
        severity="warning",
        message=f"the card's bank takes the payment for fraud ({warning.fraud_type}); {left} of it"
        f" can still be refunded, before it is disputed.{fee}",
        what_to_do="Look whether the order was sent. A refund of all that is left mostly spares the"
        " dispute and its fee; after a dispute has begun it spares nothing.",
    )


def _opened(moved: DisputeMoved) -> Problem:
    dispute = moved.dispute
    about = f"{_named(dispute)}: {dispute.reason}"
    if dispute.network_reason_code is not None:
        about += f" ({dispute.network_reason_code})"
    stage = None
    if not dispute.is_open:
        stage = ENDED
        said, what_to_do = f"ended as {dispute.status}", "No response is possible any more."
    elif dispute.kind is DisputeKind.INQUIRY:
        said = "no money has moved"
        what_to_do = (
            "Answer the bank with evidence, or refund all that is left of the payment: that closes"
            " the inquiry; a refund of a part does not."
        )
    else:
        said = "it was an inquiry" if moved.escalates else "it is a chargeback"
        if dispute.blocks_refunds:
            said += ", and the payment cannot be refunded meanwhile"
        what_to_do = "Submit evidence before the deadline, or accept the dispute."
    due = dispute.answer_due_at
    deadline = "" if due is None else f"; evidence is due by {due:%Y-%m-%d %H:%M:%S} UTC"
    return Problem(
        type=AlertType.DISPUTE_OPENED,
        subject=dispute_subject(dispute),
        severity=_severity(dispute),
        message=f"{about}; {said}{deadline}",
        what_to_do=what_to_do,
        stage=stage,
        due_at=due,
    )


def _severity(dispute: Dispute) -> Severity:
    """Money that is gone, or may go, is critical."""
    if dispute.is_open:
        return "warning" if dispute.kind is DisputeKind.INQUIRY else "critical"
    return "critical" if dispute.status is DisputeStatus.LOST else "info"


def _answered_elsewhere(was: Dispute, dispute: Dispute) -> bool:
    more = dispute.submission_count > was.submission_count
    ours = was.pending_operation is DisputeOperation.SUBMIT or was.submitted_at is not None
    return more and not ours and was.staged_at is not None


def _elsewhere(dispute: Dispute) -> Problem:
    return Problem(
        type=AlertType.DISPUTE_OPENED,
        subject=dispute_subject(dispute),
        severity="warning",
        message=f"{_named(dispute)} was answered, and not from here: evidence that is staged here"
        " was not sent",
        what_to_do="Somebody used the provider's dashboard, or the provider answered by itself. A"
        " dispute is mostly answered once: see there what was sent.",
        stage=ANSWERED_ELSEWHERE,
    )


def _late(dispute: Dispute) -> Problem:
    return Problem(
        type=AlertType.DISPUTE_DEADLINE,
        subject=dispute_subject(dispute),
        severity="critical",
        message=f"evidence for {_named(dispute)} came late, and may not have been delivered",
        what_to_do="Ask the provider whether the bank has it.",
        stage=LATE,
        due_at=dispute.evidence_due_by,
    )


def _lost_twice(intent: PaymentIntent) -> int:
    """How much more is gone, by refunds and disputes, than the payment took."""
    return intent.amount_refunded + intent.amount_disputed - intent.amount_received


def _paid_twice(moved: DisputeMoved) -> Problem:
    intent = moved.intent
    more = major_units(_lost_twice(intent), intent.currency)
    return Problem(
        type=AlertType.DISPUTE_OPENED,
        subject=dispute_subject(moved.dispute),
        severity="critical",
        message=f"refunds and disputes together took {more} more than the payment was of",
        what_to_do="Answer the dispute with the refund as evidence (credit_not_processed).",
        stage=PAID_TWICE,
    )


def _unfamiliar(dispute: Dispute) -> Problem:
    return _drift(
        dispute,
        UNFAMILIAR,
        f"the provider says of {_named(dispute)} a word that means nothing here:"
        f" {dispute.unfamiliar_status}; it stays {dispute.status}",
        "Look the dispute up in the provider's dashboard, and whether there is a newer version.",
    )


def _drift(dispute: Dispute, stage: str, message: str, what_to_do: str) -> Problem:
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=dispute_subject(dispute),
        severity="critical",
        message=message,
        what_to_do=what_to_do,
        stage=stage,
    )


def _named(dispute: Dispute) -> str:
    kind = "an inquiry" if dispute.kind is DisputeKind.INQUIRY else "a dispute"
    if dispute.status is DisputeStatus.PREVENTED:
        kind = "a prevented dispute"
    return f"{kind} of {major_units(dispute.amount, dispute.currency)}"
