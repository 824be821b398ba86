"""Migrations of a database at work: commits go on beside them, whoever holds what they wait for;
and versions of paygate go on beside each other.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.storage.change import Change, Committed
from paygate.storage.commit.committer import Connection
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.installation import install, read_installation
from paygate.storage.schema.migrate import migrate
from paygate.storage.schema.versions import (
    WRITER,
    Migration,
    MigrationError,
    check_version,
    migrations,
)
from tests.making import make_audit, make_intent
from tests.raw import lowest

Connect = Callable[[], Awaitable[Connection]]

OURS = migrations()
COLUMN = Migration(
    9998,
    "9998_next.sql",
    "ALTER TABLE payment_intent ADD COLUMN refunds integer NOT NULL DEFAULT 0",
)
INDEX = Migration(
    9999,
    "9999_index.sql",
    "-- outside a transaction\n-- For a list that is to come.\n"
    "CREATE INDEX CONCURRENTLY payment_intent_age ON payment_intent (created_at);\n"
    "CREATE INDEX CONCURRENTLY payment_intent_news ON payment_intent (updated_at);\n",
)
VALID = (
    "SELECT array_agg(indexrelid::regclass::text ORDER BY 1) FROM pg_index"
    " WHERE indexrelid::regclass::text LIKE 'payment_intent_%' AND indisvalid = $1"
    " AND indexrelid::regclass::text IN ('payment_intent_age', 'payment_intent_news')"
)
NAMES = ["payment_intent_age", "payment_intent_news"]
APPLIED = "SELECT count(*) FROM schema_migration WHERE number = $1"


@asynccontextmanager
async def backup(database: str) -> AsyncIterator[Connection]:
    """A long reader, as `pg_dump` is: it holds what it has read until its end."""
    settings = {"application_name": "nightly backup"}
    reader = await asyncpg.connect(database, server_settings=settings)
    await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await reader.fetch("SELECT count(*) FROM payment_intent")
    try:
        yield reader
    finally:
        await reader.close()


async def pay(door: Door) -> None:
    """A commit as a request makes it, which waits for its answer no longer than a request does."""
    assert await door.commit(Change(make_audit(), creates=(make_intent(),))) == Committed()


async def until_message(
    messages: list[str], what: str, work: asyncio.Task[list[str]], times: int = 1
) -> None:
    async with asyncio.timeout(30):
        while sum(what in line for line in messages) < times:
            assert not work.done(), work
            await asyncio.sleep(0.01)


async def test_commits_go_on_while_a_migration_waits_for_a_reader(
    door: Door, database: str, connect: Connect
) -> None:
    messages: list[str] = []
    work = migrate(
        connector(database, name="new version"), tell=messages.append, files=[*OURS, COLUMN]
    )
    async with backup(database):
        migrating = asyncio.create_task(work)
        for times in (1, 2):
            await until_message(messages, "waiting for backend", migrating, times)
            await pay(door)
        assert not migrating.done()
    assert await migrating == [COLUMN.name]
    assert any("nightly backup" in line and COLUMN.name in line for line in messages), messages
    await pay(door)
    assert await (await connect()).fetchval("SELECT sum(refunds) FROM payment_intent") == 0


async def test_a_migration_in_the_way_holds_back_a_commit_for_a_moment(
    door: Door, database: str, connect: Connect
) -> None:
    """Where it waits itself: its try ends, and whoever queued behind it goes on."""
    watch = await connect()
    queued = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'payment_intent'::regclass"
    )
    async with backup(database):
        migrating = asyncio.create_task(
            migrate(connector(database, name="new version"), files=[*OURS, COLUMN])
        )
        async with asyncio.timeout(30):
            while not await watch.fetchval(queued):
                pass
        await pay(door)  # behind the waiting ALTER, with the deadline of a request
        assert not migrating.done()
    assert await migrating == [COLUMN.name]


async def test_patience_ends_and_nothing_is_applied(database: str, connect: Connect) -> None:
    dial = connector(database, name="new version")
    async with backup(database):
        with pytest.raises(MigrationError, match=r"in vain for backend \d+ \(nightly backup\)"):
            await migrate(dial, files=[*OURS, COLUMN], patience=timedelta(0))
    assert await (await connect()).fetchval(APPLIED, COLUMN.number) == 0
    assert await migrate(dial, files=[*OURS, COLUMN]) == [COLUMN.name]


async def test_the_queues_tables_are_waited_for_too(
    door: Door, database: str, connect: Connect
) -> None:
    """A newer queue has a column more, and each commit with a job writes to its table."""
    messages: list[str] = []
    hand = await connect()
    await hand.execute("ALTER TABLE pgqueuer DROP COLUMN headers")
    await hand.execute("BEGIN; SELECT count(*) FROM pgqueuer")
    migrating = asyncio.create_task(
        migrate(connector(database, name="new version"), tell=messages.append)
    )
    await until_message(messages, "the queue's tables: waiting for backend", migrating)
    job = Job(ApplyProviderEvent("default", "pe_1"))
    assert await door.commit(Change(make_audit(), jobs=(job,))) == Committed()
    await hand.execute("ROLLBACK")
    assert await migrating == []
    assert await hand.fetchval("SELECT count(headers) FROM pgqueuer") == 0


async def test_an_index_is_built_beside_commits(
    door: Door, database: str, connect: Connect
) -> None:
    """Its build waits for whoever could still read without it; commits wait for nobody."""
    dial, watch = connector(database, name="new version"), await connect()
    async with backup(database):
        migrating = asyncio.create_task(migrate(dial, files=[*OURS, INDEX]))
        await until_waiting(watch, migrating)
        await pay(door)
    assert await migrating == [INDEX.name]
    assert await watch.fetchval(VALID, True) == NAMES
    assert await migrate(dial, files=[*OURS, INDEX]) == []


async def until_waiting(watch: Connection, migrating: asyncio.Task[list[str]]) -> int:
    """The backend that builds an index, once it waits for a reader."""
    builds = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'new version'"
        " AND query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(30):
        while (pid := await watch.fetchval(builds)) is None:
            assert not migrating.done(), migrating
    return int(pid)


async def test_an_index_that_a_crash_left_unfinished_is_made_again(
    database: str, connect: Connect
) -> None:
    dial, watch = connector(database, name="new version"), await connect()
    async with backup(database):
        migrating = asyncio.create_task(migrate(dial, files=[*OURS, INDEX]))
        await watch.execute(
            "SELECT pg_terminate_backend($1)", await until_waiting(watch, migrating)
        )
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await migrating
    assert await watch.fetchval(VALID, False) == NAMES[:1]
    assert await watch.fetchval(APPLIED, INDEX.number) == 0
    messages: list[str] = []
    assert await migrate(dial, tell=messages.append, files=[*OURS, INDEX]) == [INDEX.name]
    assert await watch.fetchval(VALID, True) == NAMES
    assert sum("left unfinished" in line for line in messages) == 1


async def test_what_was_done_before_a_crash_is_not_done_twice(
    database: str, connect: Connect
) -> None:
    """It died between the first index and the second."""
    watch = await connect()
    await watch.execute(INDEX.statements[0])
    first = "SELECT 'payment_intent_age'::regclass::oid"
    before = await watch.fetchval(first)
    dial = connector(database, name="new version")
    assert await migrate(dial, files=[*OURS, INDEX]) == [INDEX.name]
    assert await watch.fetchval(first) == before
    assert await watch.fetchval(VALID, True) == NAMES


async def test_what_cannot_be_resumed_is_not_run_outside_a_transaction(
    database: str, connect: Connect
) -> None:
    careless = Migration(9999, "9999_x.sql", "-- outside a transaction\nCREATE TABLE half (x int);")
    with pytest.raises(AssertionError, match="resumed"):
        await migrate(connector(database, name="new version"), files=[*OURS, careless])
    assert await (await connect()).fetchval("SELECT to_regclass('half')") is None


async def test_nodes_that_come_up_together_build_an_index_once(
    database: str, connect: Connect
) -> None:
    """Who waits for the other's end must not be who the other's index waits for; nor may a node
    that makes the installation.
    """
    messages: list[str] = []
    watch = await connect()
    async with backup(database):
        first = asyncio.create_task(
            migrate(connector(database, name="new version"), files=[*OURS, INDEX])
        )
        await until_waiting(watch, first)
        second = asyncio.create_task(
            migrate(connector(database, name="second"), tell=messages.append, files=[*OURS, INDEX])
        )
        third = asyncio.create_task(
            install(
                connector(database, name="third"),
                installation_id="in_1",
                livemode=False,
                keysets=lambda _: {},
            )
        )
        await until_message(messages, "another process migrates this database (backend ", second)
    assert await first == [INDEX.name]
    assert await second == []
    assert (await third).id == "in_1"


async def test_the_roles_defaults_do_not_end_a_migration(database: str, connect: Connect) -> None:
    hand = await connect()
    name = await hand.fetchval("SELECT current_database()")
    for setting in ("statement_timeout = 50", "default_transaction_read_only = on"):
        await hand.execute(f"ALTER DATABASE {name} SET {setting}")
    slow = Migration(9998, "9998_slow.sql", "CREATE TABLE slow (x int); SELECT pg_sleep(0.2);")
    dial = connector(database, name="new version")
    assert await migrate(dial, files=[*OURS, slow]) == [slow.name]


async def test_an_older_version_goes_on_beside_a_newer_schema(
    database: str, connect: Connect
) -> None:
    """It starts, and its `paygate migrate` leaves what is newer as it is."""
    hand = await connect()
    dial = connector(database, name="older")
    await install(dial, installation_id="in_1", livemode=False, keysets=lambda _: {})
    await hand.execute("INSERT INTO schema_migration VALUES (9998, '9998_more.sql', 'x')")
    messages: list[str] = []
    assert await migrate(dial, tell=messages.append) == []
    assert any("newer version (9998)" in line for line in messages), messages
    assert (await read_installation(dial, livemode=False)).id == "in_1"
    await hand.execute(lowest(WRITER + 1))
    with pytest.raises(MigrationError, match="run the newer version"):
        await migrate(dial)
    with pytest.raises(MigrationError, match=f"takes writes of version {WRITER + 1} and later"):
        await read_installation(dial, livemode=False)


async def test_a_newer_version_does_not_start_on_an_older_schema(dsn: str) -> None:
    """Expand first: its columns and tables are not there yet."""
    dial = connector(dsn, name="new version")
    await migrate(dial, files=OURS[:-1])
    connection = await dial()
    with pytest.raises(MigrationError, match=rf"lacks migration {WRITER}: run `paygate migrate`"):
        await check_version(connection)
    await connection.close()


async def test_a_database_with_payments_in_it_is_brought_up(dsn: str) -> None:
    """As the version before left it: nobody announced a writer then, and rows stay as they are."""
    dial = connector(dsn, name="new version")
    await migrate(dial, files=OURS[:5])
    old = await asyncpg.connect(dsn)
    await old.execute(
        "INSERT INTO payment_intent VALUES ('m', 'pi_1', 1, 'created', now(), now(), 's')"
    )
    await old.execute(
        "WITH begun AS (UPDATE payment_intent SET version = version + 1, status = 'processing')"
        " INSERT INTO attempt"
        " VALUES ('m', 'at_1', 1, 'pi_1', 1, 'confirm', 'started', now(), now(), 's')"
    )
    assert await migrate(dial) == [migration.name for migration in OURS[5:]]
    with pytest.raises(asyncpg.PostgresError, match="takes no writes of paygate before version"):
        await old.execute("UPDATE payment_intent SET version = version + 1")
    await old.close()
    connection = await dial()
    await connection.execute(
        "WITH a AS (UPDATE attempt SET version = version + 1, state = 'declined')"
        " UPDATE payment_intent SET version = version + 1, status = 'failed'"
    )
    await connection.close()
