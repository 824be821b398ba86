"""One try at the provider. Its id is the provider's idempotency key, for ever: a keyed hash of what
it does (`Context.attempt_id`), so that the same try has the same id after a restore.

The row is written before the call, so that a crash leaves a question that the sweep can
ask, and never a charge that nobody knows of. `unknown` is a state of its own.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, assert_never

import msgspec

from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    Cancelled,
    Declined,
    NotSent,
    Outcome,
    Pending,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_method import DirectDebit, Instrument
from paygate.domain.record import Recorded


class AttemptState(StrEnum):
    """How the try stands, as far as we know."""

    STARTED = "started"
    UNKNOWN = "unknown"
    PENDING = "pending"
    ACTION_REQUIRED = "action_required"
    APPROVED = "approved"
    DECLINED = "declined"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    NOT_SENT = "not_sent"


class Operation(StrEnum):
    """What the provider was asked to do."""

    CONFIRM = "confirm"
    CAPTURE = "capture"
    CANCEL = "cancel"


OPEN: Final = frozenset(
    {
        AttemptState.STARTED,
        AttemptState.UNKNOWN,
        AttemptState.PENDING,
        AttemptState.ACTION_REQUIRED,
    }
)
"""The provider may still move under these; at most one attempt of an intent is open."""

_A = AttemptState
_CLOSED: Final = frozenset(_A) - OPEN

MOVES: Final[Mapping[AttemptState, frozenset[AttemptState]]] = MappingProxyType(
    {
        _A.STARTED: frozenset(_A) - {_A.STARTED},
        # Once a call may have begun, a later one that certainly did not says nothing of the first.
        _A.UNKNOWN: (OPEN | _CLOSED) - {_A.STARTED, _A.NOT_SENT},
        _A.PENDING: _CLOSED | {_A.ACTION_REQUIRED, _A.PENDING},
        _A.ACTION_REQUIRED: _CLOSED | {_A.PENDING, _A.ACTION_REQUIRED},
        # A retry goes on with the same attempt, and so with the same key at the provider. Who said
        # that nothing was sent may have been a proxy that had sent it: then its payment comes up.
        _A.NOT_SENT: frozenset(_A) - {_A.NOT_SENT},
    }
)
"""Where an attempt may go. What is closed otherwise stays: what surfaces later is a correction."""


class Attempt(Recorded, frozen=True, kw_only=True):
    """Sealed like everything here."""

    id: str
    merchant: str
    intent: str
    number: int
    operation: Operation
    state: AttemptState
    first_sent_at: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1
    instrument: Instrument | None = None
    """What a confirm is paid with."""
    amount: int | None = None
    """What a capture takes, in the smallest unit."""
    close_at: datetime | None = None
    """From then on the sweep asks the provider to close a confirm: nobody waits for the payer any
    longer, or the merchant wants it closed."""
    cancelling: bool = False
    """A confirm that is to be closed: the provider is asked until it says so."""
    given_up: bool = False
    """It is to be closed because the payer took too long."""
    cancel_claim: str | None = None
    """The claim that the wish to close it came under."""
    reason: str | None = None
    """Why it is to be cancelled, in the merchant's words."""
    return_url: str | None = None
    """The merchant's page, where the payer comes back to in the end."""
    callback_url: str | None = None
    """Ours, which the provider was given in its place. Kept as it was sent: a re-send is equal
    whatever has become of keys and settings in between."""
    claim: str | None = None
    """The idempotency key's claim that it was made under: only its retries may go on with it."""
    provider_reference: str | None = None
    detail: str | None = None
    first_sent_as_of: datetime | None = None
    """When it was first sent by the provider's clock; None when that was not known."""
    sent_again_at: datetime | None = None
    """When it was last sent once more: the payment may be as young."""
    sent_again_as_of: datetime | None = None
    """`sent_again_at` by the provider's clock; None when that was not known."""
    sent_between: bool = False
    """It was sent between the first time and the last as well: the payment may be of any time."""
    answered: bool = False
    """It was not sent because somebody who answered said so, at any of its tries, and that may have
    been a proxy."""
    sent_before: bool = False
    """The provider knew its key with another request: it was sent before this database was put back
    to a backup, at a time that nobody remembers."""
    missed_at: datetime | None = None
    """When the provider first said that it has no such payment, since it was last sent."""

    @property
    def last_sent_at(self) -> datetime:
        """When it was written down that it is sent, the last time."""
        return self.sent_again_at or self.first_sent_at


