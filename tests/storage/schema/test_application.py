"""The application's role: what it may do, and nothing gives it what the schema refuses (D27)."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import asyncpg
import pytest

from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.schema.application import grant_rights, make_role, rights, role_of
from paygate.storage.schema.versions import ANNOUNCED, MigrationError
from tests.making import START

Connect = Callable[[], Awaitable[Connection]]
_numbers = itertools.count()
APPEND_ONLY = (
    *("audit_entry", "audit_seal", "event", "ledger_transfer", "correction", "database_restore"),
    *("reconciliation_finding", "provider_account"),
)
REFUSED = (
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "ALTER TABLE audit_entry DISABLE TRIGGER no_update",
    "ALTER TABLE audit_seal ADD COLUMN x text",
    "ALTER TABLE audit_entry OWNER TO current_user",
    "DROP TABLE audit_seal",
    "DROP TRIGGER no_update ON audit_seal",
    "TRUNCATE audit_entry",
    "TRUNCATE audit_seal",
    "DELETE FROM audit_entry",
    "DELETE FROM audit_seal",
    "DELETE FROM audit_head",
    "DELETE FROM installation",
    "DELETE FROM keyset",
    "DELETE FROM merchant",
    "DELETE FROM payment_intent",
    "INSERT INTO audit_head (one) VALUES (false)",
    "INSERT INTO schema_migration (number, name, checksum) VALUES (9999, 'x', 'x')",
    "UPDATE audit_entry SET subject = 'x'",
    "UPDATE audit_entry SET at = now()",
    "UPDATE audit_seal SET hash = leaf",
    "UPDATE ledger_transfer SET money_seq = 1",
    "UPDATE database_restore SET taken_at = now()",
    "SET session_replication_role = replica",
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "CREATE FUNCTION lowest_writer_2() RETURNS integer LANGUAGE sql AS 'SELECT 0'",
    "CREATE OR REPLACE FUNCTION lowest_writer() RETURNS integer LANGUAGE sql AS 'SELECT 0'",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE TABLE mine (id text)",
    "CREATE TRIGGER t BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "SELECT make_month('audit_entry', '2050-01-01')",
    "CREATE ROLE other",
)
AS_THE_OWNER = """
CREATE TEMP TABLE installation (counted_elsewhere bigint);
INSERT INTO pg_temp.installation VALUES (0);
CREATE TEMP TABLE webhook_cursor (written_in xid8);
INSERT INTO pg_temp.webhook_cursor VALUES ('99999999');
CREATE TEMP TABLE event (merchant text, id text, written_in xid8);
CREATE FUNCTION pg_temp.undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    ALTER TABLE public.audit_seal DISABLE TRIGGER ALL;
    RETURN NEW;
END $$;
CREATE TRIGGER undo BEFORE UPDATE ON pg_temp.installation
    FOR EACH ROW EXECUTE FUNCTION pg_temp.undo();
GRANT ALL ON pg_temp.installation, pg_temp.webhook_cursor, pg_temp.event TO PUBLIC;
SELECT keep_order();
"""
AS_OF_AN_ERASED_CUSTOMER = """
CREATE TEMP TABLE customer (merchant text, id text, erasure_began_at timestamptz);
CREATE TEMP TABLE payment_intent (merchant text, id text, customer text);
INSERT INTO pg_temp.payment_intent VALUES ('default', 'pi_1', 'cus_1');
INSERT INTO pg_temp.customer VALUES ('default', 'cus_1', now());
UPDATE public.event SET sealed = 'x';
"""
PARTS = "SELECT place::text FROM months_of('audit_entry')"


@pytest.fixture
async def role(database: str, connect: Connect) -> AsyncIterator[str]:
    """A role with the application's rights."""
    name, owner = f"app_{next(_numbers)}", connector(database, name="owner")
    await make_role(owner, name)
    await make_role(owner, name)
    assert await grant_rights(owner, name)
    yield name
    connection = await connect()
    await connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
async def application(database: str, role: str) -> AsyncIterator[Connection]:
    """A connection of that role."""
    dsn = database.replace("://paygate@", f"://{role}@")
    assert await role_of(connector(dsn, name="app")) == role
    connection = await asyncpg.connect(dsn, server_settings=dict(ANNOUNCED))
    yield connection
    await connection.close()


@pytest.mark.parametrize("statement", REFUSED)
async def test_nothing_undoes_what_the_schema_refuses(
    application: Connection, connect: Connect, statement: str
) -> None:
    owner = await (await connect()).fetchval("SELECT current_user")
    with pytest.raises(asyncpg.PostgresError) as refused:
        await application.execute(statement.format(owner=owner))
    assert isinstance(refused.value, asyncpg.InsufficientPrivilegeError), refused.value


