"""What was not sent: certain where nobody answered, and looked for where somebody did, who may have
been a proxy that had sent it.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from paygate.domain.alert import Alert
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Cancelled,
    NotSent,
    Outcome,
    Pending,
    RedirectToUrl,
    Rejected,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.providers.absence import Absent
from tests.flows.world import APPROVED, INSTALLATION, World, answer, notice
from tests.making import START

ANSWERED = NotSent("the provider limits our rate", answered=True)
UNREACHABLE = NotSent("the provider cannot be reached")


async def not_sent(world: World, why: NotSent) -> tuple[PaymentIntent, Attempt]:
    world.provider.answers.append(Answer(why))
    intent = await world.create()
    with pytest.raises(Refusal):
        await world.confirm_once(intent, "pay")
    after, (attempt,) = await world.now(intent)
    assert (attempt.state, attempt.answered) == (AttemptState.NOT_SENT, why.answered)
    return after, attempt


async def tried_again(world: World, intent: PaymentIntent, why: NotSent) -> None:
    world.clock.forward(10)
    world.provider.answers.append(Answer(why))
    with pytest.raises(Refusal):
        await world.confirm_once(intent, "pay")


async def later(world: World) -> None:
    world.clock.forward(180)
    await resolve_attempts(world.ctx, "run")


async def test_what_nobody_answered_has_failed_after_the_window(world: World) -> None:
    """However silent the provider is: nothing went out."""
    intent, _ = await not_sent(world, UNREACHABLE)
    world.provider.objects = [Absent()]
    await later(world)
    after, _ = await world.now(intent)
    assert after.status is Status.FAILED
    assert after.last_payment_error is not None
    assert after.last_payment_error.code == "provider_unavailable"


async def test_a_charge_that_an_answer_hid_is_found(world: World) -> None:
    intent, attempt = await not_sent(world, ANSWERED)
    world.provider.objects = [answer(APPROVED, attempt=attempt.id, installation=INSTALLATION)]
    await later(world)
    after, (attempt,) = await world.now(intent)
    assert (after.status, attempt.state) == (Status.SUCCEEDED, AttemptState.APPROVED)
    assert await world.all(Alert) == []


async def test_what_an_answer_did_not_hide_has_failed(world: World) -> None:
    intent, _ = await not_sent(world, ANSWERED)

    async def nothing(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        for _ in ():
            yield answer(APPROVED)

    world.provider.listing = nothing
    await later(world)
    assert (await world.now(intent))[0].status is Status.FAILED


async def test_what_could_not_be_looked_for_has_not_failed(world: World) -> None:
    intent, _ = await not_sent(world, ANSWERED)
    world.provider.objects = [Absent()]
    await later(world)
    assert (await world.now(intent))[0].status is Status.PROCESSING


@pytest.mark.parametrize(
    ("outcome", "status", "state"),
    [
        (Pending(), Status.PROCESSING, AttemptState.PENDING),
        (
            ActionRequired(RedirectToUrl("https://bank.example")),
            Status.REQUIRES_ACTION,
            AttemptState.ACTION_REQUIRED,
        ),
        (Cancelled("expired"), Status.CANCELLED, AttemptState.CANCELLED),
    ],
)
async def test_an_event_proves_that_it_was_sent(
    world: World, outcome: Outcome, status: Status, state: AttemptState
) -> None:
    intent, attempt = await not_sent(world, ANSWERED)
    event = await world.applied(notice(attempt, outcome, as_of=START + timedelta(seconds=5)))
    after, (attempt,) = await world.now(intent)
    assert (event.verdict, after.status, attempt.state) == ("applied", status, state)
    assert after.provider_reference is not None
    await later(world)
    assert (await world.now(intent))[0].status is status


async def test_a_later_try_that_nobody_answered_makes_nothing_certain(world: World) -> None:
    """The first may have charged, whatever is known of the second."""
    intent, attempt = await not_sent(world, ANSWERED)
    await tried_again(world, intent, UNREACHABLE)
    with pytest.raises(Refusal) as refused:
        await cancel_payment_intent(world.ctx, world.caller, intent.id)
    assert refused.value.code is ErrorCode.OPERATION_PENDING
    world.provider.objects = [answer(APPROVED, attempt=attempt.id, installation=INSTALLATION)]
    await later(world)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_a_later_try_that_our_key_was_refused_for_makes_nothing_certain(
    world: World,
) -> None:
    intent, attempt = await not_sent(world, ANSWERED)
    world.clock.forward(10)
    world.provider.answers.append(Answer(Rejected("provider_configuration", "no such key")))
    answered = await world.confirm_once(intent, "pay")
    assert b'"processing"' in answered.body
    world.provider.objects = [answer(APPROVED, attempt=attempt.id, installation=INSTALLATION)] * 2
    await later(world)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_what_is_tried_again_while_it_is_looked_for_has_not_failed(world: World) -> None:
    """The list was read before: of the last sending it tells nothing."""
    intent, _ = await not_sent(world, ANSWERED)

    async def nothing(since: datetime, until: datetime) -> AsyncIterator[Answer]:
        for _ in ():
            yield answer(APPROVED)
        if len(world.provider.orders) == 1:
            await tried_again(world, intent, ANSWERED)

    world.provider.listing = nothing
    await later(world)
    after, (attempt,) = await world.now(intent)
    assert (after.status, attempt.state) == (Status.PROCESSING, AttemptState.NOT_SENT)
    await later(world)
    assert (await world.now(intent))[0].status is Status.FAILED


@pytest.mark.parametrize("why", [ANSWERED, UNREACHABLE])
async def test_only_what_is_certain_is_cancelled_here(world: World, why: NotSent) -> None:
    intent, _ = await not_sent(world, why)
    if why.answered:
        with pytest.raises(Refusal) as refused:
            await cancel_payment_intent(world.ctx, world.caller, intent.id)
        assert refused.value.code is ErrorCode.OPERATION_PENDING
    else:
        after = await cancel_payment_intent(world.ctx, world.caller, intent.id)
        assert after.status is Status.CANCELLED


async def test_a_payer_is_waited_for_from_the_last_sending_alone(world: World) -> None:
    """However often a shop tries again, the patience does not grow."""
    intent, first = await not_sent(world, UNREACHABLE)
    assert first.close_at is not None
    for _ in range(5):
        world.clock.forward(60)
        world.provider.answers.append(Answer(UNREACHABLE))
        with pytest.raises(Refusal):
            await world.confirm_once(intent, "pay")
    (attempt,) = (await world.now(intent))[1]
    assert attempt.close_at == first.close_at + timedelta(minutes=5)
