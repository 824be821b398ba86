"""What a provider's answer makes of an intent and the attempt under way. Pure, and the same for
every way that an answer can come: a call's own reply, a provider event, a look-up by the sweep.

A confirm is concluded in `confirmation`, a capture or a cancel in `hold_order`. With nothing
under way the provider may still move a hold: it lapses, or is captured in its dashboard.
"""

from datetime import datetime
from typing import Final

from paygate.domain.payments.attempt import OPEN, Attempt, AttemptState, Operation
from paygate.domain.payments.confirmation import (
    Moved,
    Unmoved,
    capture_fields,
    conclude_confirm,
    in_order,
    mismatch,
)
from paygate.domain.payments.hold_order import cancel_fields, conclude_order, decline_fields
from paygate.domain.payments.outcome import Answer, Approved, Cancelled, Declined
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger

CORRECTABLE: Final = frozenset({Status.FAILED, Status.CANCELLED})
"""Ends without money, which money may prove wrong."""


def conclude(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool = False
) -> Moved | Unmoved:
    """Apply `answer` to an intent and its latest attempt.

    `fetched` says that the answer was asked for after the newest applied fact was known, so
    that one of the same second is not in doubt.
    """
    elsewhere = _is_another_payment(intent, answer)
    if attempt.state in OPEN and not elsewhere:
        if mismatch(intent, answer):
            return Unmoved.MISMATCH
        concluded = conclude_confirm if attempt.operation is Operation.CONFIRM else conclude_order
        return concluded(intent, attempt, answer, at, fetched=fetched)
    money = isinstance(answer.outcome, Approved)
    if money and intent.status in CORRECTABLE:
        return Unmoved.MISMATCH if mismatch(intent, answer) else Unmoved.MONEY_AFTER_THE_END
    if money and elsewhere:
        return Unmoved.MONEY_ELSEWHERE
    unsent = attempt.state is AttemptState.NOT_SENT and intent.provider_reference is None
    if unsent and answer.provider_reference is not None:
        return _sent_after_all(intent, attempt, answer, at, fetched=fetched)
    if (
        intent.status is Status.REQUIRES_CAPTURE
        and answer.provider_reference == intent.provider_reference
    ):
        return _by_itself(intent, answer, at, fetched=fetched)
    return Unmoved.CONCLUDED


def _is_another_payment(intent: PaymentIntent, answer: Answer) -> bool:
    """Whether the answer speaks of another payment at the provider than the one that counts."""
    known = intent.provider_reference
    return None not in {known, answer.provider_reference} and answer.provider_reference != known


def _sent_after_all(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Unmoved:
    """A payment of a try that was certainly not sent, we thought: the provider knows better. It is
    the intent's unless another try's is, or will be.
    """
    if intent.attempt != attempt.id or intent.status is not Status.PROCESSING:
        money = isinstance(answer.outcome, Approved)
        return Unmoved.MONEY_ELSEWHERE if money else Unmoved.CONCLUDED
    if mismatch(intent, answer):
        return Unmoved.MISMATCH
    return conclude_confirm(intent, attempt, answer, at, fetched=fetched)


def _by_itself(
    intent: PaymentIntent, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Unmoved:
    """A hold that the provider moved without our asking."""
    if mismatch(intent, answer):
        return Unmoved.MISMATCH
    match answer.outcome:
        case Approved(captured=True) as outcome:
            trigger, changes = Trigger.CAPTURE, capture_fields(intent, outcome)
        case Cancelled() as outcome:
            trigger, changes = Trigger.CANCEL, cancel_fields(outcome.reason)
        case Declined() as outcome:
            trigger, changes = Trigger.FAIL, decline_fields(outcome)
        case _:
            return Unmoved.CONCLUDED
    return in_order(intent, None, answer, at, trigger, changes, fetched=fetched)
