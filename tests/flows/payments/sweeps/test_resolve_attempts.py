"""Outcomes that nobody knows: sent again while the payer is there, looked up after, failed last."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import Answer, Cancelled, NotSent, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.sweeps.resolve import Resolved, resolve_attempts
from paygate.providers.absence import Absent
from paygate.providers.contract import ConfirmOrder
from tests.flows.payments.test_holds import HELD, cancel, capture, held, later, ledger, taken
from tests.flows.world import APPROVED, INSTALLATION, THEIRS, World, answer

LOST = Answer(Unknown("reset"))
MINUTE, HOUR = 60, 3600


async def lost(world: World) -> tuple[PaymentIntent, Attempt]:
    """A confirm whose reply never came."""
    world.provider.answers.append(LOST)
    intent = await world.confirm(await world.create())
    (attempt,) = (await world.now(intent))[1]
    assert (intent.status, attempt.state) == (Status.PROCESSING, AttemptState.UNKNOWN)
    return intent, attempt


async def sent_twice(world: World, seconds: float) -> PaymentIntent:
    """A confirm whose request died, and whose caller has come back so long after."""

    async def die(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    world.provider.during = die
    intent = await world.create()
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "key")
    world.provider.during = None
    world.clock.forward(seconds)
    world.provider.answers.append(LOST)
    await world.confirm_once(intent, "key")
    return intent


async def run(world: World) -> Resolved:
    return await resolve_attempts(world.ctx, "run_1")


def theirs(attempt: Attempt) -> Answer:
    """The payment as the provider's list shows it."""
    return answer(APPROVED, attempt=attempt.id, installation=INSTALLATION)


async def status(world: World, intent: PaymentIntent) -> Status:
    return (await world.now(intent))[0].status


async def test_nothing_is_asked_while_the_first_sender_may_still_wait(world: World) -> None:
    await lost(world)
    world.clock.forward(35)
    assert await run(world) == (0, 0)
    assert len(world.provider.orders) == 1


async def test_it_is_sent_again_with_the_same_key_while_the_payer_is_there(world: World) -> None:
    intent, attempt = await lost(world)
    world.clock.forward(36)
    world.provider.answers.append(answer(APPROVED))
    assert await run(world) == (1, 0)
    assert [o.attempt for o in world.provider.orders] == [attempt.id] * 2
    assert await status(world, intent) is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]
    assert await run(world) == (0, 0)


