"""What was received is applied, whatever became of its job."""

import asyncio

from paygate.domain.alert import Alert
from paygate.domain.payments.outcome import Pending, Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.provider_events.apply_waiting import PAGE, WAITED, Swept, apply_waiting_events
from tests.flows.spoilt import spoil
from tests.flows.world import APPROVED, World, notice

LONG = WAITED.total_seconds() + 1


async def received(world: World, *references: str) -> None:
    """Foreign events, which any try brings to their end."""
    said = [notice(None, APPROVED, reference=r, installation="another") for r in references]
    await asyncio.gather(*(world.stored_only(each) for each in said))


async def waiting(world: World, status: str = "received") -> int:
    query = "SELECT count(*) FROM provider_event WHERE status = $1"
    return int(await world.connection.fetchval(query, status))


async def test_an_event_whose_job_is_gone_is_applied(world: World) -> None:
    intent, attempt = await world.confirming(Unknown("lost"))
    await world.receive(notice(attempt, APPROVED))
    await world.connection.execute("DELETE FROM pgqueuer")
    assert await apply_waiting_events(world.ctx) == Swept(0, 0), "its job has had no time yet"
    world.clock.forward(LONG)
    assert await apply_waiting_events(world.ctx) == Swept(1, 0)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert await apply_waiting_events(world.ctx) == Swept(0, 0)


async def test_the_sweep_enqueues_nothing(world: World) -> None:
    await received(world, "evt_1", "evt_2")
    before = await world.delays()
    world.clock.forward(LONG)
    assert await apply_waiting_events(world.ctx) == Swept(2, 0)
    assert await world.delays() == before


async def test_what_was_put_off_and_forgotten_is_tried_until_it_is_given_up(world: World) -> None:
    await world.applied(notice(None, Pending()))  # bears no attempt of ours
    assert await waiting(world, "parked") == 1
    for _ in range(5):
        await world.connection.execute("DELETE FROM pgqueuer")
        world.clock.forward(LONG)
        assert await apply_waiting_events(world.ctx) == Swept(1, 0)
    (event,) = await world.all(ProviderEvent)
    assert event.status is EventStatus.DEAD_LETTER
    assert len(await world.all(Alert)) == 1


async def test_one_that_cannot_be_opened_hides_no_other(world: World) -> None:
    """More than a page of them, the spoilt ones oldest: they are told of, and passed by."""
    await received(world, *(f"evt_old_{n}" for n in range(3)))
    await spoil(world, "provider_event")
    world.clock.forward(1)
    await received(world, *(f"evt_{n}" for n in range(PAGE + 5)))
    world.clock.forward(LONG)
    assert await apply_waiting_events(world.ctx) == Swept(PAGE + 8, 0)
    assert await waiting(world) == 3
    assert len(await world.all(Alert)) == 3


async def test_the_run_ends_though_nothing_can_be_written(world: World) -> None:
    await received(world, "evt_1", "evt_2")
    world.clock.forward(LONG)
    await world.connection.execute("ALTER TABLE provider_event ADD CHECK (version = 1) NOT VALID")
    assert await apply_waiting_events(world.ctx) == Swept(2, 2)
    assert await waiting(world) == 2
