"""Look-ups made together: what they share, and what none of them may do to another."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from paygate.storage.blocks import QUERIES
from paygate.storage.change import Change, Committed, Unavailable
from paygate.storage.connections.pool import Pool, open_pool
from paygate.storage.connections.session import Connection
from paygate.storage.door import Door
from paygate.storage.look_ups import KEYS_AT_ONCE, LookUps
from paygate.storage.reader import Reader
from paygate.storage.records import Records
from paygate.telemetry import timing
from tests.making import make_audit, make_confirmed, make_intent

Connect = Callable[[], Awaitable[Connection]]
WITHIN_SECONDS = 60.0
HELD = """
SELECT version, pg_advisory_xact_lock_shared(hashtext($2))::text FROM payment_intent
WHERE merchant = $1 AND id = $2
"""
"""A look-up that whoever holds the id's lock can hold up, after it has seen what it sees."""


class Statements:
    """A pool that counts what is sent."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.keys: list[int] = []

    async def fetch(self, query: str, *keys: tuple[str, ...]) -> list[asyncpg.Record]:
        self.keys.append(len(keys[0]))
        return await self._pool.fetch(query, *keys)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    reads = open_pool(database, name="reads")
    yield reads
    reads.close()


def versions(pool: Pool | Statements, block: str = QUERIES["payment_intent"]) -> LookUps:
    return LookUps(pool, block)  # type: ignore[arg-type]


async def held_up(other: Connection) -> None:
    """Until a look-up waits for a lock."""
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await other.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ):
            await asyncio.sleep(0.01)


async def test_what_is_asked_in_one_turn_is_one_statement(door: Door, pool: Pool) -> None:
    intents = [make_intent() for _ in range(20)]
    for intent in intents:
        assert await door.commit(Change(make_audit(), creates=(intent,))) == Committed()
    counted = Statements(pool)
    look_ups = versions(counted)
    twice = [*intents, *reversed(intents)]
    rows = await asyncio.gather(*(look_ups.find("default", intent.id) for intent in twice))
    assert [row and row[1] for row in rows] == [intent.id for intent in twice]
    assert counted.keys == [len(twice)]


async def test_a_key_without_a_row_is_none_beside_one_that_has_one(door: Door, pool: Pool) -> None:
    intent = make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    look_ups = versions(pool)
    asked = [("default", "pi_none"), ("default", intent.id), ("other", intent.id)]
    rows = await asyncio.gather(*(look_ups.find(*key) for key in asked))
    assert [row and row[1] for row in rows] == [None, intent.id, None]


async def test_a_statement_asks_for_so_many_keys_and_the_rest_follow(pool: Pool) -> None:
    counted = Statements(pool)
    look_ups = versions(counted)
    asked = [look_ups.find("default", f"pi_{number}") for number in range(KEYS_AT_ONCE + 1)]
    assert await asyncio.gather(*asked) == [None] * len(asked)
    assert counted.keys == [KEYS_AT_ONCE, 1]


async def test_a_look_up_after_a_commit_sees_it_though_an_earlier_one_is_under_way(
    door: Door, pool: Pool, connect: Connect
) -> None:
    other, intent = await connect(), make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    look_ups = versions(pool, HELD)
    await other.execute("SELECT pg_advisory_lock(hashtext($1))", intent.id)
    before = look_ups.find("default", intent.id)
    await held_up(other)
    assert await door.commit(make_confirmed(intent)) == Committed()
    after = look_ups.find("default", intent.id)
    await other.execute("SELECT pg_advisory_unlock_all()")
    rows = await asyncio.gather(before, after)
    assert [row and row[0] for row in rows] == [1, 2]


async def test_a_slow_statement_holds_up_nobody(door: Door, pool: Pool, connect: Connect) -> None:
    other, slow, quick = await connect(), make_intent(), make_intent()
    for intent in (slow, quick):
        await door.commit(Change(make_audit(), creates=(intent,)))
    look_ups = versions(pool, HELD)
    await other.execute("SELECT pg_advisory_lock(hashtext($1))", slow.id)
    waiting = look_ups.find("default", slow.id)
    await held_up(other)
    async with asyncio.timeout(WITHIN_SECONDS):
        for _ in range(3):
            assert await look_ups.find("default", quick.id)
    assert not waiting.done()
    await other.execute("SELECT pg_advisory_unlock_all()")
    assert await waiting


@pytest.mark.parametrize("under_way", [False, True])
async def test_whoever_stops_waiting_harms_no_other(
    door: Door, pool: Pool, connect: Connect, under_way: bool
) -> None:
    other, intent = await connect(), make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    look_ups = versions(pool, HELD)
    await other.execute("SELECT pg_advisory_lock(hashtext($1))", intent.id)
    leaving, staying = look_ups.find("default", intent.id), look_ups.find("default", intent.id)
    if under_way:
        await held_up(other)
    leaving.cancel()
    await held_up(other)
    await other.execute("SELECT pg_advisory_unlock_all()")
    assert await staying


async def test_a_lost_connection_is_told_to_those_of_its_statement_alone(
    door: Door, pool: Pool, connect: Connect
) -> None:
    other, lost, other_intent = await connect(), make_intent(), make_intent()
    for intent in (lost, other_intent):
        await door.commit(Change(make_audit(), creates=(intent,)))
    look_ups = versions(pool, HELD)
    for intent in (lost, other_intent):
        await other.execute("SELECT pg_advisory_lock(hashtext($1))", intent.id)
    doomed = [look_ups.find("default", lost.id) for _ in range(3)]
    await held_up(other)
    pid = await other.fetchval("SELECT pid FROM pg_locks WHERE NOT granted")
    spared = look_ups.find("default", other_intent.id)
    async with asyncio.timeout(WITHIN_SECONDS):
        while await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:
            await asyncio.sleep(0.01)
    assert await other.fetchval("SELECT pg_terminate_backend($1)", pid)
    results = await asyncio.gather(*doomed, return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable] * 3
    await other.execute("SELECT pg_advisory_unlock_all()")
    assert await spared


@pytest.mark.parametrize("bad", ["pi_\0", "pi_\ud800"])
async def test_a_key_that_is_no_text_is_refused_alone(door: Door, pool: Pool, bad: str) -> None:
    intent = make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    look_ups = versions(pool)
    good = [look_ups.find("default", intent.id) for _ in range(3)]
    results = await asyncio.gather(
        *good, look_ups.find("default", bad), *good, return_exceptions=True
    )
    assert isinstance(results.pop(3), Unavailable)
    assert all(isinstance(each, tuple) for each in results)


async def test_a_row_that_does_not_open_is_told_to_its_own_asker(
    door: Door, pool: Pool, records: Records, connect: Connect
) -> None:
    other, broken, whole = await connect(), make_intent(), make_intent()
    for intent in (broken, whole):
        await door.commit(Change(make_audit(), creates=(intent,)))
    await other.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    await other.execute("UPDATE payment_intent SET sealed = '' WHERE id = $1", broken.id)
    reader = Reader(pool, pool, records)
    results = await asyncio.gather(
        *(reader.payment_intent("default", intent.id) for intent in (broken, whole)),
        return_exceptions=True,
    )
    assert type(results[0]).__name__ == "SealBroken"
    assert results[1] == whole


async def test_a_look_ups_time_is_counted_once(pool: Pool, records: Records) -> None:
    reader, mine = Reader(pool, pool, records), timing.begin()
    assert await reader.payment_intent("default", "pi_none") is None
    gateway = mine.header().split(", ")[0]
    assert gateway != "gateway;dur=0.000"
