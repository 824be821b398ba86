"""A receiver that hangs, fails or recovers is nobody else's trouble, and is not run over itself."""

import asyncio
import contextlib
from datetime import timedelta

import msgspec
import pytest

from paygate.api.event_object import event_body
from paygate.domain.webhooks.delivery import DeliveryStatus, Failure, given_up
from paygate.flows.webhooks import courier
from paygate.flows.webhooks.courier import Courier
from paygate.flows.webhooks.resend import resend_delivery
from paygate.flows.webhooks.tell import tell_events
from paygate.flows.webhooks.update import EndpointChanges, update_webhook_endpoint
from paygate.storage.blocks import QUERIES
from paygate.storage.webhooks.outbox import Target
from tests.flows.webhooks.courier import (
    at_work,
    deliveries,
    endpoint_at,
    events,
    forward,
    settled,
    tried,
)
from tests.flows.world import World
from tests.receiver import Receiver, Request, answer


async def test_ten_that_hang_hold_up_no_other(world: World) -> None:
    async with contextlib.AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(Receiver()) for _ in range(10)]
        healthy = await stack.enter_async_context(Receiver())
        for receiver in hanging:
            receiver.hanging.clear()
            await endpoint_at(world, receiver.url())
        await endpoint_at(world, healthy.url())
        await events(world, 30)
        async with at_work(world):
            await healthy.wait_for(30)
            assert all(len(receiver.requests) <= 1 for receiver in hanging)


async def test_another_merchant_finds_a_place(world: World) -> None:
    """One merchant's fifty endpoints hang, each with events that wait."""
    async with Receiver() as hanging, Receiver() as healthy:
        hanging.hanging.clear()
        for number in range(50):
            await endpoint_at(world, hanging.url(path=f"/{number}"))
        await events(world, 20)
        await events_of_another(world, healthy.url(), 20)
        async with at_work(world):
            await healthy.wait_for(20)
        assert hanging.most_at_once <= 50


async def test_large_bodies_of_one_merchant_leave_room_for_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merchant with so many bytes under way is given no more until they have arrived."""
    monkeypatch.setattr(courier, "BYTES_MOST", 1)
    async with Receiver() as hanging, Receiver() as healthy:
        hanging.hanging.clear()
        await endpoint_at(world, hanging.url())
        await events(world, 1)
        async with at_work(world):
            await hanging.wait_for(1)
            second = await endpoint_at(world, healthy.url(path="/same"))
            await events(world, 3)
            await events_of_another(world, healthy.url(path="/other"), 3)
            came = await healthy.wait_for(3)
            assert {each.raw.split()[1] for each in came} == {b"/other"}
            hanging.hanging.set()
            await healthy.wait_for(6)
    same = [d for d in await deliveries(world) if d.endpoint == second.id]
    assert {d.status for d in same} == {DeliveryStatus.DELIVERED}


async def events_of_another(world: World, url: str, count: int) -> None:
    """Another merchant's endpoint, and so many events of its own."""
    other = msgspec.structs.replace(world.caller, merchant="other")
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('other')")
    mine, world.caller = world.caller, other
    await endpoint_at(world, url)
    await events(world, count)
    world.caller = mine


def busy(receiver: Receiver, _: Request) -> bytes | None:
    return answer(503) if receiver.at_once > 5 else None


async def test_a_receiver_that_is_soon_too_busy_is_not_run_over(world: World) -> None:
    """503 above five at once: nearly all of a backlog goes through at the first attempt, and never
    is it sent a crowd.
    """
    async with Receiver() as receiver:
        receiver.decide = busy
        await endpoint_at(world, receiver.url())
        await asyncio.gather(*(events(world, 50) for _ in range(12)))
        async with at_work(world):
            done = await settled(world, 600)
    assert {d.status for d in done} == {DeliveryStatus.DELIVERED}
    assert receiver.most_at_once <= 16
    assert len(receiver.requests) <= 600 * 1.5


async def test_recovery_begins_with_one(world: World) -> None:
    """Whether the receiver was away or we were: one request, and the others after it."""
    async with Receiver() as receiver:
        receiver.always = answer(500)
        await endpoint_at(world, receiver.url())
        await events(world, 50)
        async with at_work(world):
            await tried(world, 1)
        assert len(receiver.requests) == 1
        await forward(world, timedelta(minutes=1))
        receiver.hanging.clear()
        receiver.always = answer(200)
        async with at_work(world):
            await receiver.wait_for(2)
            # What may be sent beside it would have come by the time that others' would.
            async with Receiver() as other:
                await endpoint_at(world, other.url())
                await events(world, 1)
                await other.wait_for(1)
            assert len(receiver.requests) == 2
            receiver.hanging.set()
            await settled(world, 50)