async def test_a_process_that_died_left_an_attempt_to_resolve(world: World) -> None:
    async def die(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    world.provider.during = die
    intent = await world.create()
    with pytest.raises(ConnectionAbortedError):
        await world.confirm(intent)
    world.provider.during = None
    world.clock.forward(60)
    world.provider.answers.append(answer(APPROVED))
    assert await run(world) == (1, 0)
    assert await status(world, intent) is Status.SUCCEEDED


async def test_later_it_is_looked_up_and_never_sent(world: World) -> None:
    intent, attempt = await lost(world)
    world.clock.forward(121)
    other = answer(APPROVED, attempt="at_other", installation=INSTALLATION)
    foreign = answer(APPROVED, attempt=attempt.id, installation="another")
    world.provider.objects = [other, foreign, theirs(attempt)]
    assert await run(world) == (1, 0)
    assert len(world.provider.orders) == 1
    assert await status(world, intent) is Status.SUCCEEDED


async def test_what_is_known_by_its_id_is_retrieved(world: World) -> None:
    world.provider.answers.append(Answer(Unknown("500"), provider_reference=THEIRS))
    intent = await world.confirm(await world.create())
    world.clock.forward(121)
    world.provider.objects.append(answer(APPROVED))
    assert await run(world) == (1, 0)
    assert world.provider.retrieved == [THEIRS]
    assert await status(world, intent) is Status.SUCCEEDED


async def test_one_miss_proves_nothing_two_apart_do(world: World) -> None:
    intent, attempt = await lost(world)
    world.clock.forward(3 * MINUTE)
    assert await run(world) == (0, 1)
    world.clock.forward(9 * MINUTE)
    assert await run(world) == (0, 1)
    assert await status(world, intent) is Status.PROCESSING
    world.clock.forward(2 * MINUTE)
    assert await run(world) == (1, 0)
    after, (attempt,) = await world.now(intent)
    assert after.last_payment_error is not None
    assert (after.status, after.last_payment_error.code) == (Status.FAILED, "provider_unavailable")
    assert attempt.state is AttemptState.REJECTED
    assert len(world.provider.orders) == 1
    assert await ledger(world) == []


async def test_a_provider_that_is_silent_leaves_it_open_and_alerts(world: World) -> None:
    """F09: three days, tick by tick; nothing is ever sent again."""
    intent, attempt = await lost(world)
    for _ in range(3 * 24 * 4):
        world.clock.forward(15 * MINUTE)
        world.provider.objects = [Absent()]  # the list ends in silence
        assert await run(world) == (0, 1)
    assert await status(world, intent) is Status.PROCESSING
    assert len(world.provider.orders) == 1
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.ATTEMPT_UNRESOLVED
    assert attempt.id in alert.problem.what_to_do
    world.provider.objects = [theirs(attempt)]
    assert await run(world) == (1, 0)
    assert await status(world, intent) is Status.SUCCEEDED


async def test_a_provider_that_was_away_for_half_an_hour_charges_nobody_late(world: World) -> None:
    """Each minute's sweep finds it unreachable; when it is back, nothing begins any more."""
    world.provider.answers.append(Answer(Unknown("503")))
    intent = await world.confirm(await world.create())
    for _ in range(30):
        world.clock.forward(MINUTE)
        world.provider.objects = [Absent()]
        world.provider.answers = [Answer(Unknown("503"))]
        await run(world)
    sent_at = [attempt.first_sent_at for attempt in await world.all(Attempt)]
    assert len(world.provider.orders) == 2, "once more within the two minutes"
    assert world.clock() - sent_at[0] == timedelta(minutes=30)
    world.provider.objects = []
    await run(world)
    world.clock.forward(11 * MINUTE)
    await run(world)
    assert await status(world, intent) is Status.FAILED
    assert len(world.provider.orders) == 2


async def test_what_was_never_sent_fails_after_the_window(world: World) -> None:
    world.provider.answers.append(Answer(NotSent("refused")))
    intent = await world.create()
    with pytest.raises(Refusal):
        await world.confirm_once(intent, "k")
    world.clock.forward(119)
    assert await run(world) == (0, 0)
    world.clock.forward(2)
    assert await run(world) == (1, 0)
    after, _ = await world.now(intent)
    assert after.last_payment_error is not None
    assert (after.status, after.last_payment_error.code) == (Status.FAILED, "provider_unavailable")
    answered = await world.confirm_once(intent, "k")
    assert b'"failed"' in answered.body
    assert len(world.provider.orders) == 1


@pytest.mark.parametrize("hours", [0, 1, 22])
async def test_a_capture_is_sent_until_it_is_answered(world: World, hours: int) -> None:
    intent = await held(world)
    world.provider.answers.append(LOST)
    await capture(world, intent)
    world.clock.forward(hours * HOUR + 60)
    world.provider.answers.append(later(taken()))
    assert await run(world) == (1, 0)
    first, second = world.provider.standing
    assert first == second
    assert await status(world, intent) is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]


async def test_a_capture_whose_key_may_be_forgotten_is_looked_up(world: World) -> None:
    intent = await held(world)
    world.provider.answers.append(LOST)
    await capture(world, intent)
    world.clock.forward(23 * HOUR)
    world.provider.objects.append(later(taken()))
    assert await run(world) == (1, 0)
    assert len(world.provider.standing) == 1
    assert await status(world, intent) is Status.SUCCEEDED


