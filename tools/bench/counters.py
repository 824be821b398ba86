"""What PostgreSQL counts of itself, for the benchmark."""

from typing import Final, NamedTuple

from paygate.storage.connections.session import Connection

FLUSHED_SECONDS: Final = 10.5
"""PostgreSQL's processes report what they counted once a second while they work, and after ten idle
seconds (PGSTAT_IDLE_INTERVAL). So long after the last statement the counters are whole."""
COUNTED_BY_IO: Final = 180_000
"""From this version on pg_stat_io counts the WAL's fsyncs, which pg_stat_wal did before."""
FSYNCS_BY_IO: Final = "SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal'"
FSYNCS: Final = "SELECT wal_sync FROM pg_stat_wal"
TRANSACTIONS: Final = (
    "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
)
WAL_BYTES: Final = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
CONNECTIONS: Final = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)


class Counters(NamedTuple):
    """Since the database was made. Transactions are its own; WAL and fsyncs the server's."""

    transactions: int
    wal_bytes: int
    fsyncs: int


async def counters(connection: Connection) -> Counters:
    """All of them, as far as the server's processes have reported."""
    version = await connection.fetchval("SELECT current_setting('server_version_num')::integer")
    fsyncs = FSYNCS_BY_IO if version >= COUNTED_BY_IO else FSYNCS
    return Counters(*[await connection.fetchval(q) for q in (TRANSACTIONS, WAL_BYTES, fsyncs)])


async def connected(connection: Connection) -> list[int]:
    """The server's processes of all connections but this one."""
    return [row["pid"] for row in await connection.fetch(CONNECTIONS)]
