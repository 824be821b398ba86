"""An alert: something that a person must look at, said once however often it is found."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

import msgspec

from paygate.domain.audit import Subject
from paygate.domain.record import Recorded

Severity = Literal["info", "warning", "critical"]


class AlertType(StrEnum):
    """What alerts are about."""

    IDEMPOTENCY_UNFINISHED = "idempotency_unfinished"
    AUTHORIZATION_EXPIRING = "authorization_expiring"
    STATE_CORRECTION = "state_correction"
    ATTEMPT_UNRESOLVED = "attempt_unresolved"
    LEDGER_MISMATCH = "ledger_mismatch"
    TRANSFER_EXCESS = "transfer_excess"
    TRANSFER_PARTLY_FUNDED = "transfer_partly_funded"
    PROVIDER_MISCONFIGURED = "provider_misconfigured"
    ORPHAN_CHARGE = "orphan_charge"
    WEBHOOK_DEAD_LETTER = "webhook_dead_letter"
    CARD_DATA_REFUSED = "card_data_refused"


class AlertStatus(StrEnum):
    """Whether somebody has seen to it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Concern(Recorded, frozen=True, kw_only=True):
    """What an alert says: the same concern, found again, is the same alert."""

    type: AlertType
    subject: Subject
    severity: Severity
    message: str
    what_to_do: str
    stage: str | None = None
    due_at: datetime | None = None

    @property
    def name(self) -> str:
        """One alert stands under it at a time: type, subject and stage."""
        return f"{self.type}:{self.subject.id}:{self.stage or ''}"


class Acknowledgement(Recorded, frozen=True):
    """Who saw it."""

    by: str
    at: datetime
    note: str | None = None


class Alert(Recorded, frozen=True, kw_only=True):
    """`count` says how often it was found between `created_at` and `last_at`."""

    id: str
    merchant: str
    livemode: bool
    concern: Concern
    status: AlertStatus
    created_at: datetime
    updated_at: datetime
    last_at: datetime
    version: int = 1
    count: int = 1
    acknowledged: Acknowledgement | None = None

    @property
    def stands_as(self) -> str | None:
        """The name that it keeps from others, as long as it is not closed."""
        return None if self.status is AlertStatus.CLOSED else self.concern.name


def raised(
    concern: Concern, *, alert_id: str, merchant: str, livemode: bool, at: datetime
) -> Alert:
    """A new alert."""
    return Alert(
        id=alert_id,
        merchant=merchant,
        livemode=livemode,
        concern=concern,
        status=AlertStatus.OPEN,
        created_at=at,
        updated_at=at,
        last_at=at,
    )


def found_again(alert: Alert, concern: Concern, at: datetime) -> Alert:
    """The alert, one version on, in the newest words."""
    return msgspec.structs.replace(
        alert,
        concern=concern,
        count=alert.count + 1,
        last_at=max(at, alert.last_at),
        updated_at=max(at, alert.updated_at),
        version=alert.version + 1,
    )


def acknowledged(alert: Alert, by: str, at: datetime, note: str | None) -> Alert:
    """The alert once somebody has seen it; it stands until what it tells of is over."""
    return msgspec.structs.replace(
        alert,
        status=AlertStatus.ACKNOWLEDGED,
        acknowledged=Acknowledgement(by, at, note),
        updated_at=max(at, alert.updated_at),
        version=alert.version + 1,
    )
