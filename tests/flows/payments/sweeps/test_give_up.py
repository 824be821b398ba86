"""A payment that was made at the provider and never confirmed there is closed, once nothing of ours
can confirm it any longer; a saved error does not hide how a payment stands; an id that the provider
gave us and does not know any more ends nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.payments.attempt import OPEN, Attempt, AttemptState, missed
from paygate.domain.payments.outcome import Answer, Cancelled, Outcome, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.attempt.begin import commit_progress
from paygate.flows.payments.attempt.work import Work
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.providers.absence import Absent
from paygate.providers.contract import ClockSkew
from tests.flows.payments.sweeps.test_close_overdue_attempts import CHALLENGE
from tests.flows.payments.sweeps.test_resolve_attempts import (
    HOUR,
    LOST,
    MINUTE,
    lost,
    run,
    sent_twice,
    status,
    theirs,
)
from tests.flows.payments.test_holds import HELD, cancel, capture, held, later, ledger, taken
from tests.flows.payments.transfers import notice_at
from tests.flows.world import APPROVED, INSTALLATION, THEIRS, World, answer

IDLE = Unknown("the payment waits for its confirmation", idle=True)
CLOSED = Cancelled("requested_by_customer")
WINDOW = 2 * MINUTE
IN_FLIGHT = 35
"""The provider's deadline, and a margin."""


def shown(attempt: Attempt, outcome: Outcome) -> Answer:
    """The payment in the provider's list."""
    return answer(outcome, attempt=attempt.id, installation=INSTALLATION)


async def never_taken_up(world: World, intent: PaymentIntent) -> None:
    """It has failed, once, and nobody was charged."""
    after, (attempt,) = await world.now(intent)
    assert after.last_payment_error is not None
    assert (after.status, after.last_payment_error.code) == (Status.FAILED, "provider_unavailable")
    assert "nothing was charged" in after.last_payment_error.message
    assert (attempt.state, after.pending_operation) == (AttemptState.CANCELLED, None)
    assert (await world.event_types(intent))[-1] == "payment_intent.failed"
    assert await ledger(world) == []


@pytest.mark.parametrize("known", [False, True])
async def test_an_idle_payment_is_closed_after_the_window(world: World, known: bool) -> None:
    if known:
        intent, attempt = await world.confirming(IDLE)
    else:
        intent, attempt = await lost(world)
    world.clock.forward(WINDOW + IN_FLIGHT - 1)
    world.provider.objects = [shown(attempt, IDLE)]
    assert await run(world) == (0, 1)
    assert world.provider.standing == [], "a sending of ours may be under way"
    assert await status(world, intent) is Status.PROCESSING
    world.clock.forward(1)
    # By its id now, however it was found: it is known.
    world.provider.objects = [shown(attempt, IDLE)]
    world.provider.answers.append(answer(CLOSED, as_of=world.clock()))
    assert await run(world) == (1, 0)
    assert len(world.provider.cancel_keys()) == 1
    await never_taken_up(world, intent)


async def test_the_wish_to_close_an_idle_payment_is_durable_first(world: World) -> None:
    """Whoever brings its end makes the same of it: here the event, before the reply."""
    intent, attempt = await world.confirming(IDLE)

    async def deliver() -> None:
        world.provider.amid = None
        waiting, (given_up,) = await world.now(intent)
        assert (waiting.status, given_up.given_up) == (Status.PROCESSING, True)
        event = await world.applied(notice_at(attempt, CLOSED, 200))
        assert event.verdict == "applied"

    world.provider.amid = deliver
    world.clock.forward(WINDOW + IN_FLIGHT)
    world.provider.objects = [shown(attempt, IDLE)]
    world.provider.answers.append(LOST)
    assert await run(world) == (1, 0)
    await never_taken_up(world, intent)


async def test_an_idle_payment_that_was_confirmed_meanwhile_has_paid(world: World) -> None:
    intent, attempt = await world.confirming(IDLE)
    world.clock.forward(WINDOW + IN_FLIGHT)
    world.provider.objects = [shown(attempt, IDLE)]
    world.provider.answers.append(answer(APPROVED, as_of=world.clock()))
    assert await run(world) == (1, 0)
    assert await status(world, intent) is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]


