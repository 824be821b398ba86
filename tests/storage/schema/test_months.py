"""Tables by month: where a row goes, what is made when, and what a database of before becomes."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from paygate.domain.audit import AuditEntry
from paygate.embedded.binaries import binaries
from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.change import Change, Committed, Conflict, Reason
from paygate.storage.commit.committer import Committer
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.door import Door
from paygate.storage.records import Records
from paygate.storage.schema.migrate import migrate
from paygate.storage.schema.months import AHEAD_MONTHS, BY_MONTH
from paygate.storage.schema.versions import Migration, migrations
from tests.making import START, make_audit, make_intent, make_provider_event
from tests.raw import raw
from tests.storage.schema.test_migrate_beside import backup, pay, until_message
from tests.storage.stored import TABLE_OF, select

Connect = Callable[[], Awaitable[Connection]]

TIME = {"audit_entry": "at", "event": "created_at", "provider_event_body": "received_at"}
MOMENT = timedelta(microseconds=1)
BEFORE = [migration for migration in migrations() if migration.number < 16]
OF_ONE = "SELECT begins, ends FROM months_of($1::text::regclass) WHERE ends IS NOT NULL ORDER BY 2"


async def add(connection: Connection, table: str, row_id: str, at: datetime) -> None:
    """A row as an older node inserts it, too: by the names of the columns."""
    more = ", object_id" if table == "event" else ""
    value = ", 'pi_1'" if table == "event" else ""
    await connection.execute(
        f"INSERT INTO {table} (merchant, id, {TIME[table]}, sealed{more})"
        f" VALUES ('m', $1, $2, 's'{value})",
        row_id,
        at,
    )


async def places(connection: Connection, table: str) -> dict[str, str]:
    """In which partition each row is."""
    rows = await connection.fetch(f"SELECT id, tableoid::regclass::text AS place FROM {table}")
    return {row["id"]: row["place"] for row in rows}


async def months(connection: Connection, table: str) -> list[tuple[datetime | None, datetime]]:
    return [tuple(row) for row in await connection.fetch(OF_ONE, table)]


def first_of(month: datetime, later: int = 0) -> datetime:
    number = month.year * 12 + month.month - 1 + later
    return datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)


async def this_month(connection: Connection) -> datetime:
    return first_of(await connection.fetchval("SELECT clock_timestamp()"))


async def migrated(dsn: str, files: Sequence[object] | None = None) -> list[str]:
    """What a run of `paygate migrate` tells."""
    messages: list[str] = []
    await migrate(connector(dsn, name="migrate"), tell=messages.append, files=files)  # type: ignore[arg-type]
    return messages


@pytest.mark.parametrize("table", BY_MONTH)
@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
async def test_months_are_utc_whatever_the_zone_is(
    dsn: str, bare: Connection, table: str, zone: str
) -> None:
    """Where it was migrated as well as where it is written: the first and the last microsecond."""
    await bare.execute(f"ALTER DATABASE bare SET timezone = '{zone}'")
    try:
        messages = await migrated(dsn)
        connection = await raw(dsn)
        assert await connection.fetchval("SHOW timezone") == zone
        now = await this_month(connection)
        wanted = [(first_of(now, n), first_of(now, n + 1)) for n in range(AHEAD_MONTHS + 1)]
        assert await months(connection, table) == wanted
        assert f"{table}: made 25 months, up to {wanted[-1][0]:%Y-%m}" in messages
        begins, ends = wanted[1]
        for name, at in (("first", begins), ("last", ends - MOMENT), ("next", ends)):
            await add(connection, table, name, at)
        here, after = (f"{table}_{month:%Y_%m}" for month in (begins, ends))
        assert await places(connection, table) == {"first": here, "last": here, "next": after}
        assert await migrated(dsn) == []
        await connection.close()
    finally:
        await bare.execute("ALTER DATABASE bare RESET timezone")


@pytest.mark.parametrize("table", BY_MONTH)
async def test_rows_of_no_month_are_kept_and_make_way_for_it(
    database: str, connect: Connect, table: str
) -> None:
    """Past the last month, long before the first one, and in a month that nobody made: none is
    refused, none is lost to a reader. What is of a month that is made later moves into it.
    """
    connection = await connect()
    spans = [(begins, ends) for begins, ends in await months(connection, table) if begins]
    (early, _), (late, end) = spans[0], spans[-1]
    name = f"{table}_{late:%Y_%m}"
    await connection.execute(f"ALTER TABLE {table} DETACH PARTITION {name}; DROP TABLE {name}")
    rows = {"old": early - MOMENT, "first": late, "last": end - MOMENT, "past": end}
    for row_id, at in rows.items():
        await add(connection, table, row_id, at)
    assert set((await places(connection, table)).values()) == {f"{table}_default"}
    assert await migrated(database) == [
        f"{table}: moved 2 rows from the default partition to {late:%Y-%m}",
        f"{table}: made a month, up to {late:%Y-%m}",
    ]
    spare = f"{table}_default"
    kept = {"old": spare, "first": name, "last": name, "past": spare}
    assert await places(connection, table) == kept
    for place in (table, *set(kept.values())):
        for change in (f"DELETE FROM {place}", f"UPDATE {place} SET sealed = 'x'"):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
                await connection.execute(change)
    assert await places(connection, table) == kept


async def test_a_month_that_was_taken_away_is_not_made_again(
    database: str, connect: Connect
) -> None:
    """What comes late for it, a clock that is slow by months, is kept all the same."""
    connection = await connect()
    begins, ends = (await months(connection, "event"))[0]
    assert begins is not None
    await connection.execute(f"ALTER TABLE event DETACH PARTITION event_{begins:%Y_%m}")
    await add(connection, "event", "late", begins)
    assert await migrated(database) == []
    assert (await months(connection, "event"))[0][0] == ends
    assert await places(connection, "event") == {"late": "event_default"}


async def test_an_id_is_used_once_in_a_month(connect: Connect) -> None:
    connection = await connect()
    await add(connection, "event", "evt_1", START)
    with pytest.raises(asyncpg.UniqueViolationError):
        await add(connection, "event", "evt_1", START + MOMENT)


async def test_a_clock_that_is_years_ahead_stops_no_commit(
    door: Door, records: Records, connect: Connect
) -> None:
    """The last month is over, and nobody has run `migrate`: payments go on."""
    entry = msgspec.structs.replace(make_audit(), at=START + timedelta(days=9999))
    assert await door.commit(Change(entry, creates=(make_intent(),))) == Committed()
    connection = await connect()
    assert await places(connection, "audit_entry") == {entry.id: "audit_entry_default"}
    row = await connection.fetchrow(select(TABLE_OF[AuditEntry]))
    assert row is not None
    assert records.open(AuditEntry, tuple(row)) == entry


async def test_what_must_be_unique_is_so_across_months(door: Door) -> None:
    """A provider event that comes at the last moment of a month and again in the next."""
    first = make_provider_event("evt_1")
    end = first_of(START, 1)
    for at, verdict in (
        (end - MOMENT, Committed()),
        (end + MOMENT, Conflict(Reason.CLAIMED, "provider_event")),
    ):
        again = msgspec.structs.replace(
            make_provider_event("evt_1"), received_at=at, updated_at=at, body=None
        )
        assert await door.commit(Change(make_audit(), creates=(again,))) == verdict
    assert first.provider_reference == "evt_1"


async def test_commits_go_on_while_a_month_waits_for_a_reader(
    door: Door, database: str, connect: Connect
) -> None:
    connection = await connect()
    (begins, _) = (await months(connection, "audit_entry"))[-1]
    name = f"audit_entry_{begins:%Y_%m}"
    await connection.execute(f"ALTER TABLE audit_entry DETACH PARTITION {name}; DROP TABLE {name}")
    messages: list[str] = []
    async with backup(database) as reader:
        await reader.fetch("SELECT count(*) FROM audit_entry")
        work = migrate(connector(database, name="new version"), tell=messages.append)
        making = asyncio.create_task(work)
        await until_message(messages, "waiting for backend", making, 2)
        await pay(door)
        assert not making.done()
    assert await making == []
    assert messages[-1] == f"audit_entry: made a month, up to {begins:%Y-%m}"


async def laid_out_from(dsn: str) -> tuple[Connection, datetime]:
    """A database of the version before, and the end of the month that it is in."""
    await migrate(connector(dsn, name="older"), files=BEFORE)
    connection = await raw(dsn)
    return connection, first_of(await this_month(connection), 1)


@pytest.mark.parametrize("table", ["event", "audit_entry"])
async def test_rows_of_before_stay_where_they_are(dsn: str, table: str) -> None:
    """They are not copied: the old table is the first partition. A clock that was ahead made some
    that are past it.
    """
    connection, end = await laid_out_from(dsn)
    rows = {
        "oldest": datetime(1970, 1, 1, tzinfo=UTC),
        "newest": end - MOMENT,
        "ahead": end,
        "far ahead": datetime(2999, 1, 1, tzinfo=UTC),
    }
    for row_id, at in rows.items():
        await add(connection, table, row_id, at)
    file = await connection.fetchval("SELECT pg_relation_filenode($1::text::regclass)", table)
    messages = await migrated(dsn)
    moved = f"{table}: moved 1 rows from the default partition to {end:%Y-%m}"
    assert moved in messages
    before = f"{table}_before"
    assert await places(connection, table) == {
        "oldest": before,
        "newest": before,
        "ahead": f"{table}_{end:%Y_%m}",
        "far ahead": f"{table}_default",
    }
    now = "SELECT pg_relation_filenode($1::text::regclass)"
    assert await connection.fetchval(now, before) == file
    spans = await months(connection, table)
    assert spans[0] == (None, end)
    assert [begins for begins, _ in spans[1:]] == [first_of(end, n) for n in range(AHEAD_MONTHS)]
    await add(connection, table, "since", end - MOMENT)
    assert (await places(connection, table))["since"] == before
    for change in (f"DELETE FROM {before}", f"UPDATE {before} SET sealed = 'x'"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await connection.execute(change)
    checks = "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conname LIKE 'before%'"
    assert await connection.fetchval(checks) == 0
    assert await migrated(dsn) == []
    await connection.close()


async def test_the_indexes_of_before_are_those_of_every_month(dsn: str) -> None:
    """They are not made anew: the oldest partition's are the files that they were."""
    connection, end = await laid_out_from(dsn)
    await add(connection, "event", "evt_1", end - MOMENT)
    file = "SELECT pg_relation_filenode($1::text::regclass)"
    names = ("in_order", "of_object")
    files = [await connection.fetchval(file, f"event_{name}") for name in names]
    await migrated(dsn)
    after = [await connection.fetchval(file, f"event_before_{name}") for name in names]
    assert after == files
    for name in names:
        parts = await connection.fetchval(
            "SELECT array_agg(i.indrelid::regclass::text) FROM pg_inherits h"
            " JOIN pg_index i ON i.indexrelid = h.inhrelid AND i.indisvalid"
            " WHERE h.inhparent = $1::text::regclass",
            f"event_{name}",
        )
        partitions = await connection.fetchval(
            "SELECT array_agg(place::text) FROM months_of('event')"
        )
        assert sorted(parts) == sorted(partitions)
    await connection.close()


