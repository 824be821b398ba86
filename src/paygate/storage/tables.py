"""The tables that a change may write, as data: the committer's SQL is generated from this.

The columns here are those in clear, and `sealed`; `migrations/` says the rest.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """`columns` name to SQL type, in the order of a row; `merchant` and `id` come first."""

    name: str
    columns: tuple[tuple[str, str], ...]
    claimed_by: tuple[str, ...] = ()
    """The unique columns whose conflict refuses a creation, instead of being a fault."""
    added_later: frozenset[str] = frozenset()
    """Columns that are null in rows of before, until they next advance."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(name for name, _ in self.columns)


_KEY: Final = (("merchant", "text"), ("id", "text"))
_VERSIONED: Final = (*_KEY, ("version", "int4"))
_SEALED: Final = (("sealed", "bytea"),)

REFERENCE_TAKEN: Final = "payment_intent_provider_reference"
"""The unique index that a payment of another intent's runs into."""
PAYMENT_INTENT: Final = Table(
    "payment_intent",
    (
        *_VERSIONED,
        ("status", "text"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        ("reference_index", "bytea"),
        ("customer", "text"),
        ("money_seq", "int4"),
        ("provider_reference_index", "bytea"),
        ("create_key", "bytea"),
        *_SEALED,
    ),
    added_later=frozenset({"provider_reference_index"}),
)
STANDING_INTENT: Final = Table(PAYMENT_INTENT.name, _VERSIONED)
"""As much of an intent as tells whether it has moved."""
ATTEMPT: Final = Table(
    "attempt",
    (
        *_VERSIONED,
        ("intent", "text"),
        ("number", "int4"),
        ("operation", "text"),
        ("state", "text"),
        ("first_sent_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        ("close_at", "timestamptz"),
        *_SEALED,
    ),
)
# Its `leased_until` is not here: the schema alone writes it, on its own clock.
IDEMPOTENCY_KEY: Final = Table(
    "idempotency_key",
    (
        *_VERSIONED,
        ("state", "text"),
        ("holder", "text"),
        ("lease", "interval"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        *_SEALED,
    ),
    claimed_by=("merchant", "id"),
)
PROVIDER_EVENT: Final = Table(
    "provider_event",
    (
        *_VERSIONED,
        ("status", "text"),
        ("reference_index", "bytea"),
        ("received_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        *_SEALED,
    ),
    claimed_by=("merchant", "reference_index"),
)
API_KEY: Final = Table(
    "api_key",
    (
        *_VERSIONED,
        ("secret_hash", "bytea"),
        ("expires_at", "timestamptz"),
        ("revoked_at", "timestamptz"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        *_SEALED,
    ),
)
EVENT: Final = Table(
    "event", (*_KEY, ("object_id", "text"), ("created_at", "timestamptz"), *_SEALED)
)
AUDIT_ENTRY: Final = Table("audit_entry", (*_KEY, ("at", "timestamptz"), *_SEALED))
CUSTOMER: Final = Table(
    "customer",
    (*_VERSIONED, ("created_at", "timestamptz"), ("updated_at", "timestamptz"), *_SEALED),
)
CORRECTION: Final = Table(
    "correction",
    (
        *_KEY,
        ("intent", "text"),
        ("intent_version", "int4"),
        ("from_status", "text"),
        ("to_status", "text"),
        ("at", "timestamptz"),
        *_SEALED,
    ),
)
ALERT: Final = Table(
    "alert",
    (
        *_VERSIONED,
        ("status", "text"),
        ("stands_as", "text"),
        ("created_at", "timestamptz"),
        ("updated_at", "timestamptz"),
        *_SEALED,
    ),
    claimed_by=("merchant", "stands_as"),
)
ALERT_OCCURRENCE: Final = Table("alert_occurrence", (*_VERSIONED, ("at", "timestamptz"), *_SEALED))
PROVIDER_ACCOUNT: Final = Table(
    "provider_account",
    (*_KEY, ("created_at", "timestamptz"), *_SEALED),
    claimed_by=("merchant", "id"),
)
LEDGER_TRANSFER: Final = Table(
    "ledger_transfer",
    (
        *_KEY,
        ("intent", "text"),
        ("money_seq", "int4"),
        ("posted_at", "timestamptz"),
        *_SEALED,
    ),
)
