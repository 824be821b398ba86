"""The worker as it runs: what is in the queue and in the database comes to its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from structlog.testing import capture_logs

from paygate.api.event_object import event_body
from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.payments.outcome import Unknown
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.alerts.close import close_alerts
from paygate.flows.alerts.watch_jobs import watch_jobs
from paygate.flows.webhooks.tell import tell_events
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.worker.main import tell_of_run, work
from paygate.worker.scheduled import AT_WORK_ALREADY, run_scheduled
from tests.flows.spoilt import mend, spoil
from tests.flows.webhooks.courier import endpoint_at
from tests.flows.world import APPROVED, World, notice
from tests.gateway import until
from tests.worker.conftest import hurry


@asynccontextmanager
async def working(world: World, database: str) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        work(world.ctx, connector(database, name="worker"), stop, event_body)
    )
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


async def event(world: World) -> ProviderEvent:
    found: ProviderEvent
    (found,) = await world.all(ProviderEvent)
    return found


async def test_a_fault_is_counted_and_the_event_put_off_and_applied(
    world: World, database: str
) -> None:
    _, attempt = await world.confirming(Unknown("lost"))
    await world.receive(notice(attempt, APPROVED))
    await spoil(world, "payment_intent")
    async with working(world, database):

        async def counted() -> bool:
            return (await event(world)).attempts == 1

        await until(counted)
        await mend(world, "payment_intent")
        # The worker's clock stands: the event's time has not come, so its job is put back.
        put_back = "SELECT count(*) FROM pgqueuer WHERE attempts > 0"

        async def left_alone() -> bool:
            await hurry(world.connection)
            return bool(await world.connection.fetchval(put_back))

        await until(left_alone)
        assert (await event(world)).attempts == 1
        world.clock.forward(2)

        async def applied() -> bool:
            await hurry(world.connection)
            return (await event(world)).status is EventStatus.PROCESSED

        await until(applied)
    assert await world.all(Alert) == []


async def test_the_minutes_job_applies_what_has_no_job(world: World) -> None:
    await world.stored_only(notice(None, APPROVED, installation="another"))
    await world.connection.execute("DELETE FROM pgqueuer")
    world.clock.forward(180)
    report = await run_scheduled(world.ctx, "apply-provider-events")
    assert (report, (await event(world)).status) == (
        {"waiting": 1, "failed": 0},
        EventStatus.IGNORED,
    )


async def test_somebody_is_told_of_jobs_that_nobody_gets_done(world: World) -> None:
    """One alert for each kind, of all that has been there for an hour by the database's clock."""
    insert = (
        "INSERT INTO pgqueuer (priority, entrypoint, payload, status, created)"
        " VALUES (0, $1, '{}', 'queued', $2::timestamptz - $3::float * interval '1 minute')"
    )
    for kind, minutes in (("later", 61), ("later", 90), ("close_failed_payment", 59)):
        await world.connection.execute(insert, kind, world.clock(), minutes)
    assert await run_scheduled(world.ctx, "watch-jobs") == {"waiting": 2}
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.problem.subject.id) == (AlertType.JOB_STUCK, "later")
    assert "2 of later" in alert.problem.message
    world.clock.forward(120)
    assert await watch_jobs(world.ctx, "run_1") == 3
    assert {(a.problem.subject.id, a.count) for a in await world.all(Alert)} == {
        ("later", 1),
        ("close_failed_payment", 1),
    }


async def test_somebody_is_told_of_events_that_an_open_transaction_holds_back(
    world: World, connect: Callable[[], Awaitable[Connection]]
) -> None:
    await endpoint_at(world, "http://127.0.0.1:9/")
    writer = await connect()
    opened = writer.transaction()
    await opened.start()
    await writer.execute("SELECT pg_current_xact_id()")
    await world.create()
    assert await tell_events(world.ctx, "run", event_body) == 0
    world.clock.forward(3500)
    assert await watch_jobs(world.ctx, "run_1") == 0
    world.clock.forward(200)
    assert await watch_jobs(world.ctx, "run_1") == 1
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.problem.subject.id) == (AlertType.JOB_STUCK, "tell-events")
    await close_alerts(world.ctx, "run_1")
    assert [a.status for a in await world.all(Alert)] == [AlertStatus.OPEN]
    await opened.rollback()

    async def told() -> int:
        return await tell_events(world.ctx, "run", event_body)

    await until(told)
    await close_alerts(world.ctx, "run_1")
    assert [a.status for a in await world.all(Alert)] == [AlertStatus.CLOSED]


def test_a_job_that_did_nothing_is_not_worth_a_line() -> None:
    with capture_logs() as lines:
        tell_of_run("expire-intents", {"cancelled": 0, "closed": 0})
        tell_of_run("expire-intents", {AT_WORK_ALREADY: 1})
        tell_of_run("expire-intents", {"cancelled": 0, "closed": 2})
    assert [(t["event"], t["job"], t["cancelled"], t["closed"]) for t in lines] == [
        ("job_ran", "expire-intents", 0, 2)
    ]
