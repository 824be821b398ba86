"""The queue: PgQueuer, seen nowhere else. Jobs are put in by commits (`storage.statement`).

No job is ever dropped: a commit has promised it. What fails is put back, what this version cannot
read waits for one that can, and what PgQueuer could not put back it holds, until it is released.

Its tables hold ids and entry points alone, and its own log of what became of each job is not kept:
nothing reads it, nothing would ever shorten it, and it cost three rows a job.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypeAlias

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job as QueuedJob
from pgqueuer.domain.models import Schedule

from paygate.jobs.messages import Message, RaiseAlert, decode, entrypoint
from paygate.jobs.schedule import ScheduledJob

BATCH: Final = 50
"""Jobs fetched in one round trip; few enough that another worker gets its share."""
CONCURRENT: Final = 200
"""Jobs in hand at once: each waits mostly for the database or the provider."""
UNLIMITED: Final = 0
AT_ONCE: Final[Mapping[type[Message], int]] = {RaiseAlert: 16}
"""How many of a kind are in hand at once, on all nodes together; of others as many as there are.
Alerts are counted one at a time, and a flood of them must not take the places of events.
"""
SELDOM: Final = timedelta(minutes=5)
_DOUBLINGS: Final = 10
POLL_EVERY: Final = timedelta(seconds=5)
"""How late a job can be when a notification was lost."""
RELEASE_EVERY: Final = timedelta(seconds=30)
"""How long a job is held that could not be put back: as long as one whose worker died."""
RELEASED: Final = 1000
"""So many at a time; the rest follow."""

# Rows that the trigger lets through: none. A rule would not do, for PgQueuer writes its log beside
# other statements. The trigger is made once: to make it anew would wait for every other node.
_NO_LOG: Final = """
CREATE FUNCTION keep_no_queue_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep_no_queue_log BEFORE INSERT ON pgqueuer_log
    FOR EACH ROW EXECUTE FUNCTION keep_no_queue_log();
ALTER TABLE pgqueuer_log ENABLE ALWAYS TRIGGER keep_no_queue_log;
TRUNCATE pgqueuer_log, pgqueuer_statistics;
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class RetryLater(Exception):
    """Raised by a handler: the same job again, after a while."""

    def __init__(self, after: timedelta) -> None:
        super().__init__("retry later")
        self.after = after


Handler = Callable[[Any], Awaitable[None]]
Report = Callable[[str, BaseException], None]


async def install(connection: Connection) -> None:
    """Create the queue's tables, or bring them up to the library's version (which widens the ids
    of a queue that an old one made); and see that no log is kept.
    """
    queries = Queries(AsyncpgDriver(connection))
    if await queries.schema_is_installed():
        await queries.upgrade()
    else:
        await queries.install()
    if not await connection.fetchval(
        "SELECT true FROM pg_trigger WHERE tgname = 'keep_no_queue_log'"
        " AND tgrelid = 'pgqueuer_log'::regclass"
    ):
        async with connection.transaction():
            await connection.execute(_NO_LOG)


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
        driver = AsyncpgDriver(connection)
        self._queries = Queries(driver)
        self._queue = PgQueuer(driver, queries=self._queries)
        self._report = report
        for job, run in scheduled.items():
            # An occurrence that came due while no worker was there is run by the next one, once.
            self._queue.schedule(job.name, job.cron, clean_old=False)(
                _scheduled(job.name, run, report)
            )
        for kind, handler in handlers.items():
            name = entrypoint(kind)
            entry = self._queue.entrypoint(
                name, on_failure="hold", concurrency_limit=AT_ONCE.get(kind, UNLIMITED)
            )
            entry(_runner(name, handler, report))

    async def run(self) -> None:
        """Work until `stop`; jobs in hand are finished first."""
        releasing = asyncio.create_task(self._release_held())
        try:
            await self._queue.run(
                dequeue_timeout=POLL_EVERY,
                batch_size=BATCH,
                max_concurrent_tasks=CONCURRENT,
                log_aggregation_interval=timedelta(0),  # there is no log
            )
        finally:
            releasing.cancel()
            with suppress(asyncio.CancelledError):
                await releasing

    async def beat(self) -> None:
        """Hear from the database over the queue's connection, in its turn."""
        await self._queue.connection.execute("SELECT")

    def stop(self) -> None:
        """Take no more jobs."""
        self._queue.shutdown.set()

    async def _release_held(self) -> None:
        """Put back the jobs that PgQueuer holds: those whose own putting back went wrong."""
        while True:
            try:
                held = await self._queries.list_failed_jobs(RELEASED, order="ASC")
                if held:
                    await self._queries.requeue_jobs([job.id for job in held])
            except Exception as error:  # noqa: BLE001 -- they are held until the next time
                self._report("release_held", error)
            await asyncio.sleep(RELEASE_EVERY.total_seconds())


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
            await handler(decode(job.payload or b""))
        except RetryLater as retry:
            raise RetryRequested(delay=retry.after, reason="retry later") from None
        except asyncio.CancelledError:
            # PgQueuer deletes what is cancelled. Cut off is not done: another worker takes it.
            raise RetryRequested(delay=timedelta(0), reason="cut off") from None
        except Exception as error:  # noqa: BLE001 -- a job's fault is reported, whatever it is
            # It goes on when the fault is mended, or when a version that can read it comes.
            report(name, error)
            delay = again_after(job.attempts)
            raise RetryRequested(delay=delay, reason=type(error).__name__) from None

    return run
