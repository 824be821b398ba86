"""Defaults of a role or a database are no part of what we promise: every connection is ours."""

import ast
import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

import paygate
from paygate.domain.access.merchant import Merchant
from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.access.merchants import Merchants
from paygate.storage.change import Committed, OutcomeUnknown, Unavailable
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.connections.session import hang_up, tells_unreplicated
from paygate.storage.door import Door
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.records import Records
from paygate.storage.schema.migrate import migrate
from tests.making import START, make_audit
from tests.proxy import Proxy
from tests.storage.hazards import SLEEP_IN_INSERT, create, until_sleeping

Connect = Callable[[], Awaitable[Connection]]

HOSTILE = {
    "synchronous_commit": "off",
    "client_min_messages": "error",
    "lock_timeout": "1ms",
    "statement_timeout": "1ms",
    "transaction_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "client_connection_check_interval": "0",
    "tcp_keepalives_idle": "7200",
    "tcp_user_timeout": "0",
}
OURS = {
    "synchronous_commit": "on",
    "client_min_messages": "warning",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "client_connection_check_interval": "10000",
}
"""Sockets of this machine have no TCP, so what is said of it cannot be read back here."""


CLIENT_SIDE = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 10_000,
}


async def weaken(connection: Connection) -> None:
    """For the role here and for the database: the role's would come first."""
    for name, value in HOSTILE.items():
        await connection.execute(
            "DO $$ BEGIN"
            f" EXECUTE format('ALTER DATABASE %I SET {name} = ''{value}''', current_database());"
            f" EXECUTE format('ALTER ROLE %I IN DATABASE %I SET {name} = ''{value}''',"
            " current_user, current_database()); END $$"
        )


async def shown(fetch: Callable[..., Awaitable[list[asyncpg.Record]]]) -> dict[str, str]:
    rows = await fetch("SELECT name, setting FROM pg_settings WHERE name = ANY($1)", list(OURS))
    return {row["name"]: row["setting"] for row in rows}


async def test_every_kind_of_connection_is_pinned(database: str, connect: Connect) -> None:
    other = await connect()
    await weaken(other)
    assert await other.fetchval("SELECT count(*) FROM pg_db_role_setting WHERE setdatabase <> 0")
    connection = await connector(database, name="any")()
    assert await shown(connection.fetch) == OURS
    await connection.close()
    for plan_each, limit in ((False, "4000"), (True, "10000")):
        pool = open_pool(database, name="reads", plan_each=plan_each)
        assert await shown(pool.fetch) == OURS | {"statement_timeout": limit}, "reads have one"
        pool.close()


async def test_both_ends_notice_a_silent_peer(database: str) -> None:
    async with Proxy(database) as proxy:
        connection = await connector(proxy.dsn, name="any")()
        wire = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        for option, expected in CLIENT_SIDE.items():
            if hasattr(socket, option):
                found = wire.getsockopt(socket.IPPROTO_TCP, getattr(socket, option))
                assert found == expected, option
        await hang_up(connection)


