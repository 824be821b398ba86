"""An endpoint, an event or a body that cannot be read: others are told meanwhile, and once it is
mended nothing was lost.
"""

from datetime import timedelta

import msgspec

from paygate.api.event_object import event_body
from paygate.domain.alert import Alert, AlertType
from paygate.domain.event import Event
from paygate.domain.webhooks.delivery import Delivery, DeliveryStatus, Failure
from paygate.domain.webhooks.event_types import EVENT_TYPES
from paygate.flows.webhooks.resend import resend_delivery, resend_since
from paygate.flows.webhooks.tell import tell_events
from paygate.flows.webhooks.update import EndpointChanges, update_webhook_endpoint
from tests.flows.spoilt import mend, spoil
from tests.flows.webhooks.courier import (
    at_work,
    deliveries,
    endpoint_at,
    events,
    forward,
)
from tests.flows.world import APPROVED, World, answer
from tests.gateway import until
from tests.receiver import Receiver

OF_PAYMENTS = tuple(sorted(kind for kind in EVENT_TYPES if kind.startswith("payment_intent.")))
"""Without the alerts that are raised here."""


async def all_over(world: World) -> list[Delivery]:
    """All deliveries, once none waits."""

    async def look() -> list[Delivery] | None:
        found = await deliveries(world)
        return found if all(delivery.next_attempt_at is None for delivery in found) else None

    found: list[Delivery] = await until(look, seconds=60)
    return found


async def told(world: World, count: int) -> list[Delivery]:
    """The deliveries, once so many were made; nothing is sent."""

    async def look() -> list[Delivery] | None:
        await tell_events(world.ctx, "run", event_body)
        found = await deliveries(world)
        return found if len(found) >= count else None

    found: list[Delivery] = await until(look)
    return found


async def alerted(world: World) -> set[str]:
    """What people are told cannot be read."""
    problems = [alert.problem for alert in await world.all(Alert)]
    return {p.subject.id for p in problems if p.type is AlertType.RECORD_UNREADABLE}


async def until_alerted(world: World, record_id: str) -> None:
    async def look() -> bool:
        return record_id in await alerted(world)

    await until(look, seconds=60)


async def paid(world: World) -> None:
    """Three events, of three types."""
    world.provider.answers.append(answer(APPROVED))
    await world.confirm(await world.create())


async def test_what_an_endpoint_missed_unread_is_sent_once_it_is_mended(world: World) -> None:
    """What it asked for, and no more; another endpoint gets all of it meanwhile."""
    async with Receiver() as broken, Receiver() as sound:
        endpoint = await endpoint_at(world, broken.url(), events=("payment_intent.succeeded",))
        await endpoint_at(world, sound.url(), events=OF_PAYMENTS)
        await spoil(world, "webhook_endpoint", endpoint.id)
        for _ in range(3):
            await paid(world)
        async with at_work(world):
            await sound.wait_for(9)
            await until_alerted(world, endpoint.id)
        assert broken.requests == []
        waiting = [d for d in await deliveries(world) if d.endpoint == endpoint.id]
        assert len(waiting) >= 9
        assert all(d.status is DeliveryStatus.PENDING and not d.attempts for d in waiting)
        await mend(world, "webhook_endpoint", endpoint.id)
        await forward(world, timedelta(days=4))  # however long it took
        await world.connection.execute("UPDATE delivery SET leased_until = now()")
        async with at_work(world):
            await all_over(world)
        types = [request.event["type"] for request in broken.requests]
        assert types == ["payment_intent.succeeded"] * 3
        over = [d for d in await deliveries(world) if d.endpoint == endpoint.id]
        assert sum(d.status is DeliveryStatus.DELIVERED for d in over) == 3
        assert sum(d.failure is Failure.NOT_ASKED_FOR for d in over) == len(over) - 3 >= 6
    assert len(sound.requests) == 9


async def test_what_was_disabled_unread_has_failed_once_it_is_mended(world: World) -> None:
    off = EndpointChanges(status="disabled")
    endpoint = await endpoint_at(world, "http://127.0.0.1:9/")
    await update_webhook_endpoint(world.ctx, world.caller, endpoint.id, off)
    await spoil(world, "webhook_endpoint", endpoint.id)
    await events(world, 2)
    async with at_work(world):
        await until_alerted(world, endpoint.id)
        found = await told(world, 2)
        assert {d.status for d in found} == {DeliveryStatus.PENDING}
        await mend(world, "webhook_endpoint", endpoint.id)
        ended = await all_over(world)
    assert {d.failure for d in ended} == {Failure.ENDPOINT_DISABLED}


