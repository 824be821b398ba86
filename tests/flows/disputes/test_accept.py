"""A dispute is accepted once the provider shows it as lost, and not before."""

import asyncio
from typing import Any

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.disputes.dispute import DisputeOperation
from paygate.domain.disputes.outcome import (
    DisputeAnswer,
    Disputed,
    DisputeKind,
    DisputeRejected,
    DisputeStatus,
    EvidenceRefusal,
    RejectionCode,
)
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.outcome import NotSent, Unknown
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.disputes.resolve import resolve_dispute_orders
from tests.flows.disputes.answering import DAYS, REFERENCE, accept, disputed, now, shown, submit
from tests.flows.world import World

ACCEPT = DisputeOperation.ACCEPT


async def swept(world: World, seconds: float = 31) -> tuple[int, int]:
    """What a later run of the sweep came to: resolved, unresolved."""
    world.clock.forward(seconds)
    return await resolve_dispute_orders(world.ctx, "run_1")


async def test_an_accepted_dispute_is_lost(world: World) -> None:
    dispute = await disputed(world)
    after = await accept(world, dispute)
    assert (after.status, after.pending_operation) == (DisputeStatus.LOST, None)
    assert after.closed_at == world.clock()
    with pytest.raises(Refusal) as refused:
        await accept(world, dispute)
    assert refused.value.code is ErrorCode.STATE_CONFLICT
    assert len(world.provider.accepted) == 1


async def test_200_and_no_effect_is_looked_at_until_it_is_lost(world: World) -> None:
    """The provider took the order, and shows the dispute as before."""
    dispute = await disputed(world)
    world.provider.accepting += [shown(world)] * 3
    assert (await accept(world, dispute)).pending_operation is ACCEPT
    for stage in (accept, submit):
        with pytest.raises(Refusal) as refused:
            await stage(world, dispute)
        assert refused.value.code is ErrorCode.OPERATION_PENDING
    assert await swept(world) == (0, 1)
    assert len(world.provider.accepted) == 1, "the provider takes its time"
    assert await swept(world, 601) == (0, 1)
    first, second = world.provider.accepted
    assert first.key != second.key, "the first is spent"
    assert not [a for a in await world.all(Alert) if a.problem.type is AlertType.ATTEMPT_UNRESOLVED]
    assert await swept(world, 3000) == (0, 1)
    (alert,) = [a for a in await world.all(Alert) if a.problem.type is AlertType.ATTEMPT_UNRESOLVED]
    assert alert.problem.subject.id == dispute.id
    world.clock.forward(1)
    world.provider.disputes_shown[REFERENCE] = shown(world, status=DisputeStatus.LOST)
    assert await swept(world) == (1, 0)
    after = await now(world, dispute)
    assert (after.status, after.pending_operation) == (DisputeStatus.LOST, None)


@pytest.mark.parametrize("outcome", [Unknown("no answer"), NotSent("refused")])
async def test_what_is_not_known_stands(world: World, outcome: Any) -> None:
    dispute = await disputed(world)
    world.provider.accepting.append(DisputeAnswer(outcome=outcome))
    if isinstance(outcome, NotSent):
        with pytest.raises(Refusal) as refused:
            await accept(world, dispute)
        assert refused.value.code is ErrorCode.PROVIDER_UNAVAILABLE
    else:
        assert (await accept(world, dispute)).pending_operation is ACCEPT
    assert (await now(world, dispute)).pending_operation is ACCEPT
    assert await swept(world, 601) == (1, 0)
    assert (await now(world, dispute)).status is DisputeStatus.LOST


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"status": DisputeStatus.UNDER_REVIEW, "submission_count": 1}, ErrorCode.DISPUTE_ANSWERED),
        ({"status": DisputeStatus.WON}, ErrorCode.STATE_CONFLICT),
        (
            {"kind": DisputeKind.INQUIRY, "status": DisputeStatus.WARNING_NEEDS_RESPONSE},
            ErrorCode.STATE_CONFLICT,
        ),
    ],
)
async def test_what_cannot_be_accepted(
    world: World, changes: dict[str, Any], code: ErrorCode
) -> None:
    dispute = await disputed(world, **changes)
    with pytest.raises(Refusal) as refused:
        await accept(world, dispute)
    assert refused.value.code is code
    assert not world.provider.accepted


async def test_after_the_deadline_nothing_is_accepted(world: World) -> None:
    dispute = await disputed(world)
    world.clock.forward(DAYS.total_seconds())
    with pytest.raises(Refusal) as refused:
        await accept(world, dispute)
    assert refused.value.code is ErrorCode.EVIDENCE_DEADLINE_PASSED


async def test_decided_before_and_not_heard_of(world: World) -> None:
    dispute = await disputed(world)
    world.clock.forward(1)
    won = shown(world, status=DisputeStatus.WON)
    assert isinstance(won.outcome, Disputed)
    rejected = DisputeRejected(RejectionCode.DISPUTE_CLOSED, "Decided.", stands=won.outcome)
    world.provider.accepting.append(msgspec.structs.replace(won, outcome=rejected))
    with pytest.raises(Refusal) as refused:
        await accept(world, dispute)
    assert refused.value.code is ErrorCode.STATE_CONFLICT
    after = await now(world, dispute)
    assert (after.status, after.pending_operation) == (DisputeStatus.WON, None)


async def test_an_order_that_the_provider_refuses_ends_and_says_why(world: World) -> None:
    dispute = await disputed(world)
    rejected = DisputeRejected(RejectionCode.ORDER_REFUSED, "Not for this kind.")
    world.provider.accepting.append(DisputeAnswer(outcome=rejected))
    after = await accept(world, dispute)
    assert after.refusals == (EvidenceRefusal(None, "Not for this kind."),)
    assert after.pending_operation is None


async def test_of_two_at_once_one_accepts_and_a_submission_beside_it_does_not(world: World) -> None:
    dispute = await disputed(world)
    outcomes = await asyncio.gather(
        *(accept(world, dispute) for _ in range(3)), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, Refusal)]
    assert len(refused) == 2
    assert len(world.provider.accepted) == 1


async def test_an_event_that_closes_it_amid_the_call(world: World) -> None:
    dispute = await disputed(world)

    async def closed() -> None:
        world.clock.forward(1)
        lost = shown(world, status=DisputeStatus.LOST)
        world.provider.disputes_shown[REFERENCE] = lost
        await apply_dispute(world.ctx, world.caller, lost)

    world.provider.amid_dispute = closed
    world.provider.accepting.append(DisputeAnswer(outcome=Unknown("no answer")))
    after = await accept(world, dispute)
    assert (after.status, after.pending_operation) == (DisputeStatus.LOST, None)
    assert await swept(world) == (0, 0)
