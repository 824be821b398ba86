"""The queue, in PgQueuer's tables and by its statements, which are seen nowhere else. Jobs are put
in by commits (`storage.statement`).

No job is ever dropped: a commit has promised each. A failed job is put back, a job that this
version cannot read waits for a version that can, and a job that could not be put back is held until
the queue releases it.

The tables hold ids and entry points alone. PgQueuer's log of ended jobs is not kept: nothing reads
the log, nothing would ever shorten it, and it cost three rows a job.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias
from uuid import uuid4

import asyncpg
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.models import Job, TracebackRecord
from pgqueuer.domain.settings import db_settings
from pgqueuer.domain.types import JOB_STATUS, JobId, QueueEntrypoint, QueueManagerId
from pgqueuer.ports.repository import EntrypointExecutionParameter

from paygate.jobs.messages import Message, RaiseAlert, decode, entrypoint
from paygate.jobs.schedule import ScheduledJob
from paygate.jobs.timetable import Report, Run, Timetable, stopped

BATCH: Final = 50
"""Jobs fetched in one round trip; few enough that another worker gets its share."""
CONCURRENT: Final = 200
"""Jobs in hand at once; a job mostly waits for the database or the provider."""
UNLIMITED: Final = 0
AT_ONCE: Final[Mapping[type[Message], int]] = {RaiseAlert: 16}
"""The most jobs of a kind in hand at once, on all nodes together; other kinds have no bound. Alerts
are counted one at a time, and a flood of them must not take the places of events.
"""
SELDOM: Final = timedelta(minutes=5)
BEHIND: Final = -1
"""The priority of a job that failed: those of commits, which have 0, go before."""
_DOUBLINGS: Final = 10
TAKE_AGAIN_SECONDS: Final = 0.25
"""The pause after a due job was not given to us: others of its kind are in hand, or another worker
asked at the same moment.
"""
TOGETHER_SECONDS: Final = 0.05
"""How long an ended job waits for others, to be written down with them."""
SILENT_AFTER: Final = timedelta(seconds=30)
"""The silence after which a job in hand is given to another worker."""
SIGN_OF_LIFE_SECONDS: Final = SILENT_AFTER.total_seconds() / 4
RELEASE_EVERY: Final = timedelta(seconds=30)
"""How often held jobs are put back: as often as jobs whose worker died."""
RELEASED: Final = 1000
"""Held jobs put back at a time; the rest follow."""

# Rows that the trigger lets through: none. A rule would not do, for PgQueuer writes its log beside
# other statements. The trigger is made once: to make it anew would wait for every other node.
_NO_LOG: Final = """
CREATE FUNCTION keep_no_queue_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep_no_queue_log BEFORE INSERT ON pgqueuer_log
    FOR EACH ROW EXECUTE FUNCTION keep_no_queue_log();
ALTER TABLE pgqueuer_log ENABLE ALWAYS TRIGGER keep_no_queue_log;
TRUNCATE pgqueuer_log, pgqueuer_statistics;
"""

# PgQueuer's own puts back one job, and a flood of them would have the time of all others.
_PUT_BACK: Final = """
UPDATE pgqueuer SET status = 'queued', execute_after = now() + back.after, updated = now(),
    attempts = attempts + 1, priority = back.priority, queue_manager_id = NULL