class IllegalMove(Exception):
    """A closed attempt was told to move."""


def to_be_closed(
    attempt: Attempt,
    at: datetime,
    *,
    reason: str | None,
    claim: str | None = None,
    given_up: bool = False,
) -> Attempt:
    """An open confirm that the merchant wants closed at the provider, or that was given up."""
    assert attempt.state in OPEN, "a closed attempt has nothing to cancel"
    return _next(
        attempt,
        at,
        close_at=at,
        cancelling=True,
        given_up=given_up,
        cancel_claim=claim,
        reason=reason,
    )


def put_off(attempt: Attempt, at: datetime, close_at: datetime) -> Attempt:
    """An open confirm that could not be closed now, and is to be tried again."""
    return _next(attempt, at, close_at=close_at)


def resent(attempt: Attempt, at: datetime, as_of: datetime | None) -> Attempt:
    """An attempt that is about to be sent once more, at `as_of` by the provider's clock: what was
    missed before then proves nothing any longer. One that was not sent begins anew, and so does the
    time that its payer is waited for.
    """
    begins = attempt.state is _A.NOT_SENT
    close_at = attempt.close_at
    if begins and close_at is not None:
        close_at = at + (close_at - attempt.last_sent_at)
    between = attempt.sent_again_at is not None
    attempt = move(attempt, _A.STARTED if begins else _A.UNKNOWN, at, detail=attempt.detail)
    return msgspec.structs.replace(
        attempt,
        sent_again_at=at,
        sent_again_as_of=as_of,
        sent_between=between,
        missed_at=None,
        close_at=close_at,
    )


def forgotten(attempt: Attempt, at: datetime) -> Attempt:
    """An attempt in doubt that the provider was sent at a time which nobody here remembers."""
    attempt = move(attempt, _A.UNKNOWN, at, detail=attempt.detail)
    return msgspec.structs.replace(attempt, sent_before=True, missed_at=None)


def missed(attempt: Attempt, at: datetime) -> Attempt:
    """An attempt that the provider does not know of, yet: one miss proves nothing."""
    return _next(attempt, at, missed_at=at)


def without_addresses(attempt: Attempt, at: datetime) -> Attempt | None:
    """A closed attempt whose mandate says no longer from where and with what it was given; None
    when it does not say so.
    """
    match attempt.instrument:
        case DirectDebit(mandate=mandate) if mandate.ip_address or mandate.user_agent:
            assert attempt.state not in OPEN, "the provider may still be sent the mandate"
            bare = msgspec.structs.replace(mandate, ip_address="", user_agent="")
            instrument = msgspec.structs.replace(attempt.instrument, mandate=bare)
            return _next(attempt, at, instrument=instrument)
    return None


def state_of(outcome: Outcome) -> AttemptState:
    """The state that an outcome means."""
    match outcome:
        case Approved():
            return _A.APPROVED
        case ActionRequired():
            return _A.ACTION_REQUIRED
        case Pending():
            return _A.PENDING
        case Declined():
            return _A.DECLINED
        case Rejected():
            return _A.REJECTED
        case Cancelled():
            return _A.CANCELLED
        case NotSent():
            return _A.NOT_SENT
        case Unknown():
            return _A.UNKNOWN
        case _:
            assert_never(outcome)


def move(
    attempt: Attempt,
    state: AttemptState,
    at: datetime,
    *,
    provider_reference: str | None = None,
    detail: str | None = None,
) -> Attempt:
    """The attempt in its new state, one version on.

    Raises:
        IllegalMove: it is closed, or the state does not follow.
    """
    if state not in MOVES.get(attempt.state, frozenset()):
        raise IllegalMove(f"an attempt that is {attempt.state} cannot become {state}")
    return _next(
        attempt,
        at,
        state=state,
        provider_reference=provider_reference or attempt.provider_reference,
        detail=detail,
    )


def _next(attempt: Attempt, at: datetime, **changes: Any) -> Attempt:
    return msgspec.structs.replace(
        attempt, version=attempt.version + 1, updated_at=max(at, attempt.updated_at), **changes
    )
