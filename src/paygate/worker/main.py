"""Runs the queue's jobs until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from paygate.flows.context import Context
from paygate.jobs.messages import Message
from paygate.jobs.queue import Handler, Queue
from paygate.jobs.schedule import SCHEDULE, ScheduledJob
from paygate.storage.session import DRIVER_FAULTS, Connect, Connection
from paygate.storage.watch import keep_hearing
from paygate.telemetry import log
from paygate.worker.handlers import handlers
from paygate.worker.scheduled import run_scheduled

RECONNECT_SECONDS: Final = 1.0
"""How long to wait for a database that went away before the queue is opened again."""


async def work(ctx: Context, connect: Connect, stop: asyncio.Event) -> None:
    """Run jobs until `stop` is set. An outage of the database is waited out."""

    def occurrence(name: str) -> Callable[[], Awaitable[None]]:
        async def occur() -> None:
            report = await run_scheduled(ctx, name)
            log.logger().info("job_ran", job=name, **report)

        return occur

    scheduled = {job: occurrence(job.name) for job in SCHEDULE}
    while not stop.is_set():
        try:
            await _run_queue(connect, handlers(ctx), scheduled, stop)
        except Exception as error:  # noqa: BLE001 -- whatever it was, jobs must go on
            log.logger().error("queue_lost", error=error)
            await asyncio.sleep(RECONNECT_SECONDS)


async def _run_queue(
    connect: Connect,
    handle: Mapping[type[Message], Handler],
    scheduled: Mapping[ScheduledJob, Callable[[], Awaitable[None]]],
    stop: asyncio.Event,
) -> None:
    connection = await connect()
    try:
        queue = Queue(connection, handle, scheduled, _report)
        watching = [
            asyncio.create_task(_stop_when(stop, queue)),
            asyncio.create_task(_stop_when_lost(connect, connection, queue)),
        ]
        try:
            await queue.run()
        finally:
            for task in watching:
                task.cancel()
    finally:
        connection.terminate()


async def _stop_when(stop: asyncio.Event, queue: Queue) -> None:
    await stop.wait()
    queue.stop()


async def _stop_when_lost(connect: Connect, connection: Connection, queue: Queue) -> None:
    """Without a connection the queue would wait for what nobody can tell it any more."""
    try:
        await keep_hearing(connect, connection, queue.beat)
    except DRIVER_FAULTS as error:
        log.logger().warning("queue_connection_lost", error=error)
        queue.stop()


def _report(job: str, error: BaseException) -> None:
    log.logger().error("job_failed", job=job, error=error)
