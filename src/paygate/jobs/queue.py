"""The queue: PgQueuer, seen nowhere else. Jobs are put in by commits (`storage.statement`).

Its tables hold ids and entry points alone, so what it logs of a failed job may not quote the job's
data: a fault's words stay in our own log.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

import asyncpg
import msgspec
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job as QueuedJob
from pgqueuer.domain.models import Schedule

from paygate.jobs.messages import Message, decode, entrypoint
from paygate.jobs.schedule import ScheduledJob

BATCH: Final = 50
"""Jobs fetched in one round trip; few enough that another worker gets its share."""
CONCURRENT: Final = 200
"""Jobs in hand at once: each waits mostly for the database or the provider."""
SELDOM: Final = timedelta(minutes=5)
_DOUBLINGS: Final = 10
POLL_EVERY: Final = timedelta(seconds=5)
"""How late a job can be when a notification was lost."""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class RetryLater(Exception):
    """Raised by a handler: the same job again, after a while."""

    def __init__(self, after: timedelta) -> None:
        super().__init__("retry later")
        self.after = after


class JobFailed(Exception):
    """It can never be done; without the fault's words, which may hold what the queue must not."""


Handler = Callable[[Any], Awaitable[None]]
Report = Callable[[str, BaseException], None]


async def install(connection: Connection) -> None:
    """Create the queue's tables, or bring them up to the library's version."""
    queries = Queries(AsyncpgDriver(connection))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()


class Queue:
    """Runs handlers for the messages that commits enqueued and for what is due by the clock, until
    told to stop.
    """

    def __init__(
        self,
        connection: Connection,
        handlers: Mapping[type[Message], Handler],
        scheduled: Mapping[ScheduledJob, Callable[[], Awaitable[None]]],
        report: Report,
    ) -> None:
        self._queue = PgQueuer.from_asyncpg_connection(connection)
        for job, run in scheduled.items():
            self._queue.schedule(job.name, job.cron, clean_old=True)(
                _scheduled(job.name, run, report)
            )
        for kind, handler in handlers.items():
            name = entrypoint(kind)
            self._queue.entrypoint(name)(_runner(name, handler, report))

    async def run(self) -> None:
        """Work until `stop`; jobs in hand are finished first."""
        await self._queue.run(
            dequeue_timeout=POLL_EVERY, batch_size=BATCH, max_concurrent_tasks=CONCURRENT
        )

    async def beat(self) -> None:
        """Hear from the database over the queue's connection, in its turn."""
        await self._queue.connection.execute("SELECT")

    def stop(self) -> None:
        """Take no more jobs."""
        self._queue.shutdown.set()


def again_after(attempts: int) -> timedelta:
    """How long a job waits that has failed so often before: 2 s, 4 s, ... five minutes."""
    return min(timedelta(seconds=2 ** (min(attempts, _DOUBLINGS) + 1)), SELDOM)


def _scheduled(
    name: str, run: Callable[[], Awaitable[None]], report: Report
) -> Callable[[Schedule], Awaitable[None]]:
    async def occur(_: Schedule) -> None:
        try:
            await run()
        except Exception as error:  # noqa: BLE001 -- the next occurrence is its retry
            report(name, error)

    return occur


def _runner(name: str, handler: Handler, report: Report) -> Callable[[QueuedJob], Awaitable[None]]:
    async def run(job: QueuedJob) -> None:
        try:
            message = decode(job.payload or b"")
        except msgspec.MsgspecError as error:
            report(name, error)
            raise JobFailed("the payload is no message") from None
        try:
            await handler(message)
        except RetryLater as retry:
            raise RetryRequested(delay=retry.after, reason="retry later") from None
        except Exception as error:  # noqa: BLE001 -- a job's fault is reported, whatever it is
            # A commit has promised it: it is never dropped, and goes on when the fault is mended.
            report(name, error)
            delay = again_after(job.attempts)
            raise RetryRequested(delay=delay, reason=type(error).__name__) from None

    return run
