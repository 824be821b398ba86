"""What the benchmark reads of PostgreSQL's own counters."""

from collections.abc import Awaitable, Callable

from paygate.storage.connections.session import Connection
from tools.bench.counters import connected, counters

FLUSH = "SELECT pg_stat_force_next_flush()"


async def test_transactions_wal_and_fsyncs_since(
    connect: Callable[[], Awaitable[Connection]],
) -> None:
    """Other databases' transactions are not ours; here they are none, so WAL and fsyncs are."""
    working, looking = await connect(), await connect()
    await working.execute("CREATE UNLOGGED TABLE kept (content text)")
    await working.execute("ALTER TABLE kept SET LOGGED")
    await working.execute(FLUSH)
    before = await counters(looking)
    for _ in range(10):
        await working.execute(f"INSERT INTO kept VALUES ('{'x' * 1000}')")
    await working.execute("SELECT 1")
    await working.execute(FLUSH)
    after = await counters(looking)
    # Eleven, and the one that makes them known; the looking connection's reports come later.
    assert 12 <= after.transactions - before.transactions <= 12 + 4
    assert after.wal_bytes - before.wal_bytes >= 10 * 1000
    assert after.fsyncs - before.fsyncs >= 10


async def test_the_connections_are_all_but_its_own(
    connect: Callable[[], Awaitable[Connection]],
) -> None:
    looking, other = await connect(), await connect()
    own, another = [await c.fetchval("SELECT pg_backend_pid()") for c in (looking, other)]
    found = await connected(looking)
    assert another in found
    assert own not in found
