"""What of ours a line of a settlement can be for: a payment, a refund or a dispute, as far as its
money goes.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

import msgspec

from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import MoneyRow
from paygate.domain.payments.outcome import Card, PaymentMethod
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.domain.settlements.line import FactKind

_PAID: Final = frozenset({RefundState.PENDING, RefundState.SUCCEEDED})
"""Refunds that the provider has: it books one when it takes it, before the payer has it."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One record of ours, by what its lines must come to. `amount` in smallest units of `currency`,
    and never signed: what a payment took, a refund gives back, a dispute is about.
    """

    kind: FactKind
    id: str
    merchant: str
    payment_intent: str
    amount: int
    currency: str
    settles: bool
    """Whether the provider moved money for it, by our records."""
    provider_reference: str | None
    changed_at: datetime
    """When our record last changed: a payment's, since it came to its end."""
    returned: bool = False
    """It is a refund that failed: what left the balance for it comes back."""
    rows: tuple[MoneyRow, ...] = ()
    """Of a dispute: what the provider booked for it."""
    method: str | None = None
    """What a payment was made with, `card` or `bank_transfer`."""
    brand: str | None = None
    """Of its card."""
    reference: str | None = None
    """Of a payment: the merchant's own."""

    @property
    def refund(self) -> str | None:
        """Our id of the refund, where it is one."""
        return self.id if self.kind is FactKind.REFUND else None

    @property
    def dispute(self) -> str | None:
        """Our id of the dispute, where it is one."""
        return self.id if self.kind is FactKind.DISPUTE else None


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Our records that a page of lines may be about, and whose marks are ours.

    `lines_of` names the lines that are stored already, by the id of the fact that each settles.
    Pages that are read side by side do not see each other: who concludes a settlement asks once
    more for facts that have several lines.
    """

    account: str
    """The merchant whose the provider's account is."""
    installation: str
    exclusive: bool = False
    """Whether nobody else uses the account."""
    payments: Mapping[str, Fact] = msgspec.field(default_factory=dict)
    """By the provider's id of the payment."""
    refunds: Mapping[str, Fact] = msgspec.field(default_factory=dict)
    """By the provider's id of the refund."""
    disputes: Mapping[str, Fact] = msgspec.field(default_factory=dict)
    """By the provider's id of the dispute."""
    marked: Mapping[str, Fact] = msgspec.field(default_factory=dict)
    """By our own mark on the provider's object: an attempt's id, or a refund's."""
    lines_of: Mapping[str, Collection[str]] = msgspec.field(default_factory=dict)


def of_payment(intent: PaymentIntent) -> Fact:
    """What lines of a payment are held against."""
    method, brand = _shown(intent.payment_method)
    return Fact(
        kind=FactKind.PAYMENT,
        id=intent.id,
        merchant=intent.merchant,
        payment_intent=intent.id,
        amount=intent.amount_received,
        currency=intent.currency,
        settles=intent.amount_received > 0,
        provider_reference=intent.provider_reference,
        changed_at=intent.final_at or intent.updated_at,
        method=method,
        brand=brand,
        reference=intent.reference,
    )


def of_refund(refund: Refund) -> Fact:
    """What lines of a refund are held against."""
    return Fact(
        kind=FactKind.REFUND,
        id=refund.id,
        merchant=refund.merchant,
        payment_intent=refund.intent,
        amount=refund.amount,
        currency=refund.currency,
        settles=refund.state in _PAID,
        provider_reference=refund.provider_reference,
        changed_at=refund.updated_at,
        returned=refund.state is RefundState.FAILED,
    )


def of_dispute(dispute: Dispute) -> Fact:
    """What lines of a dispute are held against: the rows that are booked for it."""
    return Fact(
        kind=FactKind.DISPUTE,
        id=dispute.id,
        merchant=dispute.merchant,
        payment_intent=dispute.intent,
        amount=dispute.amount,
        currency=dispute.currency,
        settles=bool(dispute.rows),
        provider_reference=dispute.provider_reference,
        changed_at=dispute.updated_at,
        rows=dispute.rows,
    )


def _shown(method: PaymentMethod | None) -> tuple[str | None, str | None]:
    match method:
        case None:
            return None, None
        case Card():
            return "card", method.brand
        case _:
            return "bank_transfer", None
