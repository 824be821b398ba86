"""No job is lost: not by a fault, a death, a version that cannot read it, nor by the queue."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import msgspec
import pytest

from paygate.jobs.messages import (
    MESSAGES,
    ApplyProviderEvent,
    CloseFailedPayment,
    Message,
    RaiseAlert,
    decode,
    encode,
    entrypoint,
)
from paygate.jobs.queue import Queue, RetryLater
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.schema.migrate import migrate
from tests.gateway import until
from tests.worker.conftest import Nodes, hurry

Connect = Callable[[], Awaitable[Connection]]
CLOSE = CloseFailedPayment("default", "att_1")


async def enqueue(
    connection: Connection,
    message: Message,
    *,
    kind: str | None = None,
    payload: bytes = b"",
    after: timedelta = timedelta(0),
) -> int:
    """As a commit does; returns the job's number."""
    number = await connection.fetchval(
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status, execute_after)"
        " VALUES (0, $1, $2, 'queued', now() + $3::interval) RETURNING id",
        kind or entrypoint(type(message)),
        payload or encode(message),
        after,
    )
    return int(number)


async def status(connection: Connection, number: int) -> str | None:
    query = "SELECT status::text FROM pgqueuer WHERE id = $1"
    found = await connection.fetchval(query, number)
    return None if found is None else str(found)


async def test_a_job_is_done_once_and_gone(connect: Connect, node: Nodes) -> None:
    connection = await connect()
    number = await enqueue(connection, CLOSE)
    async with node() as worker:

        async def gone() -> bool:
            return await status(connection, number) is None

        await until(gone)
    assert (worker.done, worker.faults) == ([CLOSE], [])


async def test_a_job_that_fails_is_put_back_and_done_when_the_fault_is_mended(
    connect: Connect, node: Nodes
) -> None:
    connection, faults = await connect(), [RuntimeError("first"), RuntimeError("second")]

    async def failing(_: Message) -> None:
        if faults:
            raise faults.pop()

    await enqueue(connection, CLOSE)
    async with node(handle=failing) as worker:

        async def done() -> bool:
            await hurry(connection)
            return worker.done == [CLOSE]

        await until(done)
    assert [name for name, _ in worker.faults] == ["close_failed_payment"] * 2


async def test_a_job_that_could_not_be_put_back_is_held_and_released(
    connect: Connect, node: Nodes
) -> None:
    """The one statement that puts a failed job back is cancelled, as a lock timeout would do it."""
    connection, other = await connect(), await connect()
    failing = asyncio.Event()

    async def fail(_: Message) -> None:
        failing.set()
        await locked.wait()
        raise RuntimeError("a fault that passes")

    locked = asyncio.Event()
    number = await enqueue(connection, CLOSE)
    async with node(handle=fail):
        await asyncio.wait_for(failing.wait(), 30)
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT FROM pgqueuer FOR UPDATE")
        locked.set()

        async def waits() -> int | None:
            pid = await connection.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND query LIKE '%attempts + 1%'"
            )
            return None if pid is None else int(pid)

        await connection.execute("SELECT pg_cancel_backend($1)", await until(waits))
        await holding.rollback()

        async def held() -> bool:
            return await status(connection, number) == "failed"

        await until(held)
    async with node() as worker:

        async def done() -> bool:
            return worker.done == [CLOSE]

        await until(done)


async def test_a_worker_that_stops_puts_back_what_failed(connect: Connect, node: Nodes) -> None:
    """It waits for the statement that does so, however long that takes."""
    connection, other = await connect(), await connect()
    failing, locked = asyncio.Event(), asyncio.Event()

    async def fail(_: Message) -> None:
        failing.set()
        await locked.wait()
        raise RetryLater(timedelta(seconds=1))

    number = await enqueue(connection, CLOSE)
    async with node(handle=fail) as worker:
        await asyncio.wait_for(failing.wait(), 30)
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT FROM pgqueuer FOR UPDATE")
        locked.set()

        async def waits() -> bool:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND query LIKE '%attempts + 1%'"
            )
            return bool(await connection.fetchval(query))

        await until(waits)
        assert worker.queue is not None
        assert worker.task is not None
        worker.queue.stop()
        await asyncio.sleep(0.5)
        assert not worker.task.done()
        await holding.rollback()
    assert (await status(connection, number), worker.faults) == ("queued", [])


