"""What is past its time is deleted, in batches; what is still to be applied, sent or looked at by a
person never is.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest

from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import Unknown
from paygate.domain.provider_event import EventStatus, ProviderEvent, ProviderEventBody
from paygate.domain.webhooks.delivery import DeliveryStatus, WebhookBody
from paygate.flows.housekeeping import prune as pruning
from paygate.flows.housekeeping.prune import Pruned, prune
from paygate.flows.provider_events.replay import replay_provider_event
from paygate.flows.webhooks.resend import resend_delivery, resend_since
from paygate.providers.contract import ClockSkew, Notice
from paygate.storage.connections.session import Connection
from tests.flows.provider_events.test_kinds_of_events import news
from tests.flows.webhooks.courier import at_work, deliveries, endpoint_at, events, tried
from tests.flows.world import CARDLESS, World, notice
from tests.receiver import Receiver

Connect = Callable[[], Awaitable[Connection]]
DAY = 86_400.0
OLD = 91 * DAY


async def long_ago(world: World) -> None:
    """Records that the database, too, takes for old."""
    world.clock.forward(-OLD - 30 * DAY)


async def brought(world: World, said: Notice) -> ProviderEvent:
    """What became of an event that came now."""
    await world.receive(said)
    event: ProviderEvent = (await world.all(ProviderEvent))[-1]
    return await world.apply(event) if event.status is EventStatus.RECEIVED else event


async def bodies(world: World) -> set[str]:
    return {body.id for body in await world.all(ProviderEventBody)}


async def test_bodies_of_events_that_ended_are_deleted_after_a_while(world: World) -> None:
    await long_ago(world)
    done = await brought(world, news(reference="evt_done"))
    assert done.status is EventStatus.IGNORED
    assert await prune(world.ctx, "run_1") == Pruned()
    world.clock.forward(OLD)
    young = await brought(world, news(reference="evt_young"))
    assert await prune(world.ctx, "run_2") == Pruned(bodies=1)
    assert await bodies(world) == {young.id}
    assert await world.ctx.read.provider_event("default", done.id) == done, "the event stays"
    await world.receive(news(reference="evt_done"))
    assert len(await world.all(ProviderEvent)) == 2, "and is known again"
    assert await prune(world.ctx, "run_3") == Pruned()
    entries: list[AuditEntry] = await world.all(AuditEntry)
    (act,) = [entry for entry in entries if entry.action == "event.prune"]
    assert act.details == {"bodies": "1", "deliveries": "0", "webhooks": "0"}


async def test_an_event_whose_body_is_gone_cannot_be_replayed_and_says_so(world: World) -> None:
    await long_ago(world)
    done = await brought(world, news())
    world.clock.forward(OLD)
    await prune(world.ctx, "run_1")
    with pytest.raises(Refusal) as refused:
        await replay_provider_event(world.ctx, world.caller, done.id)
    assert refused.value.code is ErrorCode.EVENT_NOT_REPLAYABLE
    assert await world.ctx.read.provider_event("default", done.id) == done


async def test_what_waits_or_was_given_up_is_kept(world: World) -> None:
    """Received, parked and a dead letter, however old."""
    await long_ago(world)
    _, attempt = await world.confirming(Unknown("lost"))
    received = await world.stored_only(notice(attempt, CARDLESS, reference="evt_received"))
    await world.receive(b"{}")
    dead = (await world.all(ProviderEvent))[-1]
    dead = await world.apply(dead)
    parked = await brought(world, notice(None, CARDLESS, reference="evt_parked"))
    assert [each.status for each in (received, dead, parked)] == [
        EventStatus.RECEIVED,
        EventStatus.DEAD_LETTER,
        EventStatus.PARKED,
    ]
    world.clock.forward(OLD)
    assert await prune(world.ctx, "run_1") == Pruned()
    assert await bodies(world) == {received.id, dead.id, parked.id}


async def test_the_schema_itself_keeps_what_waits_and_what_is_young(
    world: World, connect: Connect
) -> None:
    raw = await connect()
    young = await brought(world, news(reference="evt_young"))
    await long_ago(world)
    await world.receive(b"{}")
    dead = (await world.all(ProviderEvent))[-1]
    for event in (young, dead):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await raw.execute("DELETE FROM provider_event_body WHERE id = $1", event.id)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await raw.execute("UPDATE provider_event_body SET sealed = '' WHERE id = $1", dead.id)


async def test_it_goes_batch_by_batch_past_what_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    await long_ago(world)
    kept = set()
    for number in range(9):
        if number % 3 == 0:
            event = await world.stored_only(notice(None, CARDLESS, reference=f"evt_{number}"))
            kept.add(event.id)
        else:
            await brought(world, news(reference=f"evt_{number}"))
        world.clock.forward(1)
    world.clock.forward(OLD)
    assert await prune(world.ctx, "run_1") == Pruned(bodies=6)
    assert await bodies(world) == kept


async def test_a_clock_that_is_wrong_deletes_nothing(world: World) -> None:
    await long_ago(world)
    await brought(world, news())
    world.clock.forward(OLD)
    world.provider.skew = ClockSkew(timedelta(days=-90), timedelta(seconds=1))
    assert await prune(world.ctx, "run_1") == Pruned()
    assert len(await bodies(world)) == 1


async def test_deliveries_that_are_over_go_with_what_they_sent(world: World) -> None:
    """One that is pending stays, with its body; what is gone cannot be sent again, and says so."""
    async with Receiver() as receiver:
        await long_ago(world)
        endpoint = await endpoint_at(world, receiver.url())
        await events(world, 3)
        async with at_work(world):
            await tried(world, 3)
        since = world.clock() - timedelta(days=1)
        world.clock.forward(OLD)
        await events(world, 1)
        async with at_work(world):
            young = (await tried(world, 4))[-1]
        old = [each for each in await deliveries(world) if each.id != young.id]
        waiting = await resend_delivery(world.ctx, world.caller, endpoint.id, old[0].id)
        assert waiting.status is DeliveryStatus.PENDING
        assert await prune(world.ctx, "run_1") == Pruned(deliveries=2, webhooks=2)
    assert {each.id for each in await deliveries(world)} == {waiting.id, young.id}
    kept: list[WebhookBody] = await world.all(WebhookBody)
    assert {each.id for each in kept} == {waiting.event, young.event}
    with pytest.raises(Refusal) as refused:
        await resend_delivery(world.ctx, world.caller, endpoint.id, old[1].id)
    assert refused.value.code is ErrorCode.RESOURCE_MISSING
    done = await resend_since(world.ctx, world.caller, endpoint.id, since, delivered_too=True)
    assert done == (1, 0), "of those that are kept"


async def test_a_body_that_another_endpoint_waits_for_is_kept(world: World) -> None:
    async with Receiver() as receiver:
        await long_ago(world)
        await endpoint_at(world, receiver.url())
        dead = await endpoint_at(world, "http://127.0.0.1:9/")
        await events(world, 1)
        async with at_work(world):
            await tried(world, 2)
    world.clock.forward(OLD)
    assert await prune(world.ctx, "run_1") == Pruned(deliveries=1)
    (left,) = await deliveries(world)
    assert (left.endpoint, left.status) == (dead.id, DeliveryStatus.PENDING)
    (body,) = await world.all(WebhookBody)
    assert body.id == left.event
