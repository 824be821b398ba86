"""Refunds of a payment that is disputed: refused while the bank may take the same money."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import NotSent
from paygate.domain.refunds.outcome import RefundAnswer, RefundRejected
from paygate.domain.refunds.refund import Refund, RefundState, RefundStatus
from paygate.flows.refunds.approve import approve_refund
from paygate.flows.refunds.resolve import resolve_refunds
from paygate.providers.contract import RefundOrder
from tests.domain.disputes.made import BACK, TAKEN, row
from tests.flows.disputes.stories import check_books, disputed, look_up, paid, said, shown
from tests.flows.refunds.stories import person, refund, use_limits
from tests.flows.world import World

ANA, BEA = person(1, "ana@shop.example"), person(2, "bea@shop.example")


async def refused(world: World, do: Callable[[], Awaitable[object]]) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        await do()
    return refusal.value


@pytest.mark.parametrize("status", ["needs_response", "under_review"])
@pytest.mark.parametrize("amount", [None, 1, 1999])
async def test_an_open_chargeback_refuses_every_refund(
    world: World, status: str, amount: int | None
) -> None:
    intent = await paid(world)
    await disputed(world, status, row("t", -500, 1500), amount=500)
    refusal = await refused(world, lambda: refund(world, intent, amount))
    assert refusal.code is ErrorCode.PAYMENT_DISPUTED
    assert "the same money back twice" in refusal.message
    assert world.provider.refunded == []
    assert await world.all(Refund) == []


async def test_all_disputes_of_the_payment_count(world: World) -> None:
    """One won and one open: refused. Both won: allowed."""
    intent = await paid(world)
    first, second = row("a", -1000), row("b", -999)
    opened = {"amount": 1000}
    await look_up(world, shown(world, said(world, "won", first, row("c", 1000), **opened), "du_1"))
    await look_up(world, shown(world, said(world, "needs_response", second), "du_2"))
    refusal = await refused(world, lambda: refund(world, intent, 100))
    assert refusal.code is ErrorCode.PAYMENT_DISPUTED
    await look_up(world, shown(world, said(world, "won", second, row("d", 999)), "du_2"))
    assert (await refund(world, intent, 1999)).status is RefundStatus.SUCCEEDED


async def test_what_was_lost_is_not_refunded_again(world: World) -> None:
    intent = await paid(world)
    await disputed(world, "lost", row("t", -1500, 1500), amount=1500)
    refusal = await refused(world, lambda: refund(world, intent, 500))
    assert refusal.code is ErrorCode.AMOUNT_TOO_LARGE
    assert (await refund(world, intent)).amount == 499
    refusal = await refused(world, lambda: refund(world, intent))
    assert refusal.code is ErrorCode.NOTHING_TO_REFUND
    assert "1500 was withdrawn for disputes" in refusal.message
    now = await check_books(world, intent)
    assert (now.amount_refunded, now.amount_disputed) == (499, 1500)


async def test_an_inquiry_lets_refunds_pass_and_says_what_they_do(world: World) -> None:
    intent = await paid(world)
    await disputed(world, "warning_needs_response")
    part = await refund(world, intent, 1000)
    assert part.status is RefundStatus.SUCCEEDED
    assert part.notice is not None
    assert "a refund of a part does not close the inquiry" in part.notice
    rest = await refund(world, intent)
    assert rest.notice is not None
    assert "a full refund closes the inquiry" in rest.notice


async def test_without_an_inquiry_there_is_nothing_to_say(world: World) -> None:
    intent = await paid(world)
    await disputed(world, "warning_closed")
    assert (await refund(world, intent)).notice is None


async def test_where_the_provider_says_otherwise_it_wins(world: World) -> None:
    intent = await paid(world)
    await disputed(world, "warning_needs_response", refundable=False)
    refusal = await refused(world, lambda: refund(world, intent, 1000))
    assert refusal.code is ErrorCode.PAYMENT_DISPUTED


async def test_an_approval_looks_again(world: World) -> None:
    """Waiting on the first day, disputed on the second, approved on the third: refused, and its
    amount is free.
    """
    use_limits(world, refund_approval_above={"eur": 500})
    intent = await paid(world)
    waiting = await refund(world, intent, 900, ANA)
    world.clock.forward(86_400)
    taken = row("t", -500, 1500)
    await disputed(world, "needs_response", taken, amount=500)
    refusal = await refused(world, lambda: approve_refund(world.ctx, BEA, waiting.id))
    assert refusal.code is ErrorCode.PAYMENT_DISPUTED
    assert world.provider.refunded == []
    (after,) = await world.all(Refund)
    assert after.failure is not None
    assert (after.state, after.failure.code) == (RefundState.FAILED, "payment_disputed")
    now = await check_books(world, intent)
    assert (now.amount_refund_pending, now.amount_refundable) == (0, 1499)


async def test_a_dispute_that_arrives_amid_a_refund_counts_beside_it(world: World) -> None:
    """The refund was written down before the dispute, and the provider takes it: both facts stand,
    each once, and nothing more can be refunded.
    """
    intent = await paid(world)
    answer = shown(world, said(world, "needs_response", TAKEN))

    async def arrive(_: RefundOrder) -> None:
        await look_up(world, answer)

    world.provider.amid_refund = arrive
    assert (await refund(world, intent, 600)).status is RefundStatus.SUCCEEDED
    now = await check_books(world, intent)
    assert (now.amount_refunded, now.amount_disputed, now.amount_refundable) == (600, 1999, 0)
    world.provider.amid_refund = None
    refusal = await refused(world, lambda: refund(world, intent, 100))
    assert refusal.code is ErrorCode.PAYMENT_DISPUTED


async def test_a_refund_and_a_dispute_at_the_same_moment(world: World) -> None:
    """Whichever commits first: the other one sees it, and both are booked as they happened."""
    intent = await paid(world)
    answer = shown(world, said(world, "needs_response", row("t", -500, 1500), amount=500))
    asked = [refund(world, intent, 100) for _ in range(6)]
    outcomes = await asyncio.gather(look_up(world, answer), *asked, return_exceptions=True)
    refused_ = [o for o in outcomes if isinstance(o, Refusal)]
    made = [o for o in outcomes if isinstance(o, Refund)]
    assert len(made) + len(refused_) == 6, outcomes
    assert {o.code for o in refused_} <= {ErrorCode.PAYMENT_DISPUTED}
    now = await check_books(world, intent)
    assert (now.amount_refunded, now.amount_disputed) == (100 * len(made), 500)
    assert len(world.provider.refunded) == len(made), "what was refused was not sent"


async def test_a_dispute_that_arrives_first_at_the_provider_fails_the_refund(world: World) -> None:
    intent = await paid(world)
    answer = shown(world, said(world, "needs_response", TAKEN))

    async def arrive(_: RefundOrder) -> None:
        await look_up(world, answer)

    world.provider.amid_refund = arrive
    no = RefundRejected("charge_disputed", "The payment is disputed.")
    world.provider.refunding.append(RefundAnswer(no))
    assert (await refund(world, intent, 600)).status is RefundStatus.FAILED
    now = await check_books(world, intent)
    assert (now.amount_refunded, now.amount_refund_pending) == (0, 0)


async def test_a_refund_that_was_never_sent_is_not_sent_any_more(world: World) -> None:
    """The provider was away, and the dispute came meanwhile."""
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(NotSent("no connection")))
    refusal = await refused(world, lambda: refund(world, intent, 600))
    assert refusal.code is ErrorCode.PROVIDER_UNAVAILABLE
    await disputed(world, "needs_response", TAKEN)
    world.clock.forward(120)
    await resolve_refunds(world.ctx, "run_1")
    (after,) = await world.all(Refund)
    assert after.failure is not None
    assert (after.state, after.failure.code) == (RefundState.FAILED, "payment_disputed")
    assert len(world.provider.refunded) == 1
    now = await check_books(world, intent)
    assert (now.amount_refund_pending, now.pending_operation) == (0, None)
    await disputed(world, "won", TAKEN, BACK)
    assert (await refund(world, intent)).status is RefundStatus.SUCCEEDED