async def test_only_the_providers_word_ends_an_idle_payment(world: World) -> None:
    """Its cancel is asked for until it is told, each time under a key of its own."""
    intent, attempt = await world.confirming(IDLE)
    world.clock.forward(WINDOW + IN_FLIGHT)
    for times in (1, 2, 3):
        world.provider.objects = [shown(attempt, IDLE)] * 2
        world.provider.answers.append(LOST)
        assert await run(world) == (0, 1)
        assert await status(world, intent) is Status.PROCESSING
        assert len(set(world.provider.cancel_keys())) == times
        world.clock.forward(MINUTE)
    world.provider.answers.append(LOST)
    world.provider.objects = [answer(CLOSED, as_of=world.clock())]
    assert await run(world) == (1, 0)
    await never_taken_up(world, intent)


async def test_an_idle_payment_that_was_sent_again_waits_for_that(world: World) -> None:
    """Its own caller came back much later: the request is on its way, and may confirm it."""
    intent = await sent_twice(world, HOUR)
    _, (attempt,) = await world.now(intent)
    for seconds, ended in ((IN_FLIGHT - 1, 0), (1, 1)):
        world.clock.forward(seconds)
        world.provider.objects = [shown(attempt, IDLE)]
        world.provider.answers = [answer(CLOSED, as_of=world.clock())]
        assert await run(world) == (ended, 1 - ended)
        assert len(world.provider.cancel_keys()) == ended
    await never_taken_up(world, intent)


@pytest.mark.parametrize(
    "skew", [None, ClockSkew(timedelta(minutes=10), timedelta(seconds=1))], ids=["none", "far"]
)
async def test_a_node_whose_clock_may_be_wrong_closes_nothing(
    world: World, skew: ClockSkew | None
) -> None:
    intent, attempt = await world.confirming(IDLE)
    world.clock.forward(HOUR)
    world.provider.skew = skew
    world.provider.objects = [shown(attempt, IDLE)]
    assert await run(world) == (0, 1)
    assert (world.provider.standing, await status(world, intent)) == ([], Status.PROCESSING)


async def test_a_payer_who_must_act_after_all_is_not_waited_for(world: World) -> None:
    """A late request of ours has begun it, when it was given up already: it is closed as it is."""
    intent, attempt = await world.confirming(IDLE)
    world.clock.forward(WINDOW + IN_FLIGHT)
    world.provider.objects = [shown(attempt, IDLE)]
    world.provider.answers.append(LOST)
    await run(world)
    await world.applied(notice_at(attempt, CHALLENGE, 200))
    assert await status(world, intent) is Status.REQUIRES_ACTION
    world.clock.forward(1)
    world.provider.answers.append(answer(CLOSED, as_of=world.clock()))
    assert await close_overdue_attempts(world.ctx, "run_2") == 1
    assert await status(world, intent) is Status.FAILED


async def test_a_capture_whose_saved_answer_is_an_error_is_looked_up(world: World) -> None:
    """The provider gives its own 500 again for a day; the payment says what became of it."""
    intent = await held(world)
    world.provider.answers.append(LOST)
    await capture(world, intent)
    world.clock.forward(MINUTE)
    world.provider.answers.append(LOST)
    world.provider.objects.append(answer(HELD, as_of=world.clock()))
    assert await run(world) == (0, 1), "sent again, and not done: it stands"
    world.clock.forward(MINUTE)
    world.provider.answers.append(LOST)
    world.provider.objects.append(later(taken()))
    assert await run(world) == (1, 0)
    assert len(set(map(msgspec.json.encode, world.provider.standing))) == 1
    assert await status(world, intent) is Status.SUCCEEDED
    assert await ledger(world) == [(1, 1999)]


async def test_a_cancel_whose_saved_answer_is_an_error_is_looked_up(world: World) -> None:
    intent = await held(world)
    world.provider.answers.append(LOST)
    await cancel(world, intent)
    for _ in range(2):
        world.clock.forward(MINUTE)
        world.provider.answers.append(LOST)
        world.provider.objects.append(answer(HELD, as_of=world.clock()))
        assert await run(world) == (0, 1)
    assert len(set(world.provider.cancel_keys())) == 3, "an error is remembered with its key"
    world.clock.forward(MINUTE)
    world.provider.answers.append(LOST)
    world.provider.objects.append(later(CLOSED))
    assert await run(world) == (1, 0)
    after, _ = await world.now(intent)
    assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "out of stock")


