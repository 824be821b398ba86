"""What the provider sent is kept apart from what was made of it, where it can be taken away."""

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.payments.outcome import Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import EventStatus, ProviderEvent, ProviderEventBody
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.providers.contract import Notice
from paygate.storage.change import Change, Committed
from paygate.storage.unreadable import SealBroken
from tests.flows.spoilt import mend, spoil
from tests.flows.world import APPROVED, World, encode, notice
from tests.making import make_audit, make_provider_event


async def confirming(world: World) -> Notice:
    """What the provider says of a payment whose outcome is not known."""
    _, attempt = await world.confirming(Unknown("lost"))
    return notice(attempt, APPROVED)


async def received(world: World) -> ProviderEvent:
    event: ProviderEvent
    (event,) = await world.all(ProviderEvent)
    return event


async def status(world: World) -> str:
    return str(await world.connection.fetchval("SELECT status FROM payment_intent"))


async def test_an_event_has_no_body_in_it_and_keeps_none_when_it_ends(world: World) -> None:
    said = await confirming(world)
    await world.receive(said)
    before = await received(world)
    after = await world.apply(before)
    assert (before.body, after.body) == (None, None)
    (kept,) = await world.all(ProviderEventBody)
    assert kept == ProviderEventBody(
        id=after.id, merchant=after.merchant, received_at=after.received_at, body=encode(said)
    )
    assert await status(world) == Status.SUCCEEDED


async def test_an_event_of_an_older_node_is_applied_with_the_body_in_it(world: World) -> None:
    """It stays in there: the record is not rewritten but where it is advanced."""
    said = await confirming(world)
    event = make_provider_event("evt_1")
    inside = msgspec.structs.replace(event, body=encode(said))
    assert await world.ctx.door.commit(Change(make_audit(), creates=(inside,))) == Committed()
    after = await world.apply(inside)
    assert (after.status, after.body) == (EventStatus.PROCESSED, inside.body)
    assert await world.ctx.read.provider_event_body(after) == inside.body
    assert await world.all(ProviderEventBody) == []
    assert await status(world) == Status.SUCCEEDED


async def test_an_event_whose_body_is_gone_is_given_up_and_told(world: World) -> None:
    """Its month was taken away before anybody applied it: the provider is to be asked."""
    await world.receive(await confirming(world))
    await world.connection.execute(
        "ALTER TABLE provider_event_body DISABLE TRIGGER USER; DELETE FROM provider_event_body"
    )
    after = await world.apply(await received(world))
    assert (after.status, after.verdict) == (EventStatus.DEAD_LETTER, "body_gone")
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.WEBHOOK_DEAD_LETTER
    assert await status(world) == Status.PROCESSING


async def test_an_event_whose_body_cannot_be_read_waits_for_it(world: World) -> None:
    """As one that cannot be read itself: it is in order, and its row or key may come back."""
    await world.receive(await confirming(world))
    event = await received(world)
    await spoil(world, "provider_event_body")
    message = ApplyProviderEvent(event.merchant, event.id)
    for _ in range(10):
        assert await apply_received_event(world.ctx, message) is None
    assert await received(world) == event
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.RECORD_UNREADABLE
    assert alert.problem.subject.object == "provider_event_body"
    await mend(world, "provider_event_body")
    await apply_received_event(world.ctx, message)
    assert (await received(world)).status is EventStatus.PROCESSED


async def test_a_body_of_another_event_does_not_stand_in_for_it(world: World) -> None:
    """A hand in the database puts one event's bytes under another's name."""
    await world.receive(await confirming(world))
    event = await received(world)
    other = make_provider_event("evt_other")
    moved = "UPDATE provider_event_body SET id = $1"
    await world.connection.execute("ALTER TABLE provider_event_body DISABLE TRIGGER USER")
    await world.connection.execute(moved, other.id)
    named = msgspec.structs.replace(event, id=other.id)
    with pytest.raises(SealBroken, match="does not open at this place"):
        await world.ctx.read.provider_event_body(named)
