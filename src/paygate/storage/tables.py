"""Every stored record, declared once: its table, its columns in clear, and who claims a row.

A column is added here and in a migration; `schema/migrations/` says what the schema holds it to.
"""

from operator import attrgetter
from typing import Any, Final

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
from paygate.storage.stored import VERSIONED, Column, Hash, Stored, Table

REFERENCE: Final = Hash("reference", rotated=True)
"""A merchant's own reference."""
PAYMENT: Final = Hash("payment", across_merchants=True)
"""The provider's id of a payment."""
REFUND_REFERENCE: Final = Hash("refund", across_merchants=True)
"""The provider's id of a refund."""
DISPUTE_REFERENCE: Final = Hash("dispute", across_merchants=True)
"""The provider's id of a dispute."""
PAYOUT: Final = Hash("payout", across_merchants=True)
"""The provider's id of a payout."""
PROVIDER_REFERENCE: Final = Hash("provider_reference")
"""The provider's id of an event."""
EVENT_TYPE: Final = Hash("provider_event_type", rotated=True)
"""The provider's name for what happened."""

REFERENCE_TAKEN: Final = "payment_intent_provider_reference"
"""The unique index that a payment of another intent's runs into."""
PAYMENT_INTENT: Final = Stored(
    PaymentIntent,
    "payment_intent",
    Column("status", "text"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("reference_index", "bytea", "reference", REFERENCE),
    Column("customer", "text"),
    Column("money_seq", "int4"),
    Column("provider_reference_index", "bytea", "provider_reference", PAYMENT, added_later=True),
    Column("create_key", "bytea"),
)
STANDING_INTENT: Final = Table(PAYMENT_INTENT.name, *VERSIONED)
"""As much of an intent as tells whether it has moved."""
ATTEMPT: Final = Stored(
    Attempt,
    "attempt",
    Column("intent", "text"),
    Column("number", "int4"),
    Column("operation", "text"),
    Column("state", "text"),
    Column("first_sent_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("close_at", "timestamptz"),
)
# Its `leased_until` is not here: the schema alone writes it, on its own clock.
IDEMPOTENCY_KEY: Final = Stored(
    IdempotencyKey,
    "idempotency_key",
    Column("state", "text"),
    Column("holder", "text"),
    Column("lease", "interval"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("about", "text", "about_id", added_later=True),
    claimed_by=("merchant", "id"),
)
PROVIDER_EVENT: Final = Stored(
    ProviderEvent,
    "provider_event",
    Column("status", "text"),
    Column("reference_index", "bytea", "provider_reference", PROVIDER_REFERENCE),
    Column("received_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("type_index", "bytea", "type", EVENT_TYPE, added_later=True),
    Column("subject", "text", "subject_id", added_later=True),
    Column("verdict", "text", added_later=True),
    Column("provider_created_at", "timestamptz", added_later=True),
    Column("replay_until", "timestamptz"),
    claimed_by=("merchant", "reference_index"),
)
PROVIDER_EVENT_BODY: Final = Stored(
    ProviderEventBody, "provider_event_body", Column("received_at", "timestamptz")
)
API_KEY: Final = Stored(
    ApiKey,
    "api_key",
    Column("secret_hash", "bytea"),
    Column("expires_at", "timestamptz"),
    Column("revoked_at", "timestamptz"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
)
# Its `written_in` is not here: the schema alone knows which transaction writes.
EVENT: Final = Stored(
    Event,
    "event",
    Column("object_id", "text"),
    Column("created_at", "timestamptz"),
    Column("type", "text", added_later=True),
    within=attrgetter("record"),
)
WEBHOOK_ENDPOINT: Final = Stored(
    WebhookEndpoint,
    "webhook_endpoint",
    Column("status", "text"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
)
WEBHOOK_BODY: Final = Stored(WebhookBody, "webhook_body", Column("created_at", "timestamptz"))
# Its lease is not here: the schema alone counts it, on its own clock.
DELIVERY: Final = Stored(
    Delivery,
    "delivery",
    Column("endpoint", "text"),
    Column("event", "text"),
    Column("status", "text"),
    Column("next_attempt_at", "timestamptz"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
)
AUDIT_ENTRY: Final = Stored(
    AuditEntry,
    "audit_entry",
    Column("at", "timestamptz"),
    Column("subject", "text", "subject_id", added_later=True),
    Column("action", "text", added_later=True),
    Column("actor", "text", "actor_id", added_later=True),
)
CUSTOMER: Final = Stored(
    Customer,
    "customer",
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("erasure_began_at", "timestamptz"),
    Column("erased_at", "timestamptz"),
)
CORRECTION: Final = Stored(
    Correction,
    "correction",
    Column("intent", "text"),
    Column("intent_version", "int4"),
    Column("from_status", "text"),
    Column("to_status", "text"),
    Column("at", "timestamptz"),
)
ALERT: Final = Stored(
    Alert,
    "alert",
    Column("status", "text"),
    Column("stands_as", "text"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("subject", "text", "subject_id", added_later=True),
    claimed_by=("merchant", "stands_as"),
)
ALERT_OCCURRENCE: Final = Stored(Occurrence, "alert_occurrence", Column("at", "timestamptz"))
REFUND: Final = Stored(
    Refund,
    "refund",
    Column("intent", "text"),
    Column("state", "text"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("last_sent_at", "timestamptz"),
    Column("approval_expires_at", "timestamptz"),
    Column("provider_reference_index", "bytea", "provider_reference", REFUND_REFERENCE),
)
DISPUTE: Final = Stored(
    Dispute,
    "dispute",
    Column("intent", "text"),
    Column("status", "text"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("is_watched", "bool"),
    Column("answer_due_at", "timestamptz"),
    Column("pending_operation", "text"),
    Column("provider_reference_index", "bytea", "provider_reference", DISPUTE_REFERENCE),
)
DISPUTE_FILE: Final = Stored(
    EvidenceChunk,
    "dispute_file",
    Column("dispute", "text"),
    Column("created_at", "timestamptz"),
)
ALERT_NOTICE: Final = Stored(
    AlertNotice,
    "alert_notice",
    Column("alert", "text"),
    Column("channel", "text"),
    Column("alert_version", "int4"),
    Column("at", "timestamptz"),
    Column("next_at", "timestamptz"),
    claimed_by=("merchant", "id"),
)
PROVIDER_ACCOUNT: Final = Stored(
    ProviderAccount,
    "provider_account",
    Column("created_at", "timestamptz"),
    claimed_by=("merchant", "id"),
)
REFERENCE_CLAIM: Final = Stored(
    ReferenceClaim,
    "reference_claim",
    Column("updated_at", "timestamptz"),
    claimed_by=("merchant", "id"),
    looked_up_by="reference_claim_exists",
)
RUNNING_ALREADY: Final = "reconciliation_running"
"""The unique index that a second round at a time runs into. No claim: the request that begins one
has an idempotency key to claim in the same commit."""
RECONCILIATION: Final = Stored(
    Reconciliation,
    "reconciliation",
    Column("status", "text"),
    Column("running_as", "text"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
)
RECONCILIATION_FINDING: Final = Stored(
    Finding,
    "reconciliation_finding",
    Column("reconciliation", "text"),
    Column("kind", "text"),
    Column("action", "text"),
    Column("created_at", "timestamptz"),
    Column("payment_intent", "text", added_later=True),
    claimed_by=("merchant", "id"),
)
LEDGER_TRANSFER: Final = Stored(
    Transfer,
    "ledger_transfer",
    Column("intent", "text"),
    Column("money_seq", "int4"),
    Column("posted_at", "timestamptz"),
)
ACCOUNT_TRANSFER: Final = Stored(
    AccountTransfer,
    "account_transfer",
    Column("settlement", "text"),
    Column("posted_at", "timestamptz"),
)
SETTLEMENT: Final = Stored(
    Settlement,
    "settlement",
    Column("status", "text"),
    Column("matching", "text"),
    Column("is_open", "bool"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    Column("provider_reference_index", "bytea", "provider_reference", PAYOUT),
    claimed_by=("provider_reference_index",),
)
# Pages, and the rows in clear that say which line is where, are written together beside the door.
SETTLEMENT_PAGE: Final = Stored(LinePage, "settlement_page", Column("created_at", "timestamptz"))
# No claim: its commit advances the settlement, and may be under an idempotency key.
SETTLEMENT_MATCH: Final = Stored(
    LineMatch,
    "settlement_match",
    Column("settlement", "text"),
    Column("fact", "text"),
    Column("created_at", "timestamptz"),
)
DISCREPANCY: Final = Stored(
    Discrepancy,
    "discrepancy",
    Column("kind", "text"),
    Column("status", "text"),
    Column("settlement", "text"),
    Column("payment_intent", "text"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    claimed_by=("merchant", "id"),
)
SETTLEMENT_IMPORT: Final = Stored(
    SettlementImport,
    "settlement_import",
    Column("status", "text"),
    Column("content_hash", "bytea"),
    Column("created_at", "timestamptz"),
    Column("updated_at", "timestamptz"),
    claimed_by=("merchant", "content_hash"),
)
SETTLEMENT_FILE: Final = Stored(FileChunk, "settlement_file", Column("created_at", "timestamptz"))

STORED: Final[dict[type, Stored[Any]]] = {
    stored.record: stored
    for stored in (
        PAYMENT_INTENT,
        ATTEMPT,
        IDEMPOTENCY_KEY,
        PROVIDER_EVENT,
        PROVIDER_EVENT_BODY,
        API_KEY,
        ALERT,
        ALERT_OCCURRENCE,
        REFUND,
        DISPUTE,
        DISPUTE_FILE,
        ALERT_NOTICE,
        CUSTOMER,
        CORRECTION,
        REFERENCE_CLAIM,
        LEDGER_TRANSFER,
        PROVIDER_ACCOUNT,
        WEBHOOK_ENDPOINT,
        WEBHOOK_BODY,
        DELIVERY,
        RECONCILIATION,
        RECONCILIATION_FINDING,
        ACCOUNT_TRANSFER,
        SETTLEMENT,
        SETTLEMENT_PAGE,
        SETTLEMENT_MATCH,
        DISCREPANCY,
        SETTLEMENT_IMPORT,
        SETTLEMENT_FILE,
        EVENT,
        AUDIT_ENTRY,
    )
}
"""What is stored of every kind of record."""
