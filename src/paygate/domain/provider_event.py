"""What the provider told us: kept as it came, applied once, in whatever order it arrives.

*Received* is durable and acknowledged; *processed* is what we made of it. The two are apart
so that a failed handler never turns the provider's retry into a loss.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from paygate.domain.audit import Subject
from paygate.domain.record import Recorded


class EventStatus(StrEnum):
    """How far we came with it."""

    RECEIVED = "received"
    PROCESSED = "processed"
    IGNORED = "ignored"
    STALE = "stale"
    DEAD_LETTER = "dead_letter"


RETRY_AFTER: Final = tuple(timedelta(seconds=s) for s in (2, 4, 8, 16, 32))
"""A fault that may pass is tried again so often, 62 s in all; then it waits for a replay."""


class ProviderEvent(Recorded, frozen=True, kw_only=True):
    """`body` is the provider's bytes, unparsed, so that nothing we did not understand is lost."""

    id: str
    merchant: str
    provider_reference: str
    type: str
    status: EventStatus
    provider_created_at: datetime
    received_at: datetime
    updated_at: datetime
    body: bytes
    version: int = 1
    verdict: str | None = None
    subject: Subject | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_error: str | None = None


def waits(event: ProviderEvent, at: datetime) -> timedelta | None:
    """How long until the event's next try, or None when one is due.

    A wait longer than any that we give was written by a clock far ahead of this one: it is over.
    """
    if event.next_attempt_at is None:
        return None
    left = event.next_attempt_at - at
    return left if timedelta(0) < left <= RETRY_AFTER[-1] else None


def ended(
    event: ProviderEvent,
    status: EventStatus,
    at: datetime,
    *,
    verdict: str | None = None,
    subject: Subject | None = None,
    error: str | None = None,
) -> ProviderEvent:
    """The event after its last try at being applied, one version on."""
    assert event.status is EventStatus.RECEIVED, "an event ends once"
    return msgspec.structs.replace(
        event,
        status=status,
        version=event.version + 1,
        attempts=event.attempts + 1,
        updated_at=max(at, event.updated_at),
        verdict=verdict,
        subject=subject or event.subject,
        next_attempt_at=None,
        last_error=error,
    )


def put_off(
    event: ProviderEvent, at: datetime, *, error: str
) -> tuple[ProviderEvent, timedelta | None]:
    """The event after a try that may be repeated, and how long to wait.

    None when the tries are used up: the event is then a dead letter.
    """
    if event.attempts >= len(RETRY_AFTER):
        return ended(
            event, EventStatus.DEAD_LETTER, at, verdict="retries_exhausted", error=error
        ), None
    after = RETRY_AFTER[event.attempts]
    return (
        msgspec.structs.replace(
            event,
            version=event.version + 1,
            attempts=event.attempts + 1,
            updated_at=max(at, event.updated_at),
            next_attempt_at=at + after,
            last_error=error,
        ),
        after,
    )
