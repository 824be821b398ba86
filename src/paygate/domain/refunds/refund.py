"""A refund: captured money that goes back to the payer, in part or whole. Several to a payment.

Its id is the provider's idempotency key. It is written before the provider is asked, and from then
on its amount is reserved: it is an order that stands until the provider has said what became of it.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.domain.money import Currency
from paygate.domain.record import Recorded

APPROVAL_LASTS: Final = timedelta(days=7)
"""A refund that nobody decided on by then is not made."""


class RefundStatus(StrEnum):
    """What a merchant is told."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RefundState(StrEnum):
    """How the refund stands, as far as we know."""

    AWAITING_APPROVAL = "awaiting_approval"
    STARTED = "started"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class PendingReason(StrEnum):
    """What a pending refund waits for."""

    PROVIDER = "provider"
    APPROVAL = "approval"
    OUTCOME_UNKNOWN = "outcome_unknown"


class RefundReason(StrEnum):
    """Why the merchant gives the money back."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"


_S = RefundState
IN_DOUBT: Final = frozenset({_S.STARTED, _S.UNKNOWN, _S.NOT_SENT})
"""The provider's answer is still to come: the sweep asks for it."""
RESERVED: Final = IN_DOUBT | {_S.AWAITING_APPROVAL, _S.PENDING}
"""The amount cannot be refunded a second time, and has not left yet."""

MOVES: Final[Mapping[RefundState, frozenset[RefundState]]] = MappingProxyType(
    {
        # A database that was put back to a backup has forgotten that somebody approved.
        _S.AWAITING_APPROVAL: frozenset({_S.STARTED, _S.PENDING, _S.SUCCEEDED, _S.FAILED}),
        _S.STARTED: frozenset({_S.UNKNOWN, _S.NOT_SENT, _S.PENDING, _S.SUCCEEDED, _S.FAILED}),
        # Once a call may have begun, a later one that certainly did not says nothing of the first.
        _S.UNKNOWN: frozenset({_S.UNKNOWN, _S.PENDING, _S.SUCCEEDED, _S.FAILED}),
        _S.NOT_SENT: frozenset({_S.STARTED, _S.PENDING, _S.SUCCEEDED, _S.FAILED}),
        _S.PENDING: frozenset({_S.PENDING, _S.SUCCEEDED, _S.FAILED}),
        # Weeks later a bank may send the money back.
        _S.SUCCEEDED: frozenset({_S.SUCCEEDED, _S.FAILED}),
        # What we gave up may surface at the provider after all.
        _S.FAILED: frozenset({_S.PENDING, _S.SUCCEEDED}),
    }
)
"""Where a refund may go."""

_STATUS: Final[Mapping[RefundState, RefundStatus]] = MappingProxyType(
    {
        **dict.fromkeys(RESERVED, RefundStatus.PENDING),
        _S.SUCCEEDED: RefundStatus.SUCCEEDED,
        _S.FAILED: RefundStatus.FAILED,
    }
)
_PENDING_REASON: Final[Mapping[RefundState, PendingReason]] = MappingProxyType(
    {
        _S.AWAITING_APPROVAL: PendingReason.APPROVAL,
        _S.UNKNOWN: PendingReason.OUTCOME_UNKNOWN,
        _S.NOT_SENT: PendingReason.PROVIDER,
        _S.PENDING: PendingReason.PROVIDER,
    }
)


def states_of(status: RefundStatus) -> tuple[RefundState, ...]:
    """Every state that a merchant is told as this status."""
    return tuple(state for state in RefundState if _STATUS[state] is status)


class RefundFailure(Recorded, frozen=True):
    """Why the money did not go back, in plain words for the merchant."""

    code: str
    message: str


class Approval(Recorded, frozen=True):
    """A second person's word on a refund above `PAYGATE_REFUND_APPROVAL_ABOVE`."""

    requested_by: str
    expires_at: datetime
    requested_key: str | None = None
    """The API key that asked: neither key nor person may be the same twice."""
    decided_by: str | None = None
    decision: str | None = None


class Refund(Recorded, frozen=True, kw_only=True):
    """Sealed like everything here. `amount` in the smallest unit of `currency`, the payment's."""

    id: str
    merchant: str
    livemode: bool
    intent: str
    amount: int
    currency: Currency
    state: RefundState
    created_at: datetime
    updated_at: datetime
    expected_by: date
    version: int = 1
    reason: RefundReason | None = None
    failure: RefundFailure | None = None
    message: str | None = None
    """What a pending refund waits for, in the provider's words."""
    notice: str | None = None
    """What whoever asked for it was told of the payer's bank."""
    approval: Approval | None = None
    metadata: Mapping[str, str] = msgspec.field(default_factory=dict)
    claim: str | None = None
    """The idempotency key's claim that it was made under."""
    decision_claim: str | None = None
    """The claim that it was approved or rejected under."""
    first_sent_at: datetime | None = None
    first_sent_as_of: datetime | None = None
    """When it was first sent by the provider's clock; None when that was not known."""
    last_sent_at: datetime | None = None
    missed_at: datetime | None = None
    """When the provider first said that it has no such refund, since it was last sent."""
    provider_reference: str | None = None
    provider_as_of: datetime | None = None
    """The provider's time of the newest fact applied; older facts move nothing."""
    tracking_reference: str | None = None
    external: bool = False
    """It was made at the provider, not by us."""

    @property
    def status(self) -> RefundStatus:
        """What a merchant is told."""
        return _STATUS[self.state]

    @property
    def approval_expires_at(self) -> datetime | None:
        """When nobody can approve it any more; None when nobody need."""
        return None if self.approval is None else self.approval.expires_at

    @property
    def pending_reason(self) -> PendingReason | None:
        """What it waits for; None while our call is under way, and when it waits no more."""
        return _PENDING_REASON.get(self.state)


class IllegalRefundMove(Exception):
    """The refund cannot become that."""


def move(refund: Refund, state: RefundState, at: datetime, **changes: Any) -> Refund:
    """The refund in its new state, one version on.

    Raises:
        IllegalRefundMove: the state does not follow.
    """
    if state not in MOVES[refund.state]:
        raise IllegalRefundMove(f"a refund that is {refund.state} cannot become {state}")
    return _next(refund, at, state=state, **changes)


def resent(refund: Refund, at: datetime, as_of: datetime | None) -> Refund:
    """A refund that is about to be sent once more, at `as_of` by the provider's clock: what was
    missed before then proves nothing any longer.
    """
    assert refund.state in IN_DOUBT, "what the provider has answered is not sent again"
    begins = refund.state is _S.NOT_SENT
    first = {} if refund.first_sent_at else {"first_sent_at": at, "first_sent_as_of": as_of}
    state = _S.STARTED if begins else _S.UNKNOWN
    return _next(refund, at, state=state, last_sent_at=at, missed_at=None, **first)


def missed(refund: Refund, at: datetime) -> Refund:
    """A refund that the provider does not know of, yet: one miss proves nothing."""
    return _next(refund, at, missed_at=at)


def _next(refund: Refund, at: datetime, **changes: Any) -> Refund:
    return msgspec.structs.replace(
        refund, version=refund.version + 1, updated_at=max(at, refund.updated_at), **changes
    )
