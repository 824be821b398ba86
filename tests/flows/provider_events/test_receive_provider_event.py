"""Receiving: whatever is signed is stored once, and durable before it is acknowledged; what is not
leaves nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256

import msgspec
import pytest

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import Alert, AlertType
from paygate.domain.audit import AuditEntry, Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import Pending
from paygate.domain.provider_event import (
    EventStatus,
    ProviderEvent,
    ProviderEventBody,
    delivered_again,
)
from paygate.flows.context import CommitDoor
from paygate.flows.provider_events.receive import receive_provider_event
from paygate.jobs.messages import ApplyProviderEvent, decode
from paygate.storage.change import Change, Conflict, Unavailable, Verdict
from paygate.storage.connections.session import Connection
from tests.claims import hold_claim, store_event
from tests.flows.spoilt import spoil
from tests.flows.world import INSTALLATION, World, notice
from tests.making import START, make_provider_event
from tests.storage.newer import made_newer

GOOD = msgspec.json.encode(notice(None, Pending()))
SIGNED = {"signature": "good"}
CALLER = Caller(Actor("provider", id="scripted"), "default", request_id="req_event")


class Tries:
    """The door, and when it has refused something."""

    def __init__(self, door: CommitDoor) -> None:
        self._door = door
        self.refused = asyncio.Event()

    async def commit(self, change: Change) -> Verdict:
        verdict = await self._door.commit(change)
        if isinstance(verdict, Conflict):
            self.refused.set()
        return verdict


async def test_it_is_stored_as_it_came_and_its_job_with_it(world: World) -> None:
    await world.receive(GOOD)
    (event,) = await world.all(ProviderEvent)
    assert event.status is EventStatus.RECEIVED
    assert await world.ctx.read.provider_event_body(event) == GOOD
    assert (event.provider_reference, event.received_at) == ("evt_1", START)
    (payload,) = await world.connection.fetch("SELECT payload FROM pgqueuer")
    assert decode(payload[0]) == ApplyProviderEvent("default", event.id)
    (entry,) = await world.audited()
    assert isinstance(entry, AuditEntry)
    assert entry.action is Action.PROVIDER_EVENT_RECEIVE
    assert entry.actor == CALLER.actor
    assert entry.subject is not None
    assert (entry.subject.id, entry.request_id) == (event.id, "req_event")


async def test_a_duplicate_is_acknowledged_and_stored_once(world: World) -> None:
    await world.applied(notice(None, Pending(), installation="another"))
    before = await world.counts()
    for body in (GOOD, GOOD, msgspec.structs.replace(notice(None, Pending()), type="other")):
        await world.receive(body)
    (event,) = await world.all(ProviderEvent)
    assert event.status is EventStatus.IGNORED
    assert await world.delays() == []
    after = await world.counts()
    assert after.pop(AuditEntry) == before.pop(AuditEntry) + 3
    assert after == before


class Away:
    """The door, where the database takes what it does not know yet and nothing more."""

    def __init__(self, door: CommitDoor) -> None:
        self._door = door

    async def commit(self, change: Change) -> Verdict:
        if not change.creates:
            raise Unavailable("the database refuses writes")
        return await self._door.commit(change)


@pytest.mark.parametrize("ended", [True, False])
async def test_a_duplicate_is_acknowledged_after_a_write_of_its_own(
    world: World, ended: bool
) -> None:
    """What is there to be read may not be on the standby; all that a later commit found is."""
    known = notice(None, Pending(), installation="another" if ended else INSTALLATION)
    await world.receive(known)
    (event,) = await world.all(ProviderEvent)
    assert (event.status is EventStatus.IGNORED) is ended
    world.use(door=Away(world.ctx.door))
    with pytest.raises(Unavailable):
        await world.receive(known)


async def test_a_duplicate_of_what_waits_is_enqueued_again(world: World) -> None:
    """Its job may be gone: then the provider's coming again is the first that we hear of it."""
    await world.receive(GOOD)
    (event,) = await world.all(ProviderEvent)
    await world.connection.execute("DELETE FROM pgqueuer")
    await world.receive(GOOD)
    assert await world.all(ProviderEvent) == [delivered_again(event)]
    (payload,) = await world.connection.fetch("SELECT payload FROM pgqueuer")
    assert decode(payload[0]) == ApplyProviderEvent("default", event.id)
    assert [entry.subject for entry in await world.audited()] == [
        Subject("provider_event", event.id)
    ] * 2


async def test_a_duplicate_does_not_hurry_what_was_put_off(world: World) -> None:
    event = await world.applied(notice(None, Pending()))  # bears no attempt of ours yet
    assert (event.status, event.attempts) == (EventStatus.PARKED, 1)
    await world.connection.execute("DELETE FROM pgqueuer")
    await world.receive(GOOD)
    assert await world.delays() == [], "each try too early would use up one of six"
    world.clock.forward(2)
    await world.receive(GOOD)
    assert await world.delays() == [0]


