"""What was given up for a fault that may pass is tried once a round for three days, and heals."""

import asyncio
from datetime import timedelta

import msgspec

from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import (
    REPLAYED_FOR,
    RETRY_AFTER,
    EventStatus,
    ProviderEvent,
    apart,
)
from paygate.flows.alerts.close import close_alerts
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.flows.provider_events.replay_dead_letters import (
    PAGE,
    Replayed,
    replay_dead_letters,
)
from paygate.jobs.messages import ApplyProviderEvent
from tests.flows.spoilt import mend, spoil
from tests.flows.world import APPROVED, CARDLESS, World, answer, notice
from tests.making import START

SECOND = timedelta(seconds=1)
ROUND = 900.0


async def given_up(world: World, event: ProviderEvent) -> ProviderEvent:
    """The event once all its tries have failed."""
    for wait in (timedelta(0), *RETRY_AFTER):
        world.clock.forward(wait.total_seconds())
        event = await world.apply(event)
    assert event.status is EventStatus.DEAD_LETTER
    return event


async def unreachable(world: World) -> ProviderEvent:
    """An event that only the provider can complete, which tells nothing."""
    _, attempt = await world.confirming(Unknown("lost"))
    await world.receive(notice(attempt, CARDLESS))
    (event,) = await world.all(ProviderEvent)
    return await given_up(world, event)


async def stored(world: World) -> ProviderEvent:
    event: ProviderEvent
    (event,) = await world.all(ProviderEvent)
    return event


async def test_an_outage_longer_than_all_tries_heals_by_itself(world: World) -> None:
    """F15: nothing is enqueued, nobody is alerted anew, and the alert closes."""
    dead = await unreachable(world)
    assert dead.replay_until == world.clock() + REPLAYED_FOR
    jobs, still = await world.delays(), dead
    for _ in range(3):
        world.clock.forward(ROUND)
        assert await replay_dead_letters(world.ctx) == Replayed(1, 0)
        still = await stored(world)
        assert (still.status, still.replay_until) == (dead.status, dead.replay_until)
        (alert,) = await world.all(Alert)
        assert (alert.count, alert.status) == (1, AlertStatus.OPEN)
    assert still.attempts == dead.attempts + 3
    world.provider.objects.append(answer(APPROVED, as_of=START + SECOND))
    world.clock.forward(ROUND)
    assert await replay_dead_letters(world.ctx) == Replayed(1, 1)
    done = await stored(world)
    assert (done.status, done.verdict) == (EventStatus.PROCESSED, "applied")
    assert (done.replay_until, done.last_error) == (None, None)
    assert await world.delays() == jobs
    await close_alerts(world.ctx, "run_1")
    (alert,) = await world.all(Alert)
    assert alert.status is AlertStatus.CLOSED
    assert await replay_dead_letters(world.ctx) == Replayed(0, 0)


async def test_each_is_tried_once_a_round(world: World) -> None:
    dead = await unreachable(world)
    world.clock.forward(ROUND)
    await replay_dead_letters(world.ctx)
    assert await replay_dead_letters(world.ctx) == Replayed(0, 0), "no time has gone by"
    assert (await stored(world)).attempts == dead.attempts + 1


async def test_after_three_days_it_waits_for_a_person(world: World) -> None:
    await unreachable(world)
    world.clock.forward(REPLAYED_FOR.total_seconds() + 1)
    assert await replay_dead_letters(world.ctx) == Replayed(1, 0), "a last time"
    world.provider.objects.append(answer(APPROVED, as_of=START + SECOND))
    world.clock.forward(ROUND)
    assert await replay_dead_letters(world.ctx) == Replayed(0, 0)
    last = await stored(world)
    assert (last.status, last.replay_until) == (EventStatus.DEAD_LETTER, None)


async def test_what_no_time_heals_is_not_tried(world: World) -> None:
    """F14: a body that nobody can read, and another amount."""
    _, attempt = await world.confirming(Unknown("lost"))
    await world.receive(b"{}")
    await world.receive(notice(attempt, APPROVED, amount=5))
    for event in await world.all(ProviderEvent):
        await world.apply(event)
    assert {e.status for e in await world.all(ProviderEvent)} == {EventStatus.DEAD_LETTER}
    world.clock.forward(ROUND)
    assert await replay_dead_letters(world.ctx) == Replayed(0, 0)


async def test_a_poison_event_heals_with_its_payment(world: World) -> None:
    intent, attempt = await world.confirming(Unknown("lost"))
    await world.receive(notice(attempt, APPROVED))
    event = await stored(world)
    await spoil(world, "payment_intent")
    for wait in (timedelta(0), *RETRY_AFTER):
        world.clock.forward(wait.total_seconds())
        await apply_received_event(world.ctx, ApplyProviderEvent(event.merchant, event.id))
    world.clock.forward(ROUND)
    assert await replay_dead_letters(world.ctx) == Replayed(1, 0)
    await mend(world, "payment_intent")
    world.clock.forward(ROUND)
    assert await replay_dead_letters(world.ctx) == Replayed(1, 1)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_one_that_cannot_be_opened_hides_no_other(world: World) -> None:
    first = await unreachable(world)
    await spoil(world, "provider_event", first.id)
    _, attempt = await world.confirming(Unknown("lost"))
    await world.receive(notice(attempt, CARDLESS, reference="evt_2", provider_reference="theirs_2"))
    await mend(world, "provider_event", first.id)
    (second,) = [e for e in await world.all(ProviderEvent) if e.id != first.id]
    await given_up(world, second)
    await spoil(world, "provider_event", first.id)
    world.provider.objects.append(
        answer(APPROVED, as_of=START + SECOND, provider_reference="theirs_2")
    )
    world.clock.forward(ROUND)
    assert await replay_dead_letters(world.ctx) == Replayed(2, 1)
    told = {alert.problem.type for alert in await world.all(Alert)}
    assert AlertType.RECORD_UNREADABLE in told


async def test_a_silent_provider_is_asked_for_one_page(world: World) -> None:
    """The next round begins with those that this one did not come to."""
    dead = await unreachable(world)
    body = await world.ctx.read.provider_event_body(dead)
    for number in range(PAGE + 9):
        twin = msgspec.structs.replace(
            dead,
            id=world.ctx.new_id("provider_event"),
            provider_reference=f"evt_{number + 10}",
            version=1,
            body=body,
        )
        await world.store(*apart(twin))
    asked = len(world.provider.retrieved)
    world.clock.forward(ROUND)
    assert await replay_dead_letters(world.ctx) == Replayed(PAGE, 0)
    assert len(world.provider.retrieved) == asked + PAGE
    world.clock.forward(ROUND)
    await replay_dead_letters(world.ctx)
    tried = [e.attempts > dead.attempts for e in await world.all(ProviderEvent)]
    assert all(tried)


async def test_what_the_provider_says_meanwhile_is_not_undone(world: World) -> None:
    """A replay races with an event's own job, which a person has asked for."""
    dead = await unreachable(world)
    world.provider.objects += [answer(APPROVED, as_of=START + SECOND)] * 2
    world.clock.forward(ROUND)
    message = ApplyProviderEvent(dead.merchant, dead.id)
    await asyncio.gather(
        replay_dead_letters(world.ctx),
        replay_dead_letters(world.ctx),
        apply_provider_event(world.ctx, message),
    )
    done = await stored(world)
    assert (done.status, done.attempts) == (EventStatus.PROCESSED, dead.attempts + 1)
