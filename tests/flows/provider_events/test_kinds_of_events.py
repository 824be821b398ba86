"""Whose an event is, and what becomes of those that tell of something beside the payment itself."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.audit import Subject
from paygate.domain.payments.outcome import (
    Answer,
    Cancelled,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    Unknown,
)
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import RETRY_AFTER, EventStatus, ProviderEvent
from paygate.flows.alerts.close import close_alerts
from paygate.flows.provider_events.replay import replay_provider_event
from paygate.providers.absence import Absent
from paygate.providers.contract import Notice
from tests.flows.payments import test_holds as holds
from tests.flows.world import APPROVED, CARDLESS, THEIRS, World, answer, notice
from tests.making import START, make_attempt, make_intent

SECOND = timedelta(seconds=1)
DECLINED = Declined(PaymentError("card_declined", "no"))
NOT_TOLD = Unknown("the object does not tell how its payment stands")


def changed(said: Notice, **changes: Any) -> Notice:
    return msgspec.structs.replace(said, **changes)


def charge(outcome: Outcome, **more: Any) -> Notice:
    """An event of a charge, whose payment is THEIRS."""
    said = notice(None, outcome, **more)
    return changed(said, type="charge.succeeded", of_a_part=True)


def news(**more: Any) -> Notice:
    """An event of a refund, a dispute or the like: it bears no mark."""
    said = notice(None, NOT_TOLD, **({"installation": None} | more))
    return changed(said, type="charge.dispute.created", handled=False)


async def ended(world: World, said: Notice) -> ProviderEvent:
    """What became of an event after all its tries."""
    event = await world.applied(said)
    for wait in RETRY_AFTER:
        if event.status not in {EventStatus.RECEIVED, EventStatus.PARKED}:
            break
        world.clock.forward(wait.total_seconds())
        event = await world.apply(event)
    return event


@pytest.mark.parametrize("outcome", [CARDLESS, DECLINED])
async def test_a_charge_that_says_what_is_known_asks_nobody(world: World, outcome: Outcome) -> None:
    intent, attempt = await world.confirming(APPROVED if outcome is CARDLESS else outcome)
    event = await world.applied(charge(outcome))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "already_settled")
    assert event.subject == Subject("payment_intent", intent.id)
    assert (world.provider.retrieved, await world.delays()) == ([], [])
    assert await world.now(intent) == (intent, [attempt])


async def test_a_charge_that_says_more_has_its_payment_fetched(world: World) -> None:
    """The charge is no proof of the whole: what it changes is the payment's to say."""
    intent, _ = await world.confirming(Pending())
    world.provider.objects.append(answer(APPROVED, as_of=START + SECOND))
    event = await world.applied(charge(APPROVED))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "applied")
    assert world.provider.retrieved == [THEIRS]
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_a_charge_that_failed_is_not_yet_a_payment_that_did(world: World) -> None:
    intent, _ = await world.confirming(Pending())
    world.provider.objects.append(answer(APPROVED, as_of=START + SECOND))
    await world.applied(charge(DECLINED))
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_a_hold_that_lapsed_is_found_by_its_charge(world: World) -> None:
    intent = await holds.held(world)
    world.provider.objects.append(answer(Cancelled("automatic"), as_of=START + SECOND))
    event = await world.applied(charge(Cancelled(), as_of=START + SECOND))
    assert event.verdict == "applied"
    assert (await world.now(intent))[0].status is Status.CANCELLED


async def test_what_nothing_acts_upon_is_ignored_and_can_be_found(world: World) -> None:
    """The version that acts upon it looks for the status and the verdict, and replays."""
    intent, attempt = await world.confirming(APPROVED)
    event = await world.applied(news())
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "no_handler")
    assert event.subject == Subject("payment_intent", intent.id)
    assert world.provider.retrieved == []
    found = await world.connection.fetch(
        "SELECT id FROM provider_event WHERE status = 'ignored' AND verdict = 'no_handler'"
    )
    assert [row["id"] for row in found] == [event.id]
    await replay_provider_event(world.ctx, world.caller, event.id)
    again = await world.apply(event)
    assert (again.status, again.verdict, again.attempts) == (EventStatus.IGNORED, "no_handler", 1)
    assert await world.now(intent) == (intent, [attempt])
    assert await world.all(Alert) == []


async def test_a_payout_is_the_accounts(world: World) -> None:
    event = await world.applied(changed(news(), type="payout.paid", answer=None))
    assert (event.verdict, event.subject) == ("no_handler", None)


async def test_a_dispute_that_comes_before_its_charge_finds_its_payment(world: World) -> None:
    """F13: the answer that would have named the payment was lost; the payment bears our mark."""
    intent, attempt = await world.confirming(Unknown("lost"), provider_reference=None)
    marked = answer(
        APPROVED, installation=world.ctx.installation, merchant="default", attempt=attempt.id
    )
    world.provider.objects.append(marked)
    event = await world.applied(news())
    assert (event.verdict, world.provider.retrieved) == ("no_handler", [THEIRS])
    assert event.subject == Subject("payment_intent", intent.id)


@pytest.mark.parametrize("shown", [answer(APPROVED, installation="another"), Absent()])
async def test_a_strangers_dispute_is_foreign_whatever_is_in_doubt(
    world: World, shown: Answer | Absent
) -> None:
    await world.confirming(Unknown("lost"), provider_reference=None)
    world.provider.objects.append(shown)
    event = await world.applied(news())
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "foreign")


