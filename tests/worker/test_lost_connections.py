"""The queue fails while a run is long in hand: jobs go on, and the worker can stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec

from paygate.domain.payments.outcome import Answer
from paygate.jobs.messages import CloseFailedPayment, Message
from paygate.jobs.queue import CHANNEL
from paygate.jobs.schedule import ScheduledJob
from paygate.storage.change import Unavailable
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connect, Connection
from paygate.storage.sole_run import SoleRuns
from paygate.storage.whole_ledger import WholeLedger
from paygate.worker.main import run_queues
from paygate.worker.scheduled import run_scheduled
from tests.flows.world import World
from tests.gateway import until
from tests.proxy import Proxy
from tests.worker.test_queue import CLOSE, enqueue
from tests.worker.test_timetable import due, some_other_time

ENDS_WITHIN_SECONDS = 30.0
TAKEN_OVER_WITHIN_SECONDS = 80.0
"""What the lost queue had picked is another's after the thirty seconds of its last sign of life."""
Foreign = Callable[[], Awaitable[Connection]]


class Worker:
    """Queues with one scheduled job that is due, and a handler that notes what it is given."""

    def __init__(self, connect: Connect, run: Callable[[], Awaitable[None]]) -> None:
        self.done: list[Message] = []
        self.job = ScheduledJob("verify-ledger", some_other_time(), "")
        self.stop = asyncio.Event()
        self._connect = connect
        self._run = run

    @asynccontextmanager
    async def at_work(self, admin: Connection) -> AsyncIterator[None]:
        await due(admin, self.job, since=timedelta(seconds=1))

        async def handle(message: Message) -> None:
            self.done.append(message)

        working = asyncio.create_task(
            run_queues(
                self._connect,
                {CloseFailedPayment: handle},
                {self.job: self._run},
                self.stop,
                finish_seconds=0.1,
            )
        )
        try:
            yield
        finally:
            self.stop.set()
            async with asyncio.timeout(ENDS_WITHIN_SECONDS):
                await working

    async def has_done(self) -> bool:
        return self.done == [CLOSE]


async def test_a_run_in_hand_holds_up_no_job_when_the_connection_is_lost(
    database: str, connect: Foreign
) -> None:
    """Nor does it hold up the end of the worker, which cuts it off."""
    admin, began, ends = await connect(), asyncio.Event(), list[str]()
    pids: list[int] = []
    through = connector(database, name="queue")

    async def dial() -> Connection:
        connection = await through()
        pids.append(connection.get_server_pid())
        return connection

    async def run() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cut off")
            raise

    worker = Worker(dial, run)
    async with worker.at_work(admin):
        await asyncio.wait_for(began.wait(), ENDS_WITHIN_SECONDS)
        assert await admin.fetchval("SELECT pg_terminate_backend($1)", pids[0])
        await enqueue(admin, CLOSE)
        await until(worker.has_done, seconds=TAKEN_OVER_WITHIN_SECONDS)
        assert ends == [], "what is in hand goes on"
    assert ends == ["cut off"]


async def test_a_run_in_hand_holds_up_no_job_when_a_statement_of_the_queue_fails(
    database: str, connect: Foreign
) -> None:
    """The connection is whole: a full disk, or whoever cancels the statement, leaves it so."""
    admin, holder, began = await connect(), await connect(), asyncio.Event()

    async def run() -> None:
        began.set()
        await asyncio.Event().wait()

    worker = Worker(connector(database, name="queue"), run)
    async with worker.at_work(admin):
        await asyncio.wait_for(began.wait(), ENDS_WITHIN_SECONDS)
        holding = holder.transaction()
        await holding.start()
        await holder.execute("LOCK TABLE pgqueuer")
        await admin.execute(f"SELECT pg_notify('{CHANNEL}', '')")

        async def cancelled() -> bool:
            query = (
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database() AND query LIKE '%next_queued%'"
            )
            return bool(await admin.fetchval(query))

        await until(cancelled)
        await holding.rollback()
        await enqueue(admin, CLOSE)
        await until(worker.has_done)


async def test_a_run_in_hand_is_cut_off_when_the_worker_is_told_to_stop(
    database: str, connect: Foreign
) -> None:
    admin, began = await connect(), asyncio.Event()

    async def run() -> None:
        began.set()
        await asyncio.Event().wait()

    worker = Worker(connector(database, name="queue"), run)
    async with worker.at_work(admin):
        await asyncio.wait_for(began.wait(), ENDS_WITHIN_SECONDS)


async def test_a_run_over_dead_connections_ends(
    world: World, database: str, connect: Foreign
) -> None:
    """All connections die without a word while the ledger is read."""
    admin, began, muted = await connect(), asyncio.Event(), asyncio.Event()
    faults: list[BaseException] = []
    await world.create()

    async def listing(*_: Any, **__: Any) -> AsyncIterator[Answer]:
        began.set()
        await muted.wait()
        for answer in list[Answer]():
            yield answer

    async with Proxy(database) as proxy:
        dial = connector(proxy.dsn, name="queue")
        ctx = msgspec.structs.replace(
            world.ctx, ledger=WholeLedger(dial, world.records), sole_runs=SoleRuns(dial)
        )
        world.provider.listing = listing

        async def run() -> None:
            try:
                await run_scheduled(ctx, "verify-ledger")
            except BaseException as fault:
                faults.append(fault)
                raise

        worker = Worker(dial, run)
        async with worker.at_work(admin):
            await asyncio.wait_for(began.wait(), ENDS_WITHIN_SECONDS)
            proxy.mute()
            muted.set()
            await enqueue(admin, CLOSE)
            await until(worker.has_done, seconds=TAKEN_OVER_WITHIN_SECONDS)

            async def failed() -> bool:
                return bool(faults)

            await until(failed)
    # The run hears of its dead connection, or falls with the queue, which heard of its own first.
    assert [type(fault) for fault in faults] in ([Unavailable], [asyncio.CancelledError])
