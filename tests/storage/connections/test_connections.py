"""How many connections a process has: as many as it needs just now."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import (
    IDLE_SECONDS,
    READ_CONNECTIONS,
    READ_WITHIN_SECONDS,
    Pool,
)
from paygate.storage.connections.session import Connection
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.records import Records
from tests.gateway import until

LOCK = 4711
SLOW = f"SELECT pg_advisory_xact_lock_shared({LOCK})"
FOR_EVER = 3600.0
WITHIN_SECONDS = 60.0
Connect = Callable[[], Awaitable[Connection]]


@asynccontextmanager
async def reads(
    database: str, *, idle_seconds: float = IDLE_SECONDS, wait_seconds: float = 0.0
) -> AsyncIterator[Pool]:
    pool = Pool(
        connector(database, name="reads"),
        READ_WITHIN_SECONDS,
        idle_seconds=idle_seconds,
        wait_seconds=wait_seconds,
    )
    try:
        yield pool
    finally:
        pool.close()


async def count(other: Connection) -> int:
    number: int = await other.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reads'"
    )
    return number


@asynccontextmanager
async def slow_reads(
    pool: Pool, other: Connection, number: int
) -> AsyncIterator[list[asyncio.Task[object]]]:
    """So many reads that do not end before the block does."""
    await other.execute("SELECT pg_advisory_lock($1)", LOCK)
    reading: list[asyncio.Task[object]] = [
        asyncio.create_task(pool.run(lambda connection: connection.fetch(SLOW)))
        for _ in range(number)
    ]

    async def all_wait() -> bool:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(await other.fetchval(query) == number)

    await until(all_wait)
    try:
        yield reading
    finally:
        await other.execute("SELECT pg_advisory_unlock($1)", LOCK)
        await asyncio.wait(reading)


async def test_what_a_burst_needed_is_left_when_nothing_needs_it(
    database: str, connect: Connect
) -> None:
    other = await connect()
    async with reads(database, idle_seconds=0.1) as pool:
        assert await count(other) == 0, "nothing is dialled before it is used"
        async with slow_reads(pool, other, READ_CONNECTIONS):
            assert await count(other) == READ_CONNECTIONS

        async def one_is_left() -> bool:
            await pool.fetch("SELECT")  # goes on over the connection that was used last
            return await count(other) == 1

        async def none_is_left() -> bool:
            return await count(other) == 0

        await until(one_is_left)
        await until(none_is_left)
        assert await pool.fetchrow("SELECT 1") is not None


async def test_quick_reads_share_one_connection(database: str, connect: Connect) -> None:
    other = await connect()
    async with reads(database, wait_seconds=FOR_EVER) as pool:
        found = await asyncio.gather(
            *(pool.fetchrow("SELECT $1::integer", number) for number in range(100))
        )
        assert [row[0] for row in found if row is not None] == list(range(100))
        assert await count(other) == 1


async def test_a_slow_read_holds_up_no_other(database: str, connect: Connect) -> None:
    other = await connect()
    async with reads(database) as pool, slow_reads(pool, other, 1):
        for _ in range(3):
            assert await pool.fetchrow("SELECT 1") is not None
        assert await count(other) == 2


async def test_who_stops_waiting_takes_no_connection_along(database: str, connect: Connect) -> None:
    """Whether it still waited for another read, or was just given that one's connection."""
    other = await connect()
    async with reads(database, wait_seconds=FOR_EVER) as pool:
        async with slow_reads(pool, other, 1) as (slow,):
            gone = [asyncio.create_task(pool.fetch("SELECT 1")) for _ in range(2)]
            await asyncio.sleep(0)
            gone[0].cancel()
            slow.add_done_callback(lambda _: gone[1].cancel())
        outcomes = await asyncio.gather(*gone, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2
        assert await asyncio.wait_for(pool.fetchrow("SELECT 1"), WITHIN_SECONDS) is not None


async def test_a_lost_connection_makes_room_for_who_waits(database: str, connect: Connect) -> None:
    other = await connect()
    async with reads(database, wait_seconds=FOR_EVER) as pool, slow_reads(pool, other, 1):
        waiting = asyncio.create_task(pool.fetchrow("SELECT 1"))
        await asyncio.sleep(0)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'reads'"
        )
        assert await asyncio.wait_for(waiting, WITHIN_SECONDS) is not None


async def test_nobody_dials_for_a_pool_that_is_closed(database: str, connect: Connect) -> None:
    other = await connect()
    async with reads(database, wait_seconds=FOR_EVER) as pool:
        await other.execute("SELECT pg_advisory_lock($1)", LOCK)
        pending = [asyncio.create_task(pool.fetch(SLOW)) for _ in range(2)]

        async def one_waits() -> bool:
            return await count(other) == 1

        await until(one_waits)
    for outcome in await asyncio.gather(*pending, return_exceptions=True):
        assert isinstance(outcome, Exception)

    async def none_is_left() -> bool:
        await other.execute("SELECT pg_advisory_unlock_all()")
        return await count(other) == 0

    await until(none_is_left)


async def test_nobody_listens_when_nobody_waits_and_who_waits_is_told(
    database: str, connect: Connect, records: Records
) -> None:
    other = await connect()
    async with reads(database) as pool:
        keys = IdempotencyKeys(connector(database, name="keys"), pool, records, quiet_seconds=0.0)

        async def listening() -> bool:
            return bool(
                await other.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keys'"
                )
            )

        async def nobody() -> bool:
            return not await listening()

        async with keys.waiting("a key"):
            await until(listening)
        await until(nobody)
        async with keys.waiting("a key") as event:
            await until(listening)

            async def notified() -> bool:
                event.clear()
                await other.execute("SELECT pg_notify('paygate_idempotency_key', 'a key')")
                return await asyncio.wait_for(event.wait(), 30)

            await until(notified)
        await keys.close()
