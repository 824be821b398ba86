"""What a provider's answer makes of an intent and the attempt under way. Pure, and the same for
every way that an answer can come: a call's own reply, a provider event, a look-up by the sweep.

A confirm is concluded in `confirmation`, a capture or a cancel in `standing_order`. With nothing
under way the provider may still move a hold: it lapses, or is captured in its dashboard.
"""

from datetime import datetime
from typing import Final

from paygate.domain.payments.attempt import OPEN, Attempt, AttemptState, Operation
from paygate.domain.payments.confirmation import (
    Moved,
    Stay,
    captured,
    confirmed,
    in_order,
    mismatch,
)
from paygate.domain.payments.outcome import Answer, Approved, Cancelled, Declined
from paygate.domain.payments.payment_intent import PaymentIntent, Status, Trigger
from paygate.domain.payments.standing_order import closed, declined, ordered

CORRECTABLE: Final = frozenset({Status.FAILED, Status.CANCELLED})
"""Ends without money, which money may prove wrong."""


def conclude(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool = False
) -> Moved | Stay:
    """Apply `answer` to an intent and its latest attempt.

    `fetched` says that the answer was asked for after the newest applied fact was known, so
    that one of the same second is not in doubt.
    """
    elsewhere = _is_another_payment(intent, answer)
    if attempt.state in OPEN and not elsewhere:
        if mismatch(intent, answer):
            return Stay.MISMATCH
        order = confirmed if attempt.operation is Operation.CONFIRM else ordered
        return order(intent, attempt, answer, at, fetched=fetched)
    money = isinstance(answer.outcome, Approved)
    if money and intent.status in CORRECTABLE:
        return Stay.MISMATCH if mismatch(intent, answer) else Stay.MONEY_AFTER_THE_END
    if money and elsewhere:
        return Stay.MONEY_ELSEWHERE
    unsent = attempt.state is AttemptState.NOT_SENT and intent.provider_reference is None
    if unsent and answer.provider_reference is not None:
        return _sent_after_all(intent, attempt, answer, at, fetched=fetched)
    if (
        intent.status is Status.REQUIRES_CAPTURE
        and answer.provider_reference == intent.provider_reference
    ):
        return _by_itself(intent, answer, at, fetched=fetched)
    return Stay.SETTLED


def _is_another_payment(intent: PaymentIntent, answer: Answer) -> bool:
    """Whether the answer speaks of another payment at the provider than the one that counts."""
    known = intent.provider_reference
    return None not in {known, answer.provider_reference} and answer.provider_reference != known


def _sent_after_all(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Stay:
    """A payment of a try that was certainly not sent, we thought: the provider knows better. It is
    the intent's unless another try's is, or will be.
    """
    if intent.attempt != attempt.id or intent.status is not Status.PROCESSING:
        money = isinstance(answer.outcome, Approved)
        return Stay.MONEY_ELSEWHERE if money else Stay.SETTLED
    if mismatch(intent, answer):
        return Stay.MISMATCH
    return confirmed(intent, attempt, answer, at, fetched=fetched)


def _by_itself(
    intent: PaymentIntent, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Stay:
    """A hold that the provider moved without our asking."""
    if mismatch(intent, answer):
        return Stay.MISMATCH
    match answer.outcome:
        case Approved(captured=True) as outcome:
            trigger, changes = Trigger.CAPTURE, captured(intent, outcome)
        case Cancelled() as outcome:
            trigger, changes = Trigger.CANCEL, closed(outcome.reason)
        case Declined() as outcome:
            trigger, changes = Trigger.FAIL, declined(outcome)
        case _:
            return Stay.SETTLED
    return in_order(intent, None, answer, at, trigger, changes, fetched=fetched)
