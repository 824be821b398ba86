"""Uses of keys: written in the background, seldom, never backwards, and never in a caller's way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from paygate.storage.access.api_key_use import ApiKeyUse
from paygate.storage.connections.pool import Pool, open_pool
from paygate.storage.connections.session import Connection
from tests.gateway import until
from tests.making import START

LATER = START + timedelta(seconds=1)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    opened = open_pool(database, name="paygate uses")
    yield opened
    opened.close()


@pytest.fixture
async def connection(connect: Callable[[], Awaitable[Connection]]) -> Connection:
    return await connect()


async def uses(connection: Connection) -> dict[str, datetime]:
    rows = await connection.fetch("SELECT key, last_used_at FROM api_key_use")
    return {row["key"]: row["last_used_at"] for row in rows}


async def written(connection: Connection, expected: dict[str, datetime]) -> None:
    async def there() -> bool:
        return await uses(connection) == expected

    await until(there, seconds=10)


async def writes(connection: Connection) -> int:
    """How many rows were ever inserted or updated, by this database's own count."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    count: int = await connection.fetchval(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'api_key_use'"
    )
    return count


async def test_the_first_use_is_written_at_once_and_the_others_at_the_end(
    pool: Pool, connection: Connection
) -> None:
    use = ApiKeyUse(pool)
    use.note("key_1", START)
    await written(connection, {"key_1": START})
    for second in range(1000):
        use.note("key_1", START + timedelta(seconds=second))
        use.note("key_2", START)
        await asyncio.sleep(0)
    await written(connection, {"key_1": START, "key_2": START})
    await use.close()
    assert await uses(connection) == {"key_1": START + timedelta(seconds=999), "key_2": START}

    async def counted() -> bool:
        return await writes(connection) > 0

    await until(counted)
    assert await writes(connection) <= 4  # two first uses, the rest of key_1, at most one of key_2


async def test_a_later_use_is_written_when_its_time_has_come(
    pool: Pool, connection: Connection
) -> None:
    use = ApiKeyUse(pool, every_seconds=0.2)
    use.note("key_1", START)
    await written(connection, {"key_1": START})
    use.note("key_1", LATER)
    await written(connection, {"key_1": LATER})
    await use.close()


async def test_an_older_use_of_another_process_moves_nothing(
    pool: Pool, connection: Connection
) -> None:
    ahead, behind = ApiKeyUse(pool), ApiKeyUse(pool)
    ahead.note("key_1", LATER)
    await ahead.close()
    behind.note("key_1", START)
    behind.note("key_2", START)
    await behind.close()
    assert await uses(connection) == {"key_1": LATER, "key_2": START}


async def test_an_outage_is_waited_out(pool: Pool, connection: Connection) -> None:
    """A use that could not be written is kept, and nobody is told."""
    await connection.execute("ALTER TABLE api_key_use RENAME TO away")
    use = ApiKeyUse(pool, every_seconds=0.2)
    use.note("key_1", START)
    await asyncio.sleep(0.5)
    await connection.execute("ALTER TABLE away RENAME TO api_key_use")
    await written(connection, {"key_1": START})
    await use.close()


async def test_closing_without_a_database_ends(pool: Pool, connection: Connection) -> None:
    use = ApiKeyUse(pool)
    pool.close()
    use.note("key_1", START)
    await use.close()
    assert await uses(connection) == {}
