"""What nobody waits for any longer is closed at the provider, and ends as the provider says."""

from datetime import timedelta

import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Declined,
    NotSent,
    PaymentError,
    Pending,
    RedirectToUrl,
    Rejected,
    TransferInstructions,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.providers.absence import Absent
from paygate.providers.contract import CancelOrder
from tests.flows.payments.test_holds import ledger
from tests.flows.payments.transfers import (
    BY_DEBIT,
    DEBIT,
    PAID,
    PUSH,
    alerts,
    at,
    cancel,
    funded,
    notice_at,
    paying,
)
from tests.flows.world import APPROVED, CARD, THEIRS, World, answer

QUARTER, HOUR, DAY = 900, 3600, 24 * 3600
CHALLENGE = ActionRequired(RedirectToUrl("https://bank.example/3ds", "https://shop.example/done"))
CLOSED = Cancelled("requested_by_customer")
DECLINED = Declined(PaymentError("authentication_failed", "no"))
LOST = Answer(Unknown("reset"))
PUBLIC = "https://pay.example"


async def run(world: World, name: str = "run_1") -> int:
    return await close_overdue_attempts(world.ctx, name)


async def overdue(world: World) -> tuple[PaymentIntent, Attempt]:
    """A challenge whose time is over."""
    intent, attempt = await world.confirming(CHALLENGE)
    world.clock.forward(HOUR)
    return intent, attempt


async def abandoned(world: World, intent: PaymentIntent) -> None:
    """It has failed once, and nobody was charged."""
    after, (attempt,) = await world.now(intent)
    assert after.last_payment_error is not None
    assert (after.status, after.last_payment_error.code) == (
        Status.FAILED,
        "authentication_abandoned",
    )
    assert (attempt.state, attempt.given_up) == (AttemptState.CANCELLED, True)
    assert (after.next_action, after.pending_operation) == (None, None)
    assert (await world.event_types(intent))[2:] == [
        "payment_intent.requires_action",
        "payment_intent.failed",
    ]
    assert await ledger(world) == []


async def test_a_challenge_that_nobody_answers_is_closed_and_failed(world: World) -> None:
    intent, attempt = await world.confirming(CHALLENGE)
    world.clock.forward(HOUR - 1)
    assert await run(world, "run_0") == 0
    assert (await world.now(intent), world.provider.standing) == ((intent, [attempt]), [])
    world.clock.forward(1)
    world.provider.answers.append(at(HOUR, CLOSED))
    assert await run(world) == 1
    await abandoned(world, intent)
    (order,) = world.provider.standing
    assert isinstance(order, CancelOrder)
    assert order.provider_reference == THEIRS
    assert await run(world, "run_2") == 0
    assert len(world.provider.standing) == 1
    entries = [e for e in await world.audited() if e.action is Action.INTENT_EXPIRE]
    assert {(e.actor.name, e.merchant, e.request_id) for e in entries} == {
        ("expire-intents", "default", "run_1")
    }


async def test_the_wish_is_durable_before_the_provider_hears_of_it(world: World) -> None:
    intent, _ = await overdue(world)
    seen: list[tuple[PaymentIntent, list[Attempt]]] = []

    async def look() -> None:
        seen.append(await world.now(intent))

    world.provider.amid = look
    world.provider.answers.append(at(HOUR, CLOSED))
    await run(world)
    ((waiting, (attempt,)),) = seen
    assert (attempt.cancelling, attempt.given_up, attempt.reason) == (True, True, "expired")
    assert (waiting.status, waiting.pending_operation) == (Status.REQUIRES_ACTION, "cancel")
    assert waiting.next_action is not None