async def test_a_cancel_is_sent_until_it_is_answered(world: World) -> None:
    intent = await held(world)
    world.provider.answers.append(LOST)
    assert (await cancel(world, intent)).pending_operation == "cancel"
    world.clock.forward(60)
    world.provider.answers.append(later(Cancelled(None)))
    assert await run(world) == (1, 0)
    after, _ = await world.now(intent)
    assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "out of stock")


async def test_one_fault_does_not_stand_in_the_others_way(world: World) -> None:
    intents = [(await lost(world))[0] for _ in range(2)]

    async def fail_once(_: ConfirmOrder) -> None:
        world.provider.during = None
        raise RuntimeError("a bug")

    world.provider.during = fail_once
    world.provider.answers.append(answer(APPROVED))
    world.clock.forward(60)
    with pytest.raises(RuntimeError):
        await run(world)
    ends = {await status(world, intent) for intent in intents}
    assert ends == {Status.PROCESSING, Status.SUCCEEDED}


async def test_what_its_caller_sent_again_much_later_is_looked_for_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payment is as young as its last sending, and an earlier miss says nothing of that one."""

    async def die(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    made: list[tuple[datetime, Answer]] = []

    async def list_created(
        since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        for at, said in made:
            if since <= at <= until:
                yield said

    monkeypatch.setattr(world.provider, "list_created", list_created)
    world.provider.during = die
    intent = await world.create()
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "key")
    world.provider.during = None
    world.clock.forward(3 * MINUTE)
    assert await run(world) == (0, 1)
    world.clock.forward(9 * MINUTE)
    world.provider.answers.append(LOST)
    await world.confirm_once(intent, "key")
    world.clock.forward(2 * MINUTE)
    assert await run(world) == (0, 1)
    (attempt,) = (await world.now(intent))[1]
    made.append((world.clock() - timedelta(minutes=2), theirs(attempt)))
    assert await run(world) == (0, 1), "it was looked for just now"
    assert await status(world, intent) is Status.PROCESSING
    world.clock.forward(10 * MINUTE)
    assert await run(world) == (1, 0)
    assert await status(world, intent) is Status.SUCCEEDED


async def test_a_capture_that_is_never_sent_any_more_gives_the_hold_back_to_its_merchant(
    world: World,
) -> None:
    """The gateway was away for a day: the key is forgotten there, and the hold stands untouched."""
    intent = await held(world)

    async def die() -> None:
        raise ConnectionAbortedError

    world.provider.amid = die
    with pytest.raises(ConnectionAbortedError):
        await capture(world, intent)
    world.provider.amid = None
    world.clock.forward(23 * HOUR)
    world.provider.objects.append(answer(HELD, as_of=world.clock()))
    assert await run(world) == (0, 1)
    world.clock.forward(HOUR)
    world.provider.objects.append(answer(HELD, as_of=world.clock()))
    assert await run(world) == (1, 0)
    after, attempts = await world.now(intent)
    assert (after.status, after.pending_operation) == (Status.REQUIRES_CAPTURE, None)
    assert attempts[-1].state is AttemptState.REJECTED
    assert len(world.provider.standing) == 1
    world.clock.forward(1)
    world.provider.answers.append(answer(taken(), as_of=world.clock()))
    assert (await capture(world, after)).status is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]


async def test_those_that_stay_in_doubt_do_not_hide_the_younger(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paygate.flows.payments.sweeps.resolve.PAGE", 2)
    for _ in range(5):
        await lost(world)
    world.clock.forward(1)
    world.provider.answers.append(Answer(Unknown("reset"), provider_reference=THEIRS))
    intent = await world.confirm(await world.create())
    world.clock.forward(HOUR)
    world.provider.objects = [Absent()]  # the list ends in silence

    async def retrieve(reference: str, *, timeout_seconds: float) -> Answer:
        return answer(APPROVED, provider_reference=reference)

    monkeypatch.setattr(world.provider, "retrieve", retrieve)
    assert await run(world) == (1, 5)
    assert await status(world, intent) is Status.SUCCEEDED