async def test_a_duplicate_of_what_cannot_be_opened_is_acknowledged(world: World) -> None:
    """What was stored is there; that it was spoilt since is the sweep's to tell."""
    await world.receive(GOOD)
    await spoil(world, "provider_event")
    await world.receive(GOOD)
    assert await world.delays() == [0]


async def test_a_duplicate_of_what_a_newer_version_stored_is_acknowledged(world: World) -> None:
    await world.receive(GOOD)
    (event,) = await world.all(ProviderEvent)
    await made_newer(world.connection, world.records, event, status="of a newer version")
    await world.receive(GOOD)
    assert len(await world.audited()) == 2


async def test_duplicates_at_once_are_all_acknowledged_and_stored_once(world: World) -> None:
    answers = await asyncio.gather(*(world.receive(GOOD) for _ in range(20)))
    assert answers == [None] * 20
    (event,) = await world.all(ProviderEvent)
    assert 0 < event.duplicates < 20, "some may have lost the race for the count"


@pytest.mark.parametrize("lands", [True, False])
async def test_a_twin_waits_for_the_one_that_is_being_stored(
    world: World, connect: Callable[[], Awaitable[Connection]], lands: bool
) -> None:
    """Whichever way the other's commit ends, one of the two is durable, and so acknowledged."""
    other, tries = await connect(), Tries(world.ctx.door)
    holding = other.transaction()
    await holding.start()
    await hold_claim(other, world.records, "evt_1")
    stored = make_provider_event("evt_1")
    world.use(door=tries)
    waiting = asyncio.create_task(world.receive(GOOD))
    await asyncio.wait_for(tries.refused.wait(), 30)
    if lands:
        await store_event(other, world.records, stored)
        await holding.commit()
    else:
        await holding.rollback()
    await waiting
    (event,) = await world.all(ProviderEvent)
    assert (event.id == stored.id) is lands


async def test_while_another_stores_it_the_provider_is_told_to_come_again(
    world: World, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """Acknowledged too early, it would be lost if the other's commit then failed."""
    other = await connect()
    holding = other.transaction()
    await holding.start()
    await hold_claim(other, world.records, "evt_1")
    before = await world.counts()
    with pytest.raises(Refusal) as refused:
        await world.receive(GOOD)
    assert refused.value.code is ErrorCode.OVERLOADED
    assert refused.value.retry_after_seconds == 1
    assert await world.counts() == before
    assert await world.delays() == []
    await holding.rollback()
    await world.receive(GOOD)
    assert len(await world.all(ProviderEvent)) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\x00", b"[" * 10_000, GOOD[:-1]])
async def test_what_is_signed_and_unreadable_is_kept_and_told(world: World, body: bytes) -> None:
    for _ in range(2):
        await world.receive(body)
    event: ProviderEvent
    (event,) = await world.all(ProviderEvent)
    assert event.status is EventStatus.RECEIVED
    assert await world.ctx.read.provider_event_body(event) == body
    assert event.provider_reference == f"sha256:{sha256(body).hexdigest()}"
    after = await world.apply(event)
    assert (after.status, after.verdict) == (EventStatus.DEAD_LETTER, "malformed")
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.WEBHOOK_DEAD_LETTER
    assert alert.problem.subject == Subject("provider_event", event.id)
    assert after.duplicates == 1
    await world.receive(body)
    assert await world.all(ProviderEvent) == [delivered_again(after)]


async def test_an_unreadable_delivery_does_not_stand_in_for_the_event(world: World) -> None:
    """The provider comes again with the same event in better shape: it is no duplicate."""
    await world.receive(GOOD.replace(b'"exact":true', b'"exact":maybe'))
    await world.receive(GOOD)
    assert GOOD in [kept.body for kept in await world.all(ProviderEventBody)]


async def test_an_event_that_does_not_tell_its_time_was_made_when_it_came(world: World) -> None:
    await world.receive(msgspec.structs.replace(notice(None, Pending()), created_at=None))
    (event,) = await world.all(ProviderEvent)
    assert event.provider_created_at == START


@pytest.mark.parametrize("headers", [{}, {"signature": "bad"}])
@pytest.mark.parametrize("body", [GOOD, b"{}", b""])
async def test_what_is_not_signed_leaves_nothing(
    world: World, body: bytes, headers: Mapping[str, str]
) -> None:
    before = await world.counts()
    with pytest.raises(Refusal) as refused:
        await receive_provider_event(world.ctx, CALLER, body, headers)
    assert refused.value.code is ErrorCode.SIGNATURE_INVALID
    assert await world.counts() == before
    assert await world.delays() == []
