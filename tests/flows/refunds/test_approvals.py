"""A second person's word: who may give it, when it is asked for, and what splitting evades."""

import asyncio

import msgspec
import pytest

from paygate.domain.access.roles import Action, Caller, Role
from paygate.domain.alert import Alert
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.payments.outcome import NotSent
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.outcome import RefundAnswer, RefundRejected
from paygate.domain.refunds.refund import Refund, RefundState, RefundStatus
from paygate.flows.context import Context
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.refunds.approve import approve_refund, reject_refund
from paygate.flows.refunds.find import apply_refund
from paygate.flows.refunds.read import read_refund
from paygate.flows.refunds.resolve import expire_refund_approvals, resolve_refunds
from paygate.storage.change import Overloaded
from tests.flows.refunds.stories import (
    check_books,
    of_the_dashboard,
    paid,
    person,
    refund,
    told,
    use_limits,
)
from tests.flows.world import World, encode

ANA, BEA = person(1, "ana@shop.example"), person(2, "bea@shop.example")
WEEK = 7 * 24 * 3600


async def waiting(world: World, amount: int = 900) -> tuple[PaymentIntent, Refund]:
    """A refund of Ana's that waits for another person."""
    use_limits(world, refund_approval_above={"eur": 500})
    intent = await paid(world)
    return intent, await refund(world, intent, amount, ANA)


async def test_above_the_limit_nothing_is_sent_until_somebody_else_approves(world: World) -> None:
    intent, first = await waiting(world)
    assert (first.status, first.pending_reason) == (RefundStatus.PENDING, "approval")
    assert first.approval is not None
    assert (first.approval.requested_by, first.approval.decided_by) == ("ana@shop.example", None)
    assert world.provider.refunded == []
    now = await check_books(world, intent)
    assert (now.amount_refundable, now.pending_operation) == (1099, None)
    world.clock.forward(24 * 3600)
    after = await approve_refund(world.ctx, BEA, first.id)
    assert after.status is RefundStatus.SUCCEEDED
    assert after.approval is not None
    assert (after.approval.decided_by, after.approval.decision) == ("bea@shop.example", "approved")
    assert after.expected_by > first.expected_by, "it counts from the day on which it is sent"
    assert (await check_books(world, intent)).amount_refunded == 900
    assert [order.amount for order in world.provider.refunded] == [900]
    assert [e.actor.name for e in await world.audited() if e.action == "refund.approve"] == [
        "bea@shop.example",
        "bea@shop.example",
    ]


@pytest.mark.parametrize("decide", [approve_refund, reject_refund])
@pytest.mark.parametrize(
    ("who", "code"),
    [
        (person(1, "bea@shop.example"), ErrorCode.APPROVER_IS_REQUESTER),  # the same key
        (person(2, "ana@shop.example"), ErrorCode.APPROVER_IS_REQUESTER),  # the same person
        (person(2, " Ana@Shop.example "), ErrorCode.APPROVER_IS_REQUESTER),  # in other letters
        (person(2, None), ErrorCode.ACTOR_REQUIRED),
    ],
)
async def test_key_and_person_must_both_differ(
    world: World, decide: object, who: object, code: ErrorCode
) -> None:
    intent, first = await waiting(world)
    with pytest.raises(Refusal) as refused:
        await decide(world.ctx, who, first.id)  # type: ignore[operator]
    assert refused.value.code is code
    assert (await check_books(world, intent)).amount_refund_pending == 900
    assert world.provider.refunded == []


async def test_one_that_is_rejected_gives_its_amount_free(world: World) -> None:
    intent, first = await waiting(world)
    after = await reject_refund(world.ctx, BEA, first.id)
    assert after.failure is not None
    assert (after.status, after.failure.code) == (RefundStatus.FAILED, "rejected")
    assert (await check_books(world, intent)).amount_refundable == 1999
    assert await told(world) == ["refund.created", "refund.failed"]
    assert await world.all(Alert) == [], "those who decided know"
    for decide in (approve_refund, reject_refund):
        with pytest.raises(Refusal) as refused:
            await decide(world.ctx, BEA, first.id)
        assert refused.value.code is ErrorCode.STATE_CONFLICT
    assert world.provider.refunded == []