class OlderServer(Proxy):
    """Refuses a parameter in the first packet, as a version does that does not know it."""

    def __init__(self, dsn: str, unknown: bytes) -> None:
        super().__init__(dsn)
        self._unknown = unknown

    async def greet(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> bytes:
        packet = await super().greet(reader, client)
        if self._unknown in packet:
            said = b"SFATAL\0VFATAL\0C42704\0Munrecognized configuration parameter\0\0"
            client.write(b"E" + (len(said) + 4).to_bytes(4, "big") + said)
            raise ConnectionRefusedError
        return packet


async def test_a_server_that_does_not_know_a_setting_is_dialled_without_it(database: str) -> None:
    for unknown, left in (
        (b"transaction_timeout", {"client_connection_check_interval": "10000"}),
        (b"client_connection_check_interval", {}),
    ):
        async with OlderServer(database, unknown) as older:
            connection = await connector(older.dsn, name="any")()
            found = await shown(connection.fetch)
            assert (
                found.items() >= {"synchronous_commit": "on", "lock_timeout": "0", **left}.items()
            )
            await hang_up(connection)
        async with OlderServer(database, b"synchronous_commit") as strange:
            with pytest.raises(asyncpg.UndefinedObjectError):
                await connector(strange.dsn, name="any")()


def test_only_one_place_dials() -> None:
    """What this file shows of a connection is true of all of them."""
    source = Path(paygate.__file__).parent
    dials = {
        (str(path.relative_to(source)), node.attr)
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("connect", "create_pool")
        and isinstance(node.value, ast.Name)
        and node.value.id in ("asyncpg", "psycopg")
    }
    assert dials == {("storage/connections/session.py", "connect")}


async def test_an_installation_lives_under_hostile_defaults(
    postgres: EmbeddedPostgres, records: Records
) -> None:
    """From its first migration to a purge, writes that wait for a lock included."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE hostile")
    dsn = postgres.dsn.replace("@/paygate?", "@/hostile?")
    other = await asyncpg.connect(dsn)
    await weaken(other)
    await migrate(connector(dsn, name="migrate"))
    committer = Committer(connector(dsn, name="lane"))
    await committer.open()
    door = Door(records, committer)
    async with other.transaction():
        await other.execute("LOCK TABLE payment_intent IN SHARE MODE")
        waiting = [asyncio.create_task(door.commit(create())) for _ in range(20)]
        while not await other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
    assert await asyncio.gather(*waiting) == [Committed()] * 20
    pool = open_pool(dsn, name="reads")
    assert isinstance(await Merchants(pool, records).create("shop", make_audit()), Merchant)
    keys = IdempotencyKeys(connector(dsn, name="keys"), pool, records)
    assert await keys.purge(START - timedelta(days=1), 10) == 0
    pool.close()
    await committer.close()
    await other.close()
    await admin.execute("DROP DATABASE hostile WITH (FORCE)")
    await admin.close()


@pytest.mark.parametrize("fault", ["lock_timeout", "statement_timeout", "cancelled"])
async def test_a_statement_that_was_cut_short_is_no_bug_of_the_changes(
    records: Records, database: str, connect: Connect, fault: str
) -> None:
    """Whoever sets a limit on a lane all the same, or cancels it by hand: nothing was written, and
    the callers may try again.
    """
    other = await connect()
    await other.execute(SLEEP_IN_INSERT.format(seconds=5))
    committer = Committer(connector(database, name="lane"), lanes=1)
    await committer.open()
    door = Door(records, committer)
    lane = committer._lanes[0]._connection
    assert lane is not None
    async with other.transaction():
        if fault == "cancelled":
            waiting = [asyncio.create_task(door.commit(create())) for _ in range(5)]
            await until_sleeping(other)
            await other.execute("SELECT pg_cancel_backend($1)", lane.get_server_pid())
        else:
            await other.execute("LOCK TABLE payment_intent IN SHARE MODE")
            await lane.execute(f"SET {fault} = '50ms'")
            waiting = [asyncio.create_task(door.commit(create())) for _ in range(5)]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, Unavailable)
        assert await other.fetchval("SELECT count(*) FROM payment_intent") == 0
    await other.execute("DROP TRIGGER slow ON payment_intent")
    await lane.execute("SET lock_timeout = 0; SET statement_timeout = 0")
    assert await door.commit(create()) == Committed()
    await committer.close()


def test_the_standby_s_warning_is_known_in_every_language() -> None:
    def said(text: str, routine: str, severity: str = "WARNING") -> object:
        fields = {"S": "WARNUNG", "V": severity, "C": "01000", "M": text, "R": routine}
        return asyncpg.PostgresLogMessage.new(fields)

    german = "storniere Warten auf synchrone Replikation wegen Benutzeraufforderung"
    assert tells_unreplicated(said(german, "SyncRepWaitForLSN"))
    english = "canceling wait for synchronous replication due to user request"
    assert tells_unreplicated(said(english, "renamed_in_a_later_version"))
    assert not tells_unreplicated(said("there is no transaction in progress", "EndTransaction"))


async def test_a_merchant_that_no_standby_has_is_not_acknowledged(
    own_server: EmbeddedPostgres, tmp_path: Path, records: Records
) -> None:
    other = await asyncpg.connect(own_server.dsn)
    await weaken(other)
    (config,) = (tmp_path / "postgres").rglob("postgresql.conf")
    config.write_text(config.read_text() + "\nsynchronous_standby_names = 'nobody'\n")
    await other.execute("SELECT pg_reload_conf()")
    pool = open_pool(own_server.dsn, name="sync")
    waiting = asyncio.create_task(Merchants(pool, records).create("shop", make_audit()))
    while not await other.fetchval(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'sync' AND wait_event = 'SyncRep'"
    ):
        await asyncio.sleep(0.02)
    with pytest.raises(OutcomeUnknown):
        await waiting
    pool.close()
    await other.close()
