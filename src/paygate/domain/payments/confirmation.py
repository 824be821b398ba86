"""What a provider's answer makes of an intent whose confirm is under way."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, assert_never

import msgspec

from paygate.domain.payments.attempt import (
    MOVES,
    Attempt,
    AttemptState,
    Operation,
    forgotten,
    move,
    state_of,
)
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Declined,
    NextAction,
    NotSent,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Rejected,
    TransferInstructions,
    Unknown,
)
from paygate.domain.payments.payment_intent import TRANSITIONS, PaymentIntent, Trigger, advance
from paygate.domain.payments.payment_method import PushTransfer

HOLD_LASTS: Final = timedelta(days=7)
"""When the provider names no end of a hold: the card networks' usual time for a payer's own."""
AHEAD: Final = timedelta(minutes=1)
"""How far a time of the provider's may be ahead of our clock and still order facts."""
DONE: Final[dict[str, Any]] = {"pending_operation": None, "next_action": None}
"""What the end of an operation sets."""
_ABANDONED: Final = PaymentError(
    "authentication_abandoned", "The payer did not finish the authentication in time."
)
_NEVER_BEGUN: Final = PaymentError(
    "provider_unavailable", "The provider did not go on with the payment; nothing was charged."
)


class Unmoved(StrEnum):
    """Why an answer moves nothing."""

    CONCLUDED = "concluded"
    """The attempt is closed: the truth came another way, and first."""
    NOTHING_NEW = "nothing_new"
    STALE = "stale"
    """It is older than what was applied already."""
    TIE = "tie"
    """It is of the same second as what was applied, and differs: fetch, then apply that."""
    MISMATCH = "mismatch"
    """It speaks of another amount or currency: a person must look."""
    MONEY_AFTER_THE_END = "money_after_the_end"
    """Money was taken or held for an intent that had failed or was cancelled."""
    MONEY_ELSEWHERE = "money_elsewhere"
    """Money was taken or held at the provider by another payment than the one that counts."""


class Moved(msgspec.Struct, frozen=True):
    """The intent `before`, and the records one version on; no attempt, when none was under way."""

    before: PaymentIntent
    intent: PaymentIntent
    attempt: Attempt | None = None
    proof: str | None = None
    """What the provider said, when the move corrects an end."""


def conclude_confirm(
    intent: PaymentIntent, attempt: Attempt, answer: Answer, at: datetime, *, fetched: bool
) -> Moved | Unmoved:
    """Apply `answer` to an intent and its open confirm."""
    state = state_of(answer.outcome)
    forgot = isinstance(answer.outcome, Unknown) and answer.outcome.known_key
    if forgot and not attempt.sent_before and AttemptState.UNKNOWN in MOVES[attempt.state]:
        working = {"pending_operation": attempt.operation.value}
        waiting = advance(intent, Trigger.PROCEED, at, **working)
        return Moved(intent, waiting, forgotten(attempt, at))
    # What an earlier try left in doubt, a later one that is refused for itself does not end.
    doubted = attempt.answered and isinstance(answer.outcome, Rejected)
    begun = attempt.state is not AttemptState.STARTED
    if (begun or doubted) and speaks_of_its_call_alone(answer.outcome):
        return Unmoved.NOTHING_NEW
    trigger, changes = _effect(intent, attempt, answer.outcome)
    if isinstance(answer.outcome, Approved):
        changes = _keep_known(intent, changes)
    if trigger is Trigger.AUTHORIZE and changes["authorization_expires_at"] is None:
        changes["authorization_expires_at"] = at + HOLD_LASTS
    if (intent.status, trigger) not in TRANSITIONS or state not in MOVES[attempt.state]:
        return Unmoved.STALE
    known = {
        **changes,
        "provider_reference": answer.provider_reference or intent.provider_reference,
    }
    if state is attempt.state and all(getattr(intent, k) == v for k, v in known.items()):
        return Unmoved.NOTHING_NEW
    after = move(
        attempt,
        state,
        at,
        provider_reference=answer.provider_reference,
        detail=detail(answer.outcome),
    )
    if isinstance(answer.outcome, NotSent):
        answered = attempt.answered or answer.outcome.answered
        after = msgspec.structs.replace(after, answered=answered)
    return in_order(intent, after, answer, at, trigger, changes, fetched=fetched)


def in_order(
    intent: PaymentIntent,
    attempt: Attempt | None,
    answer: Answer,
    at: datetime,
    trigger: Trigger,
    changes: dict[str, Any],
    *,
    fetched: bool,
) -> Moved | Unmoved:
    """The move, unless a newer fact was applied before."""
    if answer.as_of is not None and intent.provider_as_of is not None:
        # A time from the future orders nothing, though it was written down.
        believed = intent.provider_as_of <= at + AHEAD
        if believed and answer.as_of < intent.provider_as_of:
            return Unmoved.STALE
        if not fetched and (not believed or answer.as_of == intent.provider_as_of):
            return Unmoved.TIE
    after = advance(
        intent,
        trigger,
        at,
        **changes,
        provider_reference=answer.provider_reference or intent.provider_reference,
        provider_as_of=answer.as_of or intent.provider_as_of,
    )
    return Moved(intent, after, attempt)


