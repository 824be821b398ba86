"""A committer on a real database, and records to write through it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paygate.storage.committer import Committer
from paygate.storage.database import connector
from paygate.storage.door import Door
from paygate.storage.embedded import EmbeddedPostgres
from paygate.storage.migrate import migrate
from paygate.storage.records import Records
from tests.making import make_records


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