async def test_what_was_sealed_before_opens_after(dsn: str, records: Records) -> None:
    connection, _ = await laid_out_from(dsn)
    # This code writes them; the version of before would not.
    for column in ("subject", "action", "actor"):
        await connection.execute(f"ALTER TABLE audit_entry ADD COLUMN {column} text")
    committer = Committer(connector(dsn, name="older node"))
    await committer.open()
    door, entries = Door(records, committer), [make_audit(), make_audit()]
    assert await door.commit(Change(entries[0], creates=(make_intent(),))) == Committed()
    await migrated(dsn)
    # The same connection, with statements that it prepared for the table of before.
    assert await door.commit(Change(entries[1], creates=(make_intent(),))) == Committed()
    await committer.close()
    rows = await connection.fetch(f"{select(TABLE_OF[AuditEntry])} ORDER BY id")
    assert [records.open(AuditEntry, tuple(row)) for row in rows] == entries
    await connection.close()


INDEX = Migration(
    9999,
    "9999_index.sql",
    "-- outside a transaction\nCREATE INDEX CONCURRENTLY audit_entry_age ON audit_entry (at)\n"
    "    WHERE at > '2000-01-01';\n",
)
PARTS = (
    "SELECT array_agg(i.indrelid::regclass::text) FROM pg_inherits h"
    " JOIN pg_index i ON i.indexrelid = h.inhrelid AND i.indisvalid"
    " WHERE h.inhparent = 'audit_entry_age'::regclass"
)


