"""A capture or a cancel of a hold: an order that stands until the provider has said what became
of it. It may be sent again, so nobody need be there.
"""

from datetime import datetime
from typing import Any, assert_never

from paygate.domain.payments.attempt import Attempt, AttemptState, Operation, move
from paygate.domain.payments.confirmation import (
    DONE,
    Moved,
    Unmoved,
    capture_fields,
    detail,
    in_order,
    speaks_of_its_call_alone,
)
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Declined,
    NotSent,
    Outcome,
    PaymentError,
    Pending,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Trigger


def cancel_fields(reason: str | None) -> dict[str, Any]:
    """What the end of a hold sets."""
    return {**DONE, "amount_capturable": 0, "cancellation_reason": reason}


def decline_fields(outcome: Declined) -> dict[str, Any]:
    """What a hold sets that is gone because its money was refused after all."""
    return {**DONE, "amount_capturable": 0, "last_payment_error": outcome.error}


def conclude_order(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Unmoved:
    """Apply `answer` to a held intent and the open capture or cancel."""
    if attempt.state is not AttemptState.STARTED and speaks_of_its_call_alone(answer.outcome):
        return Unmoved.NOTHING_NEW
    effect = _effect(intent, attempt, answer.outcome)
    if effect is None:
        return Unmoved.NOTHING_NEW
    state, trigger, changes = effect
    after = move(
        attempt,
        state,
        at,
        provider_reference=answer.provider_reference,
        detail=detail(answer.outcome),
    )
    return in_order(intent, after, answer, at, trigger, changes, fetched=fetched)


def _effect(
    intent: PaymentIntent, attempt: Attempt, outcome: Outcome
) -> tuple[AttemptState, Trigger, dict[str, Any]] | None:
    """The attempt's new state, the intent's trigger and fields; None when it tells nothing."""
    captures = attempt.operation is Operation.CAPTURE
    waiting = {"pending_operation": attempt.operation.value}
    match outcome:
        case Approved(captured=True):
            state = AttemptState.APPROVED if captures else AttemptState.REJECTED
            return state, Trigger.CAPTURE, capture_fields(intent, outcome)
        case Cancelled():
            state = AttemptState.CANCELLED if captures else AttemptState.APPROVED
            reason = outcome.reason if captures else attempt.reason
            return state, Trigger.CANCEL, cancel_fields(reason)
        case Declined():
            return AttemptState.DECLINED, Trigger.FAIL, decline_fields(outcome)
        case Rejected():
            error = PaymentError(code=outcome.reason, message=outcome.message)
            return AttemptState.REJECTED, Trigger.PROCEED, {**DONE, "last_payment_error": error}
        case NotSent():
            return AttemptState.NOT_SENT, Trigger.PROCEED, DONE
        case Unknown():
            return AttemptState.UNKNOWN, Trigger.PROCEED, waiting
        case Approved() | ActionRequired() | Pending():
            return None  # as it was before the order
        case _:
            assert_never(outcome)
