"""A debit whose payer must prove the account: deposits take days, and so may the payer."""

from datetime import timedelta

from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    BankTransfer,
    Cancelled,
    RedirectToUrl,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from tests.flows.payments.transfers import BY_DEBIT, DEBIT, at, paying
from tests.flows.world import World, answer

HOUR, DAY = 3_600, 86_400
PAGE = "https://provider.example/microdeposits/1"
PROVING = ActionRequired(RedirectToUrl(PAGE), BankTransfer("debit"))


async def proving(world: World) -> PaymentIntent:
    intent, _ = await paying(world, PROVING, DEBIT)
    assert (intent.status, intent.next_action) == (Status.REQUIRES_ACTION, RedirectToUrl(PAGE))
    assert intent.payment_method == BankTransfer("debit")
    return intent


async def looked_at(world: World, seconds: float) -> None:
    """The clock goes on; the provider is asked, and still waits."""
    world.clock.forward(seconds)
    world.provider.objects.append(answer(PROVING, as_of=world.clock()))
    await close_overdue_attempts(world.ctx, "run_1")
    assert world.provider.objects == []


async def test_the_payer_has_days_and_the_end_is_found(world: World) -> None:
    intent = await proving(world)
    for seconds in (HOUR, HOUR, 5 * DAY, 7 * DAY):
        await looked_at(world, seconds)
        waiting, (attempt,) = await world.now(intent)
        assert (waiting.status, attempt.state) == (
            Status.REQUIRES_ACTION,
            AttemptState.ACTION_REQUIRED,
        )
        assert waiting.next_action == RedirectToUrl(PAGE)
    assert world.provider.standing == []
    world.clock.forward(HOUR)
    paid = Approved(True, 1999, 0, BY_DEBIT)
    world.provider.objects.append(answer(paid, as_of=world.clock()))
    await close_overdue_attempts(world.ctx, "run_1")
    after, _ = await world.now(intent)
    assert (after.status, after.payment_method) == (Status.SUCCEEDED, BY_DEBIT)


async def test_after_the_time_of_a_transfer_it_is_closed(world: World) -> None:
    intent = await proving(world)
    world.clock.forward(world.ctx.policy.bank_transfer_ttl.total_seconds())
    world.provider.answers.append(at(14 * DAY, Cancelled("requested_by_customer")))
    await close_overdue_attempts(world.ctx, "run_1")
    after, (attempt,) = await world.now(intent)
    assert (after.status, attempt.state) == (Status.FAILED, AttemptState.CANCELLED)
    assert len(world.provider.standing) == 1
    assert world.ctx.policy.bank_transfer_ttl > timedelta(days=10), "the provider's own limit"
