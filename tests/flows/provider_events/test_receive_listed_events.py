"""Events that the provider's list shows are stored as if they had been delivered, each once."""

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.alert import Alert, AlertType
from paygate.domain.payments.outcome import Pending, Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.provider_events.receive import Listed, receive_listed_events
from paygate.storage.change import StorageError, Unavailable
from tests.flows.spoilt import spoil
from tests.flows.world import APPROVED, World, encode, notice

CALLER = Caller(Actor("job", name="reconcile-provider"), "default", "run_1")


class Away:
    """A database that takes no writes."""

    async def commit(self, change: object) -> Any:
        raise Unavailable("away")


def foreign(*references: str) -> list[bytes]:
    return [
        encode(notice(None, APPROVED, reference=each, installation="another"))
        for each in references
    ]


async def test_an_event_whose_delivery_was_lost_is_applied(world: World) -> None:
    intent, attempt = await world.confirming(Unknown("lost"))
    said = encode(notice(attempt, APPROVED))
    assert await receive_listed_events(world.ctx, CALLER, [said]) == Listed(1, 0)
    (event,) = await world.all(ProviderEvent)
    assert event.status is EventStatus.RECEIVED
    assert await world.ctx.read.provider_event_body(event) == said
    assert (await world.audited())[-1].actor == CALLER.actor
    await world.apply(event)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_what_is_stored_costs_nothing_and_is_no_duplicate(world: World) -> None:
    await world.receive(notice(None, Pending()))
    before = await world.counts()
    jobs = await world.delays()
    listed = [encode(notice(None, Pending())), *foreign("evt_2", "evt_2")]
    assert await receive_listed_events(world.ctx, CALLER, listed) == Listed(1, 1)
    first, second = await world.all(ProviderEvent)
    assert (first.duplicates, second.verdict) == (0, "foreign")
    again, door = await world.counts(), world.ctx.door
    world.use(door=Away())  # nothing is even tried to be written
    assert await receive_listed_events(world.ctx, CALLER, listed) == Listed(0, 2)
    world.use(door=door)
    assert await world.counts() == again
    assert again[ProviderEvent] == before[ProviderEvent] + 1
    assert await world.delays() == jobs


async def test_a_delivery_after_the_list_is_a_duplicate(world: World) -> None:
    await receive_listed_events(world.ctx, CALLER, foreign("evt_1"))
    await world.receive(foreign("evt_1")[0])
    (event,) = await world.all(ProviderEvent)
    assert event.duplicates == 1


async def test_a_delivery_at_the_same_time_is_stored_once(world: World) -> None:
    said = foreign("evt_1")
    delivered = asyncio.create_task(world.receive(said[0]))
    listed = await asyncio.gather(
        *(receive_listed_events(world.ctx, CALLER, said) for _ in range(5))
    )
    await delivered
    assert sum(each.new for each in listed) <= 1
    assert len(await world.all(ProviderEvent)) == 1


async def test_a_page_of_new_ones_is_stored_whole(world: World) -> None:
    listed = foreign(*(f"evt_{n}" for n in range(100)))
    assert await receive_listed_events(world.ctx, CALLER, listed) == Listed(100, 0)
    assert len(await world.all(ProviderEvent)) == 100


async def test_one_that_cannot_be_read_is_a_dead_letter_once_and_hides_no_other(
    world: World,
) -> None:
    """It has no id to be known by, but its bytes are the same in every list."""
    bodies = [b"{}", *foreign("evt_1"), b"\xff"]
    names = tuple(f"sha256:{hashlib.sha256(body).hexdigest()}" for body in (b"{}", b"\xff"))
    assert await receive_listed_events(world.ctx, CALLER, bodies) == Listed(3, 0, names)
    assert await receive_listed_events(world.ctx, CALLER, bodies) == Listed(0, 3)
    events: list[ProviderEvent] = await world.all(ProviderEvent)
    for event in events:
        await world.apply(event)
    ended = {e.provider_reference: e.status for e in await world.all(ProviderEvent)}
    assert ended == dict.fromkeys(names, EventStatus.DEAD_LETTER) | {"evt_1": EventStatus.IGNORED}
    alerts: list[Alert] = await world.all(Alert)
    assert [a.problem.type for a in alerts] == [AlertType.WEBHOOK_DEAD_LETTER] * 2


async def test_a_stored_one_that_cannot_be_opened_is_known(world: World) -> None:
    await receive_listed_events(world.ctx, CALLER, foreign("evt_1"))
    await spoil(world, "provider_event")
    assert await receive_listed_events(world.ctx, CALLER, foreign("evt_1")) == Listed(0, 1)


async def test_what_could_not_be_stored_is_raised(world: World) -> None:
    """The round is not over then, and its cursor stays."""
    door = world.ctx.door
    world.use(door=Away())
    with pytest.raises(StorageError):
        await receive_listed_events(world.ctx, CALLER, foreign("evt_1"))
    world.use(door=door)
    assert msgspec.json.decode(foreign("evt_1")[0])["provider_reference"] == "evt_1"
    assert await receive_listed_events(world.ctx, CALLER, foreign("evt_1")) == Listed(1, 0)
