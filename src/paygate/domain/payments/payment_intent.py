"""A payment intent: what a merchant wants to be paid, and how far that has come.

`TRANSITIONS` and `CORRECTIONS` are the whole state machine; `advance` and `correct` are the only
ways to a new status. The database refuses what they do not have (migration 0002), and
docs/states.md is drawn from them.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import NextAction, PaymentError, PaymentMethod
from paygate.domain.payments.payment_method import Instrument
from paygate.domain.record import Recorded


class Status(StrEnum):
    """Where the payment stands."""

    CREATED = "created"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class Trigger(StrEnum):
    """What can happen to a payment intent."""

    ATTACH = "attach"
    CONFIRM = "confirm"
    PROCEED = "proceed"
    REQUIRE_ACTION = "require_action"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    FAIL = "fail"
    CANCEL = "cancel"
    REFUND = "refund"
    REFUND_ALL = "refund_all"
    DISPUTE = "dispute"


class CaptureMethod(StrEnum):
    """Whether approval takes the money at once or holds it."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class PaymentMethodType(StrEnum):
    """What the intent may be paid with."""

    CARD = "card"
    BANK_TRANSFER = "bank_transfer"


_S, _T = Status, Trigger

TRANSITIONS: Final[Mapping[tuple[Status, Trigger], Status]] = MappingProxyType(
    {
        (_S.CREATED, _T.ATTACH): _S.CREATED,
        (_S.CREATED, _T.CONFIRM): _S.PROCESSING,
        (_S.CREATED, _T.CANCEL): _S.CANCELLED,
        (_S.PROCESSING, _T.PROCEED): _S.PROCESSING,
        (_S.PROCESSING, _T.REQUIRE_ACTION): _S.REQUIRES_ACTION,
        (_S.PROCESSING, _T.AUTHORIZE): _S.REQUIRES_CAPTURE,
        (_S.PROCESSING, _T.CAPTURE): _S.SUCCEEDED,
        (_S.PROCESSING, _T.FAIL): _S.FAILED,
        (_S.PROCESSING, _T.CANCEL): _S.CANCELLED,
        (_S.REQUIRES_ACTION, _T.PROCEED): _S.REQUIRES_ACTION,
        (_S.REQUIRES_ACTION, _T.REQUIRE_ACTION): _S.REQUIRES_ACTION,
        (_S.REQUIRES_ACTION, _T.AUTHORIZE): _S.REQUIRES_CAPTURE,
        (_S.REQUIRES_ACTION, _T.CAPTURE): _S.SUCCEEDED,
        (_S.REQUIRES_ACTION, _T.FAIL): _S.FAILED,
        (_S.REQUIRES_ACTION, _T.CANCEL): _S.CANCELLED,
        (_S.REQUIRES_CAPTURE, _T.PROCEED): _S.REQUIRES_CAPTURE,
        (_S.REQUIRES_CAPTURE, _T.CAPTURE): _S.SUCCEEDED,
        (_S.REQUIRES_CAPTURE, _T.FAIL): _S.FAILED,
        (_S.REQUIRES_CAPTURE, _T.CANCEL): _S.CANCELLED,
        (_S.SUCCEEDED, _T.REFUND): _S.SUCCEEDED,
        (_S.SUCCEEDED, _T.REFUND_ALL): _S.REFUNDED,
        # All of it was given back at the provider while a refund of ours waited for its end.
        (_S.REFUNDED, _T.REFUND): _S.REFUNDED,
        # A dispute changes what can be refunded, and never how the payment ended.
        (_S.SUCCEEDED, _T.DISPUTE): _S.SUCCEEDED,
        (_S.REFUNDED, _T.DISPUTE): _S.REFUNDED,
    }
)
"""(status, trigger) to the next status. A missing cell is an `IllegalTransition`."""

CORRECTIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        _S.FAILED: frozenset({_S.SUCCEEDED}),
        _S.CANCELLED: frozenset({_S.SUCCEEDED}),
        _S.REFUNDED: frozenset({_S.SUCCEEDED}),
    }
)
"""The ways back, each on the provider's proof alone and with a correction record beside it:
money that was captured after all, and a refund that failed after all."""

FINAL: Final = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.REFUNDED})
"""No attempt is open under these."""
ENDED_WITHOUT_MONEY: Final = frozenset(CORRECTIONS)
"""Under these nothing is paid and nothing can be, unless a correction says otherwise: the
intent's reference is free for another."""


class IllegalTransition(Exception):
    """The table has no such cell: the intent is left as it was."""

    def __init__(self, status: Status, trigger: Trigger) -> None:
        super().__init__(f"a payment intent that is {status} cannot {trigger}")
        self.status = status
        self.trigger = trigger


