"""Runs what is due by the clock, each time on one node of all. The table of the next times and its
statements are PgQueuer's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.executors import ScheduleExecutor, ScheduleExecutorFactoryParameters
from pgqueuer.domain.models import CronExpressionEntrypoint, Schedule
from pgqueuer.domain.types import CronEntrypoint, CronExpression, ScheduleId

from paygate.jobs.schedule import ScheduledJob

Run = Callable[[], Awaitable[None]]
Report = Callable[[str, BaseException], None]
LEEWAY_SECONDS: Final = 1.0
"""The leeway for the table's times: whole seconds, by the database's clock and not by ours."""


class Timetable:
    """Runs what is due, over the queue's connection."""

    def __init__(
        self, queries: Queries, scheduled: Mapping[ScheduledJob, Run], report: Report
    ) -> None:
        self._queries = queries
        self._report = report
        self._runs = {
            CronExpressionEntrypoint(CronEntrypoint(job.name), CronExpression(job.cron)): run
            for job, run in scheduled.items()
        }
        self._crons = {key: _cron(key) for key in self._runs}
        self.in_hand: dict[ScheduleId, asyncio.Task[None]] = {}

    async def keep(self, stop: asyncio.Event) -> None:
        """Begin each run that comes due until `stop`. A run that came due while no worker was there
        is begun by the next worker, once.
        """
        if not self._runs:
            return
        await self._queries.insert_schedule(self._next())
        while not stop.is_set():
            for schedule in await self._queries.fetch_schedule(self._next()):
                if schedule.id not in self.in_hand:  # else our sign of life came late
                    self._begin(schedule)
            soonest = min(self._next().values()).total_seconds()
            await stopped(stop, soonest + LEEWAY_SECONDS)

    async def give_signs(self) -> None:
        """Show other workers that the runs in hand are alive."""
        if self.in_hand:
            await self._queries.update_schedule_heartbeat(set(self.in_hand))

    def _next(self) -> dict[CronExpressionEntrypoint, timedelta]:
        """How long until each job is due again."""
        return {key: cron.next_in() for key, cron in self._crons.items()}

    def _begin(self, schedule: Schedule) -> None:
        self.in_hand[schedule.id] = asyncio.create_task(self._occur(schedule))

    async def _occur(self, schedule: Schedule) -> None:
        try:
            key = CronExpressionEntrypoint(schedule.entrypoint, schedule.expression)
            await self._runs[key]()
        except Exception as error:  # noqa: BLE001 -- the next occurrence is its retry
            self._report(schedule.entrypoint, error)
        finally:
            del self.in_hand[schedule.id]
            await self._give_back(schedule)

    async def _give_back(self, schedule: Schedule) -> None:
        try:
            await self._queries.set_schedule_queued({schedule.id})
        except Exception as error:  # noqa: BLE001 -- whoever finds no sign of life takes it over
            self._report(schedule.entrypoint, error)


def _cron(key: CronExpressionEntrypoint) -> ScheduleExecutor:
    async def unused(_: Schedule) -> None:
        """The executor is asked for times alone."""

    return ScheduleExecutor(
        ScheduleExecutorFactoryParameters(
            entrypoint=key.entrypoint, expression=key.expression, func=unused, clean_old=False
        )
    )


async def stopped(stop: asyncio.Event, within_seconds: float) -> bool:
    """Whether `stop` was set within the time."""
    try:
        async with asyncio.timeout(within_seconds):
            return await stop.wait()
    except TimeoutError:
        return False
