"""Runs the queue's jobs until `stop` is set."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from paygate.flows.audit_log.seal import LogSealer
from paygate.flows.context import Context
from paygate.flows.settlements.upload_report import HandsFor
from paygate.flows.webhooks.courier import Courier
from paygate.flows.webhooks.tell import BodyOf
from paygate.jobs.messages import Message
from paygate.jobs.queue import Handler, Queue
from paygate.jobs.schedule import SCHEDULE, ScheduledJob
from paygate.jobs.timetable import stopped
from paygate.storage.connections.session import Connect, Connection
from paygate.storage.connections.watch import keep_hearing
from paygate.telemetry import log
from paygate.telemetry.floods import Floods
from paygate.worker.handlers import handlers
from paygate.worker.report_hands import own_hands
from paygate.worker.scheduled import AT_WORK_ALREADY, Report, run_scheduled

RECONNECT_SECONDS: Final = 1.0
"""How long to wait for a database that went away, or fails, before another queue is opened."""
FINISH_SECONDS: Final = 5.0
"""How long scheduled runs have to end by themselves when the worker stops; a supervisor kills after
fifteen seconds."""

Run = Callable[[], Awaitable[None]]


async def work(
    ctx: Context,
    connect: Connect,
    stop: asyncio.Event,
    body_of: BodyOf,
    hands_for: HandsFor = own_hands,
) -> None:
    """Run jobs, and tell merchants of events, until `stop` is set. An outage of the database is
    waited out. `body_of` is how an event looks on the wire; `hands_for` says who reads large files.
    """

    def occurrence(name: str) -> Run:
        async def occur() -> None:
            tell_of_run(name, await run_scheduled(ctx, name))

        return occur

    scheduled = {job: occurrence(job.name) for job in SCHEDULE}
    async with asyncio.TaskGroup() as group:
        group.create_task(Courier(ctx, body_of).run(stop))
        group.create_task(LogSealer(ctx).run(stop))
        group.create_task(run_queues(connect, handlers(ctx, hands_for), scheduled, stop))


def tell_of_run(name: str, report: Report) -> None:
    """Log what a scheduled job did, if it did anything."""
    if any(report.values()) and AT_WORK_ALREADY not in report:
        log.logger().info("job_ran", job=name, **report)


async def run_queues(
    connect: Connect,
    handle: Mapping[type[Message], Handler],
    scheduled: Mapping[ScheduledJob, Run],
    stop: asyncio.Event,
    *,
    finish_seconds: float = FINISH_SECONDS,
) -> None:
    """Have a queue at work until `stop` is set.

    A queue that takes no more jobs, for its connection is lost or a statement failed, finishes its
    jobs in hand beside the next queue, which begins a second later: a run of an hour makes nobody
    wait. A job done twice by that is guarded by the version of each record, and by `SoleRuns`.
    """
    runs = _Runs()
    cuttable = {job: runs.cuttable(job.name, run) for job, run in scheduled.items()}
    report = _reporting()

    def make(connection: Connection) -> Queue:
        return Queue(connection, handle, cuttable, report)

    at_work: set[asyncio.Task[None]] = set()
    while not stop.is_set():
        over = asyncio.Event()
        queue = asyncio.create_task(_run_queue(connect, make, stop, over))
        at_work.add(queue)
        queue.add_done_callback(at_work.discard)
        await over.wait()
        await stopped(stop, RECONNECT_SECONDS)
    if at_work:
        await asyncio.wait(at_work, timeout=finish_seconds)
    runs.cut_off()
    if at_work:
        await asyncio.wait(at_work)


class _Runs:
    """The scheduled runs in hand, which may be cut off, for the clock repeats each."""

    def __init__(self) -> None:
        self._in_hand: set[asyncio.Task[None]] = set()
        self._over = False

    def cuttable(self, name: str, run: Run) -> Run:
        """A run that ends in peace when it is cut off."""

        async def begin() -> None:
            await run()

        async def occur() -> None:
            if self._over:
                return
            task = asyncio.create_task(begin())
            self._in_hand.add(task)
            try:
                await asyncio.wait({task})
            finally:
                self._in_hand.discard(task)
                task.cancel()  # whoever waited for it was cancelled
            if task.cancelled():
                log.logger().warning("job_cut_off", job=name)
                return
            task.result()

        return occur

    def cut_off(self) -> None:
        """End the runs in hand, and begin no more."""
        self._over = True
        for task in self._in_hand:
            task.cancel()


async def _run_queue(
    connect: Connect,
    make: Callable[[Connection], Queue],
    stop: asyncio.Event,
    over: asyncio.Event,
) -> None:
    """Work over one connection until `stop`, or until the connection is lost or a statement fails,
    which is logged. `over` is set once no more jobs are taken; those in hand are finished.
    """
    try:
        connection = await connect()
        try:
            queue = make(connection)
            watching = [
                asyncio.create_task(_stop_when(stop, queue)),
                asyncio.create_task(_stop_when_lost(connect, connection, queue)),
                asyncio.create_task(_tell_when_stopped(queue, over)),
            ]
            try:
                await queue.run()
            finally:
                for task in watching:
                    task.cancel()
        finally:
            connection.terminate()
    except Exception as error:  # noqa: BLE001 -- whatever it was, jobs must go on
        log.logger().error("queue_lost", error=error)
    finally:
        over.set()


async def _stop_when(stop: asyncio.Event, queue: Queue) -> None:
    await stop.wait()
    queue.stop()


async def _tell_when_stopped(queue: Queue, over: asyncio.Event) -> None:
    await queue.stopped()
    over.set()


async def _stop_when_lost(connect: Connect, connection: Connection, queue: Queue) -> None:
    """Stop the queue when its connection is lost: no notification would ever come."""
    try:
        await keep_hearing(connect, connection, queue.beat)
    except Exception as error:  # noqa: BLE001 -- a queue that cannot speak is lost, whatever it was
        log.logger().warning("queue_connection_lost", error=error)
        queue.stop()


def _reporting() -> Callable[[str, BaseException], None]:
    """Logs faults: a fault that thousands of jobs have is a line a minute."""
    floods = Floods()

    def report(job: str, error: BaseException) -> None:
        kind = f"{job} {type(error).__qualname__}"
        floods.tell(kind, log.logger().error, "job_failed", job=job, error=error)

    return report