async def test_what_a_worker_held_when_it_died_is_sent_by_another(world: World) -> None:
    """Cut off in the middle of a request, with nothing written down; a worker with the same name
    and another run takes over when the lease is out, whatever there is to read of the first.
    """
    async with Receiver() as receiver:
        receiver.hanging.clear()
        await endpoint_at(world, receiver.url())
        await events(world, 1)
        stop = asyncio.Event()
        first = Courier(world.ctx, event_body)
        dying = asyncio.create_task(first.run(stop))
        await receiver.wait_for(1)
        dying.cancel()
        for task in first._sending:  # as SIGKILL: no word is written
            task.cancel()
        await asyncio.gather(dying, *first._sending, return_exceptions=True)
        (held,) = await deliveries(world)
        assert (held.status, held.attempts) == (DeliveryStatus.PENDING, ())
        receiver.hanging.set()
        async with at_work(world):
            await events(world, 1)
            await receiver.wait_for(2)
            await world.connection.execute("UPDATE delivery SET leased_until = now()")
            await receiver.wait_for(3)
            await settled(world, 2)
    assert receiver.requests[0].body == receiver.requests[2].body


async def test_a_stalled_worker_writes_over_nothing(world: World) -> None:
    """Its lease ran out, another has it or sent it, and then it comes back with what it has to
    say.
    """
    async with Receiver() as receiver:
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 1)
        while await tell_events(world.ctx, "run", event_body) == 0:
            await asyncio.sleep(0.05)
        place = [(Target(endpoint.merchant, endpoint.id), 1)]
        (stalled,) = (await world.ctx.outbox.lease("run_that_stalls", place)).parcels
        stale = given_up(stalled.delivery, Failure.GAVE_UP, world.clock())
        await world.connection.execute("UPDATE delivery SET leased_until = now()")
        assert len((await world.ctx.outbox.lease("run_of_another", place)).parcels) == 1
        assert await world.ctx.outbox.write("run_that_stalls", [stale]) == set()
        await world.connection.execute("UPDATE delivery SET leased_until = now()")
        async with at_work(world):
            (done,) = await settled(world, 1)
        assert await world.ctx.outbox.write("run_of_another", [stale]) == set()
        assert await deliveries(world) == [done]


async def test_a_receiver_that_wants_a_rest_gives_no_other_one(world: World) -> None:
    """An hour for the one that asked for it, of the same merchant's."""
    async with Receiver() as tired, Receiver() as healthy:
        tired.always = answer(503, "Retry-After: 3600")
        await endpoint_at(world, tired.url())
        await endpoint_at(world, healthy.url())
        await events(world, 1)
        async with at_work(world):
            await tired.wait_for(1)
            await tried(world, 2)
            await events(world, 20)
            await healthy.wait_for(21)
        assert len(tired.requests) == 1


async def test_a_rest_that_somebody_ends_is_over_in_the_worker_that_heeds_it(
    world: World,
) -> None:
    """Asked for again, and at an address that was mended: nobody waits out the hour."""
    async with Receiver() as tired, Receiver() as mended:
        tired.answers = [answer(503, "Retry-After: 3600")]
        endpoint = await endpoint_at(world, tired.url())
        await events(world, 1)
        async with at_work(world):
            (delivery,) = await tried(world, 1)
            await resend_delivery(world.ctx, world.caller, endpoint.id, delivery.id)
            (again,) = await settled(world, 1)
            assert [a.status_code for a in again.attempts] == [503, 200]
            tired.answers = [answer(503, "Retry-After: 3600")]
            await events(world, 1)
            await tried(world, 3)
            moved = EndpointChanges(url=mended.url())
            await update_webhook_endpoint(world.ctx, world.caller, endpoint.id, moved)
            await events(world, 1)
            await mended.wait_for(1)


async def test_a_lease_waits_for_no_disk_and_what_became_of_it_does(world: World) -> None:
    """What a crash of the server forgets of leases is leased again."""
    endpoint = await endpoint_at(world, "http://127.0.0.1:9/")
    await events(world, 1)
    while await tell_events(world.ctx, "run", event_body) == 0:
        await asyncio.sleep(0.05)
    places = [[endpoint.merchant], [endpoint.id], [1]]
    async with world.connection.transaction():
        lease = (*places, timedelta(minutes=1), "run_1", False)
        rows = await world.connection.fetch(QUERIES["lease_deliveries"], *lease)
        during = await world.connection.fetchval("SHOW synchronous_commit")
    assert (len(rows), during) == (1, "off")
    assert await world.connection.fetchval("SHOW synchronous_commit") == "on"
    assert "synchronous_commit" not in QUERIES["write_deliveries"]
