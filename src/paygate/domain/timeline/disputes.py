"""What became of a payment's disputes, from their events and records."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeKind, DisputeStatus
from paygate.domain.event import Event
from paygate.domain.timeline.entry import Cause, Entry, Kind
from paygate.domain.timeline.words import money

BECAME: Final[Mapping[DisputeStatus, str]] = MappingProxyType(
    {
        DisputeStatus.WARNING_NEEDS_RESPONSE: "waits for an answer",
        DisputeStatus.WARNING_UNDER_REVIEW: "is under review",
        DisputeStatus.WARNING_CLOSED: "was closed, and nothing was taken",
        DisputeStatus.NEEDS_RESPONSE: "waits for evidence",
        DisputeStatus.UNDER_REVIEW: "is under review",
        DisputeStatus.WON: "was won",
        DisputeStatus.LOST: "was lost",
        DisputeStatus.PREVENTED: "was prevented, and nothing was taken",
    }
)


def disputes(disputed: Iterable[Dispute], events: Iterable[Event]) -> list[Entry]:
    """How each dispute went from status to status, by its events; of one whose events are not kept,
    how it stands.
    """
    entries: list[Entry] = []
    last: dict[str, DisputeStatus] = {}
    for event in sorted(events, key=lambda each: (each.object_version, each.id)):
        then = event.record
        if isinstance(then, Dispute):
            entries.append(_became(then, event, last.get(then.id)))
            last[then.id] = then.status
    return entries + [_as_it_stands(each) for each in disputed if each.id not in last]


def _became(dispute: Dispute, event: Event, before: DisputeStatus | None) -> Entry:
    return Entry(
        at=event.created_at,
        kind=Kind.DISPUTE,
        cause=Cause.BECAME,
        summary=f"{_words(dispute, event.type, before)}.",
        request_id=event.request_id,
        before=None if before is None else str(before),
        after=str(dispute.status),
        provider_reference=dispute.provider_reference,
        outcome=event.type.removeprefix("dispute."),
        amount=dispute.amount,
        currency=dispute.currency,
        details={
            "dispute": dispute.id,
            "event": event.id,
            "kind": str(dispute.kind),
            "reason": str(dispute.reason),
            "network_reason_code": dispute.network_reason_code,
            "evidence_due_by": _time(dispute.evidence_due_by),
            "submission_count": dispute.submission_count,
        },
    )


def _words(dispute: Dispute, type_: str, before: DisputeStatus | None) -> str:
    amount = money(dispute.amount, dispute.currency)
    if type_ == "dispute.created":
        asks = dispute.kind is DisputeKind.INQUIRY
        what = f"The payer's bank {'asks about' if asks else 'disputes'} {amount}"
        code = f", code {dispute.network_reason_code}" if dispute.network_reason_code else ""
        reason = f"{dispute.reason.replace('_', ' ')}{code}"
        due = dispute.evidence_due_by
        until = "" if due is None else f"; an answer is due by {due:%Y-%m-%d %H:%M} UTC"
        return f"{what}: {reason}{until}"
    if before is dispute.status:
        return f"The dispute of {amount} has news, and {BECAME[dispute.status]}"
    return f"The dispute of {amount} {BECAME[dispute.status]}"


def _as_it_stands(dispute: Dispute) -> Entry:
    return Entry(
        at=dispute.created_at,
        kind=Kind.DISPUTE,
        cause=Cause.BECAME,
        summary=f"The payer's bank disputed {money(dispute.amount, dispute.currency)}; the dispute"
        f" {BECAME[dispute.status]}, since {dispute.updated_at:%Y-%m-%d %H:%M} UTC.",
        after=str(dispute.status),
        provider_reference=dispute.provider_reference,
        amount=dispute.amount,
        currency=dispute.currency,
        details={"dispute": dispute.id},
    )


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