async def test_an_index_is_built_month_by_month_beside_commits(
    database: str, door: Door, connect: Connect
) -> None:
    """A reader holds every month; a run before this one died in the middle of it."""
    connection = await connect()
    await add(connection, "audit_entry", "au_1", await this_month(connection))
    partitions = await connection.fetchval(
        "SELECT array_agg(place::text) FROM months_of('audit_entry')"
    )
    done = min(partitions)
    await connection.execute(
        "CREATE INDEX audit_entry_age ON ONLY audit_entry (at) WHERE at > '2000-01-01';"
        f"CREATE INDEX {done}_age ON {done} (at) WHERE at > '2000-01-01';"
        f"ALTER INDEX audit_entry_age ATTACH PARTITION {done}_age"
    )
    file = "SELECT pg_relation_filenode($1::text::regclass)"
    before = await connection.fetchval(file, f"{done}_age")
    messages: list[str] = []
    connecting = connector(database, name="migrate")
    ours = [*migrations(), INDEX]
    async with backup(database) as reader:
        await reader.fetch("SELECT count(*) FROM audit_entry")
        making = asyncio.create_task(migrate(connecting, tell=messages.append, files=ours))
        await until_message(messages, "CREATE INDEX CONCURRENTLY", making)
        for _ in range(5):
            assert await door.commit(Change(make_audit(), creates=(make_intent(),))) == Committed()
        assert not making.done()
    assert await making == [INDEX.name]
    assert sorted(await connection.fetchval(PARTS)) == sorted(partitions)
    assert await connection.fetchval(file, f"{done}_age") == before, "it is not made again"
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'audit_entry_age'::regclass"
    assert await connection.fetchval(valid)
    far = await connection.fetchval("SELECT date_trunc('month', now()) + interval '40 months'")
    await connection.execute("SELECT make_month('audit_entry', $1)", far)
    assert len(await connection.fetchval(PARTS)) == len(partitions) + 1, "a later month has it"


