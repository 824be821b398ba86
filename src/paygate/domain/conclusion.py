"""What a provider's answer makes of an intent and the attempt under way. Pure, and the same for
every way that an answer can come: a call's own reply, a provider event, a look-up by the sweep.

A confirm is concluded in `confirmation`, a capture or a cancel in `standing_order`. With nothing
under way the provider may still move a hold: it lapses, or is captured in its dashboard.
"""

from datetime import datetime
from typing import Final

import msgspec

from paygate.domain.attempt import OPEN, Attempt, AttemptState, Operation
from paygate.domain.confirmation import Moved, Stay, captured, confirmed, in_order, mismatch
from paygate.domain.outcome import Answer, Approved, Cancelled, Declined
from paygate.domain.payment_intent import FINAL, PaymentIntent, Status, Trigger
from paygate.domain.standing_order import closed, declined, ordered

CORRECTABLE: Final = frozenset({Status.FAILED, Status.CANCELLED})
"""Ends without money, which money may prove wrong."""


def conclude(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool = False
) -> Moved | Stay:
    """Apply `answer` to an intent and its latest attempt.

    `fetched` says that the answer was asked for after the newest applied fact was known, so
    that one of the same second is not in doubt.
    """
    if attempt.state in OPEN:
        if mismatch(intent, answer):
            return Stay.MISMATCH
        order = confirmed if attempt.operation is Operation.CONFIRM else ordered
        return order(intent, attempt, answer, at, fetched=fetched)
    news = answer.provider_reference != intent.provider_reference
    if attempt.state is AttemptState.NOT_SENT and isinstance(answer.outcome, Approved) and news:
        return _sent_after_all(intent, attempt, answer, at, fetched=fetched)
    if intent.status is Status.REQUIRES_CAPTURE:
        return _by_itself(intent, answer, at, fetched=fetched)
    return _after_the_end(intent, answer) if intent.status in FINAL else Stay.SETTLED


def _sent_after_all(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Stay:
    """Money of a try that was certainly not sent, we thought: the provider knows better. It pays
    for the intent unless another try does, or will.
    """
    if intent.status in CORRECTABLE:
        return _after_the_end(intent, answer)
    if intent.attempt != attempt.id or intent.status is not Status.PROCESSING:
        return Stay.MONEY_ELSEWHERE
    if mismatch(intent, answer):
        return Stay.MISMATCH
    in_doubt = msgspec.structs.replace(attempt, state=AttemptState.UNKNOWN)
    moved = confirmed(intent, in_doubt, answer, at, fetched=fetched)
    # The attempt is closed, and stays as it is.
    return Moved(moved.intent, None) if isinstance(moved, Moved) else moved


def _by_itself(
    intent: PaymentIntent, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Stay:
    """A hold that the provider moved without our asking."""
    if answer.provider_reference != intent.provider_reference:
        return Stay.SETTLED  # what is left of an earlier try
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


def _after_the_end(intent: PaymentIntent, answer: Answer) -> Stay:
    """Money that is there under an intent that ended without."""
    if intent.status not in CORRECTABLE or not isinstance(answer.outcome, Approved):
        return Stay.SETTLED
    return Stay.MISMATCH if mismatch(intent, answer) else Stay.MONEY_AFTER_THE_END
