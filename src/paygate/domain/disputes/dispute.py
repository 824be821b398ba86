"""A dispute: captured money that the payer's bank asks about, or has taken. Several to a payment.

It is made at the provider, and the provider decides it: `MOVES` says what may follow what, and the
schema holds it too. Its money is the sum of the provider's own rows, each known by its id, in the
currency that the provider keeps the merchant's balance in.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from paygate.domain.disputes.outcome import (
    Compliance,
    ComplianceNetwork,
    DisputeKind,
    DisputeReason,
    DisputeStatus,
    EvidenceRefusal,
    MoneyRow,
)
from paygate.domain.money import Currency
from paygate.domain.record import Recorded

_S: Final = DisputeStatus
_INQUIRIES: Final = frozenset(
    {_S.WARNING_NEEDS_RESPONSE, _S.WARNING_UNDER_REVIEW, _S.WARNING_CLOSED}
)
"""The bank only asks: no money moves."""
NEEDS_RESPONSE: Final = frozenset({_S.WARNING_NEEDS_RESPONSE, _S.NEEDS_RESPONSE})
"""Evidence is waited for."""
OPEN: Final = NEEDS_RESPONSE | {_S.WARNING_UNDER_REVIEW, _S.UNDER_REVIEW}
"""Nobody has decided yet."""

_ALL: Final = frozenset(DisputeStatus)
MOVES: Final[Mapping[DisputeStatus, frozenset[DisputeStatus]]] = MappingProxyType(
    {
        # An inquiry escalates at any time, the same dispute; a chargeback never becomes an inquiry.
        **dict.fromkeys(_INQUIRIES, _ALL),
        # A bank may think again: what was won can still be lost, and what was lost be won.
        **dict.fromkeys(_ALL - _INQUIRIES, _ALL - _INQUIRIES),
    }
)
"""Where a dispute may go. Back from its end it goes by the provider's newest word alone, which was
asked for (`conclusion.py`)."""


class DisputeOperation(StrEnum):
    """An order of ours to the provider whose answer is still to come."""

    SUBMIT = "submit"
    ACCEPT = "accept"


class EvidenceFile(Recorded, frozen=True, kw_only=True):
    """A file that is staged for an evidence field: what it is, never its content."""

    field: str
    id: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str
    """Of the content, in hexadecimal."""
    pages: int = 1
    """An image is one."""
    provider_reference: str | None = None
    """The provider's id of the file, once it was uploaded there: it is not sent again."""


class DisputeOrder(Recorded, frozen=True, kw_only=True):
    """The order that `pending_operation` names, or that was the last to be under way."""

    number: int
    """The dispute's version when the order was given: the provider's keys are made from it."""
    begun_at: datetime
    claim: str | None = None
    """The claim of the request that gave the order, under its idempotency key."""
    expected_count: int = 0
    """The provider's count of submissions when the order was given: a higher one means that
    evidence was submitted."""
    fees_acknowledged: tuple[ComplianceNetwork, ...] = ()
    tries: int = 0
    """How many keys it was sent under. A second one is used only when the provider was looked at
    long after the last call, and nothing had come of it."""
    last_sent_at: datetime | None = None
    """None: only files were sent so far, if anything."""


class Sums(msgspec.Struct, frozen=True):
    """What the rows of one currency come to, in its smallest unit."""

    withdrawn: int = 0
    reinstated: int = 0
    fee: int = 0
    """What was charged, less what was given back."""

    @property
    def outstanding(self) -> int:
        """What was withdrawn and is not back; below zero when more came back than had left."""
        return self.withdrawn - self.reinstated


