"""A claim as another process's open transaction holds it."""

from paygate.storage.committer import Connection
from paygate.storage.records import Records, provider_reference_index
from paygate.storage.statement import CLAIM_LOCK_SEED


async def hold_claim(connection: Connection, records: Records, reference: str) -> None:
    """Claim a provider event of `default` in the transaction that `connection` has open."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(concat_ws(chr(31), 'provider_event',"
        " 'default', $1::bytea), $2))",
        provider_reference_index(records.index, "default", reference),
        CLAIM_LOCK_SEED,
    )
