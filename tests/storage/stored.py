"""All that a merchant has in the database, opened: what tests hold against what was committed."""

from collections import Counter
from typing import Final

import msgspec

from paygate.domain.access.api_key import ApiKey
from paygate.domain.alert import Alert, Occurrence
from paygate.domain.audit import AuditEntry
from paygate.domain.customer import Customer
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.events import Event
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.provider_event import ProviderEvent
from paygate.jobs import messages
from paygate.storage import tables
from paygate.storage.change import Record
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from paygate.storage.tables import Table

TABLE_OF: Final[dict[type[Record], Table]] = {
    PaymentIntent: tables.PAYMENT_INTENT,
    Attempt: tables.ATTEMPT,
    IdempotencyKey: tables.IDEMPOTENCY_KEY,
    Alert: tables.ALERT,
    Occurrence: tables.ALERT_OCCURRENCE,
    Customer: tables.CUSTOMER,
    Transfer: tables.LEDGER_TRANSFER,
    Correction: tables.CORRECTION,
    ProviderAccount: tables.PROVIDER_ACCOUNT,
    ProviderEvent: tables.PROVIDER_EVENT,
    ApiKey: tables.API_KEY,
    Event: tables.EVENT,
    AuditEntry: tables.AUDIT_ENTRY,
}


class Stored(msgspec.Struct):
    """`records` by table and id. Equal when everything in every table is equal."""

    records: dict[tuple[str, str], Record]
    jobs: Counter[messages.Message]


def select(table: Table) -> str:
    """A query for all of a table's columns, in the order that opens."""
    return f"SELECT {', '.join(table.names)} FROM {table.name}"


async def stored(connection: Connection, records: Records, merchant: str) -> Stored:
    """Read and open everything; a row that does not open is an error."""
    found: dict[tuple[str, str], Record] = {}
    for kind, table in TABLE_OF.items():
        for row in await connection.fetch(f"{select(table)} WHERE merchant = $1", merchant):
            found[table.name, row["id"]] = records.open(kind, tuple(row))
    payloads = await connection.fetch(
        "SELECT payload FROM pgqueuer"
        " WHERE convert_from(payload, 'UTF8')::json ->> 'merchant' = $1",
        merchant,
    )
    return Stored(found, Counter(messages.decode(row["payload"]) for row in payloads))