async def test_a_confirm_whose_saved_answer_names_the_payment_is_looked_up(world: World) -> None:
    """While the payer is there, too."""
    intent, _ = await world.confirming(Unknown("500"))
    world.clock.forward(MINUTE)
    world.provider.answers.append(LOST)
    world.provider.objects.append(answer(APPROVED, as_of=world.clock()))
    assert await run(world) == (1, 0)
    assert (len(world.provider.orders), world.provider.retrieved) == (2, [THEIRS])
    assert await status(world, intent) is Status.SUCCEEDED


async def test_what_was_found_without_an_end_is_asked_for_by_its_id(world: World) -> None:
    """Its list is read no more, and its id is kept: what is absent then is another account's."""
    intent, attempt = await lost(world)
    world.clock.forward(3 * MINUTE)
    world.provider.objects = [shown(attempt, Unknown("the payment's status is new_word"))]
    assert await run(world) == (0, 1)
    found, (known,) = await world.now(intent)
    assert found.provider_reference == known.provider_reference == THEIRS
    world.clock.forward(MINUTE)
    world.provider.objects = [theirs(attempt)]
    assert await run(world) == (1, 0)
    assert world.provider.retrieved == [THEIRS]


async def test_an_id_that_becomes_known_while_the_list_is_read_is_asked_for(world: World) -> None:
    """The list does not show the payment, and it has arrived all the same."""
    intent, attempt = await lost(world)
    caller = msgspec.structs.replace(world.caller, merchant=intent.merchant)

    turn = asyncio.Lock()

    async def read(_: datetime, __: datetime) -> AsyncIterator[Answer]:
        async with turn:  # pieces are read at once, and the world has one connection
            now, (open_,) = await world.now(intent)
            if now.provider_reference is None:
                known = missed(open_, world.clock())
                work = Work(caller, Action.ATTEMPT_RESOLVE, now, open_)
                await commit_progress(world.ctx, work, known, provider_reference=THEIRS)
        yield answer(APPROVED, attempt="at_other", installation=INSTALLATION)

    world.provider.listing = read
    for _ in range(3):
        world.clock.forward(11 * MINUTE)
        world.provider.objects = [Absent()]
        assert await run(world) == (0, 1)
        assert await status(world, intent) is Status.PROCESSING
    world.clock.forward(11 * MINUTE)
    world.provider.objects = [theirs(attempt)]
    assert await run(world) == (1, 0)
    assert world.provider.retrieved == [THEIRS] * 4


async def in_doubt(world: World, operation: str) -> PaymentIntent:
    """A payment with an id of the provider's, in doubt."""
    if operation == "confirm":
        intent, _ = await world.confirming(Unknown("the provider's payment is of another amount"))
        return intent
    intent = await held(world)
    world.provider.answers.append(LOST)
    return await (capture if operation == "capture" else cancel)(world, intent)


@pytest.mark.parametrize("operation", ["confirm", "capture", "cancel", "refused capture"])
async def test_a_payment_that_the_provider_gave_us_has_not_vanished(
    world: World, operation: str
) -> None:
    """Another account's key: a person is told at once, in words of its own, and nothing ends."""
    intent = await in_doubt(world, operation.rpartition(" ")[2])
    refused = Answer(Rejected("order_refused", "no such payment"))
    for _ in range(3):
        world.clock.forward(11 * MINUTE)
        if operation != "confirm":
            world.provider.answers = [refused if operation == "refused capture" else LOST]
        world.provider.objects = [Absent()]
        assert await run(world) == (0, 1)
        now, attempts = await world.now(intent)
        assert (now.status, attempts[-1].state in OPEN) == (intent.status, True)
        assert now.last_payment_error is None
        (alert,) = await world.all(Alert)
        assert (alert.problem.type, alert.count) == (AlertType.ATTEMPT_UNRESOLVED, 1)
        assert alert.problem.severity == "critical"
        assert THEIRS in alert.problem.message
    # The key is set right again.
    world.clock.forward(MINUTE)
    world.provider.answers = [LOST]
    end = answer(CLOSED if operation == "cancel" else taken(), as_of=world.clock())
    world.provider.objects = [end]
    assert await run(world) == (1, 0)
    ended = Status.CANCELLED if operation == "cancel" else Status.SUCCEEDED
    assert await status(world, intent) is ended
