"""A sender that stood still: a process that is stopped, a machine that is paused, between the
commit and the call. Others end its payment meanwhile; it must not begin a charge when it wakes.
"""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import Refusal
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import AttemptState, Operation
from paygate.domain.payments.outcome import Answer, Approved, Cancelled, NotSent, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.payments.payment_method import PushTransfer
from paygate.flows.context import CommitDoor
from paygate.flows.payments.attempt.conclude import conclude_attempt
from paygate.flows.payments.attempt.work import Work
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.capture import capture_payment_intent
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.storage.change import Change, Verdict
from tests.flows.payments.test_holds import held
from tests.flows.world import APPROVED, REQUEST, World, answer
from tests.making import START

HOUR = 3600


class Frozen:
    """The door, behind which the process stands still once, after its first commit."""

    def __init__(self, world: World, seconds: float) -> None:
        self._door: CommitDoor = world.ctx.door
        self._world = world
        self._seconds = seconds

    async def commit(self, change: Change) -> Verdict:
        verdict = await self._door.commit(change)
        self._world.clock.forward(self._seconds)
        self._seconds = 0
        return verdict


def freeze(world: World, seconds: float) -> World:
    """The world whose next flow stands still behind its first commit."""
    return replace(world, ctx=msgspec.structs.replace(world.ctx, door=Frozen(world, seconds)))


@pytest.mark.parametrize("seconds", [31, 6 * HOUR, -600])
async def test_a_confirm_is_not_sent_late(world: World, seconds: float) -> None:
    """Nor when the clock was set back meanwhile, which tells as little."""
    intent = await world.create()
    after = await freeze(world, seconds).confirm(intent)
    assert world.provider.orders == []
    assert (after.status, after.pending_operation) == (Status.PROCESSING, "confirm")
    (attempt,) = (await world.now(intent))[1]
    assert attempt.state is AttemptState.UNKNOWN


async def test_a_transfer_is_not_sent_late_behind_its_payer(world: World) -> None:
    """The payer was made known to the provider first, and that took hours."""

    async def sleep() -> None:
        world.clock.forward(6 * HOUR)

    world.provider.introducing = sleep
    intent = await world.create(payment_method_types=("bank_transfer",))
    request = Confirmation(instrument=PushTransfer("DE"))
    after = await confirm_payment_intent(world.ctx, world.caller, intent.id, request)
    assert world.provider.orders == []
    assert (after.status, after.pending_operation) == (Status.PROCESSING, "confirm")


async def test_a_confirm_that_is_in_time_is_sent(world: World) -> None:
    world.provider.answers.append(answer(APPROVED))
    after = await freeze(world, 29).confirm(await world.create())
    assert after.status is Status.SUCCEEDED


async def test_its_own_retry_is_written_down_and_sent(world: World) -> None:
    intent = await world.create()
    await freeze(world, HOUR).confirm_once(intent, "k")
    (attempt,) = (await world.now(intent))[1]
    assert world.provider.orders == []
    # It was answered as processing under its key; a request that had died would come again so:
    world.use(claim=attempt.claim)
    world.provider.answers.append(answer(APPROVED, as_of=world.clock()))
    after = await confirm_payment_intent(world.ctx, world.caller, intent.id, REQUEST)
    assert after.status is Status.SUCCEEDED
    (attempt,) = (await world.now(intent))[1]
    assert attempt.sent_again_at == world.clock()


async def test_a_capture_is_not_sent_late(world: World) -> None:
    hold = await held(world)
    late = freeze(world, 31)
    after = await capture_payment_intent(late.ctx, world.caller, hold.id)
    assert world.provider.standing == []
    assert (after.status, after.pending_operation) == (Status.REQUIRES_CAPTURE, "capture")


async def test_a_cancel_is_not_sent_late(world: World) -> None:
    hold = await held(world)
    late = freeze(world, 31)
    after = await cancel_payment_intent(late.ctx, world.caller, hold.id)
    assert world.provider.standing == []
    assert (after.status, after.pending_operation) == (Status.REQUIRES_CAPTURE, "cancel")


NEVER_ARRIVED = Answer(Rejected("provider_unavailable", "nothing was charged"))


async def ended_meanwhile(world: World, *said: Answer) -> PaymentIntent:
    """The end of a confirm that others end as never arrived before its own answer comes."""
    intent = await world.create()

    async def end(_: object) -> None:
        world.provider.during = None
        found, (attempt,) = await world.now(intent)
        work = Work(world.caller, Action.ATTEMPT_RESOLVE, found, attempt)
        ended = await conclude_attempt(world.ctx, work, NEVER_ARRIVED)
        assert ended.status is Status.FAILED

    world.provider.during = end
    world.provider.answers += said
    return await world.confirm(intent)


@pytest.mark.parametrize("ahead", [0, 3600])
async def test_money_that_it_is_told_of_after_the_end_is_a_correction(
    world: World, ahead: int
) -> None:
    """Though the answer's time orders nothing, and the provider does not say more."""
    as_of = world.clock() + timedelta(seconds=ahead)
    after = await ended_meanwhile(world, answer(APPROVED, as_of=as_of))
    assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
    assert len(await world.all(Transfer)) == 1
    assert [a.problem.type for a in await world.all(Alert)] == [AlertType.STATE_CORRECTION]


@pytest.mark.parametrize(
    ("said", "alerts"),
    [(Cancelled(), []), (Unknown("reset"), [AlertType.ORPHAN_CHARGE])],
)
async def test_a_hold_that_it_is_told_of_after_the_end_is_given_back(
    world: World, said: Cancelled | Unknown, alerts: list[AlertType]
) -> None:
    """And where the provider does not say that it is, a person is told."""
    hold = Approved(captured=False, amount_received=0, amount_capturable=1999)
    after = await ended_meanwhile(world, answer(hold), Answer(said))
    assert after.status is Status.FAILED
    assert len(world.provider.standing) == 1
    assert [a.problem.type for a in await world.all(Alert)] == alerts


async def test_a_hold_that_was_captured_before_it_could_be_given_back_is_a_correction(
    world: World,
) -> None:
    hold = Approved(captured=False, amount_received=0, amount_capturable=1999)
    after = await ended_meanwhile(world, answer(hold), answer(APPROVED))
    assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
    assert [a.problem.type for a in await world.all(Alert)] == [AlertType.STATE_CORRECTION]


async def test_what_was_not_sent_goes_on_with_its_own_key(world: World) -> None:
    """Who said that nothing was sent may have sent it: the provider must know the key again."""
    hold = await held(world)
    world.provider.answers += [
        Answer(NotSent("429")),
        answer(APPROVED, as_of=START + timedelta(seconds=1)),
    ]
    world.use(claim="req_capture")
    with pytest.raises(Refusal):
        await capture_payment_intent(world.ctx, world.caller, hold.id)
    after = await capture_payment_intent(world.ctx, world.caller, hold.id)
    assert after.status is Status.SUCCEEDED
    first, second = world.provider.standing
    assert first == second
    attempts = (await world.now(hold))[1]
    assert [a.operation for a in attempts] == [Operation.CONFIRM, Operation.CAPTURE]