@pytest.mark.parametrize("by", ["reply", "event"])
async def test_a_payer_who_finishes_in_the_last_moment_has_paid(world: World, by: str) -> None:
    intent, attempt = await overdue(world)

    async def deliver() -> None:
        await world.applied(notice_at(attempt, APPROVED, HOUR))

    if by == "event":
        world.provider.amid = deliver
    world.provider.answers.append(at(HOUR, APPROVED) if by == "reply" else LOST)
    assert await run(world) == 1
    after, (closed,) = await world.now(intent)
    assert (after.status, closed.state) == (Status.SUCCEEDED, AttemptState.APPROVED)
    assert (after.payment_method, after.last_payment_error) == (CARD, None)
    assert after.pending_operation is None
    assert await ledger(world) == [(1, 1999)]


async def test_a_hold_of_the_last_moment_is_a_hold(world: World) -> None:
    held = Approved(captured=False, amount_received=0, amount_capturable=1999)
    world.provider.answers.append(answer(CHALLENGE))
    intent = await world.confirm(await world.create(capture_method="manual"))
    world.clock.forward(HOUR)
    world.provider.answers.append(at(HOUR, held))
    assert await run(world) == 1
    after, _ = await world.now(intent)
    assert (after.status, after.pending_operation) == (Status.REQUIRES_CAPTURE, None)


async def test_the_providers_event_may_come_before_its_reply(world: World) -> None:
    intent, attempt = await overdue(world)

    async def deliver() -> None:
        event = await world.applied(notice_at(attempt, Cancelled("abandoned"), HOUR))
        assert event.verdict == "applied"

    world.provider.amid = deliver
    world.provider.answers.append(at(HOUR, CLOSED))
    assert await run(world) == 1
    await abandoned(world, intent)


@pytest.mark.parametrize(
    "silence",
    [LOST, Answer(NotSent("429")), Answer(Rejected("provider_configuration", "401"))],
)
async def test_a_lost_reply_is_asked_for_again_under_another_key(
    world: World, silence: Answer
) -> None:
    intent, _ = await overdue(world)
    for round_ in range(3):
        world.provider.answers.append(silence)
        assert await run(world) == 0
        assert len(world.provider.standing) == round_ + 1
        waiting, (attempt,) = await world.now(intent)
        assert (waiting.status, waiting.pending_operation) == (Status.REQUIRES_ACTION, "cancel")
        assert attempt.close_at == world.clock() + timedelta(seconds=QUARTER)
        world.clock.forward(QUARTER - 1)
        assert await run(world) == 0
        assert len(world.provider.standing) == round_ + 1
        world.clock.forward(1)
    world.provider.answers.append(at(HOUR, CLOSED))
    assert await run(world) == 1
    await abandoned(world, intent)
    assert len(set(world.provider.cancel_keys())) == 4


async def test_a_reply_that_was_lost_and_its_event_end_it(world: World) -> None:
    intent, attempt = await overdue(world)
    world.provider.answers.append(LOST)
    await run(world)
    await world.applied(notice_at(attempt, CLOSED, HOUR))
    await abandoned(world, intent)
    world.clock.forward(QUARTER)
    assert await run(world) == 0
    assert len(world.provider.standing) == 1


async def test_a_payer_who_finishes_after_the_reply_was_lost_has_paid(world: World) -> None:
    intent, attempt = await overdue(world)
    world.provider.answers.append(LOST)
    await run(world)
    await world.applied(notice_at(attempt, APPROVED, HOUR + 5))
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]


@pytest.mark.parametrize("as_of", [HOUR, None])
async def test_a_crash_between_the_wish_and_the_call_is_taken_up(
    world: World, as_of: int | None
) -> None:
    intent, _ = await overdue(world)

    async def die() -> None:
        world.provider.amid = None
        raise ConnectionAbortedError

    world.provider.amid = die
    with pytest.raises(ConnectionAbortedError):
        await run(world)
    world.provider.answers.append(
        answer(CLOSED, as_of=None) if as_of is None else at(as_of, CLOSED)
    )
    assert await run(world, "run_2") == 1
    await abandoned(world, intent)


