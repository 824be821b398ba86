"""Payments whose time is over, and of which something cannot be seen: the action, the reply, or the
payment itself.
"""

from datetime import timedelta

import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.payments.attempt import OPEN, AttemptState
from paygate.domain.payments.outcome import ActionRequired, Pending
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.providers.absence import Absent
from tests.flows.payments.sweeps.test_close_overdue_attempts import (
    CHALLENGE,
    CLOSED,
    HOUR,
    LOST,
    abandoned,
    overdue,
    run,
)
from tests.flows.payments.transfers import at, notice_at
from tests.flows.world import THEIRS, World, answer


@pytest.mark.parametrize("first", ["reply", "event"])
async def test_an_action_that_nobody_can_be_shown_is_closed_in_time(
    world: World, first: str
) -> None:
    """The provider waits for something that we have no page for: micro-deposits, a wallet's own."""
    hidden = ActionRequired(None)
    if first == "reply":
        intent, attempt = await world.confirming(hidden)
    else:
        intent, attempt = await world.confirming(Pending())
        await world.applied(notice_at(attempt, hidden, 5))
        intent, (attempt,) = await world.now(intent)
    assert (intent.status, intent.next_action, intent.pending_operation) == (
        Status.REQUIRES_ACTION,
        None,
        None,
    )
    assert attempt.state is AttemptState.ACTION_REQUIRED
    world.clock.time = attempt.created_at + timedelta(seconds=HOUR - 1)
    assert (await run(world), world.provider.standing) == (0, [])
    world.clock.forward(1)
    world.provider.answers.append(at(HOUR, CLOSED))
    assert await run(world) == 1
    after, (closed,) = await world.now(intent)
    assert after.last_payment_error is not None
    assert (after.status, after.last_payment_error.code) == (
        Status.FAILED,
        "authentication_abandoned",
    )
    assert closed.state is AttemptState.CANCELLED
    assert world.provider.retrieved == [], "it is not the provider who works on"


@pytest.mark.parametrize("waits", [CHALLENGE, Pending()])
async def test_what_the_provider_does_not_know_any_more_is_told(
    world: World, waits: ActionRequired | Pending
) -> None:
    """It gave us the id: another account was asked, and that ends nothing."""
    intent, _ = await world.confirming(waits)
    for times in (1, 2):
        world.clock.forward(HOUR)
        if waits is CHALLENGE:
            world.provider.answers.append(LOST)
        world.provider.objects.append(Absent())
        assert await run(world) == 0
        now, (attempt,) = await world.now(intent)
        assert (now.status, attempt.state in OPEN) == (intent.status, True)
        (alert,) = await world.all(Alert)
        assert (alert.problem.type, alert.count) == (AlertType.ATTEMPT_UNRESOLVED, times)
        assert THEIRS in alert.problem.message
        assert alert.problem.severity == "critical"


async def test_a_cancel_that_tells_nothing_is_looked_up_in_the_same_run(world: World) -> None:
    """The provider keeps a 500 of its own with a key: the payment itself says that it is closed."""
    intent, _ = await overdue(world)
    world.provider.answers.append(LOST)
    world.provider.objects.append(at(HOUR, CLOSED))
    assert await run(world) == 1
    await abandoned(world, intent)
    assert world.provider.retrieved == [THEIRS]


async def test_those_that_cannot_be_closed_do_not_hide_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault strikes a whole page of them, at every run."""
    monkeypatch.setattr("paygate.flows.payments.sweeps.close_overdue.PAGE", 2)
    for number in range(5):
        world.provider.answers.append(answer(CHALLENGE, provider_reference=f"ref_{number}"))
        await world.confirm(await world.create())
        world.clock.forward(1)

    async def fail() -> None:
        order = world.provider.standing[-1]
        if order.provider_reference != "ref_4":
            raise RuntimeError("a bug")

    world.provider.amid = fail
    world.clock.forward(HOUR)
    for _ in range(2):
        world.provider.answers = [answer(CLOSED, provider_reference=None, as_of=None)]
        with pytest.raises(RuntimeError):
            await run(world)
    ended = [i for i in await world.all(PaymentIntent) if i.status is Status.FAILED]
    assert [i.provider_reference for i in ended] == ["ref_4"]