async def test_no_temporary_table_gives_the_owners_rights(
    application: Connection, connect: Connect
) -> None:
    await application.execute(AS_THE_OWNER)
    enabled = "SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgrelid = 'audit_seal'::regclass"
    assert [row[0] for row in await (await connect()).fetch(enabled)] == [b"A"]


async def test_a_role_beside_one_that_is_the_owner_has_no_rights_of_it(
    database: str, connect: Connect
) -> None:
    owner, other = connector(database, name="owner"), f"app_{next(_numbers)}"
    await make_role(owner, other)
    assert await grant_rights(owner, await role_of(owner)) is False
    connection = await asyncpg.connect(database.replace("://paygate@", f"://{other}@"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(AS_THE_OWNER)
    await connection.close()
    await (await connect()).execute(f"DROP ROLE {other}")


async def test_no_temporary_table_tells_a_trigger_what_is_not_so(application: Connection) -> None:
    await application.execute(
        "INSERT INTO merchant (id) VALUES ('default') ON CONFLICT DO NOTHING;"
        "INSERT INTO event (merchant, id, created_at, sealed, object_id)"
        " VALUES ('default', 'evt_1', now(), 's', 'pi_1')"
    )
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await application.execute(AS_OF_AN_ERASED_CUSTOMER)


async def test_a_month_is_not_named_directly(application: Connection) -> None:
    for row in await application.fetch(PARTS):
        for statement in ("UPDATE {} SET sealed = 'x'", "DELETE FROM {}", "SELECT FROM {}"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await application.execute(statement.format(row["place"]))


async def test_the_seal_alone_may_be_updated_where_a_trigger_lets_it(
    application: Connection,
) -> None:
    await application.execute(
        "INSERT INTO audit_entry (merchant, id, at, sealed) VALUES ('m', 'au_1', $1, 's')", START
    )
    # Whether a record is sealed anew is the trigger's to say, and no question of rights.
    with suppress(asyncpg.IntegrityConstraintViolationError):
        await application.execute("UPDATE audit_entry SET sealed = 'x'")


async def test_rights_follow_from_what_the_schema_refuses(connect: Connect, role: str) -> None:
    connection = await connect()
    found = {right.table: right for right in await rights(connection)}
    for table in APPEND_ONLY:
        assert set(found[table].rights) == {"SELECT", "INSERT"}, table
    assert set(found["payment_intent"].rights) == {"SELECT", "INSERT", "UPDATE"}
    assert set(found["idempotency_key"].rights) == {"SELECT", "INSERT", "UPDATE", "DELETE"}
    for table, given, sealed in found.values():
        for right in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
            has = await connection.fetchval(
                "SELECT has_table_privilege($1, $2, $3)", role, table, right
            )
            assert has is (right in given), (table, right)
        if sealed:
            columns = await connection.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass"
                " AND attnum > 0 AND NOT attisdropped"
                " AND has_column_privilege($2, attrelid, attnum, 'UPDATE')",
                table,
                role,
            )
            assert [column["attname"] for column in columns] == ["sealed"], table


async def test_rights_that_were_given_beside_ours_are_taken_back(
    database: str, connect: Connect, role: str
) -> None:
    connection = await connect()
    await connection.execute(f"GRANT ALL ON audit_entry, audit_seal TO {role}")
    await connection.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
    await grant_rights(connector(database, name="owner"), role)
    has = "SELECT has_table_privilege($1, 'audit_entry', 'DELETE')"
    assert await connection.fetchval(has, role) is False
    assert (
        await connection.fetchval("SELECT has_schema_privilege($1, 'public', 'CREATE')", role)
        is False
    )


@pytest.mark.parametrize("might", ["SUPERUSER", "BYPASSRLS", "CREATEROLE", "owner"])
async def test_a_role_that_could_pass_by_is_refused(
    database: str, connect: Connect, role: str, might: str
) -> None:
    connection = await connect()
    owner = await connection.fetchval("SELECT current_user")
    given = f"GRANT {owner} TO {role}" if might == "owner" else f"ALTER ROLE {role} {might}"
    await connection.execute(given)
    with pytest.raises(MigrationError, match="superuser"):
        await grant_rights(connector(database, name="owner"), role)
    with pytest.raises(MigrationError, match="there is no role"):
        await grant_rights(connector(database, name="owner"), "nobody")


async def test_the_owner_himself_is_left_alone(database: str) -> None:
    owner = connector(database, name="owner")
    assert await grant_rights(owner, await role_of(owner)) is False
