"""What is due by the clock is run once, by one node."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries

from paygate.jobs.schedule import ScheduledJob
from paygate.jobs.timetable import Timetable
from paygate.storage.connections.session import Connection
from tests.gateway import until
from tests.worker.conftest import Nodes

Connect = Callable[[], Awaitable[Connection]]


def some_other_time() -> str:
    """A daily cron expression that is due in twelve hours."""
    at = datetime.now(UTC) + timedelta(hours=12)
    return f"{at.minute} {at.hour} * * *"


async def due(connection: Connection, job: ScheduledJob, *, since: timedelta) -> None:
    await connection.execute(
        "INSERT INTO pgqueuer_schedules (expression, entrypoint, next_run)"
        " VALUES ($1, $2, now() - $3::interval)",
        job.cron,
        job.name,
        since,
    )


async def test_what_came_due_while_no_worker_was_there_is_run_once(
    connect: Connect, node: Nodes
) -> None:
    connection = await connect()
    missed = ScheduledJob("missed", some_other_time(), "")
    await due(connection, missed, since=timedelta(days=3))
    async with node(missed) as first:

        async def ran() -> bool:
            return first.ran == ["missed"]

        await until(ran)
    second = ScheduledJob("second", some_other_time(), "")
    await due(connection, second, since=timedelta(0))
    async with node(missed, second) as later:

        async def looked() -> bool:
            return "second" in later.ran

        await until(looked)
    assert (first.ran, later.ran) == (["missed"], ["second"])
    next_run = await connection.fetchval("SELECT min(next_run) FROM pgqueuer_schedules")
    assert next_run > datetime.now(UTC)


async def test_of_two_nodes_one_runs_an_occurrence(connect: Connect, node: Nodes) -> None:
    connection = await connect()
    shared = ScheduledJob("shared", some_other_time(), "")
    await due(connection, shared, since=timedelta(seconds=1))
    alone = [ScheduledJob(f"alone_{number}", some_other_time(), "") for number in range(2)]
    for job in alone:
        await due(connection, job, since=timedelta(seconds=1))
    async with node(shared, alone[0]) as one, node(shared, alone[1]) as two:

        async def both_looked() -> bool:
            return "alone_0" in one.ran and "alone_1" in two.ran

        await until(both_looked)
    assert [*one.ran, *two.ran].count("shared") == 1


async def test_a_run_of_which_our_sign_of_life_came_late_is_not_begun_again(
    connect: Connect,
) -> None:
    """As a worker finds it that stood still."""
    connection, ends, began = await connect(), asyncio.Event(), list[str]()
    slow = ScheduledJob("slow", some_other_time(), "")
    await due(connection, slow, since=timedelta(seconds=1))

    async def run() -> None:
        began.append(slow.name)
        await ends.wait()

    def report(_: str, error: BaseException) -> None:
        raise error

    timetable = Timetable(Queries(AsyncpgDriver(await connect())), {slow: run}, report)

    async def has(what: str) -> bool:
        return bool(await connection.fetchval(f"SELECT {what} FROM pgqueuer_schedules"))

    for _ in range(2):
        await connection.execute("UPDATE pgqueuer_schedules SET heartbeat = now() - '1h'::interval")
        stop = asyncio.Event()
        keeping = asyncio.create_task(timetable.keep(stop))
        await until(partial(has, "status = 'picked' AND heartbeat > now() - '1min'::interval"))
        stop.set()
        await keeping
    assert began == ["slow"]
    ends.set()
    await until(partial(has, "status = 'queued'"))
    assert timetable.in_hand == {}
