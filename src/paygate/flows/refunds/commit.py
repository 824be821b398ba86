"""What is committed with a move of a refund: the refund, its intent, the audit entry, the events,
the transfer in the ledger, the correction, the alert. Every flow that moves a refund commits here.
"""

from typing import Final

from paygate.domain import event, ledger
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.event import Event
from paygate.domain.payments.correction import correction_of
from paygate.domain.payments.events import status_of
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.conclusion import Posting, RefundMoved
from paygate.domain.refunds.refund import Refund, RefundStatus
from paygate.flows.alerts.raise_alert import occurrence, to_raise
from paygate.flows.context import Context
from paygate.storage.change import Appended, Change, Committed, Versioned

REFUND_FAILED_AFTER_ALL: Final = "refund_failed_after_all"
"""The reason of the correction that leads an intent back from `refunded`."""


def refund_subject(refund_id: str) -> Subject:
    """A refund, as the audit log names it."""
    return Subject("refund", refund_id)


async def commit_refund(
    ctx: Context,
    caller: Caller,
    action: Action,
    moved: RefundMoved,
    *,
    response: Refund | None = None,
) -> bool:
    """Whether the move is durable, with all that belongs to it; False when the intent or the
    refund has moved on meanwhile. The request ends with what it is answered with, `response`.
    """
    change = change_of_refund(ctx, caller, action, moved, response=response)
    return isinstance(await ctx.door.commit(change), Committed)


def change_of_refund(
    ctx: Context,
    caller: Caller,
    action: Action,
    moved: RefundMoved,
    *,
    response: Refund | None = None,
) -> Change:
    """The commit of what a caller did to a refund."""
    refund = moved.refund
    creates: list[Versioned | Appended] = []
    advances: list[Versioned] = []
    if refund.version == 1:
        creates.append(refund)
    else:
        advances.append(refund)
    changed = moved.intent.version != moved.before.version
    if changed:
        advances.append(moved.intent)
    if moved.corrects:
        creates.append(
            correction_of(
                moved.before,
                moved.intent,
                correction_id=ctx.new_id("correction"),
                reason=REFUND_FAILED_AFTER_ALL,
                proof=refund.provider_reference,
            )
        )
    if moved.posting is not None:
        creates.append(ledger.refund(moved, transfer_id=ctx.new_id("ledger_transfer")))
    creates += _events(ctx, moved, caller.request_id)
    alerts = tuple(occurrence(ctx, refund.merchant, each) for each in _problems(moved))
    return Change(
        ctx.audit(caller, action, refund_subject(refund.id), details=_details(moved)),
        creates=(*creates, *alerts),
        advances=tuple(advances),
        jobs=to_raise(*alerts),
        stands=None if changed else moved.before,
        response=response,
    )


def _events(ctx: Context, moved: RefundMoved, request_id: str) -> list[Event]:
    refund, intent = moved.refund, moved.intent
    news = [
        event.of(
            refund,
            type_,
            event_id=ctx.new_id("event"),
            at=refund.updated_at,
            request_id=request_id,
        )
        for type_ in _news(moved)
    ]
    if intent.status is not moved.before.status:
        of_intent = event.of(
            intent,
            status_of(intent),
            event_id=ctx.new_id("event"),
            at=intent.updated_at,
            request_id=request_id,
            correction=moved.corrects,
        )
        news.append(of_intent)
    return news


def _details(moved: RefundMoved) -> dict[str, str]:
    refund = moved.refund
    return {
        "payment_intent": refund.intent,
        "amount": f"{refund.amount} {refund.currency}",
        "state": refund.state,
    }


def _news(moved: RefundMoved) -> list[str]:
    """The types of the events that a refund's move is worth."""
    refund = moved.refund
    types = ["refund.created"] if refund.version == 1 else []
    ended = moved.posting in {Posting.PAY, Posting.PAY_AT_ONCE, Posting.RELEASE, Posting.RETURN}
    if refund.status is not RefundStatus.PENDING and (ended or refund.version == 1):
        types.append(f"refund.{refund.status}")
    return types


def _problems(moved: RefundMoved) -> list[Problem]:
    """What a person must hear of the move."""
    refund = moved.refund
    problems = []
    if moved.posting in {Posting.RELEASE, Posting.RETURN} and not _decided_here(refund):
        problems.append(_failed(refund, came_back=moved.posting is Posting.RETURN))
    if moved.corrects:
        problems.append(_corrected(moved.before))
    if moved.exceeds:
        problems.append(_exceeding(moved.intent))
    return problems


def _decided_here(refund: Refund) -> bool:
    """Whether it failed by a decision of the merchant's own people, who know."""
    return refund.approval is not None and refund.first_sent_at is None


def _failed(refund: Refund, *, came_back: bool) -> Problem:
    why = "" if refund.failure is None else f": {refund.failure.message}"
    happened = "came back after it had succeeded" if came_back else "was not made"
    return Problem(
        type=AlertType.REFUND_FAILED,
        subject=refund_subject(refund.id),
        severity="critical" if came_back else "warning",
        message=f"a refund of {refund.amount} {refund.currency} (smallest units) {happened}{why}",
        what_to_do="The payer has not had the money: refund again, or pay them another way.",
    )


def _corrected(intent: PaymentIntent) -> Problem:
    return Problem(
        type=AlertType.STATE_CORRECTION,
        subject=Subject("payment_intent", intent.id),
        severity="critical",
        message="a refund failed after all, though the payment had been refunded",
        what_to_do="The payer has not had the money: refund again, or pay them another way.",
    )


def _exceeding(intent: PaymentIntent) -> Problem:
    given, taken = intent.amount_refunded, intent.amount_received
    return Problem(
        type=AlertType.RECONCILIATION_DRIFT,
        subject=Subject("payment_intent", intent.id),
        severity="critical",
        message=f"refunds of {given} {intent.currency} (smallest units) have succeeded at the"
        f" provider, of a payment that took {taken}",
        what_to_do=f"Look {intent.provider_reference} up in the provider's dashboard: one of its"
        " refunds may have failed without our hearing of it.",
    )
