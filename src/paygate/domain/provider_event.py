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
    PARKED = "parked"
    """It bears our mark, and its object is not known yet."""
    PROCESSED = "processed"
    IGNORED = "ignored"
    STALE = "stale"
    DEAD_LETTER = "dead_letter"


WAITING: Final = frozenset({EventStatus.RECEIVED, EventStatus.PARKED})
"""It is to be applied still."""
GIVEN_UP: Final = frozenset({EventStatus.DEAD_LETTER})
REPLAYABLE: Final = frozenset({EventStatus.DEAD_LETTER, EventStatus.IGNORED})
"""What a person may have applied once more."""

NO_HANDLER: Final = "no_handler"
"""The verdict on an event of ours, or the account's, that tells of money or a state which nothing
here acts upon yet: ignored, and replayed by the version that does.
"""
NOT_UNDERSTOOD: Final = "not_understood"
"""The verdict on an event whose payment the provider shows in a word that we do not know."""
RETRIES_EXHAUSTED: Final = "retries_exhausted"

RETRY_AFTER: Final = tuple(timedelta(seconds=s) for s in (2, 4, 8, 16, 32))
"""A fault that may pass is tried again so often, 62 s in all; then it waits for a replay."""
REPLAYED_FOR: Final = timedelta(days=3)
"""So long what was given up for a fault that may pass is tried once a round: a long weekend."""


class ProviderEvent(Recorded, frozen=True, kw_only=True):
    """What we made of what came. `body` is None where that is kept apart, in a `ProviderEventBody`:
    in every record but those of before migration 0016.

    `duplicates` counts the deliveries after the first. `replay_until` is there while a dead letter
    is tried again by the clock; without it, it waits for a person.
    """

    id: str
    merchant: str
    provider_reference: str
    type: str
    status: EventStatus
    provider_created_at: datetime
    received_at: datetime
    updated_at: datetime
    body: bytes | None
    version: int = 1
    verdict: str | None = None
    subject: Subject | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    last_error: str | None = None
    duplicates: int = 0
    replay_until: datetime | None = None

    @property
    def subject_id(self) -> str | None:
        """The id of what it is about, when that is known."""
        return None if self.subject is None else self.subject.id

    @property
    def processed_at(self) -> datetime | None:
        """When it came to its end; None while it waits, for us or for a person."""
        ended = self.status not in WAITING | GIVEN_UP
        return self.updated_at if ended else None


class ProviderEventBody(Recorded, frozen=True, kw_only=True):
    """The provider's bytes, unparsed, so that nothing we did not understand is lost. Their id and
    time are the event's.
    """

    id: str
    merchant: str
    received_at: datetime
    body: bytes


def apart(event: ProviderEvent) -> tuple[ProviderEvent, ProviderEventBody]:
    """A new event and its body, as they are kept."""
    assert event.body is not None, "what came is kept"
    body = ProviderEventBody(
        id=event.id, merchant=event.merchant, received_at=event.received_at, body=event.body
    )
    return msgspec.structs.replace(event, body=None), body


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
    assert event.status in WAITING | GIVEN_UP, "an event ends once"
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
        replay_until=None,
    )


def put_off(
    event: ProviderEvent,
    at: datetime,
    *,
    error: str,
    parked: bool = False,
    given_up_as: str = RETRIES_EXHAUSTED,
) -> tuple[ProviderEvent, timedelta | None]:
    """The event after a try that may be repeated, and how long to wait.

    None when the tries are used up: the event is then a dead letter, and the first try after
    `REPLAYED_FOR` is its last. `parked`: what it is about is not known yet. `given_up_as` is the
    verdict on a dead letter.
    """
    if event.status is EventStatus.DEAD_LETTER:
        until = event.replay_until
        return msgspec.structs.replace(
            ended(event, event.status, at, verdict=event.verdict, error=error),
            replay_until=until if until is not None and at < until else None,
        ), None
    if event.attempts >= len(RETRY_AFTER):
        return msgspec.structs.replace(
            ended(event, EventStatus.DEAD_LETTER, at, verdict=given_up_as, error=error),
            replay_until=at + REPLAYED_FOR,
        ), None
    after = RETRY_AFTER[event.attempts]
    return (
        msgspec.structs.replace(
            event,
            status=EventStatus.PARKED if parked else EventStatus.RECEIVED,
            version=event.version + 1,
            attempts=event.attempts + 1,
            updated_at=max(at, event.updated_at),
            next_attempt_at=at + after,
            last_error=error,
        ),
        after,
    )


def replayed(event: ProviderEvent, at: datetime) -> ProviderEvent:
    """The event as if it had come just now, one version on: all its tries are before it."""
    assert event.status in REPLAYABLE, "what was applied is not applied again"
    return msgspec.structs.replace(
        event,
        status=EventStatus.RECEIVED,
        version=event.version + 1,
        updated_at=max(at, event.updated_at),
        verdict=None,
        attempts=0,
        last_error=None,
        replay_until=None,
    )


def delivered_again(event: ProviderEvent) -> ProviderEvent:
    """The event once it was delivered once more. Its time stays: nobody has worked on it."""
    return msgspec.structs.replace(
        event, version=event.version + 1, duplicates=event.duplicates + 1
    )