async def test_a_failed_challenge_of_the_last_moment_says_so(world: World) -> None:
    intent, _ = await overdue(world)
    world.provider.answers.append(at(HOUR, DECLINED))
    assert await run(world) == 1
    after, (attempt,) = await world.now(intent)
    assert (after.status, after.last_payment_error) == (Status.FAILED, DECLINED.error)
    assert attempt.state is AttemptState.DECLINED


async def transfer_overdue(world: World, received: int = 0) -> tuple[PaymentIntent, Attempt]:
    intent, attempt = await paying(world, funded())
    if received:
        await world.applied(notice_at(attempt, funded(received), 5))
    world.clock.forward(14 * DAY)
    return intent, attempt


async def test_a_transfer_that_nobody_funds_expires(world: World) -> None:
    intent, _ = await paying(world, funded())
    world.clock.forward(14 * DAY - 1)
    assert await run(world) == 0
    assert world.provider.standing == []
    world.clock.forward(1)
    world.provider.answers.append(at(14 * DAY, CLOSED))
    assert await run(world) == 1
    after, (attempt,) = await world.now(intent)
    assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "expired")
    assert (attempt.state, after.last_payment_error) == (AttemptState.CANCELLED, None)
    assert (await world.event_types(intent))[-1] == "payment_intent.cancelled"
    assert await world.all(Alert) == []


async def test_a_transfer_that_is_partly_funded_is_a_persons_to_decide(world: World) -> None:
    intent, _ = await transfer_overdue(world, 1500)
    world.provider.answers.append(at(14 * DAY, CLOSED))
    assert await run(world) == 1
    after, _ = await world.now(intent)
    assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "expired")
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.TRANSFER_PARTLY_FUNDED
    assert (alert.problem.subject.id, alert.count) == (intent.id, 1)
    assert "1500 of 1999 eur" in alert.problem.message
    assert await ledger(world) == []


async def test_money_that_comes_in_the_last_moment_pays(world: World) -> None:
    intent, _ = await transfer_overdue(world, 1500)
    world.provider.answers.append(at(14 * DAY, PAID))
    assert await run(world) == 1
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]
    assert await world.all(Alert) == []


async def test_a_part_that_comes_while_it_is_closed_is_alerted(world: World) -> None:
    intent, attempt = await transfer_overdue(world)
    world.provider.answers.append(LOST)
    await run(world)
    await world.applied(notice_at(attempt, funded(1500), 14 * DAY, "evt_part"))
    now, _ = await world.now(intent)
    assert isinstance(now.next_action, TransferInstructions)
    assert (now.next_action.amount_received, now.pending_operation) == (1500, "cancel")
    assert (await world.event_types(intent))[-1] == "payment_intent.partially_funded"
    world.clock.forward(QUARTER)
    world.provider.answers.append(at(14 * DAY + 1, CLOSED))
    assert await run(world) == 1
    assert len(await alerts(world, AlertType.TRANSFER_PARTLY_FUNDED)) == 1


async def test_a_transfer_outlives_a_challenge(world: World) -> None:
    intent, attempt = await paying(world, funded())
    world.clock.forward(13 * DAY)
    assert await run(world) == 0
    assert await world.now(intent) == (intent, [attempt])


@pytest.mark.parametrize("outcome", [CHALLENGE, funded(), Pending(BY_DEBIT)])
async def test_a_merchants_cancel_whose_reply_was_lost_is_taken_up(
    world: World, outcome: ActionRequired | Pending
) -> None:
    request = DEBIT if isinstance(outcome, Pending) else PUSH
    intent, _ = await paying(world, outcome, request)
    world.provider.answers.append(LOST)
    after = await cancel(world, intent)
    assert (after.status, after.pending_operation) == (intent.status, "cancel")
    world.clock.forward(1)
    world.provider.answers.append(at(1, CLOSED))
    assert await run(world) == 1
    ended, (attempt,) = await world.now(intent)
    # Their wish and their words, also for a challenge: nobody gave it up.
    assert (ended.status, ended.cancellation_reason) == (Status.CANCELLED, "out of stock")
    assert (attempt.state, attempt.given_up) == (AttemptState.CANCELLED, False)
    assert (await world.event_types(intent))[-1] == "payment_intent.cancelled"


