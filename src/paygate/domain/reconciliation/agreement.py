"""Whether a payment intent and the provider's payment say the same; pure.

Compared are the state, the amount, the currency, what was captured and refunded, and whether it is
disputed. What an answer does not tell is not compared.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Declined,
    Pending,
    TransferInstructions,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.reconciliation.finding import FindingKind, Shown

_S = Status
_MOVING: Final = frozenset({_S.PROCESSING, _S.REQUIRES_ACTION, _S.REQUIRES_CAPTURE})
"""Where the provider may be at work: after the payer's action, or on a capture."""
_STATES: Final[Mapping[str, frozenset[Status]]] = {
    "succeeded": frozenset({_S.SUCCEEDED, _S.REFUNDED}),
    "requires_capture": frozenset({_S.REQUIRES_CAPTURE}),
    "requires_action": frozenset({_S.REQUIRES_ACTION}),
    "processing": _MOVING,
    "failed": frozenset({_S.FAILED}),
    # What has failed here is closed there too.
    "cancelled": frozenset({_S.CANCELLED, _S.FAILED}),
}
"""What the provider says to where the intent then stands."""


_GRAVEST: Final = (
    FindingKind.AMOUNT,
    FindingKind.STATUS,
    FindingKind.CAPTURED,
    FindingKind.REFUNDED,
    FindingKind.DISPUTE,
)
"""What a difference is named by, when there are several."""


class Difference(NamedTuple):
    """In what the two differ first, and all that each says of what differs."""

    kind: FindingKind
    ours: Shown
    theirs: Shown


def state_of(answer: Answer) -> str | None:
    """The provider's state in our words; None when the answer tells of none."""
    match answer.outcome:
        case Approved(captured=True):
            return "succeeded"
        case Approved():
            return "requires_capture"
        case ActionRequired():
            return "requires_action"
        case Pending():
            return "processing"
        case Declined():
            return "failed"
        case Cancelled():
            return "cancelled"
        case _:
            return None


def is_told(answer: Answer) -> bool:
    """Whether the answer says how its payment stands."""
    return state_of(answer) is not None


def difference(intent: PaymentIntent, answer: Answer) -> Difference | None:
    """In what an intent differs from the provider's payment that it rests on; None: they agree.

    Where the answer does not tell a state, the rest is compared. What was captured is compared
    where the state agrees, for else it is the state that differs.
    """
    state = state_of(answer)
    found = []
    if state is not None and intent.status not in _STATES[state]:
        found.append(_Side(FindingKind.STATUS, "status", intent.status.value, state))
    if answer.amount not in {None, intent.amount}:
        found.append(_Side(FindingKind.AMOUNT, "amount", intent.amount, answer.amount))
    if answer.currency not in {None, intent.currency}:
        found.append(_Side(FindingKind.AMOUNT, "currency", str(intent.currency), answer.currency))
    if isinstance(answer.outcome, Approved):
        if not found:
            found += _captured(intent, answer.outcome)
        found += _since(intent, answer)
    if isinstance(answer.outcome, ActionRequired) and not found:
        found += _funded(intent, answer.outcome)
    if not found:
        return None
    kinds = {side.kind for side in found}
    first = next(kind for kind in _GRAVEST if kind in kinds)
    ours = {side.field: side.ours for side in found}
    return Difference(first, ours, {side.field: side.theirs for side in found})


class _Side(NamedTuple):
    kind: FindingKind
    field: str
    ours: str | int | bool | None
    theirs: str | int | bool | None


def _captured(intent: PaymentIntent, outcome: Approved) -> list[_Side]:
    """The money that was taken, and that is held."""
    return [
        _Side(FindingKind.CAPTURED, name, getattr(intent, name), getattr(outcome, name))
        for name in ("amount_received", "amount_capturable")
        if getattr(intent, name) != getattr(outcome, name)
    ]


def _funded(intent: PaymentIntent, outcome: ActionRequired) -> list[_Side]:
    """How much of a transfer has come, while it is waited for."""
    ours, theirs = intent.next_action, outcome.next_action
    if not isinstance(ours, TransferInstructions) or not isinstance(theirs, TransferInstructions):
        return []
    if ours.amount_received == theirs.amount_received:
        return []
    return [_Side(FindingKind.CAPTURED, "funded", ours.amount_received, theirs.amount_received)]


def _since(intent: PaymentIntent, answer: Answer) -> list[_Side]:
    """What became of the money since. A refund that is on its way may be counted there or not. What
    is disputed is compared dispute by dispute (`read_disputes.py`), and here only whether any is.
    """
    found = []
    least = intent.amount_refunded
    if not least <= answer.refunded <= least + intent.amount_refund_pending:
        found.append(_Side(FindingKind.REFUNDED, "amount_refunded", least, answer.refunded))
    if answer.disputed and not intent.disputes:
        found.append(_Side(FindingKind.DISPUTE, "disputed", False, True))
    return found


def shown(answer: Answer) -> Shown:
    """What the provider says of a payment that no record of ours is about."""
    outcome = answer.outcome
    taken = outcome.amount_received if isinstance(outcome, Approved) else 0
    held = outcome.amount_capturable if isinstance(outcome, Approved) else 0
    return {
        "status": state_of(answer),
        "amount": answer.amount,
        "currency": answer.currency,
        "amount_received": taken,
        "amount_capturable": held,
    }
