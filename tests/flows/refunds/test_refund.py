"""Refund a payment: reserved before the provider is asked, paid once, never more than was taken."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.domain.payments.payment_intent import Status
from paygate.domain.refunds.outcome import (
    RefundAnswer,
    Refunded,
    RefundFailed,
    RefundRejected,
)
from paygate.domain.refunds.refund import Refund, RefundState, RefundStatus
from paygate.flows.refunds.find import Finding, apply_refund
from paygate.flows.refunds.resolve import resolve_refunds
from paygate.storage.change import StorageError
from tests.flows.refunds.stories import GONE, check_books, paid, refund, shown, told
from tests.flows.world import World


async def test_a_part_and_then_the_rest(world: World) -> None:
    intent = await paid(world)
    part = await refund(world, intent, 500)
    assert (part.status, part.amount, part.pending_reason) == (RefundStatus.SUCCEEDED, 500, None)
    now = await check_books(world, intent)
    assert (now.status, now.amount_refunded, now.amount_refundable) == (
        Status.SUCCEEDED,
        500,
        1499,
    )
    rest = await refund(world, intent)
    assert rest.amount == 1499
    now = await check_books(world, intent)
    assert (now.status, now.amount_refundable, now.pending_operation) == (Status.REFUNDED, 0, None)
    assert await told(world) == [
        *("refund.created", "refund.succeeded"),
        *("refund.created", "refund.succeeded", "payment_intent.refunded"),
    ]
    with pytest.raises(Refusal) as refused:
        await refund(world, intent, 1)
    assert refused.value.code is ErrorCode.NOTHING_TO_REFUND


async def test_the_provider_is_asked_after_the_reservation_is_durable(world: World) -> None:
    intent = await paid(world)
    seen: list[tuple[int, str | None, RefundState]] = []

    async def look(_: object) -> None:
        now, _attempts = await world.now(intent)
        (stored,) = await world.all(Refund)
        seen.append((now.amount_refund_pending, now.pending_operation, stored.state))

    world.provider.amid_refund = look
    await refund(world, intent, 700)
    assert seen == [(700, "refund", RefundState.STARTED)]


@pytest.mark.parametrize("amount", [0, -1, 2000])
async def test_what_is_out_of_range_is_refused(world: World, amount: int) -> None:
    intent = await paid(world)
    with pytest.raises(Refusal) as refused:
        await refund(world, intent, amount)
    assert refused.value.param == "amount"
    assert world.provider.refunded == []
    assert await world.all(Refund) == []


async def test_what_was_not_paid_is_not_refunded(world: World) -> None:
    with pytest.raises(Refusal) as refused:
        await refund(world, await world.create(), 5)
    assert refused.value.code is ErrorCode.NOTHING_TO_REFUND


async def test_an_unknown_outcome_stays_reserved_until_it_is_known(world: World) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(Unknown("reset")))
    first = await refund(world, intent, 1500)
    assert (first.status, first.pending_reason) == (RefundStatus.PENDING, "outcome_unknown")
    now = await check_books(world, intent)
    assert (now.amount_refundable, now.pending_operation) == (499, "refund")
    with pytest.raises(Refusal):
        await refund(world, intent, 500)
    world.clock.forward(31)
    assert await resolve_refunds(world.ctx, "run") == (1, 0)
    now = await check_books(world, intent)
    assert (now.amount_refunded, now.pending_operation) == (1500, None)
    assert [order.refund for order in world.provider.refunded] == [first.id] * 2


async def test_after_a_day_it_is_looked_up_and_never_sent_again(world: World) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(Unknown("reset")))
    first = await refund(world, intent)
    world.clock.forward(24 * 3600)
    assert await resolve_refunds(world.ctx, "run") == (0, 1)
    world.clock.forward(599)
    assert await resolve_refunds(world.ctx, "run") == (0, 1)
    world.clock.forward(2)
    assert await resolve_refunds(world.ctx, "run") == (1, 0)
    (after,) = await world.all(Refund)
    assert (after.id, after.failure.code) == (first.id, "provider_unavailable")
    assert len(world.provider.refunded) == 1
    assert (await check_books(world, intent)).amount_refundable == 1999


async def test_what_was_certainly_not_sent_stands_and_is_sent_by_the_sweep(world: World) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(NotSent("refused")))
    with pytest.raises(Refusal) as refused:
        await refund(world, intent, 400)
    assert refused.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert (await check_books(world, intent)).amount_refund_pending == 400
    world.clock.forward(31)
    assert await resolve_refunds(world.ctx, "run") == (1, 0)
    assert (await check_books(world, intent)).amount_refunded == 400


@pytest.mark.parametrize("outcome", [GONE, RefundRejected("charge_disputed", "disputed")])
async def test_a_refund_that_fails_gives_its_amount_free_and_is_told(
    world: World, outcome: RefundFailed | RefundRejected
) -> None:
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(outcome))
    failed = await refund(world, intent, 600)
    assert failed.status is RefundStatus.FAILED
    assert failed.failure is not None
    assert failed.failure.code == outcome.code
    assert (await check_books(world, intent)).amount_refundable == 1999
    assert await told(world) == ["refund.created", "refund.failed"]


async def test_one_that_fails_weeks_later_leads_the_payment_back(world: World) -> None:
    intent = await paid(world)
    whole = await refund(world, intent)
    assert (await check_books(world, intent)).status is Status.REFUNDED
    found = await apply_refund(world.ctx, world.caller, await shown(world, whole, GONE))
    assert found.finding is Finding.APPLIED
    now = await check_books(world, intent)
    assert (now.status, now.amount_refundable) == (Status.SUCCEEDED, 1999)
    (correction,) = await world.all(Correction)
    assert (correction.from_status, correction.to_status) == ("refunded", "succeeded")
    again = await apply_refund(world.ctx, world.caller, await shown(world, whole, GONE))
    assert again.finding is Finding.NOTHING_NEW


async def test_one_of_the_dashboard_becomes_one_of_ours(world: World) -> None:
    intent = await paid(world)
    answer = RefundAnswer(
        Refunded(),
        provider_reference="re_dashboard",
        payment_reference="ref_1",
        as_of=world.clock.time,
        amount=1000,
        currency="eur",
    )
    for finding in (Finding.ADOPTED, Finding.NOTHING_NEW):
        found = await apply_refund(world.ctx, world.caller, answer)
        assert found.finding is finding
    (external,) = await world.all(Refund)
    assert (external.external, external.amount, external.status) == (True, 1000, "succeeded")
    assert (await check_books(world, intent)).amount_refundable == 999
    with pytest.raises(Refusal):
        await refund(world, intent, 1000)


@pytest.mark.parametrize("missing", ["amount", "currency", "provider_reference"])
async def test_nothing_is_booked_for_what_names_too_little(world: World, missing: str) -> None:
    await paid(world)
    answer = RefundAnswer(
        Refunded(),
        provider_reference="re_dashboard",
        payment_reference="ref_1",
        amount=1000,
        currency="eur",
    )
    answer = msgspec.structs.replace(answer, **{missing: None})
    found = await apply_refund(world.ctx, world.caller, answer)
    assert found.finding is Finding.UNREADABLE
    assert await world.all(Refund) == []


async def test_the_event_that_comes_before_the_answer_is_the_same_refund(world: World) -> None:
    intent = await paid(world)

    async def early(order: object) -> None:
        (stored,) = await world.all(Refund)
        answer = await shown(world, stored, Refunded())
        assert (await apply_refund(world.ctx, world.caller, answer)).finding is Finding.APPLIED

    world.provider.amid_refund = early
    after = await refund(world, intent, 300)
    assert after.status is RefundStatus.SUCCEEDED
    assert (await check_books(world, intent)).amount_refunded == 300


async def test_a_hundred_at_once_never_exceed_what_was_taken(world: World) -> None:
    intent = await paid(world)

    async def one() -> bool:
        try:
            await refund(world, intent, 100)
        except (Refusal, StorageError):
            return False
        return True

    made = sum(await asyncio.gather(*(one() for _ in range(100))))
    now = await check_books(world, intent)
    assert made == len(world.provider.refunded)
    assert now.amount_refunded == 100 * made <= 1999
    world.clock.forward(timedelta(minutes=1).total_seconds())
    while now.amount_refundable >= 100:
        await refund(world, intent, 100)
        now = await check_books(world, intent)
    assert now.amount_refunded == 1900