class Dispute(Recorded, frozen=True, kw_only=True):
    """Sealed like everything here. `amount` is what is disputed, in smallest units of `currency`,
    which is not always the payment's.
    """

    id: str
    merchant: str
    livemode: bool
    intent: str
    kind: DisputeKind
    status: DisputeStatus
    reason: DisputeReason
    amount: int
    currency: Currency
    provider_reference: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    provider_reason: str | None = None
    """The provider's own word for the reason."""
    network_reason_code: str | None = None
    case_type: str | None = None
    compliance: tuple[Compliance, ...] = ()
    refundable: bool = False
    """Whether the provider would refund the payment, as far as this dispute goes."""
    unfamiliar_status: str | None = None
    """The provider's newest word for the status, when it is one that means nothing here."""
    provider_created_at: datetime | None = None
    provider_as_of: datetime | None = None
    """The provider's time of the newest fact applied; older facts move nothing."""
    closed_at: datetime | None = None
    rows: tuple[MoneyRow, ...] = ()
    """The provider's movements of money, in the order in which they were booked here."""
    evidence_due_by: datetime | None = None
    """None: no response is possible, or no deadline is told."""
    past_due: bool = False
    """The last evidence came late, and may not have been delivered."""
    texts: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Evidence staged here, by the provider's field names."""
    files: tuple[EvidenceFile, ...] = ()
    staged_at: datetime | None = None
    """When evidence was last staged here."""
    submitted_at: datetime | None = None
    """When we came to know that evidence was submitted, by whomever."""
    submission_count: int = 0
    """How often evidence was submitted, by the provider's count."""
    refusals: tuple[EvidenceRefusal, ...] = ()
    """What the provider did not take of the evidence when it was last submitted."""
    pending_operation: DisputeOperation | None = None
    order: DisputeOrder | None = None
    answered_before: int = 0
    """How often the inquiry was answered that it was: a chargeback is answered anew."""

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided yet."""
        return self.status in OPEN

    @property
    def is_answered(self) -> bool:
        """Whether evidence was submitted, by whomever, for what the dispute now is."""
        return self.submission_count > self.answered_before

    @property
    def blocks_refunds(self) -> bool:
        """Whether a refund could give the same money back twice: an open chargeback, unless the
        provider would refund it and has withdrawn nothing; of an inquiry, the provider's word.
        """
        if not self.is_open:
            return False
        if self.kind is DisputeKind.INQUIRY:
            return not self.refundable
        taken = any(sums.withdrawn for sums in self.sums.values())
        return taken or not self.refundable

    @property
    def is_watched(self) -> bool:
        """Whether the provider is still asked about it: it is open, or was won and its money is not
        back.
        """
        return self.is_open or self.lacks_money

    @property
    def lacks_money(self) -> bool:
        """Whether it was won, and money that it had withdrawn has not come back at all."""
        sums = self.sums.values()
        left, back = any(each.withdrawn for each in sums), any(each.reinstated for each in sums)
        return self.status is DisputeStatus.WON and left and not back

    @property
    def answer_due_at(self) -> datetime | None:
        """The deadline, while evidence is waited for and none was submitted."""
        waits = self.status in NEEDS_RESPONSE and not self.is_answered
        return self.evidence_due_by if waits else None

    @property
    def sums(self) -> dict[Currency, Sums]:
        """What its rows come to, by currency, that of the first row first."""
        totals: dict[Currency, Sums] = {}
        for row in self.rows:
            currency = Currency(row.currency)
            so_far = totals.get(currency, Sums())
            totals[currency] = Sums(
                so_far.withdrawn + max(0, -row.amount),
                so_far.reinstated + max(0, row.amount),
                so_far.fee + row.fee,
            )
        return totals


class IllegalDisputeMove(Exception):
    """The dispute cannot become that."""


def move(dispute: Dispute, at: datetime, **changes: Any) -> Dispute:
    """The dispute one version on, with `changes`; a new status says when it came to its end.

    Raises:
        IllegalDisputeMove: the status does not follow.
    """
    status = changes.get("status", dispute.status)
    if status not in MOVES[dispute.status]:
        raise IllegalDisputeMove(f"a dispute that is {dispute.status} cannot become {status}")
    at = max(at, dispute.updated_at)
    closed_at = None if status in OPEN else dispute.closed_at or at
    return msgspec.structs.replace(
        dispute, version=dispute.version + 1, updated_at=at, closed_at=closed_at, **changes
    )


def without_evidence(dispute: Dispute) -> Dispute:
    """The same dispute as far as nobody's evidence is concerned: without what was staged for it,
    and what the provider said of that.
    """
    return msgspec.structs.replace(dispute, texts={}, files=(), refusals=())
