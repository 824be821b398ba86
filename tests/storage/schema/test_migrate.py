"""Migrations and the installation: applied once whoever starts first, and every wrong database
is named in one clear error.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.installation import DEFAULT_MERCHANT, install, read_installation
from paygate.storage.schema.migrate import MIGRATION_LOCK, migrate
from paygate.storage.schema.versions import WRITER, Migration, MigrationError, migrations
from tests.raw import lowest

ROOT = Path(__file__).parents[3]
NAMES = [migration.name for migration in migrations()]
WRAPPED = {name: f"wrapped {name}".encode() for name in ("records", "index", "audit")}

MIGRATE = """
import asyncio, sys
from paygate.storage.connections.database import connector
from paygate.storage.schema.migrate import migrate
print(*asyncio.run(migrate(connector(sys.argv[1], name="starts"))), flush=True)
"""


def keysets(_: str) -> Mapping[str, bytes]:
    return WRAPPED


async def relations(connection: Connection) -> set[str]:
    """Everything that a migration could leave behind, by name."""
    rows = await connection.fetch(
        "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " UNION SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace"
    )
    return {row["name"] for row in rows}


async def test_the_second_time_there_is_nothing_to_do(dsn: str, bare: Connection) -> None:
    connect = connector(dsn, name="migrate")
    assert await migrate(connect) == NAMES
    before = await relations(bare)
    applied = await bare.fetch("SELECT * FROM schema_migration ORDER BY number")
    assert await migrate(connect) == []
    assert await relations(bare) == before
    assert await bare.fetch("SELECT * FROM schema_migration ORDER BY number") == applied


async def test_a_role_without_the_right_is_told_in_one_line(
    dsn: str, bare: Connection, postgres: EmbeddedPostgres
) -> None:
    """At the first table, and in the middle, when what is there is another role's."""
    await bare.execute("CREATE ROLE poor LOGIN")
    connect = connector(dsn.replace("//paygate@", "//poor@"), name="migrate")
    try:
        with pytest.raises(MigrationError, match="lacks a right: permission denied") as told:
            await migrate(connect)
        assert "\n" not in str(told.value)
        await migrate(connector(dsn, name="migrate"), files=migrations()[:5])
        await bare.execute(
            "GRANT ALL ON SCHEMA public TO poor; GRANT ALL ON schema_migration TO poor"
        )
        with pytest.raises(MigrationError, match=r"lacks a right: .+"):
            await migrate(connect)
        assert await bare.fetchval("SELECT count(*) FROM schema_migration") == 5
        await migrate(connector(dsn, name="migrate"))
        with pytest.raises(MigrationError, match=r"lacks a right: .+"):
            await install(connect, installation_id="in_1", livemode=False, keysets=keysets)
    finally:
        await bare.execute("DROP OWNED BY poor; DROP ROLE poor")


async def test_processes_that_start_together_wait_for_each_other(
    dsn: str, bare: Connection
) -> None:
    """Three nodes come up on an empty database, and all of them are let in at the same moment."""
    await bare.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
    nodes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", MIGRATE, dsn),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in "abc"
    ]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'starts'"
    async with asyncio.timeout(60):
        while await bare.fetchval(waiting) < len(nodes):
            pass
    await bare.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)
    applied = []
    for node in nodes:
        output, errors = await node.communicate()
        assert (node.returncode, errors) == (0, b"")
        applied.append(output.decode().split())
    assert sorted(applied) == [[], [], NAMES]


async def test_a_migration_changed_after_it_was_applied(dsn: str, bare: Connection) -> None:
    connect = connector(dsn, name="migrate")
    await migrate(connect)
    await bare.execute("UPDATE schema_migration SET checksum = 'other' WHERE number = 1")
    with pytest.raises(MigrationError, match=rf"{NAMES[0]} was changed .* restore the file"):
        await migrate(connect)


async def test_a_database_of_a_newer_version(dsn: str, bare: Connection) -> None:
    connect = connector(dsn, name="migrate")
    await migrate(connect)
    await bare.execute("INSERT INTO schema_migration VALUES (9998, '9998_more.sql', 'x')")
    await bare.execute(lowest(WRITER + 1))
    with pytest.raises(MigrationError, match=r"migration 9998, .* run the newer version"):
        await migrate(connect)


async def test_a_database_of_a_pre_release(dsn: str, bare: Connection) -> None:
    """Its intents lack what lists search by, so it is refused as it is, and left as it was."""
    connect = connector(dsn, name="old")
    await migrate(connect, files=migrations()[:1])
    await bare.execute(
        "INSERT INTO payment_intent VALUES ('m', 'pi_1', 1, 'created', now(), now(), 's')"
    )
    with pytest.raises(MigrationError, match="pre-release of paygate: start with a new one"):
        await migrate(connect)
    assert await bare.fetchval("SELECT max(number) FROM schema_migration") == 1


async def test_a_migration_that_fails_leaves_nothing(dsn: str, bare: Connection) -> None:
    """The first file fails at its last table, which is there already; once that is out of the
    way the same call goes through.
    """
    connect = connector(dsn, name="migrate")
    await bare.execute("CREATE TABLE api_key (mine int)")
    before = await relations(bare)
    with pytest.raises(asyncpg.DuplicateTableError, match="api_key"):
        await migrate(connect)
    left = await relations(bare) - before
    assert all("schema_migration" in name for name in left), left
    assert await bare.fetchval("SELECT count(*) FROM schema_migration") == 0
    await bare.execute("DROP TABLE api_key")
    assert await migrate(connect) == NAMES