async def test_with_nothing_in_doubt_a_strangers_dispute_costs_no_call(world: World) -> None:
    event = await world.applied(news())
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "foreign")
    assert (world.provider.retrieved, await world.delays()) == ([], [])


async def test_a_dispute_whose_payment_nobody_tells_of_is_put_off(world: World) -> None:
    await world.confirming(Unknown("lost"), provider_reference=None)
    event = await world.applied(news())
    assert (event.status, event.last_error) == (EventStatus.RECEIVED, "provider_unreachable")


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"of_another_account": True}, "other_account"),
        ({"of_another_account": True, "money_left_with": "cus_1", "answer": None}, "other_account"),
        ({"livemode": True, "of_another_account": True}, "other_mode"),
    ],
)
async def test_what_is_of_another_account_is_ignored_without_alarm(
    world: World, change: dict[str, Any], verdict: str
) -> None:
    intent, attempt = await world.confirming(Unknown("lost"))
    event = await world.applied(changed(notice(attempt, APPROVED), **change))
    assert (event.status, event.verdict) == (EventStatus.IGNORED, verdict)
    assert await world.now(intent) == (intent, [attempt])
    assert await world.all(Alert) == []


async def test_money_that_bears_our_mark_and_is_unknown_is_an_orphan(world: World) -> None:
    """Parked while it may become known; then told of, until it does become known."""
    await world.receive(notice(make_attempt(make_intent()), APPROVED, provider_reference="ref_x"))
    (event,) = await world.all(ProviderEvent)
    event = await world.apply(event)
    assert event.status is EventStatus.PARKED
    for wait in RETRY_AFTER:
        world.clock.forward(wait.total_seconds())
        event = await world.apply(event)
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "orphan_charge")
    assert event.replay_until is not None
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.ORPHAN_CHARGE
    assert alert.problem.subject == Subject("provider_event", event.id)
    await close_alerts(world.ctx, "run_1")
    (alert,) = await world.all(Alert)
    assert alert.status is AlertStatus.OPEN
    intent, _ = await world.confirming(APPROVED, provider_reference="ref_x")
    await replay_provider_event(world.ctx, world.caller, event.id)
    event = await world.apply(event)
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "already_settled")
    assert event.subject == Subject("payment_intent", intent.id)
    await close_alerts(world.ctx, "run_2")
    (alert,) = await world.all(Alert)
    assert alert.status is AlertStatus.CLOSED


@pytest.mark.parametrize("outcome", [DECLINED, Cancelled()])
async def test_no_money_that_is_unknown_is_a_dead_letter_like_others(
    world: World, outcome: Outcome
) -> None:
    event = await ended(world, notice(None, outcome, provider_reference="ref_x"))
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "retries_exhausted")
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.WEBHOOK_DEAD_LETTER


async def test_a_payment_that_is_known_a_moment_later_is_applied(world: World) -> None:
    """F13: parked, then applied; nobody hears of it."""
    said = notice(make_attempt(make_intent()), APPROVED, provider_reference="ref_late")
    event = await world.applied(said)
    assert event.status is EventStatus.PARKED
    intent, _ = await world.confirming(Pending(), provider_reference="ref_late")
    world.clock.forward(2)
    event = await world.apply(event)
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "applied")
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert await world.all(Alert) == []


FOREIGN_MONEY: dict[str, Notice] = {
    "a payment": notice(None, APPROVED, installation=None, provider_reference="ref_else"),
    "a charge of its own": charge(APPROVED, installation=None, provider_reference=None),
}
FOREIGN_REST: dict[str, Notice] = {
    "a charge of a payment": charge(APPROVED, installation=None, provider_reference="ref_else"),
    "a payment that failed": notice(None, DECLINED, installation=None, provider_reference="ref_e"),
    "a dispute": news(provider_reference="ref_else"),
}


@pytest.mark.parametrize("name", [*FOREIGN_MONEY, *FOREIGN_REST])
@pytest.mark.parametrize("exclusive", [False, True])
async def test_foreign_money_is_told_of_on_an_account_of_ours_alone(
    world: World, name: str, exclusive: bool
) -> None:
    policy = msgspec.structs.replace(world.ctx.policy, exclusive_account=exclusive)
    world.use(policy=policy)
    event = await world.applied((FOREIGN_MONEY | FOREIGN_REST)[name])
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "foreign")
    alerts = await world.all(Alert)
    expected = [AlertType.ORPHAN_CHARGE] if exclusive and name in FOREIGN_MONEY else []
    assert [alert.problem.type for alert in alerts] == expected
    await close_alerts(world.ctx, "run_1")
    assert all(alert.status is AlertStatus.OPEN for alert in await world.all(Alert))


@pytest.mark.parametrize("tie", [False, True])
async def test_a_word_of_a_later_version_is_no_dead_letter(world: World, tie: bool) -> None:
    """Asked, the provider says it again; the payment stays as it is."""
    intent, attempt = await world.confirming(Pending())
    later = Unknown("the payment's status is teleported", unfamiliar=True)
    world.provider.objects.append(answer(later))
    said = notice(attempt, APPROVED if tie else later, as_of=START if tie else START + SECOND)
    event = await world.applied(said if tie else changed(said, exact=False))
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "not_understood")
    assert await world.now(intent) == (intent, [attempt])
    assert await world.all(Alert) == []


async def test_a_payment_on_which_nothing_goes_on_is_nothing_new(world: World) -> None:
    _, attempt = await world.confirming(Pending())
    world.provider.objects.append(answer(Unknown("nobody has begun it", idle=True)))
    event = await world.applied(changed(notice(attempt, APPROVED), exact=False))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "nothing_new")