async def test_after_seven_days_nobody_can_approve_it(world: World) -> None:
    intent, first = await waiting(world)
    world.clock.forward(WEEK - 1)
    assert await expire_refund_approvals(world.ctx, "run") == 0
    world.clock.forward(1)
    with pytest.raises(Refusal) as refused:
        await approve_refund(world.ctx, BEA, first.id)
    assert refused.value.code is ErrorCode.STATE_CONFLICT
    assert await expire_refund_approvals(world.ctx, "run") == 1
    assert await expire_refund_approvals(world.ctx, "run") == 0
    (after,) = await world.all(Refund)
    assert (after.state, after.failure.code) == (RefundState.FAILED, "approval_expired")
    assert (await check_books(world, intent)).amount_refundable == 1999
    assert world.provider.refunded == []


async def test_the_sweep_of_those_in_doubt_sends_nothing_that_waits(world: World) -> None:
    await waiting(world)
    world.clock.forward(3600)
    assert await resolve_refunds(world.ctx, "run") == (0, 0)
    assert world.provider.refunded == []


async def test_splitting_evades_nothing(world: World) -> None:
    use_limits(world, refund_approval_above={"eur": 500})
    intent = await paid(world)
    states = [(await refund(world, intent, 200, ANA)).state for _ in range(4)]
    assert states == ["succeeded", "succeeded", "awaiting_approval", "awaiting_approval"]
    assert (await check_books(world, intent)).amount_refunded == 400
    assert (await refund(world, intent, 100, ANA)).status == "succeeded", "up to the limit"
    assert (await refund(world, intent, 1, ANA)).pending_reason == "approval"


async def test_splitting_at_one_moment_evades_nothing(world: World) -> None:
    use_limits(world, refund_approval_above={"eur": 500})
    intent = await paid(world)
    asked = (refund(world, intent, 200, ANA) for _ in range(8))
    said = await asyncio.gather(*asked, return_exceptions=True)  # some may have lost patience
    assert {type(each) for each in said} <= {Refund, Overloaded}
    alone = [r for r in await world.all(Refund) if r.approval is None]
    assert len(alone) <= 2
    assert (await check_books(world, intent)).amount_refunded == 200 * len(alone)


async def test_what_failed_does_not_count_against_the_limit(world: World) -> None:
    use_limits(world, refund_approval_above={"eur": 500})
    intent = await paid(world)
    world.provider.refunding.append(RefundAnswer(RefundRejected("order_refused", "no")))
    assert (await refund(world, intent, 500, ANA)).status == "failed"
    assert (await refund(world, intent, 500, ANA)).status == "succeeded"


async def test_who_asks_must_be_named_when_another_must_approve(world: World) -> None:
    use_limits(world, refund_approval_above={"eur": 500})
    intent = await paid(world)
    with pytest.raises(Refusal) as refused:
        await refund(world, intent, 501, person(1, None))
    assert refused.value.code is ErrorCode.ACTOR_REQUIRED
    assert await world.all(Refund) == []
    assert (await refund(world, intent, 500, person(1, None))).status == "succeeded"


async def test_a_currency_that_is_not_listed_needs_approval(world: World) -> None:
    use_limits(world, refund_approval_above={"usd": 100_000})
    assert (await refund(world, await paid(world), 1, ANA)).pending_reason == "approval"


SUPPORT = person(3, "sam@shop.example", Role.SUPPORT)


@pytest.mark.parametrize(
    ("limits", "amount", "allowed"),
    [
        ({}, 1, False),
        ({"usd": 500}, 1, False),
        ({"eur": 0}, 1, False),
        ({"eur": 500}, 500, True),
        ({"eur": 500}, 501, False),
    ],
)
async def test_support_refunds_up_to_its_limit(
    world: World, limits: dict[str, int], amount: int, *, allowed: bool
) -> None:
    use_limits(world, support_refund_limit=limits)
    intent = await paid(world)
    if allowed:
        assert (await refund(world, intent, amount, SUPPORT)).status == "succeeded"
        return
    with pytest.raises(Refusal) as refused:
        await refund(world, intent, amount, SUPPORT)
    assert refused.value.code is ErrorCode.REFUND_LIMIT_EXCEEDED
    assert world.provider.refunded == []


async def test_support_splits_no_further_than_its_limit(world: World) -> None:
    use_limits(world, support_refund_limit={"eur": 500})
    intent = await paid(world)
    for _ in range(2):
        await refund(world, intent, 250, SUPPORT)
    with pytest.raises(Refusal) as refused:
        await refund(world, intent, 1, SUPPORT)
    assert refused.value.code is ErrorCode.REFUND_LIMIT_EXCEEDED
    with pytest.raises(Refusal):
        await refund(world, intent, None, SUPPORT)