async def test_a_later_migration_that_fails_leaves_the_earlier(dsn: str, bare: Connection) -> None:
    connect = connector(dsn, name="migrate")
    await migrate(connect)
    before = await relations(bare)
    wrong = Migration(9998, "9998_wrong.sql", "CREATE TABLE half (x int); SELECT 1 / 0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(connect, files=[*migrations(), wrong])
    assert await relations(bare) == before
    assert await bare.fetchval("SELECT max(number) FROM schema_migration") == WRITER
    assert await migrate(connect) == []


async def test_a_migration_whose_process_dies_leaves_nothing(dsn: str, bare: Connection) -> None:
    """Killed by the server while it waits in the middle of the file; the lock goes with it."""
    connect = connector(dsn, name="victim")
    other = await asyncpg.connect(dsn)
    creating = other.transaction()
    await creating.start()
    await other.execute("CREATE TABLE api_key (mine int)")  # the file's own must wait for it
    migrating = asyncio.create_task(migrate(connect))
    waiting = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name = 'victim' AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(20):
        while (pid := await bare.fetchval(waiting)) is None:
            assert not migrating.done(), migrating
    await bare.execute("SELECT pg_terminate_backend($1)", pid)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await migrating
    await creating.rollback()
    await other.close()
    left = await relations(bare)
    assert all("schema_migration" in name for name in left), left
    assert await migrate(connect) == NAMES


async def test_the_installation_is_made_once(dsn: str) -> None:
    connect = connector(dsn, name="install")
    await migrate(connect)

    def never(_: str) -> Mapping[str, bytes]:
        raise AssertionError("keysets are made once")

    first = await install(connect, installation_id="in_1", livemode=False, keysets=keysets)
    assert (first.id, first.livemode, first.keysets) == ("in_1", False, WRAPPED)
    again = await install(connect, installation_id="in_2", livemode=False, keysets=never)
    assert again == first
    assert await read_installation(connect, livemode=False) == first


async def test_a_purpose_that_came_later_gets_its_keyset(dsn: str, bare: Connection) -> None:
    """Of an installation of before; never in place of one that something rests on."""
    connect = connector(dsn, name="install")
    await migrate(connect)
    first = await install(connect, installation_id="in_1", livemode=False, keysets=keysets)
    await bare.execute("DELETE FROM keyset WHERE purpose = 'audit'")
    made = dict.fromkeys(WRAPPED, b"made anew")
    again = await install(connect, installation_id="in_2", livemode=False, keysets=lambda _: made)
    assert again.keysets == {**first.keysets, "audit": b"made anew"}
    await bare.execute("DELETE FROM keyset WHERE purpose = 'audit'")
    await bare.execute("UPDATE audit_head SET number = 1")
    with pytest.raises(MigrationError, match="restore the table keyset"):
        await install(connect, installation_id="in_2", livemode=False, keysets=lambda _: made)


async def test_nodes_that_install_together_agree(dsn: str, bare: Connection) -> None:
    connect = connector(dsn, name="install")
    await migrate(connect)

    async def node(number: int) -> object:
        return await install(
            connect,
            installation_id=f"in_{number}",
            livemode=False,
            keysets=lambda name: {"records": name.encode(), "audit": name.encode()},
        )

    made = await asyncio.gather(*(node(n) for n in range(5)))
    assert all(installation == made[0] for installation in made)
    rows = await bare.fetch("SELECT id, wrapped FROM installation, keyset")
    assert len(rows) == 2
    assert all(row["wrapped"] == row["id"].encode() for row in rows)
    assert await bare.fetchval("SELECT array_agg(id) FROM merchant") == [DEFAULT_MERCHANT]


@pytest.mark.parametrize("livemode", [False, True])
async def test_a_database_of_the_other_mode(dsn: str, livemode: bool) -> None:
    connect = connector(dsn, name="install")
    await migrate(connect)
    await install(connect, installation_id="in_1", livemode=livemode, keysets=keysets)
    holds = rf"holds {'live' if livemode else 'test'} payments .* another database"
    with pytest.raises(MigrationError, match=holds):
        await install(connect, installation_id="in_1", livemode=not livemode, keysets=keysets)
    with pytest.raises(MigrationError, match=holds):
        await read_installation(connect, livemode=not livemode)


async def test_a_database_without_tables(dsn: str) -> None:
    connect = connector(dsn, name="install")
    with pytest.raises(MigrationError, match=r"no tables yet: run `paygate migrate`"):
        await read_installation(connect, livemode=False)


async def test_an_installation_needs_the_tables(dsn: str) -> None:
    connect = connector(dsn, name="install")
    with pytest.raises(MigrationError, match=r"no tables yet: run `paygate migrate`"):
        await install(connect, installation_id="in_1", livemode=False, keysets=keysets)


async def test_a_database_without_an_installation(dsn: str) -> None:
    connect = connector(dsn, name="install")
    await migrate(connect)
    with pytest.raises(MigrationError, match=r"no installation yet: run `paygate migrate`"):
        await read_installation(connect, livemode=False)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.number for migration in migrations()] == list(range(1, len(NAMES) + 1))
    folder = ROOT / "src" / "paygate" / "storage" / "schema" / "migrations"
    assert sorted(path.name for path in folder.glob("*.sql")) == NAMES
