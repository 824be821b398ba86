"""Events in the order of their commits: whoever goes on from the last one misses none."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from paygate.api.event_object import event_body
from paygate.domain import event as events
from paygate.domain.event import Event
from paygate.flows.events.read import list_events
from paygate.flows.webhooks.create import MOST
from paygate.flows.webhooks.delete import delete_webhook_endpoint
from paygate.flows.webhooks.resend import resend_delivery
from paygate.flows.webhooks.tell import tell_events
from paygate.storage.change import Change
from paygate.storage.connections.session import Connection
from paygate.storage.pages import Cut, newest
from paygate.storage.webhooks.reader import EventFilters
from tests.flows.webhooks.courier import (
    at_work,
    deliveries,
    endpoint_at,
    forward,
    settled,
    tried,
)
from tests.flows.world import APPROVED, World
from tests.gateway import until
from tests.making import make_audit
from tests.receiver import Receiver, answer
from tests.storage.newer import NEWS, sealed

Connect = Callable[[], Awaitable[Connection]]
INSERT = (
    "INSERT INTO event (merchant, id, object_id, created_at, type, sealed)"
    " VALUES ($1, $2, $3, $4, $5, $6)"
)


async def an_event(world: World) -> tuple[Event, list[Any]]:
    """A new event and its row, which nobody has written yet."""
    intent = await world.create()
    event = events.of(
        intent,
        "payment_intent.created",
        event_id=world.ctx.new_id("event"),
        at=world.clock(),
        request_id=None,
    )
    return event, [column[0] for column in world.records.columns([event])]


async def shown(world: World, cut: Cut) -> list[str]:
    page = await list_events(world.ctx, world.caller, cut, EventFilters(), "")
    return [event.id for event in page.items]


async def test_a_late_commit_is_missed_by_nobody(world: World, connect: Connect) -> None:
    """The first draws its id, and waits; the second is committed meanwhile, by another node."""
    await endpoint_at(world, "http://127.0.0.1:9/")
    early, early_row = await an_event(world)
    world.clock.forward(1)
    late, late_row = await an_event(world)
    assert early.id < late.id
    seen = await shown(world, newest("event", 1))
    slow, quick = await connect(), await connect()
    opened = slow.transaction()
    await opened.start()
    await slow.execute(INSERT, *early_row)
    await quick.execute(INSERT, *late_row)
    await tell_events(world.ctx, "run_1", event_body)
    assert await shown(world, Cut(100, seen[0], newer=True)) == []
    told = {delivery.event for delivery in await deliveries(world)}
    assert not told & {early.id, late.id}
    await opened.commit()
    assert await shown(world, Cut(100, seen[0], newer=True)) == [late.id, early.id]
    await tell_events(world.ctx, "run_1", event_body)
    told = {delivery.event for delivery in await deliveries(world)}
    assert {early.id, late.id} <= told
    # And whoever saw the second one alone would have been told of the first as well.
    rest = await shown(world, Cut(99, early.id))
    assert await shown(world, Cut(100, late.id)) == [early.id, *rest]


async def test_the_order_is_the_commits_and_not_the_ids(world: World, connect: Connect) -> None:
    """A node whose clock is behind draws ids that sort before what is there."""
    first = await world.create()
    world.clock.forward(-3600)
    second = await world.create()
    events = {e.object_id: e.id for e in await world.all(Event)}
    assert events[second.id] < events[first.id]
    assert await shown(world, newest("event", 10)) == [events[second.id], events[first.id]]
    newer = await shown(world, Cut(10, events[first.id], newer=True))
    assert newer == [events[second.id]]
    assert await shown(world, Cut(10, events[second.id])) == [events[first.id]]


async def test_two_nodes_tell_each_event_once(world: World) -> None:
    endpoint = await endpoint_at(world, "http://127.0.0.1:9/")
    await asyncio.gather(*(world.create() for _ in range(60)))
    for _ in range(5):
        await asyncio.gather(*(tell_events(world.ctx, "run", event_body) for _ in range(4)))
    found = await deliveries(world)
    assert len(found) == len({delivery.event for delivery in found}) == 60
    assert {delivery.endpoint for delivery in found} == {endpoint.id}


async def test_a_node_whose_clock_is_ahead_tells_in_time(world: World) -> None:
    """What is due is due by the database's clock."""
    world.clock.time = datetime.now(UTC) + timedelta(hours=1)
    async with Receiver() as receiver:
        await endpoint_at(world, receiver.url())
        await world.create()
        async with at_work(world):
            await receiver.wait_for(1)


async def test_a_node_whose_clock_is_ahead_tries_again_and_resends_in_time(world: World) -> None:
    """A retry is due seconds later, by the database's clock, and a resend at once."""
    world.clock.time = datetime.now(UTC) + timedelta(hours=1)
    async with Receiver() as receiver:
        receiver.answers = [answer(500)]
        endpoint = await endpoint_at(world, receiver.url())
        await world.create()
        async with at_work(world):
            await receiver.wait_for(2, seconds=60)
            (delivery,) = await settled(world, 1)
        assert [a.status_code for a in delivery.attempts] == [500, 200]
        again = await resend_delivery(world.ctx, world.caller, endpoint.id, delivery.id)
        assert again.next_attempt_at is not None
        async with at_work(world):
            await receiver.wait_for(3)