class PaymentIntent(Recorded, frozen=True, kw_only=True):
    """Amounts are integers of the currency's smallest unit; times are aware and UTC."""

    id: str
    merchant: str
    livemode: bool
    amount: int
    currency: Currency
    status: Status
    capture_method: CaptureMethod
    payment_method_types: tuple[PaymentMethodType, ...]
    provider: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    amount_capturable: int = 0
    amount_received: int = 0
    pending_operation: str | None = None
    payment_method: PaymentMethod | None = None
    """What may be shown of the method that is attached, or that the payment is made with."""
    attached: Instrument | None = None
    """What a confirm that names no method is paid with; nothing once the intent is confirmed or
    cancelled."""
    next_action: NextAction | None = None
    last_payment_error: PaymentError | None = None
    cancellation_reason: str | None = None
    reference: str | None = None
    description: str | None = None
    statement_descriptor: str | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    attempt: str | None = None
    """The attempt that is, or was last, under way."""
    attempts: int = 0
    seed: bytes = b""
    """What its attempts' ids are made from: of create's Idempotency-Key, else random. A create that
    is repeated after a restore has the same one, so that the provider sees the same keys."""
    create_key: bytes | None = None
    """A keyed hash of create's Idempotency-Key."""
    provider_reference: str | None = None
    provider_as_of: datetime | None = None
    """The provider's time of the newest fact applied; older facts move nothing."""
    authorization_expires_at: datetime | None = None
    customer: str | None = None
    client_secret_hash: bytes | None = None
    """What is kept of the secret that a payer's browser has."""
    session_hash: bytes | None = None
    money_seq: int = 0
    """How many times money was moved or reserved on it; the ledger counts with it."""
    amount_refunded: int = 0
    """By refunds that have succeeded."""
    amount_refund_pending: int = 0
    """Reserved by refunds that have not come to their end."""
    refunds: int = 0
    """How many there are, those that failed too."""
    amount_refunded_alone: int = 0
    """Of refunds that nobody approved, and that have not failed: what limits are held against."""
    refunds_in_doubt: int = 0
    """Those whose answer is still to come; `pending_operation` is `refund` while there are any."""
    disputes: int = 0
    """How many there are, inquiries and those that ended too."""
    disputes_blocking: int = 0
    """Those under which a refund could give the same money back twice."""
    inquiries_open: int = 0
    """Those of a bank that only asks: a refund of all that is left closes them."""
    amount_disputed: int = 0
    """What chargebacks have withdrawn and not given back, of what was received."""
    withdrawn: Mapping[str, int] = msgspec.field(default_factory=dict)
    """The same as the provider has booked it, by the currency of the merchant's balance there."""
    dispute_fees: Mapping[str, int] = msgspec.field(default_factory=dict)
    """What disputes have cost besides, less what of that came back; by currency."""
    final_at: datetime | None = None
    """When it first came to its end; the client side is shown out an hour later."""

    @property
    def amount_refundable(self) -> int:
        """What can still be given back: all that was taken, less what is on its way or back, and
        less what chargebacks took.
        """
        gone = self.amount_refunded + self.amount_refund_pending + self.amount_disputed
        return max(0, self.amount_received - gone)


def next_status(status: Status, trigger: Trigger) -> Status:
    """The cell of the table.

    Raises:
        IllegalTransition: there is none.
    """
    try:
        return TRANSITIONS[status, trigger]
    except KeyError:
        raise IllegalTransition(status, trigger) from None


def advance(intent: PaymentIntent, trigger: Trigger, at: datetime, **changes: Any) -> PaymentIntent:
    """The intent after `trigger`, one version on, with `changes` to its other fields.

    Raises:
        IllegalTransition: the table has no such cell.
    """
    return _next(intent, next_status(intent.status, trigger), at, changes)


def correct(intent: PaymentIntent, status: Status, at: datetime, **changes: Any) -> PaymentIntent:
    """The intent set right on the provider's proof; its commit holds a correction record."""
    assert status in CORRECTIONS.get(intent.status, frozenset()), "not a correction"
    return _next(intent, status, at, changes)


def _next(
    intent: PaymentIntent, status: Status, at: datetime, changes: dict[str, Any]
) -> PaymentIntent:
    at = max(at, intent.updated_at)
    if status is not Status.CREATED:
        changes["attached"] = None
    final_at = intent.final_at or (at if status in FINAL else None)
    after = msgspec.structs.replace(
        intent,
        status=status,
        version=intent.version + 1,
        updated_at=at,
        final_at=final_at,
        **changes,
    )
    assert after.money_seq in (intent.money_seq, intent.money_seq + 1), "one fact at a time"
    moved = after.amount_received != intent.amount_received
    assert after.money_seq > intent.money_seq or not moved, "money has moved without its place"
    assert 0 <= after.amount_received <= after.amount, "captured more than was asked for"
    assert 0 <= after.amount_capturable <= after.amount, "holds more than was asked for"
    given = (intent.amount_refunded, intent.amount_refund_pending)
    moved = (after.amount_refunded, after.amount_refund_pending) != given
    assert after.money_seq > intent.money_seq or not moved, "money was refunded without its place"
    booked = (intent.withdrawn, intent.dispute_fees)
    moved = (after.withdrawn, after.dispute_fees) != booked
    assert after.money_seq > intent.money_seq or not moved, "a dispute's money has no place"
    assert 0 <= after.amount_disputed <= after.amount_received * after.disputes
    assert max(after.disputes_blocking, after.inquiries_open) <= after.disputes
    assert min(after.disputes_blocking, after.inquiries_open) >= 0
    assert min(after.amount_refunded, after.amount_refund_pending, after.refunds_in_doubt) >= 0
    return after


def mermaid() -> str:
    """The state machine as a Mermaid diagram, for the docs."""
    lines = ["stateDiagram-v2", f"    [*] --> {Status.CREATED}"]
    lines += [
        f"    {before} --> {after}: {trigger}" for (before, trigger), after in TRANSITIONS.items()
    ]
    lines += [
        f"    {before} --> {after}: correction"
        for before, corrected in CORRECTIONS.items()
        for after in sorted(corrected)
    ]
    return "\n".join(lines)
