"""A dispute on the wire: as an answer, in a list, and in an event."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from paygate.api.objects import time_text
from paygate.domain.disputes.dispute import Dispute, DisputeOperation
from paygate.domain.disputes.evidence import missing
from paygate.domain.disputes.outcome import DisputeKind, DisputeReason, DisputeStatus


class EvidenceFileObject(msgspec.Struct, frozen=True):
    """A file that is staged for an evidence field."""

    field: str
    id: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str


class EvidenceRefusalObject(msgspec.Struct, frozen=True):
    """What the provider did not take, of one field or of all evidence (null)."""

    field: str | None
    message: str


class EvidenceObject(msgspec.Struct, frozen=True, kw_only=True):
    """What is said against the dispute: staged here, and submitted."""

    texts: Mapping[str, str]
    files: tuple[EvidenceFileObject, ...]
    missing: tuple[str, ...]
    """What evidence against the reason usually has, and that is not here."""
    staged_at: str | None
    submitted_at: str | None
    submission_count: int
    refusals: tuple[EvidenceRefusalObject, ...]


class DisputeMoneyObject(msgspec.Struct, frozen=True):
    """What the provider booked for the dispute, in one currency of the merchant's balance there."""

    withdrawn: int
    reinstated: int
    fee: int
    currency: str


class DisputeObject(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute. Amounts are integers of the currency's smallest unit."""

    object: Literal["dispute"] = "dispute"
    id: str
    livemode: bool
    payment_intent: str
    kind: DisputeKind
    status: DisputeStatus
    amount: int
    currency: str
    reason: DisputeReason
    network_reason_code: str | None
    refundable: bool
    evidence_due_by: str | None
    past_due: bool
    pending_operation: DisputeOperation | None
    evidence: EvidenceObject
    money: DisputeMoneyObject
    money_in_other_currencies: tuple[DisputeMoneyObject, ...]
    provider_reference: str
    version: int
    created_at: str
    updated_at: str
    closed_at: str | None


def dispute_object(dispute: Dispute) -> DisputeObject:
    """The dispute as clients see it."""
    due, closed = dispute.evidence_due_by, dispute.closed_at
    first, *others = _money(dispute) or (DisputeMoneyObject(0, 0, 0, dispute.currency),)
    return DisputeObject(
        id=dispute.id,
        livemode=dispute.livemode,
        payment_intent=dispute.intent,
        kind=dispute.kind,
        status=dispute.status,
        amount=dispute.amount,
        currency=dispute.currency,
        reason=dispute.reason,
        network_reason_code=dispute.network_reason_code,
        refundable=dispute.refundable,
        evidence_due_by=None if due is None else time_text(due),
        past_due=dispute.past_due,
        pending_operation=dispute.pending_operation,
        evidence=_evidence(dispute),
        money=first,
        money_in_other_currencies=tuple(others),
        provider_reference=dispute.provider_reference,
        version=dispute.version,
        created_at=time_text(dispute.created_at),
        updated_at=time_text(dispute.updated_at),
        closed_at=None if closed is None else time_text(closed),
    )


def _money(dispute: Dispute) -> tuple[DisputeMoneyObject, ...]:
    return tuple(
        DisputeMoneyObject(sums.withdrawn, sums.reinstated, sums.fee, currency)
        for currency, sums in dispute.sums.items()
    )


def _evidence(dispute: Dispute) -> EvidenceObject:
    staged, submitted = dispute.staged_at, dispute.submitted_at
    return EvidenceObject(
        texts=dispute.texts,
        files=tuple(
            EvidenceFileObject(
                file.field, file.id, file.name, file.content_type, file.size_bytes, file.sha256
            )
            for file in dispute.files
        ),
        missing=missing(dispute.reason, {*dispute.texts, *(f.field for f in dispute.files)}),
        staged_at=None if staged is None else time_text(staged),
        submitted_at=None if submitted is None else time_text(submitted),
        submission_count=dispute.submission_count,
        refusals=tuple(
            EvidenceRefusalObject(refusal.field, refusal.message) for refusal in dispute.refusals
        ),
    )
