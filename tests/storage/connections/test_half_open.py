"""Connections that are dead on one side, and a healthy database that can be dialled."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from paygate.storage.change import Committed, OutcomeUnknown, Unavailable
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import READ_CONNECTIONS, open_pool
from paygate.storage.door import Door
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.reader import Reader
from paygate.storage.records import Records
from tests.proxy import Proxy
from tests.storage.hazards import SLEEP_IN_INSERT, create, until_sleeping

Connect = Callable[[], Awaitable[Connection]]
BACK_WITHIN_SECONDS = 30.0
"""Five, on a machine that has time; without a watch over the connection it would be for ever."""

either = pytest.mark.parametrize("fault", ["cut", "mute"])


@pytest.fixture
async def proxy(database: str) -> AsyncIterator[Proxy]:
    async with Proxy(database) as network:
        yield network


@pytest.fixture
async def committer(proxy: Proxy) -> AsyncIterator[Committer]:
    door = Committer(connector(proxy.dsn, name="lane"))
    await door.open()
    yield door
    await door.close()


def fail(proxy: Proxy, fault: str) -> None:
    getattr(proxy, fault)()


@either
async def test_idle_lanes_write_again(
    proxy: Proxy, committer: Committer, records: Records, fault: str
) -> None:
    door = Door(records, committer, answer_within_seconds=BACK_WITHIN_SECONDS)
    assert await asyncio.gather(*(door.commit(create()) for _ in range(20))) == [Committed()] * 20
    for _ in "ab":  # and what took over is taken over from
        fail(proxy, fault)
        verdicts = await asyncio.gather(*(door.commit(create()) for _ in range(20)))
        assert verdicts == [Committed()] * 20


@either
async def test_a_commit_under_way_is_found_or_written_once(
    proxy: Proxy, committer: Committer, records: Records, connect: Connect, fault: str
) -> None:
    """The server works on, and what it answers never arrives."""
    other = await connect()
    await other.execute(SLEEP_IN_INSERT.format(seconds=0.4))
    door = Door(records, committer, answer_within_seconds=2 * BACK_WITHIN_SECONDS)
    change = create()
    waiting = asyncio.create_task(door.commit(change))
    await until_sleeping(other)
    fail(proxy, fault)
    assert await waiting == Committed()
    written = await other.fetch("SELECT id FROM payment_intent")
    assert [row["id"] for row in written] == [change.creates[0].id]


@either
async def test_a_fault_in_the_middle_of_a_recovery_is_recovered_from(
    proxy: Proxy, committer: Committer, records: Records, connect: Connect, fault: str
) -> None:
    """Whoever took over holds the lock in turn, and what holds it then is nobody's any more."""
    door = Door(records, committer, answer_within_seconds=60)
    fail(proxy, fault)
    waiting = [asyncio.create_task(door.commit(create())) for _ in range(20)]
    seen = proxy.carried
    for _ in range(2):
        while proxy.carried == seen:
            await asyncio.sleep(0.001)
        seen = proxy.carried
        fail(proxy, fault)
    assert await asyncio.gather(*waiting) == [Committed()] * 20
    other = await connect()
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 20


async def test_an_outage_ends_when_the_database_is_back(
    proxy: Proxy, committer: Committer, records: Records
) -> None:
    """While nobody answers a lane dials again and again, and none of its calls may hang."""
    door = Door(records, committer, answer_within_seconds=60)
    proxy.close_up()
    waiting = asyncio.create_task(door.commit(create()))
    before = proxy.carried
    while proxy.carried < before + 2:  # a question that nobody answered, and another
        await asyncio.sleep(0.01)
    proxy.open_up()
    async with asyncio.timeout(BACK_WITHIN_SECONDS):
        assert await waiting == Committed()


@either
async def test_reads_answer_again(proxy: Proxy, records: Records, fault: str) -> None:
    pool = open_pool(proxy.dsn, name="reads")
    searches = open_pool(proxy.dsn, name="searches", plan_each=True)
    reader = Reader(pool, searches, records)

    async def reads() -> None:
        await asyncio.gather(
            *(reader.ready() for _ in range(50)),
            *(reader.payment_intent("shop", "pi_1") for _ in range(50)),
            *(reader.transfers_after("", "", 10) for _ in range(50)),
            return_exceptions=True,
        )

    await reads()
    fail(proxy, fault)
    async with asyncio.timeout(BACK_WITHIN_SECONDS):
        await reads()  # those that were lent a dead connection are refused, and it is left
        await reader.ready()
        assert await reader.payment_intent("shop", "pi_1") is None
        await reader.transfers_after("", "", 10)
    pool.close()
    searches.close()


@either
async def test_a_read_that_nobody_waits_for_leaves_no_dead_connection_behind(
    proxy: Proxy, records: Records, fault: str
) -> None:
    pool = open_pool(proxy.dsn, name="reads")
    reader = Reader(pool, pool, records)
    await reader.ready()
    fail(proxy, fault)
    async with asyncio.timeout(BACK_WITHIN_SECONDS):
        for _ in range(20):
            reading = asyncio.create_task(reader.ready())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await reader.ready()
    pool.close()


