"""One entry for every access to payment data, reads and refusals included.

An entry's id is also the id of the change it was committed with: after a lost
acknowledgement its presence is the proof that the change was written.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.record import Recorded


class Result(StrEnum):
    """What became of it."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    FAILED = "failed"


class Subject(Recorded, frozen=True):
    """The object that was touched."""

    object: str
    id: str


class AuditEntry(Recorded, frozen=True, kw_only=True):
    """Who did what to which object, when, from where, and what became of it."""

    id: str
    merchant: str
    at: datetime
    actor: Actor
    action: Action
    result: Result = Result.ALLOWED
    subject: Subject | None = None
    request_id: str | None = None
    address: str | None = None
    details: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def subject_id(self) -> str | None:
        """The id of the object that was touched."""
        return None if self.subject is None else self.subject.id

    @property
    def actor_id(self) -> str | None:
        """What the log is searched by: the id of a key or a provider, or the name of a job. A
        person's name is not among them, which no column may show.
        """
        if self.actor.id is None and self.actor.type == "job":
            return self.actor.name
        return self.actor.id


def entry(
    caller: Caller,
    action: Action,
    *,
    entry_id: str,
    at: datetime,
    subject: Subject | None = None,
    result: Result = Result.ALLOWED,
    details: Mapping[str, str] | None = None,
) -> AuditEntry:
    """The audit entry for something that `caller` did."""
    return AuditEntry(
        id=entry_id,
        merchant=caller.merchant,
        at=at,
        actor=caller.actor,
        action=action,
        result=result,
        subject=subject,
        request_id=caller.request_id,
        address=caller.address,
        details=details or {},
    )
