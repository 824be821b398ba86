"""What a refund does to its payment intent, from its reservation to its end. Pure, and the same for
every way that the provider's answer can come: a call's own reply, an event, a look-up.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

import msgspec

from paygate.domain.payments.confirmation import AHEAD
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.domain.payments.payment_intent import (
    PaymentIntent,
    Status,
    Trigger,
    advance,
    correct,
)
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundOutcome,
    RefundPending,
    RefundRejected,
)
from paygate.domain.refunds.refund import (
    IN_DOUBT,
    MOVES,
    RESERVED,
    Refund,
    RefundFailure,
    RefundState,
    move,
)

OPERATION: Final = "refund"
"""The intent's `pending_operation` while the provider's answer to a refund is still to come."""
CONFIGURATION: Final = "provider_configuration"
"""The code of a rejection that speaks of our key at the provider, and of no refund."""
PAID: Final = frozenset({Status.SUCCEEDED, Status.REFUNDED})
"""Statuses of an intent whose money can be on its way back."""


class Posting(StrEnum):
    """What a refund's move does to the ledger."""

    RESERVE = "refund_reserve"
    """Promised to the payer, still at the provider."""
    PAY = "refund_pay"
    """What was reserved has left."""
    RELEASE = "refund_release"
    """What was reserved stays."""
    PAY_AT_ONCE = "refund_pay_at_once"
    """Left without a reservation: it was made at the provider, or had been given up here."""
    RETURN = "refund_return"
    """What had left came back."""


class RefundUnmoved(StrEnum):
    """Why an answer moves nothing."""

    NOTHING_NEW = "nothing_new"
    STALE = "stale"
    """It is older than what was applied already, or does not follow from it."""
    TIE = "tie"
    """It is of the same second as what was applied, or of no time, and differs: fetch, then apply
    that."""
    MISMATCH = "mismatch"
    """It speaks of another amount or currency, or of more than was taken: a person must look."""
    PAYMENT_FIRST = "payment_first"
    """The intent does not know of its own money yet: the payment is looked up first."""


class RefundMoved(msgspec.Struct, frozen=True):
    """The intent `before` and after, and the refund, each one version on; an intent that the move
    leaves alone is the one before.
    """

    before: PaymentIntent
    intent: PaymentIntent
    refund: Refund
    posting: Posting | None = None
    corrects: bool = False
    """A refund that failed after all leads the intent back from its end."""

    @property
    def exceeds(self) -> bool:
        """Whether the provider has, by this move, given back more than was taken."""
        taken = self.intent.amount_received
        return self.intent.amount_refunded > max(taken, self.before.amount_refunded)


def reserve(intent: PaymentIntent, refund: Refund) -> RefundMoved:
    """A new refund, and its amount reserved on the intent.

    Raises:
        IllegalTransition: the intent has not succeeded, or all of it is refunded.
    """
    assert refund.version == 1, "a refund is reserved once"
    return _with(intent, None, refund, refund.created_at)


def start(intent: PaymentIntent, refund: Refund, after: Refund) -> RefundMoved:
    """A refund that was approved, or is sent once more: nothing moves but who waits for whom."""
    return _with(intent, refund, after, after.updated_at)


def adopt(intent: PaymentIntent, refund: Refund) -> RefundMoved | RefundUnmoved:
    """A refund that was made at the provider, as its first version here."""
    if intent.status not in PAID:
        return RefundUnmoved.PAYMENT_FIRST
    if refund.amount > intent.amount_received:
        return RefundUnmoved.MISMATCH
    return _with(intent, None, refund, refund.updated_at)


def conclude_refund(
    intent: PaymentIntent,
    refund: Refund,
    answer: RefundAnswer,
    at: datetime,
    *,
    fetched: bool = False,
) -> RefundMoved | RefundUnmoved:
    """Apply `answer` to a refund and its intent.

    `fetched` says that the answer was asked for after the newest applied fact was known, so
    that one of the same second is not in doubt.
    """
    if _mismatch(refund, answer):
        return RefundUnmoved.MISMATCH
    if intent.status not in PAID:
        return RefundUnmoved.PAYMENT_FIRST
    begun = refund.state is not RefundState.STARTED
    if begun and _speaks_of_its_call_alone(answer.outcome):
        return RefundUnmoved.NOTHING_NEW
    state, changes = _effect(answer.outcome)
    changes["provider_reference"] = answer.provider_reference or refund.provider_reference
    changes["tracking_reference"] = answer.tracking_reference or refund.tracking_reference
    known = {name: getattr(refund, name) for name in changes}
    if state is refund.state and known == changes:
        return RefundUnmoved.NOTHING_NEW
    if state not in MOVES[refund.state]:
        return RefundUnmoved.STALE
    if unordered := _unordered(refund, answer, at, fetched=fetched):
        return unordered
    as_of = answer.as_of or refund.provider_as_of
    after = move(refund, state, at, provider_as_of=as_of, **changes)
    return _with(intent, refund, after, after.updated_at)


