"""A committer on a real database, and records to write through it."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.records import Records
from paygate.storage.schema.migrate import migrate
from tests.making import make_records
from tests.raw import raw


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return make_records(tmp_path)


@pytest.fixture
async def committer(database: str) -> AsyncIterator[Committer]:
    door = Committer(connector(database, name="paygate test"))
    await door.open()
    yield door
    await door.close()


@pytest.fixture
def door(records: Records, committer: Committer) -> Door:
    return Door(records, committer)


@pytest.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server that a test may break."""
    server = EmbeddedPostgres.start(tmp_path / "postgres")
    await migrate(connector(server.dsn, name="migrate"))
    yield server
    server.stop(immediate=True)


@pytest.fixture(scope="module")
async def schema_alone(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """One database for all tests of the schema in a file, since each of them rolls back."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE schema_alone TEMPLATE {template}")
    yield "schema_alone"
    await admin.execute("DROP DATABASE schema_alone WITH (FORCE)")
    await admin.close()


@pytest.fixture(params=["origin", "replica"])
async def superuser(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, schema_alone: str
) -> AsyncIterator[Connection]:
    """In a transaction that is rolled back; each refusal within is rolled back by itself."""
    connection = await raw(postgres.dsn, database=schema_alone)
    assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    await connection.execute(f"SET session_replication_role = {request.param}")
    everything = connection.transaction()
    await everything.start()
    yield connection
    await everything.rollback()
    await connection.close()
