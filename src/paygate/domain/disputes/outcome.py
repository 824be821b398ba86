"""What a provider's answer about a dispute means, as a closed union, and the words of disputes.

`NotSent` and `Unknown` are those of payments: certain that nothing began, and everything that is
not certain.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.domain.record import Recorded


class DisputeKind(StrEnum):
    """Whether the bank only asks, or has taken the money."""

    INQUIRY = "inquiry"
    CHARGEBACK = "chargeback"


class DisputeStatus(StrEnum):
    """How a dispute stands at the provider. The `warning_` ones are an inquiry's."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_UNDER_REVIEW = "warning_under_review"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    PREVENTED = "prevented"
    """Settled with the payer before it became a dispute; no money moved for it."""


class DisputeReason(StrEnum):
    """Why the payer disputes, in one vocabulary for all networks and providers."""

    BANK_CANNOT_PROCESS = "bank_cannot_process"
    CHECK_RETURNED = "check_returned"
    CREDIT_NOT_PROCESSED = "credit_not_processed"
    CUSTOMER_INITIATED = "customer_initiated"
    DEBIT_NOT_AUTHORIZED = "debit_not_authorized"
    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    GENERAL = "general"
    """None of the others, or one in a word that is not known here: `Disputed.provider_reason`."""
    INCORRECT_ACCOUNT_DETAILS = "incorrect_account_details"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NONCOMPLIANT = "noncompliant"
    PRODUCT_NOT_RECEIVED = "product_not_received"
    PRODUCT_UNACCEPTABLE = "product_unacceptable"
    SUBSCRIPTION_CANCELED = "subscription_canceled"
    UNRECOGNIZED = "unrecognized"


class ComplianceNetwork(StrEnum):
    """A card network that decides compliance cases, at a large fee of its own."""

    VISA = "visa"
    MASTERCARD = "mastercard"


class Compliance(Recorded, frozen=True):
    """The dispute is a compliance case of a network: evidence is taken only once the merchant has
    acknowledged its fee (`EvidenceOrder.fees_acknowledged`), which comes back when they win.
    """

    network: ComplianceNetwork
    fee_acknowledged: bool


class RowKind(StrEnum):
    """What a row of money does, by the provider's own type and category of it."""

    WITHDRAWN = "withdrawn"
    """What is disputed leaves: `amount` is negative."""
    REINSTATED = "reinstated"
    """What was withdrawn comes back: `amount` is positive."""
    OTHER = "other"
    """Neither: a fee of its own has `amount` 0 and its `fee`; whatever else moves has its amount,
    and is booked by its sign.
    """


class MoneyRow(Recorded, frozen=True, kw_only=True):
    """Money that moved on the merchant's balance because of a dispute: `amount - fee` altogether.

    In smallest units of `currency`, which is what the balance is kept in: the dispute's own may be
    another. A row never changes, and is known by its `provider_reference`.
    """

    provider_reference: str
    kind: RowKind
    amount: int
    """Signed: negative when it leaves the merchant. Never holds the fee."""
    fee: int
    """Signed: positive when the merchant pays it, negative when it is given back."""
    currency: str
    created_at: datetime | None = None


class Disputed(msgspec.Struct, frozen=True, kw_only=True, tag="disputed"):
    """A dispute, whole, as the provider says that it stands."""

    kind: DisputeKind
    status: DisputeStatus
    reason: DisputeReason
    amount: int
    """What is disputed, in smallest units of `currency`; not always the payment's."""
    currency: str
    refundable: bool
    """Whether the provider would refund the charge just now, as far as this dispute goes."""
    created_at: datetime
    """When the provider made it, by its own clock."""
    evidence_due_by: datetime | None
    """None: no response is possible, or no deadline is told."""
    past_due: bool
    """The last evidence came late, and may not have been delivered. It says nothing of a deadline
    that passed with none.
    """
    submission_count: int
    """How often evidence was submitted, by whomever."""
    has_evidence: bool
    """Whether the provider holds evidence, submitted or not."""
    provider_reason: str | None = None
    """The provider's own word for the reason."""
    network_reason_code: str | None = None
    """The card network's code, or another scheme's; as `10.4` or `4853`."""
    case_type: str | None = None
    """The provider's word for the kind of case, where the payment method has such."""
    compliance: tuple[Compliance, ...] = ()
    rows: tuple[MoneyRow, ...] = ()
    """Every movement of money so far, in no order: none, one or several."""


