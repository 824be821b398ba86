"""A claim as another process's open transaction holds it."""

from paygate.domain.provider_event import ProviderEvent
from paygate.storage.change import Change
from paygate.storage.commit.statement import CLAIM_LOCK_SEED
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from tests.making import make_audit


async def hold_claim(connection: Connection, records: Records, reference: str) -> None:
    """Claim a provider event of `default` in the transaction that `connection` has open."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(chr(31), 'provider_event',"
        " 'default', $1::bytea), $2))",
        records.provider_reference_indexes("default", reference)[0],
        CLAIM_LOCK_SEED,
    )


async def store_event(connection: Connection, records: Records, event: ProviderEvent) -> None:
    """Store it as a commit does, in the transaction that `connection` has open."""
    for section, row in records.rows(Change(make_audit(), creates=(event,))):
        names = ", ".join(section.table.names)
        places = ", ".join(f"${number + 1}" for number in range(len(row)))
        await connection.execute(
            f"INSERT INTO {section.table.name} ({names}) VALUES ({places})", *row
        )
