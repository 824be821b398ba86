"""The queue sleeps until something is due, and nothing that is due is slept through."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from paygate.jobs.messages import Message
from paygate.jobs.queue import DUE_IN, RetryLater
from paygate.storage.connections.session import Connection
from tests.gateway import until
from tests.worker.conftest import Node, Nodes
from tests.worker.test_queue import CLOSE, enqueue

Connect = Callable[[], Awaitable[Connection]]
KINDS = ["raise_alert", "reconcile", "apply_provider_event"]
SOON = timedelta(milliseconds=400)
WOKEN_WITHIN_SECONDS = 15.0
"""Sooner than the queue looks for the jobs of the dead, thirty seconds after they were taken."""


async def asleep(connection: Connection, worker: Node) -> None:
    """Until the queue has looked for jobs, and waits."""
    assert worker.connection is not None
    pid = worker.connection.get_server_pid()

    async def looked() -> bool:
        query = "SELECT state = 'idle' AND query LIKE '%due_in%' FROM pg_stat_activity"
        return bool(await connection.fetchval(f"{query} WHERE pid = $1", pid))

    await until(looked)


async def wakes_in_a_second() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    await asyncio.sleep(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before


def is_done(worker: Node) -> Callable[[], Awaitable[bool]]:
    async def done() -> bool:
        return worker.done == [CLOSE]

    return done


async def test_an_idle_queue_sleeps(connect: Connect, node: Nodes) -> None:
    """Each time that the process was woken is one that it gave the processor up. Others may wake it
    for once; a queue that looks ten times a second wakes it in every second.
    """
    connection = await connect()
    async with node() as worker:
        await asleep(connection, worker)

        async def rests() -> bool:
            return await wakes_in_a_second() < 8

        await until(rests)


async def test_a_job_of_which_nobody_told_is_found(connect: Connect, node: Nodes) -> None:
    connection = await connect()
    async with node() as worker:
        await asleep(connection, worker)
        await connection.execute("ALTER TABLE pgqueuer DISABLE TRIGGER USER")
        await enqueue(connection, CLOSE)
        assert worker.queue is not None
        await worker.queue.beat()
        await until(is_done(worker))


async def test_a_job_that_waits_is_done_when_its_time_comes(connect: Connect, node: Nodes) -> None:
    connection = await connect()
    async with node() as worker:
        await asleep(connection, worker)
        await enqueue(connection, CLOSE, after=SOON)
        await until(is_done(worker))


async def test_a_job_that_was_put_back_is_done_when_its_time_comes(
    connect: Connect, node: Nodes
) -> None:
    connection, tries, go = await connect(), 0, asyncio.Event()

    async def later(_: Message) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await go.wait()
            raise RetryLater(SOON)

    await enqueue(connection, CLOSE)
    async with node(handle=later) as worker:
        await asleep(connection, worker)
        go.set()
        await until(is_done(worker), seconds=WOKEN_WITHIN_SECONDS)
    assert (tries, worker.faults) == (2, [])


@asynccontextmanager
async def over_and_unwritten(
    connect: Connect, connection: Connection, node: Nodes
) -> AsyncIterator[tuple[Node, int]]:
    """A worker whose job is done, and its process of the server that waits to delete that."""
    other, began, go = await connect(), asyncio.Event(), asyncio.Event()

    async def wait(_: Message) -> None:
        began.set()
        await go.wait()

    await enqueue(connection, CLOSE)
    async with node(handle=wait) as worker:
        await asyncio.wait_for(began.wait(), 30)
        async with other.transaction():
            await other.execute("SELECT FROM pgqueuer FOR UPDATE")
            go.set()
            assert worker.connection is not None
            pid = worker.connection.get_server_pid()

            async def waits() -> bool:
                query = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"
                return bool(await connection.fetchval(query, pid))

            await until(waits)
            yield worker, pid
    assert worker.done == [CLOSE]
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0


async def test_what_is_over_and_was_not_written_is_written_at_the_end(
    connect: Connect, node: Nodes
) -> None:
    """The statement that deletes a job that was done is cancelled, as a lock timeout would."""
    connection = await connect()
    async with over_and_unwritten(connect, connection, node) as (worker, pid):
        await connection.execute("SELECT pg_cancel_backend($1)", pid)

        async def fault_seen() -> bool:
            return bool(worker.faults)

        await until(fault_seen)
    assert [name for name, _ in worker.faults] == ["jobs_over"]


async def test_a_stop_waits_for_what_is_being_written(connect: Connect, node: Nodes) -> None:
    connection = await connect()
    async with over_and_unwritten(connect, connection, node) as (worker, _):
        assert worker.queue is not None
        assert worker.task is not None
        worker.queue.stop()
        ended, _ = await asyncio.wait({worker.task}, timeout=0.5)
        assert not ended
    assert worker.faults == []


async def test_the_next_time_is_found_by_an_index_and_planned_once(connect: Connect) -> None:
    """Asked every two seconds, and first while the table is empty: that plan is kept."""
    connection = await connect()
    statement = await connection.prepare(DUE_IN)
    for _ in range(7):  # the server compares five plans made for the values with one for any
        await statement.fetch(KINDS, timedelta(seconds=30))
    made = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = $1"
    generic, custom = await connection.fetchrow(made, statement.get_name()) or (0, 0)
    assert (generic, custom) == (2, 5)
    await connection.execute(f"PREPARE planned (text[], interval) AS {DUE_IN}")
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    rows = await connection.fetch("EXPLAIN EXECUTE planned ('{a}', '30 s')")
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on pgqueuer" not in plan, plan
