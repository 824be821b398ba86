"""Alerts: written with the fact that they tell of, counted once, and news again once seen."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from paygate.api.event_object import event_body
from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertStatus, AlertType, Occurrence, Problem
from paygate.domain.audit import Subject
from paygate.domain.event import Event
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_account import ProviderAccount
from paygate.flows.alerts.acknowledge import acknowledge_alert
from paygate.flows.alerts.close import close_alerts
from paygate.flows.alerts.raise_alert import count_occurrence, occurrence, raise_alert, to_raise
from paygate.flows.provider.watch import watch_provider
from paygate.jobs.messages import RaiseAlert
from paygate.storage.change import Change, Committed, Conflict, Reason
from paygate.storage.connections.session import Connection
from paygate.storage.installation import DEFAULT_MERCHANT
from paygate.worker.main import work
from tests.flows.world import World

HAPPENED = Problem(
    type=AlertType.PROVIDER_MISCONFIGURED,
    subject=Subject("provider", "scripted"),
    severity="critical",
    message="payments fail",
    what_to_do="Look at the key.",
)
LASTS = Problem(
    type=AlertType.ATTEMPT_UNRESOLVED,
    subject=Subject("payment_intent", "pi_1"),
    severity="critical",
    message="nobody knows",
    what_to_do="Ask.",
)


async def happen(world: World, *problems: Problem) -> list[RaiseAlert]:
    """A fact is committed, and what a person must see with it."""
    found = [occurrence(world.ctx, "default", problem) for problem in problems]
    audit = world.ctx.audit(world.caller, Action.INTENT_CONFIRM)
    change = Change(audit, creates=tuple(found), jobs=to_raise(*found))
    assert await world.ctx.door.commit(change) == Committed()
    return [RaiseAlert(each.merchant, each.id) for each in found]


async def acknowledge(world: World) -> None:
    (alert,) = await world.all(Alert)
    await acknowledge_alert(world.ctx, world.caller, alert.id)


async def test_an_occurrence_is_counted_once_however_often_its_job_comes(world: World) -> None:
    (message,) = await happen(world, HAPPENED)
    world.clock.forward(60)
    await asyncio.gather(*(count_occurrence(world.ctx, message) for _ in range(5)))
    (alert,) = await world.all(Alert)
    (counted,) = await world.all(Occurrence)
    assert (alert.count, alert.version, alert.problem) == (1, 1, HAPPENED)
    assert (counted.alert, counted.version) == (alert.id, 2)
    assert alert.created_at == counted.at, "when it came up, not when a worker had time"


async def test_occurrences_of_one_problem_at_once_are_all_counted(world: World) -> None:
    for _ in range(3):
        await happen(world, HAPPENED, HAPPENED, LASTS)
    counts = {alert.problem.type: alert.count for alert in await world.all(Alert)}
    assert counts == {HAPPENED.type: 6, LASTS.type: 3}


async def test_a_fact_that_is_refused_tells_of_nothing(world: World) -> None:
    intent = await world.create()
    found = occurrence(world.ctx, "default", HAPPENED)
    audit = world.ctx.audit(world.caller, Action.INTENT_CONFIRM)
    stale = (await world.all(PaymentIntent))[0]
    assert stale == intent
    change = Change(audit, creates=(found,), advances=(stale,), jobs=to_raise(found))
    assert await world.ctx.door.commit(change) == Conflict(Reason.STALE, "payment_intent")
    assert (await world.all(Alert), await world.all(Occurrence)) == ([], [])


async def test_a_hundred_at_once_raise_one_alert_and_none_of_them_fails(world: World) -> None:
    raising = (raise_alert(world.ctx, world.caller, HAPPENED) for _ in range(100))
    assert await asyncio.gather(*raising) == [None] * 100
    (alert,) = await world.all(Alert)
    assert alert.count == 100


async def test_what_happens_after_an_acknowledgement_opens_the_alert_anew(world: World) -> None:
    await happen(world, HAPPENED)
    await acknowledge(world)
    world.clock.forward(60)
    await happen(world, HAPPENED)
    (alert,) = await world.all(Alert)
    assert (alert.status, alert.acknowledged, alert.count) == (AlertStatus.OPEN, None, 2)
    await acknowledge(world)
    await raise_alert(world.ctx, world.caller, HAPPENED)
    (alert,) = await world.all(Alert)
    assert (alert.status, alert.count) == (AlertStatus.OPEN, 3)


async def test_an_occurrence_counted_before_does_not_open_an_alert_anew(world: World) -> None:
    """A worker died between its commit and the end of its job: the job comes again, later."""
    (message,) = await happen(world, HAPPENED)
    await acknowledge(world)
    await count_occurrence(world.ctx, message)
    (alert,) = await world.all(Alert)
    assert (alert.status, alert.count) == (AlertStatus.ACKNOWLEDGED, 1)


async def test_a_condition_that_was_seen_stays_seen_while_it_lasts(world: World) -> None:
    await raise_alert(world.ctx, world.caller, LASTS)
    await acknowledge(world)
    world.clock.forward(3600)
    await raise_alert(world.ctx, world.caller, LASTS)
    (alert,) = await world.all(Alert)
    assert (alert.status, alert.count) == (AlertStatus.ACKNOWLEDGED, 2)
    assert alert.acknowledged is not None
    worse = msgspec.structs.replace(LASTS, message="it is another thing now")
    await raise_alert(world.ctx, world.caller, worse)
    (alert,) = await world.all(Alert)
    assert (alert.status, alert.acknowledged) == (AlertStatus.OPEN, None)


async def test_a_condition_is_counted_once_an_hour_and_what_happens_each_time(world: World) -> None:
    worse = msgspec.structs.replace(LASTS, message="it is another thing now")
    for problem, count in ((LASTS, 1), (LASTS, 1), (worse, 2), (worse, 2)):
        await raise_alert(world.ctx, world.caller, problem)
        (alert,) = await world.all(Alert)
        assert (alert.problem.message, alert.count) == (problem.message, count)
    world.clock.forward(3600)
    await raise_alert(world.ctx, world.caller, worse)
    (alert,) = await world.all(Alert)
    assert (alert.count, alert.last_at) == (3, world.clock())
    for _ in range(2):
        await raise_alert(world.ctx, world.caller, HAPPENED)
    found = {alert.problem.type: alert for alert in await world.all(Alert)}
    assert found[HAPPENED.type].count == 2


async def test_two_workers_count_what_a_hundred_facts_left(
    world: World, connect: Callable[[], Awaitable[Connection]]
) -> None:
    await asyncio.gather(*(happen(world, HAPPENED) for _ in range(100)))
    stop = asyncio.Event()
    waiting = "SELECT count(*) FROM alert_occurrence WHERE version = 1"

    async def watch() -> None:
        while await world.connection.fetchval(waiting):
            await asyncio.sleep(0.05)
        stop.set()

    async with asyncio.timeout(60):
        await asyncio.gather(
            work(world.ctx, connect, stop, event_body),
            work(world.ctx, connect, stop, event_body),
            watch(),
        )
    (alert,) = await world.all(Alert)
    assert alert.count == 100


async def test_an_alert_that_cannot_be_read_fails_nobody_and_loses_nothing(world: World) -> None:
    await raise_alert(world.ctx, world.caller, HAPPENED)
    sealed = await world.connection.fetchval("SELECT sealed FROM alert")
    await world.connection.execute("ALTER TABLE alert DISABLE TRIGGER USER")
    await world.connection.execute("UPDATE alert SET sealed = sealed || 'x'::bytea")
    await world.connection.execute("ALTER TABLE alert ENABLE TRIGGER USER")
    (message,) = await happen(world, HAPPENED)
    await raise_alert(world.ctx, world.caller, HAPPENED)
    await count_occurrence(world.ctx, message)
    world.clock.forward(3600)
    await close_alerts(world.ctx, "run")
    await world.connection.execute("ALTER TABLE alert DISABLE TRIGGER USER")
    await world.connection.execute(
        "UPDATE alert SET sealed = $1 WHERE length(sealed) = length($1::bytea) + 1", sealed
    )
    assert await close_alerts(world.ctx, "run") == (1, 1)
    found = {alert.problem.type: alert for alert in await world.all(Alert)}
    assert found[HAPPENED.type].count == 2
    unreadable = found[AlertType.RECORD_UNREADABLE]
    assert (unreadable.problem.subject.object, unreadable.status) == ("alert", AlertStatus.CLOSED)


async def opened(world: World) -> list[dict[str, Any]]:
    """What merchants are told of alerts, as it goes over the wire."""
    found: list[Event] = [e for e in await world.all(Event) if e.object == "alert"]
    return [{"merchant": e.merchant, **msgspec.json.decode(event_body(e))} for e in found]


async def test_an_alert_that_opens_is_told_to_its_merchant(world: World) -> None:
    """In the commit that opens it: when it is new, and when it is open again after it was seen."""
    for minute, problem in enumerate([LASTS, LASTS, HAPPENED, HAPPENED]):
        world.clock.forward(60 * minute)
        await raise_alert(world.ctx, world.caller, problem)
    lasting, happened = await opened(world)
    assert lasting["type"] == happened["type"] == "alert.opened"
    assert lasting["merchant"] == world.caller.merchant
    assert lasting["data"]["object"]["type"] == "attempt_unresolved"
    assert lasting["data"]["object"]["subject"] == {"object": "payment_intent", "id": "pi_1"}
    assert (lasting["object_version"], lasting["data"]["object"]["status"]) == (1, "open")
    alerts: list[Alert] = await world.all(Alert)
    for each in alerts:
        await acknowledge_alert(world.ctx, world.caller, each.id)
    world.clock.forward(7200)
    await raise_alert(world.ctx, world.caller, LASTS)
    assert len(await opened(world)) == 2, "the condition that was seen"
    await raise_alert(world.ctx, world.caller, HAPPENED)
    (_, _, again) = await opened(world)
    assert (again["data"]["object"]["id"], again["object_version"]) == (alerts[1].id, 4)


async def test_an_alert_that_could_not_be_opened_is_told_to_nobody(world: World) -> None:
    """Many find the same at once: one event, for one alert."""
    messages = await happen(world, *[HAPPENED] * 8)
    await asyncio.gather(*(count_occurrence(world.ctx, message) for message in messages))
    (alert,) = await world.all(Alert)
    assert alert.count == 8
    assert len(await opened(world)) == 1


async def test_what_concerns_the_account_is_told_to_the_merchant_default(world: World) -> None:
    world.provider.account_id = "acct_other"
    known = ProviderAccount(
        id="scripted", merchant="default", account="acct_ours", created_at=world.clock()
    )
    await world.store(known)
    await watch_provider(world.ctx, "run_1", node="n")
    (told,) = await opened(world)
    assert told["merchant"] == DEFAULT_MERCHANT
    assert told["data"]["object"]["type"] == "provider_account_changed"
