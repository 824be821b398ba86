"""An event's tries are counted, whatever they end in, and come to an end; a database that is away
counts for nothing.
"""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.audit import Subject
from paygate.domain.payments.outcome import Pending, Unknown
from paygate.domain.provider_event import RETRY_AFTER, EventStatus, ProviderEvent, waits
from paygate.flows.context import CommitDoor
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.storage.change import (
    Change,
    OutcomeUnknown,
    Outdated,
    Overloaded,
    StorageError,
    Unavailable,
    Verdict,
)
from paygate.storage.commit.committer import Committer
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from tests.flows.spoilt import mend, spoil
from tests.flows.world import APPROVED, World, notice
from tests.making import START

TRIES = len(RETRY_AFTER) + 1


async def poisoned(world: World) -> ProviderEvent:
    """An event that was received, of a payment that cannot be opened."""
    _, attempt = await world.confirming(Unknown("lost"))
    await world.receive(notice(attempt, APPROVED))
    event = await stored(world)
    await spoil(world, "payment_intent")
    return event


def message(event: ProviderEvent) -> ApplyProviderEvent:
    return ApplyProviderEvent(event.merchant, event.id)


async def stored(world: World) -> ProviderEvent:
    event: ProviderEvent
    (event,) = await world.all(ProviderEvent)
    return event


@pytest.fixture
async def shut(world: World, database: str) -> CommitDoor:
    """A door behind which nothing is written any more."""
    committer = Committer(connector(database, name="paygate shut"))
    await committer.open()
    await committer.close()
    return Door(world.records, committer)


async def test_an_event_that_always_raises_is_given_up_and_told(world: World) -> None:
    event = await poisoned(world)
    for tries in range(1, TRIES):
        assert await apply_received_event(world.ctx, message(event)) is None
        now = await stored(world)
        assert (now.status, now.attempts) == (EventStatus.RECEIVED, tries)
        assert now.last_error == "fault: SealBroken"
        assert await world.all(Alert) == []
        world.clock.forward(RETRY_AFTER[tries - 1].total_seconds())
    await apply_received_event(world.ctx, message(event))
    now = await stored(world)
    assert (now.status, now.verdict) == (EventStatus.DEAD_LETTER, "retries_exhausted")
    assert await world.delays() == [0, *(wait.total_seconds() for wait in RETRY_AFTER)]
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.WEBHOOK_DEAD_LETTER
    assert alert.problem.subject == Subject("provider_event", event.id)
    assert alert.problem.message.endswith("fault: SealBroken")
    await apply_received_event(world.ctx, message(event))
    assert await stored(world) == now


async def test_a_fault_that_is_mended_in_time_has_cost_nothing(world: World) -> None:
    event = await poisoned(world)
    await apply_received_event(world.ctx, message(event))
    await mend(world, "payment_intent")
    world.clock.forward(2)
    await apply_received_event(world.ctx, message(event))
    assert ((await stored(world)).status, await world.all(Alert)) == (EventStatus.PROCESSED, [])


class Away:
    """A database that is away, or a later version's, for one commit, and as ever for the next."""

    def __init__(self, door: CommitDoor, fault: StorageError) -> None:
        self._door = door
        self._faults = [fault]

    async def commit(self, change: Change) -> Verdict:
        if self._faults:
            raise self._faults.pop()
        return await self._door.commit(change)


@pytest.mark.parametrize("fault", [Overloaded, OutcomeUnknown, Outdated, Unavailable])
async def test_the_databases_absence_is_not_the_events_fault(
    world: World, fault: type[StorageError]
) -> None:
    """Though the fault could be counted a moment later."""
    _, attempt = await world.confirming(Unknown("lost"))
    await world.receive(notice(attempt, APPROVED))
    before, door = await stored(world), world.ctx.door
    for _ in range(TRIES + 1):
        world.use(door=Away(door, fault("away")))
        with pytest.raises(fault):
            await apply_received_event(world.ctx, message(before))
    assert await stored(world) == before
    await apply_received_event(world.ctx, message(before))
    assert (await stored(world)).status is EventStatus.PROCESSED


async def test_a_fault_that_cannot_be_counted_is_tried_again(
    world: World, shut: CommitDoor
) -> None:
    event = await poisoned(world)
    world.use(door=shut)
    with pytest.raises(StorageError):
        await apply_received_event(world.ctx, message(event))
    assert await stored(world) == event


async def test_an_event_that_cannot_be_opened_is_one_alert_and_waits(world: World) -> None:
    await world.stored_only(notice(None, APPROVED, installation="another"))
    event = await stored(world)
    await spoil(world, "provider_event")
    for _ in range(3):
        assert await apply_received_event(world.ctx, message(event)) is None
    (alert,) = await world.all(Alert)
    assert (alert.count, alert.problem.type) == (1, AlertType.RECORD_UNREADABLE)
    assert alert.problem.subject == Subject("provider_event", event.id)
    await mend(world, "provider_event")
    await apply_received_event(world.ctx, message(event))
    assert (await stored(world)).status is EventStatus.IGNORED


async def test_tries_at_once_count_as_one(world: World) -> None:
    """Twins of a delivery have a job each. They would use up an event's tries in a second."""
    await world.receive(notice(None, Pending()))  # bears no attempt of ours yet
    event = await stored(world)
    await asyncio.gather(*(apply_provider_event(world.ctx, message(event)) for _ in range(8)))
    assert (await stored(world)).attempts == 1
    waited = await asyncio.gather(
        *(apply_received_event(world.ctx, message(event)) for _ in range(8))
    )
    assert waited == [RETRY_AFTER[0]] * 8
    world.clock.forward(2)
    assert await apply_received_event(world.ctx, message(event)) is None
    assert (await stored(world)).attempts == 2
    assert await world.delays() == [0, 2, 4]


@pytest.mark.parametrize(
    ("next_try", "left"),
    [(None, None), (-5, None), (0, None), (1, 1), (32, 32), (33, None), (600, None)],
)
async def test_a_wait_longer_than_any_was_written_by_another_clock(
    world: World, next_try: int | None, left: int | None
) -> None:
    await world.receive(notice(None, Pending()))
    at = None if next_try is None else START + timedelta(seconds=next_try)
    event = msgspec.structs.replace(await stored(world), next_attempt_at=at)
    assert waits(event, START) == (None if left is None else timedelta(seconds=left))