def speaks_of_its_call_alone(outcome: Outcome) -> bool:
    """Whether an outcome tells nothing of an earlier call under the same attempt.

    Not knowing never replaces knowing; and a provider refuses for its rate limit, for our key, for
    a key in use or for a customer before it looks at what the idempotency key has already done.
    """
    match outcome:
        case Unknown() | NotSent():
            return True
        case Rejected(reason="provider_configuration" | "customer_refused"):
            return True
        case _:
            return False


def _keep_known(intent: PaymentIntent, changes: dict[str, Any]) -> dict[str, Any]:
    """An event tells less than an answer: what it leaves out stays as it was known."""
    for name in ("payment_method", "authorization_expires_at"):
        if changes.get(name) is None and name in changes:
            changes[name] = getattr(intent, name)
    return changes


def mismatch(intent: PaymentIntent, answer: Answer) -> bool:
    """Whether it speaks of another amount or currency."""
    if answer.amount is not None and answer.amount != intent.amount:
        return True
    if isinstance(answer.outcome, Approved) and answer.outcome.amount_received > intent.amount:
        return True
    return answer.currency is not None and answer.currency != intent.currency


def _effect(
    intent: PaymentIntent, attempt: Attempt, outcome: Outcome
) -> tuple[Trigger, dict[str, Any]]:
    """The trigger that an outcome pulls, and the fields that it sets."""
    closing = Operation.CANCEL.value if attempt.cancelling else None
    quiet: dict[str, Any] = {"pending_operation": closing, "next_action": None}
    working: dict[str, Any] = {
        "pending_operation": closing or Operation.CONFIRM.value,
        "next_action": None,
    }
    match outcome:
        case Approved():
            return _approved(intent, outcome)
        case Pending():
            return Trigger.PROCEED, {**working, **_paid_with(outcome)}
        case ActionRequired(next_action=action):
            shown = {"next_action": _shown(attempt, action), **_paid_with(outcome)}
            return Trigger.REQUIRE_ACTION, {**quiet, **shown}
        case Declined():
            return Trigger.FAIL, {**DONE, "last_payment_error": outcome.error}
        case Rejected():
            error = PaymentError(code=outcome.reason, message=outcome.message)
            return Trigger.FAIL, {**DONE, "last_payment_error": error}
        case Cancelled():
            return _closed(attempt, outcome)
        case Unknown() | NotSent():
            return Trigger.PROCEED, working
        case _:
            assert_never(outcome)


def capture_fields(intent: PaymentIntent, outcome: Approved) -> dict[str, Any]:
    """What a capture sets, whoever made it; the money takes the next place in the ledger."""
    return {
        **DONE,
        "amount_received": outcome.amount_received,
        "amount_capturable": 0,
        "money_seq": intent.money_seq + 1,
    }


def _approved(intent: PaymentIntent, outcome: Approved) -> tuple[Trigger, dict[str, Any]]:
    if outcome.captured:
        changes = capture_fields(intent, outcome)
        return Trigger.CAPTURE, {**changes, "payment_method": outcome.payment_method}
    return Trigger.AUTHORIZE, {
        **DONE,
        "amount_capturable": outcome.amount_capturable,
        "authorization_expires_at": outcome.authorization_expires_at,
        "payment_method": outcome.payment_method,
    }


def _closed(attempt: Attempt, outcome: Cancelled) -> tuple[Trigger, dict[str, Any]]:
    """A challenge that nobody answered has failed, and so has what was given up before it had
    begun; everything else that was closed is cancelled.
    """
    if attempt.given_up and attempt.state in {AttemptState.STARTED, AttemptState.UNKNOWN}:
        return Trigger.FAIL, {**DONE, "last_payment_error": _NEVER_BEGUN}
    if attempt.given_up and not isinstance(attempt.instrument, PushTransfer):
        return Trigger.FAIL, {**DONE, "last_payment_error": _ABANDONED}
    reason = attempt.reason if attempt.cancelling else outcome.reason
    return Trigger.CANCEL, {**DONE, "cancellation_reason": reason}


def _paid_with(outcome: ActionRequired | Pending) -> dict[str, Any]:
    """What is known of the payment method before the payment is approved, if it was told."""
    method = outcome.payment_method
    return {} if method is None else {"payment_method": method}


def _shown(attempt: Attempt, action: NextAction | None) -> NextAction | None:
    """What the payer must do: with the merchant's own page to come back to, where ours is in
    between; and until when the money is waited for, which is our rule.
    """
    match action:
        case RedirectToUrl() if attempt.callback_url is not None:
            return RedirectToUrl(action.url, attempt.return_url)
        case TransferInstructions() if attempt.close_at is not None and not attempt.cancelling:
            return msgspec.structs.replace(action, expires_at=attempt.close_at)
        case _:
            return action


def detail(outcome: Outcome) -> str | None:
    """What to keep of an outcome that the intent does not show."""
    match outcome:
        case Unknown() | NotSent() | Rejected():
            return outcome.message
        case _:
            return None
