"""How many connections a process has: as many as it needs just now."""

import asyncio

from paygate.storage.connections.database import (
    READ_CONNECTIONS,
    READ_WITHIN_SECONDS,
    Pool,
    connector,
)
from paygate.storage.connections.session import Connection

WITHIN_SECONDS = 10.0


async def count(other: Connection) -> int:
    number: int = await other.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reads'"
    )
    return number


async def test_what_a_burst_needed_is_left_when_nothing_needs_it(database: str) -> None:
    other = await connector(database, name="other")()
    pool = Pool(connector(database, name="reads"), READ_WITHIN_SECONDS, idle_seconds=0.1)
    await pool.open()
    assert await count(other) == 0, "nothing is dialled before it is used"
    await asyncio.gather(*(pool.fetch("SELECT pg_sleep(0.05)") for _ in range(READ_CONNECTIONS)))
    assert await count(other) == READ_CONNECTIONS
    async with asyncio.timeout(WITHIN_SECONDS):
        while await count(other) > 1:
            await pool.fetch("SELECT")  # goes on over the connection that was used last
        while await count(other) > 0:
            await asyncio.sleep(0.01)
    assert await pool.fetchrow("SELECT 1") is not None
    await pool.close()
    await other.close()