def state_of(outcome: RefundOutcome) -> RefundState:
    """The state that an outcome means."""
    return _effect(outcome)[0]


def _mismatch(refund: Refund, answer: RefundAnswer) -> bool:
    if answer.amount is not None and answer.amount != refund.amount:
        return True
    return answer.currency is not None and answer.currency != refund.currency


def _speaks_of_its_call_alone(outcome: RefundOutcome) -> bool:
    """Whether an outcome tells nothing of an earlier call of the same refund."""
    match outcome:
        case Unknown() | NotSent():
            return True
        case RefundRejected(code=code):
            return code == CONFIGURATION
        case _:
            return False


def _effect(outcome: RefundOutcome) -> tuple[RefundState, dict[str, Any]]:
    """The refund's state, and the fields that come with it."""
    match outcome:
        case Refunded():
            return RefundState.SUCCEEDED, {"failure": None, "message": None}
        case RefundPending(message=message):
            return RefundState.PENDING, {"failure": None, "message": message}
        case RefundFailed(code=code, message=message) | RefundRejected(code=code, message=message):
            failure = RefundFailure(code, message)
            return RefundState.FAILED, {"failure": failure, "message": None}
        case NotSent(message=message):
            return RefundState.NOT_SENT, {"message": message}
        case Unknown(message=message):
            return RefundState.UNKNOWN, {"message": message}
        case _:
            assert_never(outcome)


def _unordered(
    refund: Refund, answer: RefundAnswer, at: datetime, *, fetched: bool
) -> RefundUnmoved | None:
    """Why the answer's time does not let it move the refund; None when it does."""
    if refund.provider_as_of is None:
        return None
    if answer.as_of is None:
        # What the provider has told is not moved by what may be older, or by what was not found.
        told = refund.state not in IN_DOUBT
        return RefundUnmoved.TIE if told and not fetched else None
    # A time from the future orders nothing, though it was written down.
    believed = refund.provider_as_of <= at + AHEAD
    if believed and answer.as_of < refund.provider_as_of:
        return RefundUnmoved.STALE
    if not fetched and (not believed or answer.as_of == refund.provider_as_of):
        return RefundUnmoved.TIE
    return None


def _with(intent: PaymentIntent, before: Refund | None, after: Refund, at: datetime) -> RefundMoved:
    """The refund, and the intent as the refund's move leaves it."""
    was, now = None if before is None else before.state, after.state
    pending = _count(now, RESERVED) - _count(was, RESERVED)
    refunded = (now is RefundState.SUCCEEDED) - (was is RefundState.SUCCEEDED)
    alone = _is_alone(after) - (before is not None and _is_alone(before))
    doubt = intent.refunds_in_doubt + _count(now, IN_DOUBT) - _count(was, IN_DOUBT)
    posting = _posting(was, now)
    if posting is None and doubt == intent.refunds_in_doubt and before is not None:
        return RefundMoved(intent, intent, after)
    changes: dict[str, Any] = {
        "amount_refund_pending": intent.amount_refund_pending + pending * after.amount,
        "amount_refunded": intent.amount_refunded + refunded * after.amount,
        "amount_refunded_alone": intent.amount_refunded_alone + alone * after.amount,
        "refunds": intent.refunds + (before is None),
        "refunds_in_doubt": doubt,
        "pending_operation": OPERATION if doubt else None,
        "money_seq": intent.money_seq + (posting is not None),
    }
    whole = changes["amount_refunded"] >= intent.amount_received > 0
    if intent.status is Status.REFUNDED and not whole:
        back = correct(intent, Status.SUCCEEDED, at, **changes)
        return RefundMoved(intent, back, after, posting, corrects=True)
    ends = whole and intent.status is Status.SUCCEEDED
    trigger = Trigger.REFUND_ALL if ends else Trigger.REFUND
    return RefundMoved(intent, advance(intent, trigger, at, **changes), after, posting)


def _is_alone(refund: Refund) -> bool:
    """Whether a refund counts against the limits: one person's word, and not failed."""
    by_one = refund.approval is None and not refund.external
    return by_one and refund.state is not RefundState.FAILED


def _count(state: RefundState | None, states: frozenset[RefundState]) -> int:
    return int(state in states)


def _posting(was: RefundState | None, now: RefundState) -> Posting | None:
    """What the ledger says of a move from one state to the other."""
    reserved = was in RESERVED
    match now:
        case RefundState.SUCCEEDED if was is RefundState.SUCCEEDED:
            return None
        case RefundState.SUCCEEDED:
            return Posting.PAY if reserved else Posting.PAY_AT_ONCE
        case RefundState.FAILED if was is RefundState.SUCCEEDED:
            return Posting.RETURN
        case RefundState.FAILED:
            return Posting.RELEASE if reserved else None
        case _:
            return None if reserved else Posting.RESERVE
