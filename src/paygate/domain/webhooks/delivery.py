"""A delivery: one event on its way to one endpoint, its attempts, and when the next is due."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec

from paygate.domain.record import Recorded

FIRST_WAIT: Final = timedelta(seconds=5)
_FACTOR: Final = 3
LONGEST_WAIT: Final = timedelta(hours=4)
"""So long a receiver that was mended may wait for the next attempt, unless somebody asks for it."""
RETRY_FOR: Final = timedelta(days=3)
_TRIPLINGS: Final = 10
_SPREAD: Final = 0.2
"""Of a wait, either way: what failed together is not tried again together."""
RETRY_AFTER_MOST: Final = timedelta(hours=1)
"""How long a receiver may have us wait (Retry-After). What it says beyond that is a slip."""
UNREADABLE_WAIT: Final = timedelta(minutes=5)
"""Between two looks whether a record is readable again: people mend one within hours."""
ATTEMPTS_KEPT: Final = 50
"""Of the log; three days are some 25. Resending again and again does not make it endless."""


class DeliveryStatus(StrEnum):
    """How it stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Failure(StrEnum):
    """Why a delivery is tried no more."""

    GAVE_UP = "gave_up"
    """Three days have passed."""
    ENDPOINT_DISABLED = "endpoint_disabled"
    ENDPOINT_DELETED = "endpoint_deleted"
    NOT_ASKED_FOR = "not_asked_for"
    """It was made blindly, and the endpoint turned out not to want events of this type."""


class DeliveryAttempt(Recorded, frozen=True, kw_only=True):
    """One attempt. Of the answer nothing is kept but its status; `error` is a coarse class."""

    at: datetime
    duration_ms: int
    status_code: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.status_code is not None and self.status_code // 100 == 2  # noqa: PLR2004


class WebhookBody(Recorded, frozen=True, kw_only=True):
    """A body, as it is sent each time; `id` is the event's."""

    id: str
    merchant: str
    body: bytes
    created_at: datetime


class Delivery(Recorded, frozen=True, kw_only=True):
    """`tries` are the attempts since it was made, or since somebody had it sent again.

    One that is made `blindly`, because its endpoint or its event could not be read, may be of a
    type that the endpoint did not ask for: that is seen when it is to be sent.
    """

    id: str
    merchant: str
    endpoint: str
    event: str
    status: DeliveryStatus
    next_attempt_at: datetime | None
    retry_until: datetime
    created_at: datetime
    updated_at: datetime
    version: int = 1
    tries: int = 0
    attempts: tuple[DeliveryAttempt, ...] = ()
    failure: Failure | None = None
    blindly: bool = False


def wait_before(tries: int, chance: float) -> timedelta:
    """How long to wait after so many failures in a row; `chance` is from 0 to 1."""
    wait = min(FIRST_WAIT * _FACTOR ** min(tries - 1, _TRIPLINGS), LONGEST_WAIT)
    spread: float = 1 - _SPREAD + 2 * _SPREAD * chance
    return timedelta(seconds=wait.total_seconds() * spread)


def begun(
    *,
    delivery_id: str,
    merchant: str,
    endpoint: str,
    event: str,
    at: datetime,
    failure: Failure | None = None,
    blindly: bool = False,
) -> Delivery:
    """A new delivery, due at once; with a `failure`, one that was over before it began."""
    return Delivery(
        id=delivery_id,
        merchant=merchant,
        endpoint=endpoint,
        event=event,
        status=DeliveryStatus.PENDING if failure is None else DeliveryStatus.FAILED,
        next_attempt_at=at if failure is None else None,
        failure=failure,
        retry_until=at + RETRY_FOR,
        created_at=at,
        updated_at=at,
        blindly=blindly,
    )


def attempted(
    delivery: Delivery,
    attempt: DeliveryAttempt,
    *,
    over: datetime,
    chance: float,
    wait: timedelta = timedelta(0),
    last: Failure | None = None,
) -> Delivery:
    """The delivery after an attempt that was `over` then, by the clock that says what is due.
    `wait` is how long the receiver wants to be left alone, `last` why there is to be no further
    attempt if this one failed.
    """
    tries = delivery.tries + 1
    tried: dict[str, Any] = {
        "tries": tries,
        "attempts": (*delivery.attempts, attempt)[-ATTEMPTS_KEPT:],
    }
    if attempt.delivered:
        return _next(delivery, over, status=DeliveryStatus.DELIVERED, next_attempt_at=None, **tried)
    if last is not None or over >= delivery.retry_until:
        return _failed(delivery, last or Failure.GAVE_UP, over, **tried)
    due = over + max(wait_before(tries, chance), wait)
    # The last one is at the end of the three days.
    return _next(delivery, over, next_attempt_at=min(due, delivery.retry_until), **tried)


def given_up(delivery: Delivery, failure: Failure, now: datetime) -> Delivery:
    """The delivery that is tried no more, its endpoint being disabled or deleted."""
    return _failed(delivery, failure, now)


def put_off(delivery: Delivery, now: datetime) -> Delivery:
    """The delivery of which something cannot be read: due again when it may have been mended. This
    is no attempt, and so however long it takes, one follows.
    """
    return _next(delivery, now, next_attempt_at=now + UNREADABLE_WAIT)


def resent(delivery: Delivery, now: datetime) -> Delivery:
    """The delivery that somebody wants to have sent now, whatever became of it: due at once, and
    three days long.
    """
    return _next(
        delivery,
        now,
        status=DeliveryStatus.PENDING,
        next_attempt_at=now,
        retry_until=now + RETRY_FOR,
        tries=0,
        failure=None,
    )


def _failed(delivery: Delivery, failure: Failure, now: datetime, **changes: Any) -> Delivery:
    return _next(
        delivery,
        now,
        status=DeliveryStatus.FAILED,
        next_attempt_at=None,
        failure=failure,
        **changes,
    )


def _next(delivery: Delivery, now: datetime, **changes: Any) -> Delivery:
    return msgspec.structs.replace(
        delivery,
        version=delivery.version + 1,
        updated_at=max(now, delivery.updated_at),
        **changes,
    )
