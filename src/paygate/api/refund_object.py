"""A refund on the wire: as an answer, in a list, and in an event."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from paygate.api.objects import time_text
from paygate.domain.money import major_units
from paygate.domain.refunds.refund import (
    PendingReason,
    Refund,
    RefundReason,
    RefundState,
    RefundStatus,
)


class RefundFailureObject(msgspec.Struct, frozen=True):
    """Why the money did not go back."""

    code: str
    message: str


class ApprovalObject(msgspec.Struct, frozen=True):
    """A second person's word on it."""

    requested_by: str
    decided_by: str | None
    decision: str | None
    expires_at: str


class RefundObject(msgspec.Struct, frozen=True, kw_only=True):
    """A refund. Amounts are integers of the currency's smallest unit."""

    object: Literal["refund"] = "refund"
    id: str
    livemode: bool
    payment_intent: str
    amount: int
    currency: str
    status: RefundStatus
    pending_reason: PendingReason | None
    pending_message: str | None
    notice: str | None
    reason: RefundReason | None
    failure: RefundFailureObject | None
    expected_by: str
    customer_message: str
    approval: ApprovalObject | None
    tracking_reference: str | None
    provider_reference: str | None
    metadata: Mapping[str, str]
    version: int
    created_at: str
    updated_at: str


def refund_object(refund: Refund) -> RefundObject:
    """The refund as clients see it."""
    failure, approval = refund.failure, refund.approval
    return RefundObject(
        id=refund.id,
        livemode=refund.livemode,
        payment_intent=refund.intent,
        amount=refund.amount,
        currency=refund.currency,
        status=refund.status,
        pending_reason=refund.pending_reason,
        pending_message=None if refund.pending_reason is None else refund.message,
        notice=refund.notice,
        reason=refund.reason,
        failure=None if failure is None else RefundFailureObject(failure.code, failure.message),
        expected_by=refund.expected_by.isoformat(),
        customer_message=_customer_message(refund),
        approval=None
        if approval is None
        else ApprovalObject(
            approval.requested_by,
            approval.decided_by,
            approval.decision,
            time_text(approval.expires_at),
        ),
        tracking_reference=refund.tracking_reference,
        provider_reference=refund.provider_reference,
        metadata=refund.metadata,
        version=refund.version,
        created_at=time_text(refund.created_at),
        updated_at=time_text(refund.updated_at),
    )


def _customer_message(refund: Refund) -> str:
    """What the payer may be told, in plain words."""
    amount = major_units(refund.amount, refund.currency)
    match refund.status:
        case RefundStatus.FAILED:
            return f"The refund of {amount} did not go through. We will find another way."
        case RefundStatus.PENDING if refund.state is RefundState.AWAITING_APPROVAL:
            return f"We are looking into the refund of {amount}."
        case RefundStatus.PENDING:
            return f"We are refunding {amount}. Your bank should show it by {_day(refund)}."
        case _:
            return f"We have refunded {amount}. Your bank shows it by {_day(refund)}."


def _day(refund: Refund) -> str:
    day = refund.expected_by
    return f"{day:%B} {day.day}, {day.year}"