@pytest.mark.parametrize("replica", [False, True])
async def test_no_month_of_the_audit_log_is_changed(connect: Connect, *, replica: bool) -> None:
    """Named by itself or by the table: this month, one that is made later, the default partition,
    the rows of before; not in replica mode either.
    """
    connection = await connect()
    month = await this_month(connection)
    later = first_of(month, 30)
    await connection.execute("SELECT make_month('audit_entry', $1)", later)
    rows = {"this": month, "later": later, "past": first_of(month, 99)}
    for name, at in rows.items():
        await add(connection, "audit_entry", name, at)
    found = await places(connection, "audit_entry")
    assert len(set(found.values())) == 3
    if replica:
        await connection.execute("SET session_replication_role = replica")
    for place in (*found.values(), "audit_entry", "ONLY audit_entry"):
        changes = [f"UPDATE {place} SET sealed = 'x'", f"UPDATE {place} SET subject = NULL"]
        changes += [f"DELETE FROM {place}", f"TRUNCATE {place}"]
        for change in changes:
            if place.startswith("ONLY") and not change.startswith("TRUNCATE"):
                continue  # the table alone has no rows
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.execute(change)
            expected = (
                asyncpg.WrongObjectTypeError
                if "ONLY" in change
                else asyncpg.IntegrityConstraintViolationError
            )
            assert isinstance(refused.value, expected), (change, refused.value)
    assert await places(connection, "audit_entry") == found


INTERRUPT = """
CREATE FUNCTION interrupt() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_constraint
               WHERE conrelid = 'event'::regclass AND conname LIKE 'before%') THEN
        RAISE EXCEPTION 'interrupted';
    END IF;
END $$;
CREATE EVENT TRIGGER interrupt ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION interrupt();
"""
"""It ends `migrate` when a table's rows of before are about to be looked through."""


async def test_half_laid_out_a_table_takes_and_shows_every_row(dsn: str) -> None:
    """An upgrade that was given up, for longer than the month lasts: the older nodes go on."""
    connection, end = await laid_out_from(dsn)
    await add(connection, "event", "before", START)
    await add(connection, "event", "ahead", end + timedelta(days=400))
    await connection.execute(INTERRUPT)
    with pytest.raises(asyncpg.RaiseError, match="interrupted"):
        await migrated(dsn)
    assert await connection.fetchval("SELECT to_regclass('event_default') IS NOT NULL")
    await add(connection, "event", "this month", end - MOMENT)
    await add(connection, "event", "months later", end + timedelta(days=100))
    everything = {"before", "ahead", "this month", "months later"}
    assert set(await places(connection, "event")) == everything
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await connection.execute("DELETE FROM event WHERE id = 'months later'")
    await connection.execute("DROP EVENT TRIGGER interrupt")
    await migrated(dsn)
    found = await places(connection, "event")
    assert set(found) == everything
    assert {found["before"], found["this month"]} == {"event_before"}
    assert found["months later"] == f"event_{end + timedelta(days=100):%Y_%m}"
    await connection.close()


async def done(*command: Path | str) -> None:
    """A program that ended well."""
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    assert await process.wait() == 0, command


async def test_a_dump_is_restored_with_its_months(
    dsn: str, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    connection, end = await laid_out_from(dsn)
    for table in ("event", "audit_entry"):
        await add(connection, table, "before", START)
    await migrated(dsn)
    for table in BY_MONTH:
        await add(connection, table, "next", end)
        await add(connection, table, "past", end + timedelta(days=9999))
    kept = {table: await places(connection, table) for table in BY_MONTH}
    spans = {table: await months(connection, table) for table in BY_MONTH}
    await connection.close()
    dump = tmp_path / "dump.sql"
    await done(binaries() / "pg_dump", "-f", dump, dsn)
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE copy TEMPLATE template0")
    copy = postgres.dsn.replace("@/paygate?", "@/copy?")
    await done(binaries() / "psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", dump, copy)
    restored = await raw(copy)
    assert {table: await places(restored, table) for table in BY_MONTH} == kept
    assert {table: await months(restored, table) for table in BY_MONTH} == spans
    assert await migrated(copy) == []
    await restored.close()
    await admin.execute("DROP DATABASE copy WITH (FORCE)")
    await admin.close()
