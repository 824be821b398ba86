"""A provider event is applied once, in any order, and never a step backwards."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.audit import Subject
from paygate.domain.event import Event
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import (
    Answer,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.providers.absence import Absent
from paygate.storage.change import Change
from tests.domain.payments.test_confirmation import ENDS
from tests.flows.world import APPROVED, CARD, CARDLESS, THEIRS, World, answer, notice
from tests.making import START, make_attempt, make_audit, make_intent, make_provider_event

CHALLENGE = next(e[0] for e in ENDS if e[1] is Status.REQUIRES_ACTION)
DECLINED = Declined(PaymentError("card_declined", "no"))
SECOND = timedelta(seconds=1)


async def untouched(world: World, intent: PaymentIntent, attempt: Attempt) -> bool:
    return await world.now(intent) == (intent, [attempt])


@pytest.mark.parametrize(("outcome", "status", "state"), ENDS[:8])
async def test_an_event_concludes_what_was_unknown(
    world: World, outcome: Outcome, status: Status, state: AttemptState
) -> None:
    intent, attempt = await world.confirming(Unknown("timeout"))
    world.provider.objects.append(answer(outcome, as_of=START + SECOND))
    event = await world.applied(notice(attempt, outcome))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "applied")
    assert event.subject is not None
    assert (event.subject.object, event.subject.id) == ("payment_intent", intent.id)
    after, (concluded,) = await world.now(intent)
    assert (after.status, concluded.state) == (status, state)
    assert after.provider_reference == concluded.provider_reference == THEIRS
    event_types = ["payment_intent.created", "payment_intent.processing"]
    event_types += [f"payment_intent.{status}"] if status is not Status.PROCESSING else []
    assert await world.event_types(intent) == event_types
    last = (await world.audited())[-1]
    assert (last.action, last.actor.type, last.actor.id) == (
        "provider_event.apply",
        "provider",
        "scripted",
    )
    assert (last.subject, last.request_id) == (
        msgspec.structs.replace(event.subject, object="provider_event", id=event.id),
        event.id,
    )


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"installation": "in_other"}, "foreign"),
        ({"installation": None}, "foreign"),
        ({"livemode": True}, "other_mode"),
        ({"answer": None}, "type_not_used"),
    ],
)
async def test_what_is_not_ours_is_ignored(
    world: World, change: dict[str, object], verdict: str
) -> None:
    intent, attempt = await world.confirming(Unknown("timeout"))
    said = notice(attempt, APPROVED, provider_reference="ref_unknown")
    assert said.answer is not None
    if "installation" in change:
        changed = msgspec.structs.replace(said.answer, **change)
        said = msgspec.structs.replace(said, answer=changed)
    else:
        said = msgspec.structs.replace(said, **change)
    event = await world.applied(said)
    assert (event.status, event.verdict) == (EventStatus.IGNORED, verdict)
    assert await untouched(world, intent, attempt)
    assert await world.delays() == [], "it ended where it was received"
    assert world.provider.retrieved == []


@pytest.mark.parametrize("known", ["nothing", "another attempt", "another merchant"])
async def test_an_unknown_object_is_put_off_and_then_a_dead_letter(
    world: World, known: str
) -> None:
    intent, attempt = await world.confirming(Unknown("timeout"))
    stranger = {
        "nothing": None,
        "another attempt": make_attempt(make_intent()),
        "another merchant": msgspec.structs.replace(attempt, merchant="other"),
    }[known]
    await world.receive(notice(stranger, APPROVED, provider_reference="ref_unknown"))
    (event,) = await world.all(ProviderEvent)
    for tries, wait in enumerate((2, 4, 8, 16, 32), start=1):
        event = await world.apply(event)
        assert (event.status, event.attempts) == (EventStatus.PARKED, tries)
        assert event.last_error == "object_unknown"
        assert event.next_attempt_at == world.clock() + timedelta(seconds=wait)
        assert (await world.delays())[1:] == [2, 4, 8, 16, 32][:tries]
        world.clock.forward(wait)
    event = await world.apply(event)
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "orphan_charge")
    assert (event.last_error, event.next_attempt_at) == ("object_unknown", None)
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.ORPHAN_CHARGE
    assert alert.problem.subject == Subject("provider_event", event.id)
    assert await world.delays() == [0, 2, 4, 8, 16, 32]
    assert await untouched(world, intent, attempt)


async def test_an_older_event_moves_nothing(world: World) -> None:
    intent, attempt = await world.confirming(CHALLENGE)
    event = await world.applied(notice(attempt, Pending(), as_of=START - SECOND))
    assert (event.status, event.verdict) == (EventStatus.STALE, "older_than_applied")
    assert await untouched(world, intent, attempt)
    assert world.provider.retrieved == []


async def test_of_two_facts_in_one_second_the_fetched_one_counts(world: World) -> None:
    intent, attempt = await world.confirming(CHALLENGE)
    world.provider.objects.append(answer(DECLINED))
    event = await world.applied(notice(attempt, APPROVED, as_of=START))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "applied")
    assert world.provider.retrieved == [THEIRS]
    after, (concluded,) = await world.now(intent)
    assert (after.status, concluded.state) == (Status.FAILED, AttemptState.DECLINED)


@pytest.mark.parametrize("found", [Answer(Unknown("timeout")), Absent()])
@pytest.mark.parametrize("why", ["tie", "no card", "inexact"])
async def test_an_unreachable_provider_puts_the_event_off(
    world: World, why: str, found: Answer | Absent
) -> None:
    intent, attempt = await world.confirming(CHALLENGE)
    event_notice = notice(
        attempt,
        CARDLESS if why == "no card" else APPROVED,
        as_of=START if why == "tie" else START + SECOND,
    )
    event_notice = msgspec.structs.replace(event_notice, exact=why != "inexact")
    world.provider.objects += [found, answer(APPROVED, as_of=START + SECOND)]
    event = await world.applied(event_notice)
    assert (event.status, event.last_error) == (EventStatus.RECEIVED, "provider_unreachable")
    assert await world.delays() == [0, 2]
    assert await untouched(world, intent, attempt)
    event = await world.apply(event)
    assert (event.status, event.attempts) == (EventStatus.PROCESSED, 2)
    assert (event.last_error, event.next_attempt_at) == (None, None)
    after, _ = await world.now(intent)
    assert after.status is Status.SUCCEEDED


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 1998},
        {"amount": 199900},
        {"currency": "usd"},
    ],
)
async def test_another_amount_waits_for_a_person(world: World, wrong: dict[str, Any]) -> None:
    intent, attempt = await world.confirming(Unknown("timeout"))
    event = await world.applied(notice(attempt, APPROVED, **wrong))
    assert event.status is EventStatus.DEAD_LETTER
    assert event.verdict == "amount_or_currency_mismatch"
    assert event.subject is not None
    assert event.subject.id == intent.id
    assert await untouched(world, intent, attempt)
    assert await world.delays() == [0]


async def test_an_approval_without_its_card_is_fetched(world: World) -> None:
    intent, attempt = await world.confirming(Unknown("timeout"))
    world.provider.objects.append(answer(APPROVED, as_of=START + SECOND))
    event = await world.applied(notice(attempt, CARDLESS))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "applied")
    assert world.provider.retrieved == [THEIRS]
    after, _ = await world.now(intent)
    assert (after.status, after.payment_method) == (Status.SUCCEEDED, CARD)


async def test_what_is_not_exact_is_fetched_and_that_is_applied(world: World) -> None:
    intent, attempt = await world.confirming(Unknown("timeout"))
    world.provider.objects.append(answer(DECLINED, as_of=START + SECOND))
    said = msgspec.structs.replace(notice(attempt, APPROVED), exact=False)
    event = await world.applied(said)
    assert event.verdict == "applied"
    after, _ = await world.now(intent)
    assert after.status is Status.FAILED


async def test_applied_again_and_at_once_it_counts_once(world: World) -> None:
    """A job that runs twice, and the same news under another reference."""
    intent, attempt = await world.confirming(Unknown("timeout"))
    await world.receive(notice(attempt, APPROVED))
    (event,) = await world.all(ProviderEvent)
    message = ApplyProviderEvent(event.merchant, event.id)
    await asyncio.gather(*(apply_provider_event(world.ctx, message) for _ in range(5)))
    await world.apply(event)
    after, (concluded,) = await world.now(intent)
    assert (after.version, concluded.version) == (intent.version + 1, attempt.version + 1)
    again = await world.applied(notice(attempt, APPROVED, reference="evt_2"))
    assert (again.status, again.verdict) == (EventStatus.PROCESSED, "already_settled")
    assert await untouched(world, after, concluded)
    assert len(await world.event_types(intent)) == 3


async def test_the_same_news_of_an_open_attempt_is_nothing_new(world: World) -> None:
    intent, attempt = await world.confirming(CHALLENGE)
    event = await world.applied(notice(attempt, CHALLENGE))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "nothing_new")
    assert await untouched(world, intent, attempt)


async def test_events_out_of_order_end_the_same(world: World) -> None:
    """The end comes first, the challenge that led to it afterwards."""
    intent, attempt = await world.confirming(Unknown("timeout"))
    await world.applied(notice(attempt, APPROVED, as_of=START + 5 * SECOND))
    late = await world.applied(notice(attempt, CHALLENGE, reference="evt_2"))
    assert (late.status, late.verdict) == (EventStatus.PROCESSED, "already_settled")
    after, _ = await world.now(intent)
    assert after.status is Status.SUCCEEDED
    assert "payment_intent.requires_action" not in await world.event_types(intent)


async def test_a_body_that_no_longer_reads_is_a_dead_letter_at_once(world: World) -> None:
    stored = make_provider_event("evt_broken")
    await world.ctx.door.commit(Change(make_audit(), creates=(stored,)))
    event = await world.apply(stored)
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "malformed")
    assert event.body == stored.body
    assert await world.delays() == []
    assert await world.all(Event) == []
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.WEBHOOK_DEAD_LETTER
    assert alert.problem.subject == Subject("provider_event", event.id)
    assert alert.problem.message.endswith("malformed")


async def test_a_job_without_its_event_is_done(world: World) -> None:
    await apply_provider_event(world.ctx, ApplyProviderEvent("default", "pe_none"))
    assert await world.audited() == []
