"""Receiving: stored once and durable before it is acknowledged; what is refused leaves nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import pytest

from paygate.domain.access import Action, Actor, Caller
from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.outcome import Pending
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.receive_provider_event import receive_provider_event
from paygate.jobs.messages import ApplyProviderEvent, decode
from paygate.storage.committer import Connection
from tests.claims import hold_claim
from tests.flows.world import World, notice
from tests.making import START

GOOD = msgspec.json.encode(notice(None, Pending()))
SIGNED = {"signature": "good"}
CALLER = Caller(Actor("provider", id="scripted"), "default", request_id="req_event")


async def test_it_is_stored_as_it_came_and_its_job_with_it(world: World) -> None:
    await world.receive(GOOD)
    (event,) = await world.all(ProviderEvent)
    assert (event.status, event.body) == (EventStatus.RECEIVED, GOOD)
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
    for _ in range(3):
        await world.receive(GOOD)
    other_body = msgspec.structs.replace(notice(None, Pending()), type="other")
    await world.receive(other_body)
    (event,) = await world.all(ProviderEvent)
    assert event.body == GOOD
    assert await world.delays() == [0]
    assert len(await world.audited()) == 1


async def test_duplicates_at_once_are_stored_once(world: World) -> None:
    answers = await asyncio.gather(
        *(world.receive(GOOD) for _ in range(20)), return_exceptions=True
    )
    assert all(a is None or isinstance(a, Refusal) for a in answers)
    assert None in answers
    assert len(await world.all(ProviderEvent)) == 1
    assert await world.delays() == [0]


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


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", SIGNED, ErrorCode.PARAMETER_INVALID),
        (b"{}", SIGNED, ErrorCode.PARAMETER_INVALID),
        (b"\xff\x00", SIGNED, ErrorCode.PARAMETER_INVALID),
        (GOOD, {}, ErrorCode.SIGNATURE_INVALID),
        (GOOD, {"signature": "bad"}, ErrorCode.SIGNATURE_INVALID),
        (b"{}", {"signature": "bad"}, ErrorCode.SIGNATURE_INVALID),
    ],
)
async def test_what_is_refused_leaves_nothing(
    world: World, body: bytes, headers: Mapping[str, str], code: ErrorCode
) -> None:
    before = await world.counts()
    with pytest.raises(Refusal) as refused:
        await receive_provider_event(world.ctx, CALLER, body, headers)
    assert refused.value.code is code
    assert await world.counts() == before
    assert await world.delays() == []
