"""The database of `paygate up` is started again when it is killed, but not for ever."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from paygate.cli.database import OwnDatabase
from paygate.embedded.server import EmbeddedPostgres, EmbeddedPostgresError


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres.start(tmp_path / "postgres")
    yield server
    server.stop(immediate=True)


async def killed(postgres: EmbeddedPostgres) -> None:
    """Kill the server, once it serves."""
    connection = await asyncpg.connect(postgres.dsn)
    connection.terminate()
    os.kill(postgres.pid, signal.SIGKILL)


async def test_a_killed_database_is_started_again_so_often_and_no_more(
    postgres: EmbeddedPostgres,
) -> None:
    database = OwnDatabase(postgres, deaths=2)
    keeping = asyncio.create_task(database.keep())
    for _ in range(2):
        before = postgres.pid
        await killed(postgres)
        async with asyncio.timeout(30):
            while postgres.pid == before:
                assert not keeping.done()
                await asyncio.sleep(0.05)
        assert postgres.dsn == database.dsn
    await killed(postgres)
    async with asyncio.timeout(30):
        with pytest.raises(EmbeddedPostgresError, match="started again 2 times within a minute"):
            await keeping
    await database.stop()


async def test_a_stop_in_the_middle_of_a_new_start_leaves_no_server(
    postgres: EmbeddedPostgres,
) -> None:
    database = OwnDatabase(postgres)
    keeping = asyncio.create_task(database.keep())
    await killed(postgres)
    async with asyncio.timeout(30):
        while database._reviving is None:
            await asyncio.sleep(0.01)
    keeping.cancel()
    await database.stop()
    assert not postgres.runs()
    with pytest.raises(OSError):
        await asyncpg.connect(postgres.dsn)
