"""What a provider says of disputes, and recorded ones, as values."""

from datetime import datetime, timedelta
from typing import Any

from paygate.domain.disputes.conclusion import (
    DisputeMoved,
    DisputeUnmoved,
    conclude_dispute,
    record,
)
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import (
    Disputed,
    DisputeKind,
    DisputeReason,
    DisputeStatus,
    MoneyRow,
    RowKind,
)
from paygate.domain.money import Currency
from paygate.domain.payments.payment_intent import PaymentIntent
from tests.domain.refunds.made import NOW
from tests.making import new_id

DUE = NOW + timedelta(days=8)
INQUIRIES = ("warning_needs_response", "warning_under_review", "warning_closed")


def said(status: str = "needs_response", *rows: MoneyRow, **more: Any) -> Disputed:
    """A dispute of 1999 eur, as the provider shows it."""
    inquiry = status in INQUIRIES
    known: dict[str, Any] = {
        "kind": DisputeKind.INQUIRY if inquiry else DisputeKind.CHARGEBACK,
        "reason": DisputeReason.FRAUDULENT,
        "amount": 1999,
        "currency": "eur",
        "refundable": inquiry,
        "created_at": NOW,
        "evidence_due_by": DUE,
        "past_due": False,
        "submission_count": 0,
        "has_evidence": False,
    }
    return Disputed(status=DisputeStatus(status), rows=rows, **(known | more))


def row(name: str, amount: int, fee: int = 0, currency: str = "eur") -> MoneyRow:
    """A row of the provider's."""
    kind = RowKind.WITHDRAWN if amount < 0 else RowKind.REINSTATED if amount else RowKind.OTHER
    return MoneyRow(provider_reference=name, kind=kind, amount=amount, fee=fee, currency=currency)


TAKEN = row("txn_1", -1999, 1500)
BACK = row("txn_2", 1999)


def a_dispute(intent: PaymentIntent, told: Disputed, **more: Any) -> Dispute:
    """The first version of a dispute, without its money."""
    return Dispute(
        id=new_id("dispute"),
        merchant=intent.merchant,
        livemode=False,
        intent=intent.id,
        kind=told.kind,
        status=told.status,
        reason=told.reason,
        amount=told.amount,
        currency=Currency(told.currency),
        provider_reference="du_1",
        created_at=NOW,
        updated_at=NOW,
        refundable=told.refundable,
        evidence_due_by=told.evidence_due_by,
        provider_as_of=NOW,
        submission_count=told.submission_count,
        **more,
    )


def recorded(intent: PaymentIntent, told: Disputed) -> tuple[PaymentIntent, Dispute]:
    """The records once all of what was told is applied."""
    moved = record(intent, a_dispute(intent, told), told.rows)
    assert isinstance(moved, DisputeMoved)
    return applied(moved.intent, moved.dispute, told)[:2]


def applied(
    intent: PaymentIntent,
    dispute: Dispute,
    told: Disputed,
    as_of: datetime | None = NOW + timedelta(hours=1),
    *,
    fetched: bool = False,
) -> tuple[PaymentIntent, Dispute, DisputeUnmoved]:
    """The records once an answer was applied until nothing moved; and why nothing more did."""
    at = max(NOW, as_of or NOW)
    while True:
        moved = conclude_dispute(intent, dispute, told, as_of, at, fetched=fetched)
        if not isinstance(moved, DisputeMoved):
            return intent, dispute, moved
        assert moved.dispute.version == dispute.version + 1
        intent, dispute = moved.intent, moved.dispute
