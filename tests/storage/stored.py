"""All that a merchant has in the database, opened: what tests hold against what was committed."""

from collections import Counter
from typing import Final

import msgspec

from paygate.jobs import messages
from paygate.storage.change import Record
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from paygate.storage.stored import Table
from paygate.storage.tables import STORED

TABLE_OF: Final = STORED


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
