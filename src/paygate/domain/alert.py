"""An alert: something that a person must look at, said once however often it is found.

What is found in the commit of some fact is written down there as an `Occurrence`, and counted by
its alert afterwards: the fact never waits for a row that others advance too.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Literal

import msgspec

from paygate.domain.audit import Subject
from paygate.domain.record import Recorded

Severity = Literal["info", "warning", "critical"]


class AlertType(StrEnum):
    """What alerts are about."""

    IDEMPOTENCY_UNFINISHED = "idempotency_unfinished"
    AUTHORIZATION_EXPIRING = "authorization_expiring"
    STATE_CORRECTION = "state_correction"
    REFUND_FAILED = "refund_failed"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_DEADLINE = "dispute_deadline"
    EARLY_FRAUD_WARNING = "early_fraud_warning"
    SETTLEMENT_DISCREPANCY = "settlement_discrepancy"
    PAYOUT_FAILED = "payout_failed"
    ATTEMPT_UNRESOLVED = "attempt_unresolved"
    LEDGER_MISMATCH = "ledger_mismatch"
    TRANSFER_EXCESS = "transfer_excess"
    TRANSFER_PARTLY_FUNDED = "transfer_partly_funded"
    PROVIDER_MISCONFIGURED = "provider_misconfigured"
    ORPHAN_CHARGE = "orphan_charge"
    RECONCILIATION_DRIFT = "reconciliation_drift"
    WEBHOOK_DEAD_LETTER = "webhook_dead_letter"
    MERCHANT_WEBHOOK_FAILING = "merchant_webhook_failing"
    CARD_DATA_REFUSED = "card_data_refused"
    RECORD_UNREADABLE = "record_unreadable"
    JOB_STUCK = "job_stuck"
    CLOCK_SKEW = "clock_skew"
    PROVIDER_ACCOUNT_CHANGED = "provider_account_changed"
    ALERT_CHANNEL_FAILING = "alert_channel_failing"
    AUDIT_TAMPERED = "audit_tampered"
    KEY_ROTATION_DUE = "key_rotation_due"


CONDITIONS: Final = frozenset(
    {
        AlertType.IDEMPOTENCY_UNFINISHED,
        AlertType.AUTHORIZATION_EXPIRING,
        AlertType.ATTEMPT_UNRESOLVED,
        AlertType.LEDGER_MISMATCH,
        AlertType.MERCHANT_WEBHOOK_FAILING,
        AlertType.RECORD_UNREADABLE,
        AlertType.CLOCK_SKEW,
        AlertType.PROVIDER_ACCOUNT_CHANGED,
        AlertType.JOB_STUCK,
        AlertType.ALERT_CHANNEL_FAILING,
        AlertType.RECONCILIATION_DRIFT,
        AlertType.ORPHAN_CHARGE,
        AlertType.AUDIT_TAMPERED,
        AlertType.KEY_ROTATION_DUE,
    }
)
"""What lasts, and is found again by every run that looks. Found in the same words after somebody
acknowledged the alert, a condition is the one that was seen; all else has happened once more.
"""


SAY_AGAIN_AFTER: Final = timedelta(hours=1)
"""How often a condition that stands is counted, though what finds it may look every minute or at
every request: each count is a version of the alert and an entry of the audit log.
"""


class AlertStatus(StrEnum):
    """Whether somebody has seen to it."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class Problem(Recorded, frozen=True, kw_only=True):
    """What an alert says: the same problem, found again, is the same alert."""

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
        return name_of(self.type, self.subject, self.stage)


def name_of(kind: AlertType, subject: Subject, stage: str | None) -> str:
    """What one alert at a time stands under."""
    return f"{kind}:{subject.id}:{stage or ''}"


class Occurrence(Recorded, frozen=True, kw_only=True):
    """A problem as it came up once, written in the commit of the fact that it tells of.

    `alert` is the alert that counts it: an occurrence is counted once, and then stays as it is.
    """

    id: str
    merchant: str
    problem: Problem = msgspec.field(name="concern")  # as it is stored
    at: datetime
    version: int = 1
    alert: str | None = None


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
    problem: Problem = msgspec.field(name="concern")  # as it is stored
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
        return None if self.status is AlertStatus.CLOSED else self.problem.name

    @property
    def subject_id(self) -> str:
        """The id of what it is about."""
        return self.problem.subject.id