async def test_who_has_no_endpoint_has_no_deliveries_and_no_cursor(world: World) -> None:
    await world.create()
    assert not await world.ctx.outbox.anybody()
    assert await tell_events(world.ctx, "run", event_body) == 0
    assert await world.connection.fetchval("SELECT count(*) FROM webhook_body") == 0


@pytest.mark.parametrize("newer", ["event", "endpoint"])
async def test_what_a_newer_version_wrote_is_told_by_a_newer_node(world: World, newer: str) -> None:
    endpoint = await endpoint_at(world, "http://127.0.0.1:9/")
    await world.create()
    await world.create()
    record = endpoint if newer == "endpoint" else (await world.all(Event))[0]
    table = "webhook_endpoint" if newer == "endpoint" else "event"
    kept = await world.connection.fetchval(f"SELECT sealed FROM {table} WHERE id = $1", record.id)
    of_newer = sealed(world.records, record, {**msgspec.structs.asdict(record), **NEWS})
    await world.connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    put = f"UPDATE {table} SET sealed = $1 WHERE id = $2"
    await world.connection.execute(put, of_newer, record.id)
    assert await tell_events(world.ctx, "run", event_body) == 0
    assert await deliveries(world) == []
    await world.connection.execute(put, kept, record.id)

    async def told() -> bool:
        await tell_events(world.ctx, "run", event_body)
        return len(await deliveries(world)) == 2

    await until(told)


async def test_nothing_is_new_while_nobody_writes(world: World, connect: Connect) -> None:
    """So the courier need not look; and a transaction that is open is no rest, nor is its end."""
    writer = await connect()
    await world.create()

    async def rests() -> bool:  # the server's own processes write now and then
        before = await world.ctx.outbox.written()
        return before.whole and before == await world.ctx.outbox.written()

    await until(rests)
    before = await world.ctx.outbox.written()
    _, row = await an_event(world)
    opened = writer.transaction()
    await opened.start()
    await writer.execute(INSERT, *row)
    await world.create()
    amid = await world.ctx.outbox.written()
    assert not amid.whole
    assert await world.ctx.outbox.written(within_seconds=60) == amid  # no need to ask again
    await opened.commit()
    assert (await world.ctx.outbox.written()).until not in {before.until, amid.until}


async def test_an_endpoint_is_told_of_nothing_that_was_looked_at_before_it_was_made(
    world: World,
) -> None:
    """Whether or not the merchant had another endpoint then. What nobody had looked at it gets."""
    first = await endpoint_at(world, "http://127.0.0.1:9/")
    before = [await world.create()]
    assert await tell_events(world.ctx, "run", event_body) == 1
    second = await endpoint_at(world, "http://127.0.0.1:9/")
    for endpoint in (first, second):
        await delete_webhook_endpoint(world.ctx, world.caller, endpoint.id)
    before.append(await world.create())
    assert await tell_events(world.ctx, "run", event_body) == 0
    waiting = await world.create()
    third = await endpoint_at(world, "http://127.0.0.1:9/")
    after = await world.create()
    assert await tell_events(world.ctx, "run", event_body) == 2
    objects = {event.id: event.object_id for event in await world.all(Event)}
    told = [(d.endpoint, objects[d.event]) for d in await deliveries(world)]
    assert sorted(told) == sorted(
        [(first.id, before[0].id), (third.id, waiting.id), (third.id, after.id)]
    )


async def test_what_failed_comes_after_what_followed_it_and_says_so(world: World) -> None:
    """Of one object: each state tells by its version where it belongs."""
    async with Receiver() as receiver:
        receiver.answers = [answer(500)]
        await endpoint_at(world, receiver.url())
        await world.confirming(APPROVED)
        async with at_work(world):
            await tried(world, 1)
        await forward(world, timedelta(minutes=1))
        async with at_work(world):
            await settled(world, 3)
    first, second, *rest = (request.event["object_version"] for request in receiver.requests)
    assert first != second
    assert first in rest
    assert {first, second, *rest} == {1, 2, 3}


async def test_one_endpoint_more_than_there_may_be_is_told_too(world: World) -> None:
    """Two requests at once may have made it."""
    first = await endpoint_at(world, "http://127.0.0.1:9/")
    for _ in range(MOST):
        at = world.clock() + timedelta(seconds=1)
        more = {"id": world.ctx.new_id("webhook_endpoint", at), "created_at": at, "updated_at": at}
        another = msgspec.structs.replace(first, **more)
        await world.ctx.door.commit(Change(make_audit(), creates=(another,)))
    await world.create()
    await tell_events(world.ctx, "run", event_body)
    told = await deliveries(world)
    assert len(told) == MOST + 1
    assert first.id in {delivery.endpoint for delivery in told}
