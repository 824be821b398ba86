"""An event that changes nothing ends in the commit that stores it, exactly as applying it would
have ended it; its delivery is held for a moment while its payment's own answer is under way.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.audit import AuditEntry
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import Answer, Outcome, Pending, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.context import CommitDoor
from paygate.flows.provider_events.answers_under_way import AnswersUnderWay
from paygate.flows.provider_events.apply import COME_BACK, apply_provider_event
from paygate.flows.provider_events.apply_received import apply_received_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.providers.contract import ConfirmOrder, Notice
from paygate.storage.change import Change, Verdict
from tests.flows.payments import test_holds as holds
from tests.flows.provider_events.test_apply_provider_event import CHALLENGE, DECLINED
from tests.flows.spoilt import spoil
from tests.flows.world import APPROVED, CARDLESS, World, answer, notice
from tests.making import START

SECOND = timedelta(seconds=1)
LONG = 60.0
"""Longer than any test waits: who comes back earlier was told."""


async def stored(world: World) -> list[ProviderEvent]:
    return await world.all(ProviderEvent)


async def queued(world: World) -> int:
    return len(await world.delays())


def other(said: Notice, **changes: Any) -> Notice:
    return msgspec.structs.replace(said, **changes)


def about(said: Notice, **changes: Any) -> Notice:
    assert said.answer is not None
    return other(said, answer=msgspec.structs.replace(said.answer, **changes))


QUIET: dict[str, tuple[Outcome, Any]] = {
    "already_settled": (APPROVED, lambda said: said),
    "nothing_new": (CHALLENGE, lambda said: said),
    "older_than_applied": (
        CHALLENGE,
        lambda said: about(said, outcome=Pending(), as_of=START - SECOND),
    ),
    "foreign": (
        APPROVED,
        lambda said: about(said, installation="another", provider_reference="ref_else"),
    ),
    "other_mode": (APPROVED, lambda said: other(said, livemode=True)),
    "type_not_used": (APPROVED, lambda said: other(said, answer=None)),
}


@pytest.mark.parametrize("verdict", QUIET)
async def test_both_ways_leave_the_same(world: World, verdict: str) -> None:
    """The event, both audit entries and every count; but for what names the event, and that a row
    that is written once is at its first version.
    """
    outcome, change = QUIET[verdict]
    intent, attempt = await world.confirming(outcome)
    before = await world.counts()
    await world.receive(change(notice(attempt, outcome, reference="evt_1")))
    between = await world.counts()
    assert await queued(world) == 0
    event = await world.stored_only(change(notice(attempt, outcome, reference="evt_2")))
    await world.apply(event)
    after = await world.counts()
    at_once, later = await stored(world)
    assert at_once.verdict == verdict
    assert (at_once.version, later.version) == (1, 2)
    named = {"id": "", "provider_reference": "", "body": b"", "version": 0}
    assert msgspec.structs.replace(at_once, **named) == msgspec.structs.replace(later, **named)
    for kind, count in before.items():
        assert after[kind] - between[kind] == between[kind] - count, kind
    assert await entries(world, at_once) == await entries(world, later)
    assert await world.now(intent) == (intent, [attempt])


async def entries(world: World, event: ProviderEvent) -> list[AuditEntry]:
    """The audit entries of an event, without what names the event."""
    named = {"id": "", "subject": None}
    return sorted(
        (
            msgspec.structs.replace(
                e, request_id="its own" if e.request_id == event.id else e.request_id, **named
            )
            for e in await world.audited()
            if e.subject is not None and e.subject.id == event.id
        ),
        key=lambda e: e.action,
    )


LOUD: dict[str, tuple[Outcome, Any]] = {
    "applied": (Unknown("lost"), lambda said: said),
    "no card": (Unknown("lost"), lambda said: about(said, outcome=CARDLESS)),
    "inexact": (APPROVED, lambda said: other(said, exact=False)),
    "tie": (CHALLENGE, lambda said: about(said, as_of=START)),
    "undated": (CHALLENGE, lambda said: about(said, as_of=START + timedelta(days=1))),
    "mismatch": (CHALLENGE, lambda said: about(said, amount=5)),
    "money after the end": (DECLINED, lambda said: said),
    "money elsewhere": (APPROVED, lambda said: about(said, provider_reference="ref_else")),
    "not known yet": (APPROVED, lambda said: about(said, attempt=None, provider_reference="ref_x")),
    "money left": (APPROVED, lambda said: other(said, answer=None, money_left_with="cus_1")),
    "not told": (APPROVED, lambda said: about(said, outcome=Unknown("a new word"))),
}


@pytest.mark.parametrize("name", LOUD)
async def test_what_may_change_something_goes_through_the_queue(world: World, name: str) -> None:
    """Nothing is asked of the provider where an event is received."""
    outcome, change = LOUD[name]
    intent, attempt = await world.confirming(outcome)
    await world.receive(change(notice(attempt, APPROVED)))
    (event,) = await stored(world)
    assert (event.status, event.attempts, await queued(world)) == (EventStatus.RECEIVED, 0, 1)
    asked = world.provider.retrieved, world.provider.standing, world.provider.left_with
    assert asked == ([], [], [])
    assert await world.now(intent) == (intent, [attempt])


async def test_a_payment_that_cannot_be_opened_is_the_queues(world: World) -> None:
    _, attempt = await world.confirming(APPROVED)
    await spoil(world, "payment_intent")
    await world.receive(notice(attempt, APPROVED))
    (event,) = await stored(world)
    assert (event.status, await queued(world)) == (EventStatus.RECEIVED, 1)


class Stopped:
    """The door, where something happens before the first commit of an event."""

    def __init__(self, door: CommitDoor, happens: Any) -> None:
        self._door = door
        self._happens = happens

    async def commit(self, change: Change) -> Verdict:
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()
        return await self._door.commit(change)


@pytest.mark.parametrize("way", ["received", "applied"])
async def test_a_payment_that_moves_before_the_commit_is_judged_again(
    world: World, way: str
) -> None:
    """The event says nothing new when it is looked at, and something when it is committed."""
    intent, attempt = await world.confirming(CHALLENGE)
    door = world.ctx.door
    late = notice(attempt, Pending(), reference="evt_late", as_of=START + 5 * SECOND)
    world.clock.forward(10)

    async def move() -> None:
        world.use(door=door)
        assert (await world.applied(late)).verdict == "applied"
        assert (await world.now(intent))[1][0].state is AttemptState.PENDING

    said = notice(attempt, CHALLENGE, as_of=START + 10 * SECOND)
    if way == "applied":
        event = await world.stored_only(said)
        world.use(door=Stopped(door, move))
    else:
        world.use(door=Stopped(door, move))
        await world.receive(said)
        event = next(e for e in await stored(world) if e.provider_reference == "evt_1")
        assert (event.status, await queued(world)) == (EventStatus.RECEIVED, 2)
    assert (await world.apply(event)).verdict == "applied"
    assert (await world.now(intent))[1][0].state is AttemptState.ACTION_REQUIRED


async def test_it_is_acknowledged_once_it_is_durable(world: World) -> None:
    _, attempt = await world.confirming(APPROVED)
    reached, goes_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await goes_on.wait()

    world.use(door=Stopped(world.ctx.door, wait))
    delivery = asyncio.create_task(world.receive(notice(attempt, APPROVED)))
    await asyncio.wait_for(reached.wait(), LONG)
    assert not delivery.done()
    assert await stored(world) == []
    goes_on.set()
    await delivery
    assert [e.verdict for e in await stored(world)] == ["already_settled"]


Deliveries = list["asyncio.Task[None]"]


@asynccontextmanager
async def asking(
    world: World, said: Answer | None = None, **more: Any
) -> AsyncIterator[tuple[Attempt, "asyncio.Task[PaymentIntent]", asyncio.Event]]:
    """A confirm whose answer is under way until the event is set; `None`: it dies in the call."""
    called, answers = asyncio.Event(), asyncio.Event()

    async def wait(order: ConfirmOrder) -> None:
        called.set()
        await answers.wait()
        if said is None:
            raise RuntimeError("the process that asked is gone")

    world.provider.during = wait
    world.provider.answers.append(said or answer(APPROVED))
    confirm = asyncio.create_task(world.confirm(await world.create()))
    await asyncio.wait_for(called.wait(), LONG)
    (attempt,) = await world.all(Attempt)
    assert attempt.state is AttemptState.STARTED
    yield attempt, confirm, answers
    answers.set()
    await asyncio.gather(confirm, return_exceptions=True)


async def held(world: World, *notices: Notice, wait_for: int | None = None) -> Deliveries:
    """Deliveries that are all held; none of them is acknowledged, or stored."""
    tasks = [asyncio.create_task(world.receive(each)) for each in notices]
    while world.ctx.answers.held < (wait_for or len(tasks)):
        assert not all(task.done() for task in tasks), "nothing is held"
        await asyncio.sleep(0.001)
    return tasks


@pytest.mark.parametrize("outcome", [APPROVED, CARDLESS, DECLINED, CHALLENGE])
async def test_a_delivery_is_held_until_its_answer_is_applied(
    world: World, outcome: Outcome
) -> None:
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,)))
    said = APPROVED if outcome is CARDLESS else outcome
    async with asking(world, answer(said)) as (attempt, confirm, answers):
        (delivery,) = await held(world, notice(attempt, outcome))
        assert await stored(world) == []
        answers.set()
        await confirm
        await delivery
    (event,) = await stored(world)
    verdict = "nothing_new" if outcome is CHALLENGE else "already_settled"
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, verdict)
    assert (await queued(world), world.provider.retrieved) == (0, [])
    assert world.ctx.answers.held == 0


async def test_an_answer_that_another_process_applies_is_seen_in_the_database(
    world: World,
) -> None:
    async with asking(world, answer(APPROVED)) as (attempt, confirm, answers):
        here = replace(world)
        here.use(answers=AnswersUnderWay(waits_seconds=(0.05,) * 200))
        (delivery,) = await held(here, notice(attempt, APPROVED))
        answers.set()
        await confirm
        await delivery
    assert [e.verdict for e in await stored(world)] == ["already_settled"]
    assert await queued(world) == 0


async def test_the_event_of_a_capture_is_held_until_the_captures_answer_is_applied(
    world: World,
) -> None:
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,)))
    intent, confirmed = await holds.held(world), (await world.all(Attempt))[0]
    called, answers = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        called.set()
        await answers.wait()

    world.provider.amid = wait
    world.provider.answers.append(holds.later(holds.taken()))
    capture = asyncio.create_task(holds.capture(world, intent))
    await asyncio.wait_for(called.wait(), LONG)
    (delivery,) = await held(world, notice(confirmed, holds.taken()))
    answers.set()
    await asyncio.wait_for(delivery, LONG / 2)
    assert (await capture).status is Status.SUCCEEDED
    assert [e.verdict for e in await stored(world)] == ["already_settled"]
    assert await queued(world) == 0


async def test_when_the_answer_dies_the_event_goes_through_the_queue(world: World) -> None:
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,)))
    async with asking(world) as (attempt, confirm, answers):
        (delivery,) = await held(world, notice(attempt, APPROVED))
        answers.set()
        with pytest.raises(RuntimeError):
            await confirm
        await delivery
    (event,) = await stored(world)
    assert (event.status, await queued(world)) == (EventStatus.RECEIVED, 1)
    assert (await world.apply(event)).verdict == "applied"
    (attempt,) = await world.all(Attempt)
    assert attempt.state is AttemptState.APPROVED


async def test_an_answer_that_is_slow_is_not_waited_for(world: World) -> None:
    async with asking(world, answer(APPROVED)) as (attempt, confirm, _):
        await world.receive(notice(attempt, APPROVED))
        assert not confirm.done()
        (event,) = await stored(world)
        assert (event.status, await queued(world)) == (EventStatus.RECEIVED, 1)


async def test_an_answer_whose_time_is_over_is_not_waited_for(world: World) -> None:
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,)))
    async with asking(world, answer(APPROVED)) as (attempt, _, _):
        world.clock.forward(world.ctx.policy.provider_timeout_seconds + 1)
        await asyncio.wait_for(world.receive(notice(attempt, APPROVED)), LONG / 2)
        assert [e.status for e in await stored(world)] == [EventStatus.RECEIVED]


async def test_what_finds_no_place_goes_through_the_queue_at_once(world: World) -> None:
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,), most_held=1))
    async with asking(world, answer(APPROVED)) as (attempt, confirm, answers):
        (first,) = await held(world, notice(attempt, APPROVED))
        second = world.receive(notice(attempt, APPROVED, reference="evt_2"))
        await asyncio.wait_for(second, LONG / 2)
        (event,) = await stored(world)
        assert (event.provider_reference, event.status) == ("evt_2", EventStatus.RECEIVED)
        again = world.receive(notice(attempt, APPROVED))
        await asyncio.wait_for(again, LONG / 2)
        answers.set()
        await confirm
        await first
    assert {e.provider_reference for e in await stored(world)} == {"evt_1", "evt_2"}
    assert await queued(world) == 3, "the held one finds its twin stored, and enqueues it once more"


async def test_the_same_event_twice_while_it_is_held_is_one(world: World) -> None:
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,)))
    async with asking(world, answer(APPROVED)) as (attempt, confirm, answers):
        deliveries = await held(world, *[notice(attempt, APPROVED)] * 5)
        answers.set()
        await confirm
        assert await asyncio.gather(*deliveries) == [None] * 5
    assert [e.verdict for e in await stored(world)] == ["already_settled"]
    assert await queued(world) == 0
    assert len(await entries(world, (await stored(world))[0])) == 2 + 4, "who finds it stored too"


async def test_two_events_of_a_payment_are_held_at_once(world: World) -> None:
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,)))
    async with asking(world, answer(CHALLENGE)) as (attempt, confirm, answers):
        older = notice(attempt, Pending(), as_of=START - SECOND)
        newer = notice(attempt, CHALLENGE, reference="evt_2")
        newest = notice(attempt, APPROVED, reference="evt_3", as_of=START + 2 * SECOND)
        deliveries = await held(world, older, newer, newest)
        answers.set()
        await confirm
        await asyncio.gather(*deliveries)
    found = {e.provider_reference: e for e in await stored(world)}
    assert (found["evt_1"].verdict, found["evt_2"].verdict) == ("older_than_applied", "nothing_new")
    assert found["evt_3"].status is EventStatus.RECEIVED
    assert (await world.apply(found["evt_3"])).verdict == "applied"


async def test_a_delivery_that_is_cut_off_while_held_leaves_nothing(world: World) -> None:
    """The end of a process that was not given the time to finish: the provider comes again."""
    world.use(answers=AnswersUnderWay(waits_seconds=(LONG,)))
    async with asking(world, answer(APPROVED)) as (attempt, confirm, answers):
        (delivery,) = await held(world, notice(attempt, APPROVED))
        delivery.cancel()
        assert isinstance(
            (await asyncio.gather(delivery, return_exceptions=True))[0], asyncio.CancelledError
        )
        assert (await stored(world), world.ctx.answers.held) == ([], 0)
        answers.set()
        await confirm
        await world.receive(notice(attempt, APPROVED))
    assert [e.verdict for e in await stored(world)] == ["already_settled"]


@pytest.mark.parametrize("why", ["no card", "inexact"])
async def test_nothing_is_fetched_while_the_answer_is_under_way(world: World, why: str) -> None:
    """And no try is used up: the answer tells it, or its time is over and the provider is asked."""
    async with asking(world, answer(APPROVED)) as (attempt, _, _):
        said = notice(attempt, CARDLESS if why == "no card" else APPROVED)
        event = await world.stored_only(other(said, exact=why != "inexact"))
        message = ApplyProviderEvent(event.merchant, event.id)
        assert await apply_received_event(world.ctx, message) == COME_BACK
        assert await stored(world) == [event]
        assert world.provider.retrieved == []
        world.clock.forward(world.ctx.policy.provider_timeout_seconds + 1)
        world.provider.objects.append(answer(APPROVED, as_of=START + SECOND))
        assert await apply_provider_event(world.ctx, message) is None
        assert len(world.provider.retrieved) == 1
    assert [e.verdict for e in await stored(world)] == ["applied"]