async def test_an_event_that_could_not_be_read_is_told_once_it_is_mended(world: World) -> None:
    """Of its own type; what comes after it is not held up."""
    async with Receiver() as receiver, Receiver() as other:
        await endpoint_at(world, receiver.url(), events=OF_PAYMENTS)
        await endpoint_at(world, other.url(), events=("refund.succeeded",))
        intent = await world.create()
        (event,) = await world.all(Event)
        await spoil(world, "event", event.id)
        await events(world, 2)
        async with at_work(world):
            await receiver.wait_for(2)
            await until_alerted(world, event.id)

            async def put_off() -> bool:
                found = [d for d in await deliveries(world) if d.event == event.id]
                return len(found) == 2 and all(d.version > 1 for d in found)

            await until(put_off, seconds=60)
        await mend(world, "event", event.id)
        await forward(world, timedelta(days=4))
        async with at_work(world):
            await all_over(world)
        assert len(receiver.requests) == 3
        assert receiver.requests[-1].event["data"]["object"]["id"] == intent.id
        assert receiver.requests[-1].body == event_body(event)
        assert other.requests == []


async def test_a_body_that_cannot_be_read_waits_for_its_mending(world: World) -> None:
    async with Receiver() as receiver:
        await endpoint_at(world, receiver.url(), events=OF_PAYMENTS)
        await events(world, 2)
        first, _ = await told(world, 2)
        await spoil(world, "webhook_body", first.event)
        async with at_work(world):
            await receiver.wait_for(1)
            await until_alerted(world, first.event)
        (left,) = [d for d in await deliveries(world) if d.id == first.id]
        assert (left.status, left.attempts) == (DeliveryStatus.PENDING, ())
        await mend(world, "webhook_body", first.event)
        await forward(world, timedelta(hours=1))
        async with at_work(world):
            await all_over(world)
    assert len(receiver.requests) == 2


async def test_what_an_unread_event_missed_can_be_asked_for(world: World) -> None:
    """Its endpoint was disabled, and its body has never been made."""
    async with Receiver() as receiver:
        endpoint = await endpoint_at(world, receiver.url(), events=OF_PAYMENTS)
        off, on = EndpointChanges(status="disabled"), EndpointChanges(status="enabled")
        await update_webhook_endpoint(world.ctx, world.caller, endpoint.id, off)
        await events(world, 1)
        (event,) = await world.all(Event)
        await spoil(world, "event", event.id)
        (delivery,) = await told(world, 1)
        assert delivery.failure is Failure.ENDPOINT_DISABLED
        await mend(world, "event", event.id)  # and not the event of its alert
        await update_webhook_endpoint(world.ctx, world.caller, endpoint.id, on)
        await resend_delivery(world.ctx, world.caller, endpoint.id, delivery.id)
        async with at_work(world):
            await receiver.wait_for(1)
            await all_over(world)
        since = world.clock() - timedelta(hours=1)
        again = await resend_since(world.ctx, world.caller, endpoint.id, since, delivered_too=True)
        assert again == (1, 0)


async def test_what_cannot_be_read_keeps_nothing_else_from_being_sent_again(world: World) -> None:
    """One of the deliveries cannot be read, and of another what it sent."""
    async with Receiver() as receiver:
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 4)
        async with at_work(world):
            sent = await all_over(world)
            await receiver.wait_for(4)
        await spoil(world, "delivery", sent[1].id)
        await spoil(world, "webhook_body", sent[2].event)
        since = world.clock() - timedelta(hours=1)
        done = await resend_since(world.ctx, world.caller, endpoint.id, since, delivered_too=True)
        assert done == (3, 0)
        async with at_work(world):
            await receiver.wait_for(6)
        await mend(world, "delivery", sent[1].id)
    assert sent[1].id in await alerted(world)


async def test_a_blind_delivery_is_for_no_older_node(world: World) -> None:
    """It would send what was not asked for: at its default the field is not written."""
    await endpoint_at(world, "http://127.0.0.1:9/")
    await events(world, 1)
    (delivery,) = await told(world, 1)
    assert "blindly" not in msgspec.msgpack.decode(msgspec.msgpack.encode(delivery))
