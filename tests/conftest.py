"""Fixtures that every floor shares: a real PostgreSQL, and databases cut from one template."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from paygate.storage.database import connector
from paygate.storage.embedded import EmbeddedPostgres
from paygate.storage.migrate import migrate
from paygate.storage.session import Connection
from tests.raw import raw

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The server that the whole run shares."""
    data: Path = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres.start(data)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
async def template(postgres: EmbeddedPostgres) -> str:
    """A migrated database that the others are copied from."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE template_paygate")
    await admin.close()
    await migrate(connector(_named(postgres.dsn, "template_paygate"), name="migrate"))
    return "template_paygate"


@pytest.fixture
async def database(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[str]:
    """The DSN of a fresh migrated database."""
    name = f"test_{next(_numbers)}"
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield _named(postgres.dsn, name)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
async def connect(database: str) -> AsyncIterator[Callable[[], Awaitable[Connection]]]:
    """A foreign connection to the same database."""
    async with AsyncExitStack() as stack:

        async def open_one() -> Connection:
            connection = await raw(database)
            stack.push_async_callback(connection.close)
            return connection

        yield open_one


def _named(dsn: str, database: str) -> str:
    changed = dsn.replace("@/paygate?", f"@/{database}?")
    assert changed != dsn
    return changed