@either
async def test_waiters_hear_of_their_key_again(
    proxy: Proxy, records: Records, connect: Connect, fault: str
) -> None:
    pool = open_pool(proxy.dsn, name="reads")
    keys = IdempotencyKeys(connector(proxy.dsn, name="keys"), pool, records)
    other = await connect()
    async with keys.waiting("a key") as event:
        while not await other.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keys'"
            " AND query LIKE '%LISTEN%' AND state = 'idle'"
        ):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # for the reply to pass the proxy
        fail(proxy, fault)
        event.clear()
        async with asyncio.timeout(BACK_WITHIN_SECONDS):
            await event.wait()  # the loss is told, for something may have been missed
            event.clear()
            while not event.is_set():
                await other.execute("SELECT pg_notify('paygate_idempotency_key', 'a key')")
                await asyncio.sleep(0.05)
    await keys.close()
    pool.close()


async def test_a_commit_that_is_merely_slow_is_left_alone(
    proxy: Proxy, committer: Committer, records: Records, connect: Connect
) -> None:
    """The server is asked, says that it is at work, and keeps its time."""
    other = await connect()
    door = Door(records, committer, answer_within_seconds=60)
    lanes = [lane._connection for lane in committer._lanes]
    async with other.transaction():
        await other.execute("LOCK TABLE payment_intent IN SHARE MODE")
        asked = proxy.carried
        waiting = asyncio.create_task(door.commit(create()))
        while proxy.carried < asked + 2:  # each question has a connection of its own
            assert not waiting.done()
            await asyncio.sleep(0.01)
    assert await waiting == Committed()
    assert [lane._connection for lane in committer._lanes] == lanes, "nobody was hung up on"


async def test_reads_of_a_locked_table_are_refused_and_do_not_pile_up(
    proxy: Proxy, records: Records, connect: Connect
) -> None:
    """A migration holds the table: whoever reads hears so, and the server is not crowded."""
    other = await connect()
    pool = open_pool(proxy.dsn, name="reads")
    reader = Reader(pool, pool, records)
    async with other.transaction():
        await other.execute("LOCK TABLE payment_intent IN ACCESS EXCLUSIVE MODE")
        reads = [asyncio.create_task(reader.payment_intent("shop", "pi_1")) for _ in range(500)]
        async with asyncio.timeout(2 * BACK_WITHIN_SECONDS):
            outcomes = await asyncio.gather(*reads, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {Unavailable}
        assert (
            await other.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reads'"
                " AND state = 'active'"
            )
            <= READ_CONNECTIONS
        )
    whole = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reads'"
    assert await other.fetchval(whole) > 0, "what the server ended left its connection whole"
    assert await reader.payment_intent("shop", "pi_1") is None
    pool.close()


async def test_a_committer_closes_though_the_database_is_gone(
    proxy: Proxy, records: Records
) -> None:
    """Whoever waits is told what is known: what was sent may be written, the rest is not."""
    committer = Committer(
        connector(proxy.dsn, name="lane"), lanes=1, batch_cap=1, close_within_seconds=0.2
    )
    await committer.open()
    proxy.close_up()
    door = Door(records, committer, answer_within_seconds=60)
    waiting = [asyncio.create_task(door.commit(create())) for _ in range(3)]
    async with asyncio.timeout(30):
        while committer.waiting != 2:
            await asyncio.sleep(0)
        with capture_logs() as logs:
            await committer.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in results] == [OutcomeUnknown, Unavailable, Unavailable]
    assert [e["waiting"] for e in logs if e["event"] == "committer_gave_up"] == [3]


async def test_a_lane_ends_its_dead_backend_though_its_role_takes_another_by_default(
    database: str, records: Records, connect: Connect
) -> None:
    """Sessions are those of the role that logged in, and what they may do is the other's."""
    admin = await connect()
    await admin.execute(
        "CREATE ROLE half_open_owner; CREATE ROLE half_open_app LOGIN IN ROLE half_open_owner;"
        " ALTER ROLE half_open_app SET role = 'half_open_owner';"
        " GRANT ALL ON ALL TABLES IN SCHEMA public TO half_open_owner;"
        " GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO half_open_owner"
    )
    try:
        async with Proxy(database.replace("//paygate@", "//half_open_app@")) as network:
            committer = Committer(connector(network.dsn, name="lane"))
            await committer.open()
            door = Door(records, committer, answer_within_seconds=BACK_WITHIN_SECONDS)
            assert await door.commit(create()) == Committed()
            network.cut()
            verdicts = await asyncio.gather(*(door.commit(create()) for _ in range(20)))
            assert verdicts == [Committed()] * 20
            await committer.close()
    finally:
        await admin.execute(
            "DROP OWNED BY half_open_owner, half_open_app; DROP ROLE half_open_app, half_open_owner"
        )