FROM unnest($1::bigint[], $2::interval[], $3::int[]) AS back (id, after, priority)
WHERE pgqueuer.id = back.id
"""
# Asked every two seconds of all days. The kinds are a subquery, so that the planner never looks
# into them: then the plan is made once, and making it took longer than all the rest.
DUE_IN: Final = """
SELECT extract(epoch FROM least(
    (SELECT min(next.execute_after) FROM unnest((SELECT $1::text[])) AS kind CROSS JOIN LATERAL (
        SELECT execute_after FROM pgqueuer WHERE status = 'queued' AND entrypoint = kind
        ORDER BY execute_after LIMIT 1
    ) next),
    (SELECT heartbeat + $2::interval FROM pgqueuer
     WHERE status = 'picked' AND entrypoint = ANY((SELECT $1::text[])::text[])
     ORDER BY heartbeat LIMIT 1)
) - now())::float8 AS due_in
"""

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class RetryLater(Exception):
    """Raised by a handler: the same job again, after a while."""

    def __init__(self, after: timedelta) -> None:
        super().__init__("retry later")
        self.after = after


Handler = Callable[[Any], Awaitable[None]]
Over: TypeAlias = tuple[Job, JOB_STATUS, TracebackRecord | None]
Back: TypeAlias = tuple[Job, timedelta, int]
"""A job, after how long it is due again, and its priority then."""
CHANNEL: Final = db_settings().channel
"""The channel on which the trigger of PgQueuer's table notifies that jobs came, or are over."""


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
    `stop`.

    PgQueuer's own loop would wake twelve times a second where nothing happens. This loop is woken
    by notifications, by the next job's time, and by `beat`; statements and tables are PgQueuer's.
    """

    def __init__(
        self,
        connection: Connection,
        handlers: Mapping[type[Message], Handler],
        scheduled: Mapping[ScheduledJob, Run],
        report: Report,
    ) -> None:
        self._connection = connection
        self._driver = AsyncpgDriver(connection)
        self._queries = Queries(self._driver)
        self._id = QueueManagerId(uuid4())
        self._report = report
        self._handlers = {entrypoint(kind): handler for kind, handler in handlers.items()}
        self._kinds = {
            QueueEntrypoint(entrypoint(kind)): EntrypointExecutionParameter(
                concurrency_limit=AT_ONCE.get(kind, UNLIMITED)
            )
            for kind in handlers
        }
        self._timetable = Timetable(self._queries, scheduled, report)
        self._in_hand: dict[JobId, asyncio.Task[None]] = {}
        self._over: list[Over] = []
        self._back: list[Back] = []
        self._some_over = asyncio.Event()
        self._writing = asyncio.Lock()
        self._stop = asyncio.Event()
        self._woken = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Work until `stop`; jobs in hand are finished first."""
        await self._connection.add_listener(CHANNEL, self._hear)
        loops = {
            asyncio.create_task(loop)
            for loop in (self._take(), self._timetable.keep(self._stop), self._release_held())
        }
        behind = [asyncio.create_task(loop) for loop in (self._give_signs(), self._write_over())]
        try:
            ended, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            self.stop()
            try:
                await asyncio.gather(*loops, return_exceptions=True)
                await self._finish()
            finally:
                for task in behind:
                    task.cancel()
                if self._alarm is not None:
                    self._alarm.cancel()
        for loop in ended:
            loop.result()

    async def beat(self) -> None:
        """Wake for due jobs of which no notification came, over the queue's connection."""
        await self._look()

    async def stopped(self) -> None:
        """Return when no more jobs are taken: after `stop`, or when a statement failed."""
        await self._stop.wait()

    def stop(self) -> None:
        """Take no more jobs."""
        self._stop.set()
        self._woken.set()

    def _hear(self, *_: object) -> None:
        self._woken.set()

    async def _take(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            jobs = await self._queries.dequeue(
                batch_size=BATCH,
                entrypoints=self._kinds,
                queue_manager_id=self._id,
                global_concurrency_limit=CONCURRENT,
                heartbeat_timeout=SILENT_AFTER,
            )
            for job in jobs:
                if job.id not in self._in_hand:  # else our sign of life came late
                    self._in_hand[job.id] = asyncio.create_task(self._do(job))
            if not jobs:
                await self._look()
                await self._woken.wait()

    async def _look(self) -> None:
        """Schedule the wake-up for the next job's time."""
        (row,) = await self._driver.fetch(DUE_IN, list(self._kinds), SILENT_AFTER)
        due_in: Any = row["due_in"]
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due_in is not None:
            after = max(due_in, TAKE_AGAIN_SECONDS)
            self._alarm = asyncio.get_running_loop().call_later(after, self._woken.set)

    async def _do(self, job: Job) -> None:
        """Run a job's handler. However that ends, the job is gone or put back."""
        try:
            await self._handlers[job.entrypoint](decode(job.payload or b""))
        except RetryLater as retry:
            self._put_back(job, retry.after, job.priority)
        except asyncio.CancelledError:
            # Cut off is not done: another worker takes it.
            self._put_back(job, timedelta(0), job.priority)
            raise
        except Exception as error:  # noqa: BLE001 -- a job's fault is reported, whatever it is
            # The job goes on when the fault is mended, or when a version comes that can read it.
            self._report(job.entrypoint, error)
            self._put_back(job, again_after(job.attempts), BEHIND)
        else:
            self._end(job, "successful")

    def _put_back(self, job: Job, after: timedelta, priority: int) -> None:
        self._in_hand.pop(job.id, None)
        self._back.append((job, after, priority))
        self._some_over.set()

    def _end(self, job: Job, status: JOB_STATUS) -> None:
        self._in_hand.pop(job.id, None)
        self._over.append((job, status, None))
        self._some_over.set()

    async def _write_over(self) -> None:
        """Write down which jobs are over or put back. Jobs that end at about the same time are one
        statement; a job that is not written down is done again by the worker that finds no sign of
        life.
        """
        while True:
            await self._some_over.wait()
            await asyncio.sleep(TOGETHER_SECONDS)
            self._some_over.clear()
            await self._write()

    async def _write(self) -> None:
        async with self._writing:  # the last write waits for the one before
            await self._write_back()
            over, self._over = self._over, []
            try:
                if over:
                    await self._queries.log_jobs(over)
            except Exception as error:  # noqa: BLE001 -- tried again with the next, and at the end
                self._report("jobs_over", error)
                self._over = over + self._over

    async def _write_back(self) -> None:
        back, self._back = self._back, []
        if not back:
            return
        jobs, afters, priorities = zip(*back, strict=True)
        try:
            await self._driver.execute(_PUT_BACK, [job.id for job in jobs], afters, priorities)
        except Exception as error:  # noqa: BLE001 -- they are held, and released later
            self._report("jobs_put_back", error)
            self._over += [(job, "failed", None) for job in jobs]
        else:
            self._woken.set()  # a time may be the next one, and of this nobody is told

    async def _finish(self) -> None:
        """Wait for the jobs in hand; a cancellation cuts them off."""
        in_hand = (*self._in_hand.values(), *self._timetable.in_hand.values())
        try:
            await asyncio.gather(*in_hand, return_exceptions=True)
        finally:
            await self._write()

    async def _give_signs(self) -> None:
        """Show other workers that the jobs in hand are alive."""
        while True:
            await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
            try:
                waiting = [job.id for job, *_ in (*self._over, *self._back)]
                if alive := [*self._in_hand, *waiting]:
                    await self._queries.update_heartbeat(alive)
                await self._timetable.give_signs()
            except Exception as error:  # noqa: BLE001 -- three more are given before it is too late
                self._report("signs_of_life", error)
            if self._over or self._back:
                self._some_over.set()

    async def _release_held(self) -> None:
        """Put back the held jobs, which could not be put back before."""
        while not self._stop.is_set():
            try:
                held = await self._queries.list_failed_jobs(RELEASED, order="ASC")
                if held:
                    await self._queries.requeue_jobs([job.id for job in held])
                    self._woken.set()
            except Exception as error:  # noqa: BLE001 -- they are held until the next time
                self._report("release_held", error)
            await stopped(self._stop, RELEASE_EVERY.total_seconds())


def again_after(attempts: int) -> timedelta:
    """How long a job waits after so many failures: 2 s, 4 s, ... five minutes."""
    return min(timedelta(seconds=2 ** (min(attempts, _DOUBLINGS) + 1)), SELDOM)
