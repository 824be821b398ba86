"""An alert on the wire."""

from datetime import datetime
from typing import Literal

import msgspec

from paygate.api.objects import time_text
from paygate.domain.alert import Alert, AlertStatus, AlertType, Severity
from paygate.domain.audit import Subject


class AcknowledgementObject(msgspec.Struct, frozen=True):
    """Who saw it."""

    by: str
    at: str
    note: str | None


class AlertObject(msgspec.Struct, frozen=True, kw_only=True):
    """An alert."""

    object: Literal["alert"] = "alert"
    id: str
    livemode: bool
    type: AlertType
    stage: str | None
    severity: Severity
    status: AlertStatus
    subject: Subject
    message: str
    what_to_do: str
    due_at: str | None
    count: int
    first_at: str
    last_at: str
    acknowledged: AcknowledgementObject | None
    created_at: str


def alert_object(alert: Alert) -> AlertObject:
    """The alert as clients see it."""
    problem, seen = alert.problem, alert.acknowledged
    return AlertObject(
        id=alert.id,
        livemode=alert.livemode,
        type=problem.type,
        stage=problem.stage,
        severity=problem.severity,
        status=alert.status,
        subject=problem.subject,
        message=problem.message,
        what_to_do=problem.what_to_do,
        due_at=_time(problem.due_at),
        count=alert.count,
        first_at=time_text(alert.created_at),
        last_at=time_text(alert.last_at),
        acknowledged=None
        if seen is None
        else AcknowledgementObject(seen.by, time_text(seen.at), seen.note),
        created_at=time_text(alert.created_at),
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)
