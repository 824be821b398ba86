"""What the provider's events tell of refunds and captures made there: each is booked once, with its
own amount, or not at all.
"""

from typing import Any

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import Approved, Pending
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import EventStatus
from paygate.domain.refunds.outcome import RefundAnswer, Refunded
from paygate.domain.refunds.refund import Refund
from paygate.flows.refunds.find import apply_refund
from paygate.providers.contract import Notice
from tests.flows.payments.test_holds import held
from tests.flows.refunds.stories import GONE, check_books, of_the_dashboard, paid, refund, shown
from tests.flows.world import CARD, World, notice

ELSEWHERE = Approved(captured=True, amount_received=1999, amount_capturable=0, payment_method=CARD)


def news(said: RefundAnswer, number: int = 1) -> Notice:
    """An event of a refund."""
    return Notice(
        provider_reference=f"evt_refund_{number}",
        type="refund.created",
        created_at=said.as_of,
        livemode=False,
        refund=said,
    )


async def heard(world: World, said: RefundAnswer, number: int = 1) -> Any:
    """The event's end; the provider shows the refund when it is asked."""
    world.provider.refunds_shown[str(said.provider_reference)] = said
    return await world.applied(news(said, number))


async def test_an_event_without_an_amount_books_nothing_and_is_told_once(world: World) -> None:
    """Never the whole by default (R9)."""
    intent = await paid(world)
    event = await heard(world, of_the_dashboard(world, None))
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "refund_tells_too_little")
    assert await world.all(Refund) == []
    assert (await check_books(world, intent)).amount_refundable == 1999
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.WEBHOOK_DEAD_LETTER


async def test_twelve_refunds_of_the_dashboard_are_twelve(world: World) -> None:
    """By their own ids, however often and in whatever order each is told (R15, R18)."""
    intent = await paid(world)
    said = [of_the_dashboard(world, 100, provider_reference=f"re_{number}") for number in range(12)]
    for number, each in enumerate([*reversed(said), *said]):
        await heard(world, each, number)
    refunds = await world.all(Refund)
    assert {r.provider_reference for r in refunds} == {r.provider_reference for r in said}
    assert len(refunds) == len(said)
    assert (await check_books(world, intent)).amount_refunded == 1200


async def test_what_was_captured_elsewhere_is_given_back_once_that_is_known(world: World) -> None:
    """A hold has nothing to refund, and no way here voids one for a refund (R3)."""
    intent = await held(world)
    _, (attempt,) = await world.now(intent)
    with pytest.raises(Refusal) as refused:
        await refund(world, intent, 1250)
    assert refused.value.code is ErrorCode.NOTHING_TO_REFUND
    await world.applied(notice(attempt, ELSEWHERE))
    after = await refund(world, intent, 1250)
    assert (after.status, [order.amount for order in world.provider.refunded]) == (
        "succeeded",
        [1250],
    )
    assert (await check_books(world, intent)).amount_refundable == 749


async def test_a_debit_that_has_not_cleared_has_nothing_to_refund(world: World) -> None:
    """Nor has it when it fails at last: the ledger stays empty (R29)."""
    intent, _ = await world.confirming(Pending())
    assert intent.status is Status.PROCESSING
    with pytest.raises(Refusal) as refused:
        await refund(world, intent)
    assert refused.value.code is ErrorCode.NOTHING_TO_REFUND
    assert world.provider.refunded == []
    assert (await check_books(world, intent)).money_seq == 0


async def test_a_look_up_that_others_overtook_in_its_second_moves_nothing_back(
    world: World,
) -> None:
    """While a look-up's answer is on its way, another applies that the refund failed, of the same
    second by the provider's clock: what the first was shown is older.
    """
    intent = await paid(world)
    given = await refund(world, intent, 500)
    succeeded = await shown(world, given, Refunded())
    traced = msgspec.structs.replace(succeeded, tracking_reference="arn_1")
    failed = msgspec.structs.replace(succeeded, outcome=GONE)
    first = msgspec.structs.replace(succeeded, tracking_reference="arn_0")
    await apply_refund(world.ctx, world.caller, first)  # of that second, so that the next is a tie
    world.provider.refunds_shown[str(succeeded.provider_reference)] = traced

    async def fail() -> None:
        world.provider.refunds_shown[str(succeeded.provider_reference)] = failed
        await apply_refund(world.ctx, world.caller, failed)

    world.provider.amid_refund_look = fail
    await apply_refund(world.ctx, world.caller, traced)
    (after,) = await world.all(Refund)
    assert (after.status, after.failure and after.failure.code) == ("failed", GONE.code)
    assert (await check_books(world, intent)).amount_refundable == 1999
