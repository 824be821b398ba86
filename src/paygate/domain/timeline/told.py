"""What was heard of a payment from the provider, and what merchants and people were told of it."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.event import Event
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.domain.reconciliation.finding import Finding, FindingAction
from paygate.domain.timeline.entry import Cause, Detail, Entry, Kind
from paygate.domain.webhooks.delivery import Delivery, DeliveryStatus

VERDICTS: Final[Mapping[EventStatus, str]] = MappingProxyType(
    {
        EventStatus.RECEIVED: "it waits to be applied",
        EventStatus.PARKED: "it waits until what it is about is known here",
        EventStatus.PROCESSED: "applied",
        EventStatus.IGNORED: "nothing was to be done",
        EventStatus.STALE: "older than what was known already",
        EventStatus.DEAD_LETTER: "it could not be applied, and a person must look",
    }
)

_PLAINLY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "already_settled": "though nothing was left to do",
        "nothing_new": "though it was known already",
        "older_than_applied": "though something newer was known",
    }
)
"""Verdicts in the words of somebody who has not read the docs."""


def provider_events(received: Iterable[ProviderEvent], provider: str) -> list[Entry]:
    """What the provider told, and what became of that."""
    return [_heard(each, provider) for each in received]


def _heard(event: ProviderEvent, provider: str) -> Entry:
    return Entry(
        at=event.received_at,
        kind=Kind.PROVIDER_EVENT,
        cause=Cause.ASKED,
        summary=f"{provider} told {event.type}: {VERDICTS[event.status]}"
        f"{_verdict(event)}{_again(event)}.",
        actor=provider,
        request_id=event.id,
        provider_reference=event.provider_reference,
        outcome=event.verdict or str(event.status),
        details={
            "provider_event": event.id,
            "status": str(event.status),
            "provider_created_at": event.provider_created_at.isoformat(),
            "attempts": event.attempts,
            "duplicates": event.duplicates,
            "last_error": event.last_error,
        },
    )


def _verdict(event: ProviderEvent) -> str:
    if event.verdict is None or event.verdict == "applied":
        return ""
    return f", {_PLAINLY.get(event.verdict, event.verdict.replace('_', ' '))}"


def _again(event: ProviderEvent) -> str:
    if not event.duplicates:
        return ""
    return f"; told {event.duplicates + 1} times"


def webhooks(delivered: Iterable[Delivery], events: Iterable[Event]) -> list[Entry]:
    """What the merchant's own servers were told, and whether they took it."""
    types = {event.id: event.type for event in events}
    ordered = sorted(delivered, key=lambda each: each.event)
    return [_told(each, types.get(each.event, "an event")) for each in ordered]


def _told(delivery: Delivery, type_: str) -> Entry:
    last = delivery.attempts[-1] if delivery.attempts else None
    answered = None if last is None else last.status_code or last.error
    return Entry(
        at=delivery.created_at if last is None else last.at,
        kind=Kind.WEBHOOK,
        cause=Cause.TOLD,
        summary=f"{_delivered(delivery, type_)}.",
        outcome=str(delivery.status),
        details={
            "delivery": delivery.id,
            "endpoint": delivery.endpoint,
            "event": delivery.event,
            "type": type_,
            "attempts": len(delivery.attempts),
            "answered": answered,
            "next_attempt_at": None
            if delivery.next_attempt_at is None
            else delivery.next_attempt_at.isoformat(),
            "failure": delivery.failure,
        },
    )


def _delivered(delivery: Delivery, type_: str) -> str:
    tries = len(delivery.attempts)
    last = delivery.attempts[-1] if delivery.attempts else None
    said = "" if last is None else f" ({last.status_code or last.error})"
    times = "" if tries < 2 else f" after {tries} attempts"  # noqa: PLR2004 -- the plural
    match delivery.status:
        case DeliveryStatus.DELIVERED:
            return f"The webhook {type_} was delivered to {delivery.endpoint}{times}"
        case DeliveryStatus.FAILED:
            return f"The webhook {type_} was given up at {delivery.endpoint}{said}{times}"
        case DeliveryStatus.PENDING if last is None:
            return f"The webhook {type_} is on its way to {delivery.endpoint}"
        case DeliveryStatus.PENDING:
            again = f"{delivery.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC"
            return f"The webhook {type_} fails at {delivery.endpoint}{said}; next try at {again}"


def alerts(raised: Iterable[Alert]) -> list[Entry]:
    """What people were told to look at, and who did."""
    return [entry for each in raised for entry in _alert(each)]


def _alert(alert: Alert) -> list[Entry]:
    problem = alert.problem
    details: Mapping[str, Detail] = {
        "alert": alert.id,
        "type": str(problem.type),
        "severity": problem.severity,
        "count": alert.count,
        "what_to_do": problem.what_to_do,
    }
    times = f" ({alert.count} times)" if alert.count > 1 else ""
    entries = [
        Entry(
            at=alert.created_at,
            kind=Kind.ALERT,
            cause=Cause.TOLD,
            summary=f"Alert, {problem.severity}: {problem.message.rstrip('.')}{times}.",
            outcome=str(alert.status),
            details=details,
        )
    ]
    if (seen := alert.acknowledged) is not None:
        note = "" if seen.note is None else f": {seen.note}"
        entries.append(
            Entry(
                at=seen.at,
                kind=Kind.ALERT,
                cause=Cause.TOLD,
                summary=f"{seen.by} has seen the alert {problem.type}{note}.",
                actor=seen.by,
                outcome=str(AlertStatus.ACKNOWLEDGED),
                details=details,
            )
        )
    if alert.status is AlertStatus.CLOSED:
        entries.append(
            Entry(
                at=alert.updated_at,
                kind=Kind.ALERT,
                cause=Cause.TOLD,
                summary=f"The alert {problem.type} was closed: its cause is gone.",
                outcome=str(AlertStatus.CLOSED),
                details=details,
            )
        )
    return entries


def findings(found: Iterable[Finding]) -> list[Entry]:
    """What the reconciliation found of the payment."""
    return [_finding(each) for each in found]


def _finding(found: Finding) -> Entry:
    done = {
        FindingAction.HEALED: "and was put right",
        FindingAction.HELD: "and waits for a person",
    }
    return Entry(
        at=found.created_at,
        kind=Kind.SWEEP,
        cause=Cause.TOLD,
        summary=f"The reconciliation found a difference in {found.kind}, {done[found.action]}:"
        f" {found.reason.rstrip('.').replace('_', ' ')}.",
        actor="reconcile-provider",
        provider_reference=found.provider_reference,
        outcome=str(found.action),
        details={
            "reconciliation": found.reconciliation,
            "finding": found.id,
            **{f"ours_{name}": value for name, value in found.ours.items()},
            **{f"theirs_{name}": value for name, value in found.theirs.items()},
        },
    )
