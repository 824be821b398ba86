"""The world of the flows, for a worker to work in; and the queue alone, with a test's handlers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest

from paygate.jobs.messages import ApplyProviderEvent, CloseFailedPayment, Message
from paygate.jobs.queue import Handler, Queue
from paygate.jobs.schedule import ScheduledJob
from paygate.storage.connections.session import Connection
from tests.flows.conftest import world

__all__ = ["world"]

Connect: TypeAlias = Callable[[], Awaitable[Connection]]
Run: TypeAlias = Callable[[], Awaitable[None]]


class Node:
    """A worker's queue: what it did, and which faults it reported."""

    def __init__(self) -> None:
        self.done: list[Message] = []
        self.ran: list[str] = []
        self.faults: list[tuple[str, BaseException]] = []
        self.task: asyncio.Task[None] | None = None
        self.connection: Connection | None = None
        self.queue: Queue | None = None
        self.handle: Callable[[Message], Awaitable[None]] | None = None
        """What else a handler does, before the message counts as done."""

    async def handler(self, message: Message) -> None:
        if self.handle is not None:
            await self.handle(message)
        self.done.append(message)

    def occurrence(self, name: str) -> Run:
        async def occur() -> None:
            self.ran.append(name)

        return occur

    def report(self, name: str, error: BaseException) -> None:
        self.faults.append((name, error))


async def hurry(connection: Connection) -> None:
    """As if the time had come for all that waits in the queue. To delete nothing wakes the workers
    all the same.
    """
    await connection.execute(
        "UPDATE pgqueuer SET execute_after = now() WHERE status = 'queued';"
        "DELETE FROM pgqueuer WHERE false"
    )


Nodes: TypeAlias = Callable[..., AbstractAsyncContextManager[Node]]


@pytest.fixture
def node(connect: Connect) -> Nodes:
    """Run a queue for as long as the context lasts; it is stopped as a worker stops it."""

    @asynccontextmanager
    async def running(
        *schedule: ScheduledJob, handle: Callable[[Message], Awaitable[None]] | None = None
    ) -> AsyncIterator[Node]:
        this = Node()
        this.handle = handle
        this.connection = await connect()
        handlers: Mapping[type[Message], Handler] = {
            ApplyProviderEvent: this.handler,
            CloseFailedPayment: this.handler,
        }
        scheduled = {job: this.occurrence(job.name) for job in schedule}
        queue = this.queue = Queue(this.connection, handlers, scheduled, this.report)
        this.task = asyncio.create_task(queue.run())
        try:
            yield this
        finally:
            queue.stop()
            await asyncio.wait({this.task}, timeout=30)

    return running