@pytest.mark.parametrize(("elsewhere", "status"), [(1999, "refunded"), (1100, "succeeded")])
async def test_approved_too_late_it_fails_and_its_amount_is_free(
    world: World, elsewhere: int, status: str
) -> None:
    """Somebody gave it back in the provider's dashboard meanwhile (R30)."""
    intent, first = await waiting(world)
    await apply_refund(world.ctx, world.caller, of_the_dashboard(world, elsewhere))
    with pytest.raises(Refusal) as refused:
        await approve_refund(world.ctx, BEA, first.id)
    assert refused.value.code is ErrorCode.NOTHING_TO_REFUND
    after = await read_refund(world.ctx, BEA, first.id)
    assert after.failure is not None
    assert (after.status, after.failure.code) == (RefundStatus.FAILED, "nothing_to_refund")
    assert after.approval is not None
    assert after.approval.decided_by == "bea@shop.example"
    now = await check_books(world, intent)
    assert (now.status, now.amount_refunded, now.amount_refund_pending) == (status, elsewhere, 0)
    assert world.provider.refunded == []
    assert (await told(world))[-1] == "refund.failed"
    assert "refund.release" in [entry.action for entry in await world.audited()]


async def test_what_the_provider_has_given_back_unheard_is_its_to_refuse(world: World) -> None:
    intent, first = await waiting(world)
    no = RefundRejected("charge_already_refunded", "The provider has given back all of it.")
    world.provider.refunding.append(RefundAnswer(no))
    after = await approve_refund(world.ctx, BEA, first.id)
    assert after.failure is not None
    assert (after.status, after.failure.code) == (RefundStatus.FAILED, "charge_already_refunded")
    assert (await check_books(world, intent)).amount_refundable == 1999


async def test_an_approval_that_comes_too_late_leaves_its_key_free(world: World) -> None:
    """The refund has failed, and nothing of the request is unfinished."""
    _, first = await waiting(world)
    await apply_refund(world.ctx, world.caller, of_the_dashboard(world, 1999))
    codes = []
    for number in range(2):
        caller = msgspec.structs.replace(BEA, request_id=f"req_bea{number}")
        request = KeyedRequest(caller, Action.REFUND_APPROVE, "sk POST approve", "k", b"{}")

        async def flow(ctx: Context, caller: Caller = caller) -> Refund:
            return await approve_refund(ctx, caller, first.id)

        with pytest.raises(Refusal) as refused:
            await idempotently(world.ctx, request, flow, encode)
        codes.append(refused.value.code)
    assert codes == ["nothing_to_refund", "state_conflict"]
    assert await world.all(IdempotencyKey) == []


async def test_one_approval_of_several_at_once_counts(world: World) -> None:
    intent, first = await waiting(world)
    people = [person(n, f"p{n}@shop.example") for n in range(2, 7)]

    async def decide(number: int) -> str:
        flow = approve_refund if number % 2 else reject_refund
        try:
            return (await flow(world.ctx, people[number], first.id)).status
        except Refusal as refusal:
            return refusal.code

    said = await asyncio.gather(*(decide(n) for n in range(5)))
    assert sorted(said)[-4:] == ["state_conflict"] * 4 or said.count("state_conflict") == 4
    (after,) = await world.all(Refund)
    assert len(world.provider.refunded) == (after.status == "succeeded")
    await check_books(world, intent)


async def test_an_approved_one_that_was_not_sent_is_sent_by_the_sweep(world: World) -> None:
    intent, first = await waiting(world)
    world.provider.refunding.append(RefundAnswer(NotSent("refused")))
    after = await approve_refund(world.ctx, BEA, first.id)
    assert (after.status, after.pending_reason) == (RefundStatus.PENDING, "provider")
    world.clock.forward(31)
    assert await resolve_refunds(world.ctx, "run") == (1, 0)
    assert (await check_books(world, intent)).amount_refunded == 900


async def test_what_needs_no_approval_is_not_decided_on(world: World) -> None:
    made = await refund(world, await paid(world), 5)
    with pytest.raises(Refusal) as refused:
        await approve_refund(world.ctx, BEA, made.id)
    assert refused.value.code is ErrorCode.STATE_CONFLICT
    with pytest.raises(Refusal) as refused:
        await approve_refund(world.ctx, BEA, "re_" + "0" * 26)
    assert refused.value.code is ErrorCode.RESOURCE_MISSING