class DisputeUnfamiliar(msgspec.Struct, frozen=True, tag="unfamiliar"):
    """The provider shows the dispute with a status that this version does not know. It changes
    nothing here, and a person must look.
    """

    status: str


class EvidenceRefusal(Recorded, frozen=True):
    """What the provider does not take of the evidence. `field` is the evidence field's name, or
    None when it is about all of it.
    """

    field: str | None
    message: str


class RejectionCode(StrEnum):
    """Why the provider does not do what was ordered; nothing was done."""

    EVIDENCE_REFUSED = "evidence_refused"
    """`DisputeRejected.refusals` says which fields, and why."""
    FILE_REFUSED = "file_refused"
    ALREADY_SUBMITTED = "already_submitted"
    """The submission count is not the expected one: somebody else has answered, or we had."""
    DISPUTE_CLOSED = "dispute_closed"
    FEE_NOT_ACKNOWLEDGED = "fee_not_acknowledged"
    PROVIDER_CONFIGURATION = "provider_configuration"
    """Our key is refused, which tells nothing of an earlier call."""
    ORDER_REFUSED = "order_refused"


class DisputeRejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The provider did not do what this call ordered. The message is fit for the merchant."""

    code: RejectionCode
    message: str
    refusals: tuple[EvidenceRefusal, ...] = ()
    stands: Disputed | None = None
    """How the dispute stands, where that is what is in the way and it was looked at."""


DisputeOutcome = Disputed | DisputeUnfamiliar | DisputeRejected | NotSent | Unknown
"""Handled with `match` and `assert_never`."""


class DisputeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome, with whose dispute it is. An answer without `provider_reference` is of a call
    that told nothing of the dispute.
    """

    outcome: DisputeOutcome
    provider_reference: str | None = None
    """The provider's id of the dispute."""
    payment_reference: str | None = None
    """The provider's id of the disputed payment; an event may leave it out, a look-up does not."""
    charge_reference: str | None = None
    """The provider's id of the charge, by which disputes are linked where the payment's is not
    told.
    """
    as_of: datetime | None = None
    """The provider's own clock: the answer's `Date`, or the event's `created`; None when the answer
    shows the dispute as it was at an earlier time.
    """
    livemode: bool | None = None
    attempt: str | None = None
    """Our mark on the disputed charge, where the answer shows it: an event does not."""
    installation: str | None = None
    merchant: str | None = None
    intent: str | None = None


class FileUploaded(msgspec.Struct, frozen=True, tag="uploaded"):
    """The provider has the file, under its own id."""

    provider_reference: str


FileOutcome = FileUploaded | DisputeRejected | NotSent | Unknown
"""What became of an upload."""


class FraudWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A card's bank takes a charge for fraud, before anybody disputes it.

    The `charge_` fields are known where the charge was looked at: by a look-up, not by an event.
    """

    provider_reference: str
    fraud_type: str
    """The bank's word, as the provider has it: `made_with_stolen_card` for one."""
    actionable: bool
    """Whether a refund may still spare a dispute: the charge has none, and is not all refunded."""
    charge_reference: str | None = None
    payment_reference: str | None = None
    created_at: datetime | None = None
    as_of: datetime | None = None
    """The provider's own clock: the answer's `Date`, or the event's `created`."""
    livemode: bool | None = None
    charge_amount: int | None = None
    """What was taken, in smallest units of `charge_currency`."""
    charge_currency: str | None = None
    charge_refunded: int | None = None
    charge_disputed: bool | None = None
    attempt: str | None = None
    """Our mark on the charge, as in `DisputeAnswer`."""
    installation: str | None = None
    merchant: str | None = None
    intent: str | None = None