def raised(
    problem: Problem, *, alert_id: str, merchant: str, livemode: bool, at: datetime
) -> Alert:
    """A new alert."""
    return Alert(
        id=alert_id,
        merchant=merchant,
        livemode=livemode,
        problem=problem,
        status=AlertStatus.OPEN,
        created_at=at,
        updated_at=at,
        last_at=at,
    )


def found_again(alert: Alert, problem: Problem, at: datetime) -> Alert:
    """The alert, one version on, in the newest words; open again when this is news to whoever
    acknowledged it.
    """
    seen = _same_condition(alert, problem)
    return _next(
        alert,
        at,
        problem=problem,
        status=alert.status if seen else AlertStatus.OPEN,
        acknowledged=alert.acknowledged if seen else None,
        count=alert.count + 1,
        last_at=max(at, alert.last_at),
    )


def has_opened(before: Alert | None, after: Alert) -> bool:
    """Whether the alert is news: it is new, or open again after somebody had acknowledged it."""
    is_open = after.status is AlertStatus.OPEN
    return is_open and (before is None or before.status is not AlertStatus.OPEN)


def said_lately(alert: Alert, problem: Problem, at: datetime) -> bool:
    """Whether the alert has told of the same condition in the hour before, in the same words."""
    return _same_condition(alert, problem) and abs(at - alert.last_at) < SAY_AGAIN_AFTER


def _same_condition(alert: Alert, problem: Problem) -> bool:
    return problem.type in CONDITIONS and problem.message == alert.problem.message


def acknowledged(alert: Alert, by: str, at: datetime, note: str | None) -> Alert:
    """The alert once somebody has seen it; it stands until what it tells of is over."""
    return _next(
        alert,
        at,
        status=AlertStatus.ACKNOWLEDGED,
        acknowledged=Acknowledgement(by, at, note),
    )


def closed(alert: Alert, at: datetime) -> Alert:
    """The alert once its cause is gone; what comes up from then on is another alert."""
    return _next(alert, at, status=AlertStatus.CLOSED)


def _next(alert: Alert, at: datetime, **changes: Any) -> Alert:
    return msgspec.structs.replace(
        alert,
        updated_at=max(at, alert.updated_at),
        version=alert.version + 1,
        **changes,
    )


def counted(occurrence: Occurrence, by: Alert) -> Occurrence:
    """The occurrence once an alert has counted it."""
    assert occurrence.alert is None, "an occurrence is counted once"
    return msgspec.structs.replace(occurrence, alert=by.id, version=occurrence.version + 1)


class AlertNotice(Recorded, frozen=True, kw_only=True):
    """What a channel took of an alert: at which version of the alert it last did, or zero; and how
    often in a row it has not taken the newest, which is tried again from `next_at` on.
    """

    id: str
    merchant: str
    alert: str
    channel: str
    alert_version: int
    at: datetime
    version: int = 1
    failures: int = 0
    next_at: datetime | None = None


FIRST_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(hours=1)
"""How long an alert waits that a channel does not take, while others pass."""


def noticed(alert: Alert, channel: str, at: datetime, before: AlertNotice | None) -> AlertNotice:
    """The notice that a channel has taken the alert now; `before` is its last, if there was one."""
    if before is None:
        return _notice(alert, channel, at)
    return msgspec.structs.replace(
        before,
        alert_version=max(alert.version, before.alert_version),
        at=max(at, before.at),
        version=before.version + 1,
        failures=0,
        next_at=None,
    )


def not_taken(alert: Alert, channel: str, at: datetime, before: AlertNotice | None) -> AlertNotice:
    """The notice that a channel has not taken the alert now: it waits twice as long each time."""
    failures = 1 if before is None else before.failures + 1
    pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
    if before is None:
        fresh = _notice(alert, channel, at)
        return msgspec.structs.replace(
            fresh, alert_version=0, failures=failures, next_at=at + pause
        )
    return msgspec.structs.replace(
        before, version=before.version + 1, failures=failures, next_at=at + pause
    )


def _notice(alert: Alert, channel: str, at: datetime) -> AlertNotice:
    return AlertNotice(
        id=notice_id(alert, channel),
        merchant=alert.merchant,
        alert=alert.id,
        channel=channel,
        alert_version=alert.version,
        at=at,
    )


def notice_id(alert: Alert, channel: str) -> str:
    """The notice of an alert on a channel: one for each pair."""
    return f"{alert.id}:{channel}"