async def test_a_cancel_that_was_not_sent_stays_wished(world: World) -> None:
    """So it is not refused: it stands, and is sent again."""
    intent, _ = await world.confirming(CHALLENGE)
    world.provider.answers.append(Answer(NotSent("refused")))
    wished = await cancel(world, intent)
    assert (wished.status, wished.pending_operation) == (Status.REQUIRES_ACTION, "cancel")
    world.provider.answers.append(at(1, CLOSED))
    assert await run(world) == 1
    assert (await world.now(intent))[0].status is Status.CANCELLED


async def test_what_the_provider_works_on_is_left_alone(world: World) -> None:
    intent, _ = await paying(world, Pending(BY_DEBIT), DEBIT)
    for _ in range(3):
        world.clock.forward(HOUR)
        world.provider.objects.append(Answer(Unknown("reset")))
        assert await run(world) == 0
        now, (attempt,) = await world.now(intent)
        assert (now.status, now.pending_operation) == (Status.PROCESSING, "confirm")
        assert (attempt.state, attempt.cancelling) == (AttemptState.PENDING, False)
        assert attempt.close_at == world.clock() + timedelta(seconds=HOUR)
    assert world.provider.standing == []
    assert await world.event_types(intent) == [
        "payment_intent.created",
        "payment_intent.processing",
    ]


async def test_a_challenge_that_the_provider_works_on_keeps_its_status(world: World) -> None:
    intent, attempt = await world.confirming(CHALLENGE)
    await world.applied(notice_at(attempt, Pending(), 5))
    world.clock.forward(HOUR)
    world.provider.objects.append(at(HOUR, Pending()))
    assert await run(world) == 0
    now, _ = await world.now(intent)
    assert (now.status, now.pending_operation) == (Status.REQUIRES_ACTION, "confirm")
    assert world.provider.standing == []


async def test_one_fault_does_not_stand_in_the_others_way(world: World) -> None:
    intents = [(await world.confirming(CHALLENGE))[0] for _ in range(3)]

    async def fail_once() -> None:
        world.provider.amid = None
        raise RuntimeError("a bug")

    world.provider.amid = fail_once
    world.provider.answers += [at(1, CLOSED)] * 2
    world.clock.forward(HOUR)
    with pytest.raises(RuntimeError):
        await run(world)
    ends = [(await world.now(intent))[0].status for intent in intents]
    assert sorted(ends) == [Status.FAILED, Status.FAILED, Status.REQUIRES_ACTION]
    world.provider.answers.append(at(2, CLOSED))
    assert await run(world) == 1


async def test_the_end_of_what_the_provider_works_on_is_asked_for(world: World) -> None:
    """No event came: it is never closed, and its end is found all the same."""
    intent, _ = await world.confirming(Pending())
    world.clock.forward(HOUR - 1)
    assert (await run(world), world.provider.retrieved) == (0, [])
    world.clock.forward(1)
    silent = Answer(Unknown("reset"))
    for said in (answer(Pending(), as_of=world.clock()), silent, Absent()):
        world.provider.objects.append(said)
        assert await run(world) == 0
        assert (await world.now(intent))[0].status is Status.PROCESSING
        world.clock.forward(HOUR)
    world.provider.objects.append(answer(APPROVED, as_of=world.clock()))
    assert await run(world) == 1
    after, (attempt,) = await world.now(intent)
    assert (after.status, attempt.state) == (Status.SUCCEEDED, AttemptState.APPROVED)
    assert world.provider.retrieved == [THEIRS] * 4
    assert world.provider.standing == []
    assert await run(world) == 0