async def test_a_job_whose_worker_died_is_done_by_another(connect: Connect, node: Nodes) -> None:
    connection, begun = await connect(), asyncio.Event()

    async def stand_still(_: Message) -> None:
        begun.set()
        await asyncio.Event().wait()

    number = await enqueue(connection, CLOSE)
    async with node(handle=stand_still) as dead:
        await asyncio.wait_for(begun.wait(), 30)
        assert dead.connection is not None
        assert dead.task is not None
        dead.connection.terminate()  # as the kernel does for a process that was killed
        assert await status(connection, number) == "picked"
        await connection.execute(
            "UPDATE pgqueuer SET heartbeat = now() - interval '31 s'"  # nobody sends any
        )
        async with node() as worker:

            async def done() -> bool:
                return worker.done == [CLOSE]

            # Its last sign of life may have been on its way, and counts for thirty seconds.
            await until(done, seconds=80)
        for _ in range(3):
            dead.task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({dead.task}, timeout=30)
    assert dead.done == []


async def test_a_job_that_is_cut_off_is_not_taken_for_done(connect: Connect, node: Nodes) -> None:
    """A second cancel reaches the jobs in hand."""
    connection, begun = await connect(), asyncio.Event()

    async def stand_still(_: Message) -> None:
        begun.set()
        await asyncio.Event().wait()

    number = await enqueue(connection, CLOSE)
    async with node(handle=stand_still) as worker:
        await asyncio.wait_for(begun.wait(), 30)
        assert worker.task is not None

        async def ended() -> bool:
            assert worker.task is not None
            worker.task.cancel()
            return worker.task.done()

        await until(ended)
    assert worker.done == []
    assert await status(connection, number) is not None


UNREADABLE = (
    b"{}",
    b"\xff",
    b'{"type":"close_failed_payment","merchant":"default"}',
    b'{"type":"close_failed_payment","merchant":"default","attempt":"att_1","later":1}',
    b'{"type":"of_a_later_version","merchant":"default"}',
)


async def test_a_message_that_cannot_be_read_waits_for_a_version_that_can(
    connect: Connect, node: Nodes
) -> None:
    connection = await connect()
    for payload in UNREADABLE:
        await enqueue(connection, CLOSE, payload=payload)
    count = "SELECT count(*) FROM pgqueuer WHERE status = 'queued' AND attempts = 1"
    async with node() as worker:

        async def put_back() -> bool:
            return bool(await connection.fetchval(count) == len(UNREADABLE))

        await until(put_back)
        waits = await connection.fetch("SELECT execute_after - updated FROM pgqueuer")
        assert {row[0] for row in waits} == {timedelta(seconds=2)}, "nobody spins"
        assert worker.done == []
        assert [name for name, _ in worker.faults] == ["close_failed_payment"] * len(UNREADABLE)
        # The later version, whose worker can read them.
        await connection.execute("UPDATE pgqueuer SET payload = $1", encode(CLOSE))

        async def done() -> bool:
            await hurry(connection)
            return worker.done == [CLOSE] * len(UNREADABLE)

        await until(done)


async def test_a_job_of_a_kind_that_is_not_known_waits_untouched(
    connect: Connect, node: Nodes
) -> None:
    connection = await connect()
    number = await enqueue(connection, CLOSE, kind="of_a_later_version")
    await enqueue(connection, CLOSE)
    async with node() as worker:

        async def done() -> bool:
            return worker.done == [CLOSE]

        await until(done)
    assert await status(connection, number) == "queued"
    assert (await connection.fetchval("SELECT attempts FROM pgqueuer"), worker.faults) == (0, [])


@pytest.mark.parametrize("kind", MESSAGES)
def test_no_message_is_read_that_says_more_than_we_know(kind: type[Message]) -> None:
    """A field that is dropped is a message that is misread."""
    message = kind("default", "id_1")
    assert decode(encode(message)) == message
    with pytest.raises(msgspec.ValidationError):
        decode(encode(message)[:-1] + b',"later":1}')


