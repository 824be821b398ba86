"""What a provider's answer makes of an intent and its attempt. Pure, and the same for every way
that an answer can come: the call's own reply, a provider event, a look-up by the sweep.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, assert_never

import msgspec

from paygate.domain.attempt import MOVES, OPEN, Attempt, AttemptState, move, state_of
from paygate.domain.outcome import (
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
from paygate.domain.payment_intent import TRANSITIONS, PaymentIntent, Trigger, advance

CONFIRMING: Final = "confirm"
"""`pending_operation` while a confirm is under way at the provider, or its outcome unknown."""


class Stay(StrEnum):
    """Why an answer moves nothing."""

    SETTLED = "settled"
    """The attempt is closed: the truth came another way, and first."""
    NOTHING_NEW = "nothing_new"
    STALE = "stale"
    """It is older than what was applied already."""
    TIE = "tie"
    """It is of the same second as what was applied, and differs: fetch, then apply that."""
    MISMATCH = "mismatch"
    """It speaks of another amount or currency: a person must look."""


class Moved(msgspec.Struct, frozen=True):
    """Both records one version on."""

    intent: PaymentIntent
    attempt: Attempt


def conclude(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool = False
) -> Moved | Stay:
    """Apply `answer` to an intent and its attempt.

    `fetched` says that the answer was asked for after the newest applied fact was known, so
    that one of the same second is not in doubt.
    """
    if attempt.state not in OPEN:
        return Stay.SETTLED
    if _mismatch(intent, answer):
        return Stay.MISMATCH
    state = state_of(answer.outcome)
    if attempt.state is not AttemptState.STARTED and _speaks_of_its_call_alone(answer.outcome):
        return Stay.NOTHING_NEW
    trigger, changes = _effect(answer.outcome)
    if isinstance(answer.outcome, Approved):
        changes = _keep_known(intent, changes)
    if (intent.status, trigger) not in TRANSITIONS or state not in MOVES[attempt.state]:
        return Stay.STALE
    after = {
        **changes,
        "provider_reference": answer.provider_reference or intent.provider_reference,
    }
    if state is attempt.state and all(getattr(intent, k) == v for k, v in after.items()):
        return Stay.NOTHING_NEW
    if answer.as_of is not None and intent.provider_as_of is not None:
        if answer.as_of < intent.provider_as_of:
            return Stay.STALE
        if answer.as_of == intent.provider_as_of and not fetched:
            return Stay.TIE
    after["provider_as_of"] = answer.as_of or intent.provider_as_of
    return Moved(
        advance(intent, trigger, at, **after),
        move(
            attempt,
            state,
            at,
            provider_reference=answer.provider_reference,
            detail=_detail(answer.outcome),
        ),
    )


def _speaks_of_its_call_alone(outcome: Outcome) -> bool:
    """Whether an outcome tells nothing of an earlier call under the same attempt.

    Not knowing never replaces knowing; and a provider refuses for its rate limit, for our key or
    for a key in use before it looks at what the idempotency key has already done.
    """
    match outcome:
        case Unknown() | NotSent() | Rejected(reason="provider_configuration"):
            return True
        case _:
            return False


def _keep_known(intent: PaymentIntent, changes: dict[str, Any]) -> dict[str, Any]:
    """An event tells less than an answer: what it leaves out stays as it was known."""
    for name in ("payment_method", "authorization_expires_at"):
        if changes.get(name) is None and name in changes:
            changes[name] = getattr(intent, name)
    return changes


def _mismatch(intent: PaymentIntent, answer: Answer) -> bool:
    if answer.amount is not None and answer.amount != intent.amount:
        return True
    if isinstance(answer.outcome, Approved) and answer.outcome.amount_received > intent.amount:
        return True
    return answer.currency is not None and answer.currency != intent.currency


def _effect(outcome: Outcome) -> tuple[Trigger, dict[str, Any]]:
    """The trigger that an outcome pulls, and the fields that it sets."""
    quiet: dict[str, Any] = {"pending_operation": None, "next_action": None}
    working: dict[str, Any] = {"pending_operation": CONFIRMING, "next_action": None}
    match outcome:
        case Approved(captured=True):
            return Trigger.CAPTURE, {
                **quiet,
                "amount_received": outcome.amount_received,
                "amount_capturable": 0,
                "payment_method": outcome.payment_method,
            }
        case Approved():
            return Trigger.AUTHORIZE, {
                **quiet,
                "amount_capturable": outcome.amount_capturable,
                "authorization_expires_at": outcome.authorization_expires_at,
                "payment_method": outcome.payment_method,
            }
        case ActionRequired(next_action=None):
            return Trigger.WORK_ON, working
        case ActionRequired():
            return Trigger.REQUIRE_ACTION, {**quiet, "next_action": outcome.next_action}
        case Declined():
            return Trigger.FAIL, {**quiet, "last_payment_error": outcome.error}
        case Rejected():
            error = PaymentError(code=outcome.reason, message=outcome.message)
            return Trigger.FAIL, {**quiet, "last_payment_error": error}
        case Cancelled():
            return Trigger.CANCEL, {**quiet, "cancellation_reason": outcome.reason}
        case Pending() | Unknown() | NotSent():
            return Trigger.WORK_ON, working
        case _:
            assert_never(outcome)


def _detail(outcome: Outcome) -> str | None:
    """What to keep of an outcome that the intent does not show."""
    match outcome:
        case Unknown() | NotSent() | Rejected():
            return outcome.message
        case _:
            return None
