"""One run of a job at a time, whoever stands still or goes away."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from paygate.storage.change import Unavailable
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.sole_run import SoleRuns


@pytest.fixture
def runs(database: str) -> SoleRuns:
    return SoleRuns(connector(database, name="one"))


async def test_one_run_at_a_time(database: str, runs: SoleRuns) -> None:
    other = SoleRuns(connector(database, name="other"))
    for _ in range(2):
        async with runs.alone("sweep") as first, other.alone("sweep") as second:
            assert (first, second) == (True, False)
            async with other.alone("another job") as third:
                assert third


async def test_a_run_that_fails_gives_its_turn_back(runs: SoleRuns) -> None:
    with pytest.raises(RuntimeError):
        async with runs.alone("sweep"):
            raise RuntimeError
    async with runs.alone("sweep") as alone:
        assert alone


async def test_a_node_that_stands_still_keeps_no_turn(database: str, runs: SoleRuns) -> None:
    """It gives no sign of life, and the server ends its session; its run may go on."""
    still = SoleRuns(connector(database, name="still"), silent_seconds=0.2)
    async with still.alone("sweep") as first:
        assert first
        async with asyncio.timeout(30):
            while True:
                async with runs.alone("sweep") as second:
                    if second:
                        break
                await asyncio.sleep(0.02)


async def test_a_node_that_is_cut_off_keeps_no_turn(
    database: str, runs: SoleRuns, connect: Callable[[], Awaitable[Connection]]
) -> None:
    watching, other = await connect(), SoleRuns(connector(database, name="other"))
    async with runs.alone("sweep") as first:
        assert first
        await watching.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'one'"
        )
        async with asyncio.timeout(30):
            while True:
                async with other.alone("sweep") as second:
                    if second:
                        break
                await asyncio.sleep(0.02)


async def test_a_run_gives_signs_of_life(
    runs: SoleRuns,
    connect: Callable[[], Awaitable[Connection]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paygate.storage.sole_run.SIGN_OF_LIFE_SECONDS", 0.01)
    watching = await connect()
    async with runs.alone("sweep"):
        seen: set[str] = set()
        async with asyncio.timeout(30):
            while len(seen) < 3:
                seen.add(
                    await watching.fetchval(
                        "SELECT state_change::text FROM pg_stat_activity"
                        " WHERE application_name = 'one'"
                    )
                )


async def test_a_database_that_is_away_is_said_so(database: str) -> None:
    away = SoleRuns(connector(database.replace("/test_", "/never_"), name="away"))
    with pytest.raises(Unavailable):
        async with away.alone("sweep"):
            raise AssertionError


async def test_runs_of_one_process_share_a_connection(
    runs: SoleRuns, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """And each has a turn of its own: a session would be given the same lock once more."""
    watching = await connect()
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'one'"
    async with runs.alone("sweep") as first, runs.alone("watch") as second:
        assert (first, second) == (True, True)
        assert await watching.fetchval(count) == 1
        async with runs.alone("sweep") as again:
            assert not again
    async with asyncio.timeout(30):
        while await watching.fetchval(count):
            await asyncio.sleep(0.02)


async def test_a_turn_that_is_given_back_is_there_beside_others(
    database: str, runs: SoleRuns
) -> None:
    other = SoleRuns(connector(database, name="other"))
    async with runs.alone("watch"):
        async with runs.alone("sweep") as first:
            assert first
        async with other.alone("sweep") as second, other.alone("watch") as third:
            assert (second, third) == (True, False)


async def test_a_connection_that_was_cut_off_is_made_anew_beside_a_run(
    runs: SoleRuns, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """A later run may fail once over the connection of one that was cut off, and not for ever."""
    watching = await connect()
    async with runs.alone("sweep"):
        await watching.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'one'"
        )
        async with asyncio.timeout(30):
            while True:
                with suppress(Unavailable):
                    async with runs.alone("watch") as second:
                        assert second
                        break
                await asyncio.sleep(0.02)