async def test_the_queue_keeps_no_log(connect: Connect, node: Nodes) -> None:
    connection = await connect()
    for number in range(10):
        await enqueue(connection, ApplyProviderEvent("default", f"pe_{number}"))
    async with node() as worker:

        async def done() -> bool:
            return len(worker.done) == 10

        await until(done)
    for table in ("pgqueuer", "pgqueuer_log", "pgqueuer_statistics"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_a_queue_of_an_older_version_is_brought_up_with_its_jobs(
    database: str, connect: Connect, node: Nodes
) -> None:
    """Its log is emptied and kept no more; ids that would end after 2^31 jobs are widened."""
    connection = await connect()
    await connection.execute(
        "DROP TRIGGER keep_no_queue_log ON pgqueuer_log; DROP FUNCTION keep_no_queue_log;"
        "ALTER TABLE pgqueuer ALTER id TYPE integer; ALTER SEQUENCE pgqueuer_id_seq AS integer;"
        "INSERT INTO pgqueuer_log (job_id, status, priority, entrypoint)"
        " SELECT n, 'successful', 0, 'old' FROM generate_series(1, 100) n;"
        "INSERT INTO pgqueuer_statistics (created, count, priority, status, entrypoint)"
        " VALUES (now(), 100, 0, 'successful', 'old')"
    )
    await enqueue(connection, CLOSE)
    for _ in range(2):
        await migrate(connector(database, name="migrate"))
    for table in ("pgqueuer_log", "pgqueuer_statistics"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
    await connection.execute("SELECT setval('pgqueuer_id_seq', 2147483647)")
    assert await enqueue(connection, ApplyProviderEvent("default", "pe_1")) > 2**31 - 1
    async with node() as worker:

        async def done() -> bool:
            return len(worker.done) == 2

        await until(done)
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer_log") == 0


async def test_no_id_of_the_queue_is_narrow(connect: Connect) -> None:
    connection: asyncpg.Connection[asyncpg.Record] = await connect()
    narrow = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_name LIKE 'pgqueuer%' AND column_name IN ('id', 'job_id')"
        " AND data_type <> 'bigint'"
    )
    assert narrow == []


async def test_a_flood_of_alerts_holds_up_no_event(connect: Connect) -> None:
    """However long each of them takes to be counted, and however many came before."""
    admin, counting = await connect(), 0
    events: list[Message] = []
    go = asyncio.Event()

    async def count(_: RaiseAlert) -> None:
        nonlocal counting
        counting += 1
        await go.wait()

    async def apply(message: ApplyProviderEvent) -> None:
        events.append(message)

    await admin.executemany(
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status)"
        " VALUES (0, 'raise_alert', $1, 'queued')",
        [(encode(RaiseAlert("default", f"alo_{number}")),) for number in range(300)],
    )
    queue = Queue(
        await connect(), {RaiseAlert: count, ApplyProviderEvent: apply}, {}, lambda *_: None
    )
    running = asyncio.create_task(queue.run())

    async def some_are_counted() -> bool:
        return counting > 0

    await until(some_are_counted)
    event = ApplyProviderEvent("default", "pev_1")
    await enqueue(admin, event)

    async def applied() -> bool:
        return events == [event]

    await until(applied)
    first = counting
    go.set()

    async def others_are_counted() -> bool:
        return counting > first

    await until(others_are_counted)
    queue.stop()
    await asyncio.wait({running}, timeout=30)


async def test_a_flood_of_jobs_that_fail_holds_up_no_other(connect: Connect, node: Nodes) -> None:
    """They are put back together, and behind those that did not fail yet, which come later."""
    connection, flood = await connect(), 4000
    await connection.execute(
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status)"
        " SELECT 0, $1, 'unreadable', 'queued' FROM generate_series(1, $2)",
        entrypoint(CloseFailedPayment),
        flood,
    )

    async def tried() -> bool:
        query = "SELECT count(*) FROM pgqueuer WHERE attempts > 0"
        return int(await connection.fetchval(query)) == flood

    async with node() as worker:
        await until(tried)
        async with connection.transaction():
            number = await enqueue(connection, CLOSE)
            await connection.execute("UPDATE pgqueuer SET execute_after = now() - '1s'::interval")

        async def gone() -> bool:
            return await status(connection, number) is None

        await until(gone)
        query = "SELECT count(*) FROM pgqueuer WHERE attempts > 1"
        assert int(await connection.fetchval(query)) < flood
    assert worker.done == [CLOSE]
