"""What must become true, as a value: guards and rows together, and how it was answered."""

from enum import StrEnum
from typing import Any

import msgspec

from paygate.domain.access.api_key import ApiKey
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.alert import Alert, AlertNotice, Occurrence
from paygate.domain.audit import AuditEntry
from paygate.domain.customer import Customer
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.evidence_chunk import EvidenceChunk
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.payments.reference_claim import ReferenceClaim
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.provider_event import ProviderEvent, ProviderEventBody
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Reconciliation
from paygate.domain.refunds.refund import Refund
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.domain.settlements.line import LineMatch, LinePage
from paygate.domain.settlements.report_import import FileChunk, SettlementImport
from paygate.domain.settlements.settlement import Settlement
from paygate.domain.webhooks.delivery import Delivery, WebhookBody
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.jobs.messages import Job

Versioned = (
    PaymentIntent
    | Attempt
    | IdempotencyKey
    | ProviderEvent
    | ApiKey
    | Customer
    | Alert
    | Occurrence
    | Refund
    | Dispute
    | AlertNotice
    | WebhookEndpoint
    | Delivery
    | ReferenceClaim
    | Reconciliation
    | Settlement
    | Discrepancy
    | SettlementImport
)
Appended = (
    Event
    | Correction
    | Transfer
    | ProviderAccount
    | ProviderEventBody
    | WebhookBody
    | EvidenceChunk
    | Finding
    | AccountTransfer
    | LinePage
    | LineMatch
    | FileChunk
    | AuditEntry
)
Record = Versioned | Appended


class Change(msgspec.Struct, frozen=True):
    """One commit. All of it becomes true, or nothing does.

    `audit` is always there, and its id is the change's. A record in `advances` must stand one
    version below in the database. Creating an idempotency key, a provider event, an alert or its
    notice, a finding, a settlement, its import or a discrepancy is a claim: an
    equal one that exists is a conflict. At most one such claim a change, beside it one of a
    reference, and at most one record
    of a table in `advances`; what can meet no conflict - jobs, and records that are created without
    a claim - may be several. `stands` is an intent that the change was decided by and leaves alone:
    the change is a conflict when the intent is not at that version any more. `response` is not
    written here: it is what the request is answered with when this is its last commit, for a door
    under an idempotency key.
    """

    audit: AuditEntry
    creates: tuple[Versioned | Appended, ...] = ()
    advances: tuple[Versioned, ...] = ()
    jobs: tuple[Job, ...] = ()
    stands: PaymentIntent | None = None
    response: Any = None


class Reason(StrEnum):
    """What a change met: a record that moved on, or another claim."""

    STALE = "stale"
    """The record has moved on, or another transaction holds it just now: read again."""
    CLAIMED = "claimed"
    """It exists already."""
    BUSY = "busy"
    """Another transaction is claiming it just now: look it up, or wait."""


class Committed(msgspec.Struct, frozen=True):
    """The change is durable."""


class Conflict(msgspec.Struct, frozen=True):
    """A record stood in the way of the change; nothing of the change was written."""

    reason: Reason
    table: str


Verdict = Committed | Conflict


class StorageError(Exception):
    """The database could not do it; nothing was written unless said otherwise."""


class OutcomeUnknown(StorageError):
    """The database has not answered. The change may still be written: look, never repeat."""


class Overloaded(StorageError):
    """The queue of changes is full: nothing was done, try again later."""


class Unavailable(StorageError):
    """The database refuses or does not answer (read-only, no space, down): nothing was written."""


class Outdated(StorageError):
    """This version is older than what it met, a record or the schema: nothing was written. A node
    of the newer version can do it.
    """


class Impossible(StorageError):
    """The schema refused this change alone: a bug of ours, or a hand in the database."""

    def __init__(self, what: str, constraint: str | None = None) -> None:
        """`constraint` is the name of what refused it, where that has one."""
        super().__init__(what)
        self.constraint = constraint
