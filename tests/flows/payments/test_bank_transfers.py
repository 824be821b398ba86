"""Transfers over days: what comes in parts, late, twice and out of order is told once, and true."""

import asyncio
import random
from datetime import timedelta

import msgspec
import pytest

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.events import received
from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    Cancelled,
    Declined,
    PaymentError,
    Pending,
    TransferInstructions,
    Unknown,
)
from paygate.domain.payments.payment_intent import FINAL, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.providers.contract import ConfirmOrder
from tests.flows.payments.test_holds import ledger
from tests.flows.payments.transfers import (
    BY_DEBIT,
    BY_PUSH,
    DEBIT,
    PAID,
    PUSH,
    at,
    cancel,
    confirm_by,
    funded,
    instructions,
    notice_at,
    paying,
    to_transfer,
)
from tests.flows.world import World, answer, intent_of
from tests.making import START

DAY = 24 * 3600
PARTLY = "payment_intent.partially_funded"
BROKE = Declined(PaymentError("payment_declined", "no", "insufficient_funds"))
DEBITED = Approved(
    captured=True, amount_received=1999, amount_capturable=0, payment_method=BY_DEBIT
)


async def test_the_payer_is_told_our_end_of_waiting(world: World) -> None:
    """The provider names none; a later event about the same instructions does not forget it."""
    intent, attempt = await paying(world, funded())
    shown = intent.next_action
    ends = START + timedelta(days=14)
    assert shown == msgspec.structs.replace(instructions(), expires_at=ends)
    assert (intent.payment_method, attempt.close_at) == (BY_PUSH, ends)
    assert (await world.now(intent))[0] == intent
    event = await world.applied(notice_at(attempt, funded(), 5))
    assert event.verdict == "nothing_new"
    assert (await world.now(intent))[0] == intent


async def test_a_second_try_is_waited_for_from_its_own_beginning(world: World) -> None:
    world.provider.customers.append(Unknown("timeout"))
    intent = await to_transfer(world)
    with pytest.raises(Refusal):
        await world.confirm_once(intent, "k", request=PUSH)
    world.clock.forward(90)
    world.provider.answers.append(at(90, funded()))
    await world.confirm_once(intent, "k", request=PUSH)
    after, _ = await world.now(intent)
    assert isinstance(after.next_action, TransferInstructions)
    assert after.next_action.expires_at == world.clock() + timedelta(days=14)


async def test_what_it_is_paid_with_is_kept_as_soon_as_it_is_known(world: World) -> None:
    pushed, attempt = await paying(world, funded())
    debited, _ = await paying(world, Pending(BY_DEBIT), DEBIT)
    assert (pushed.payment_method, debited.payment_method) == (BY_PUSH, BY_DEBIT)
    # An event that tells less does not take it away.
    await world.applied(notice_at(attempt, ActionRequired(instructions(5)), 5))
    assert (await world.now(pushed))[0].payment_method == BY_PUSH


async def test_parts_are_told_once_each_and_then_the_whole(world: World) -> None:
    intent, attempt = await paying(world, funded())
    for seconds, amount in ((10, 500), (20, 1500)):
        event = await world.applied(notice_at(attempt, funded(amount), seconds, f"evt_{seconds}"))
        assert event.verdict == "applied"
        now, _ = await world.now(intent)
        assert (now.status, now.amount_received) == (Status.REQUIRES_ACTION, 0)
        assert isinstance(now.next_action, TransferInstructions)
        assert (now.next_action.amount_received, now.next_action.amount_remaining) == (
            amount,
            1999 - amount,
        )
        news = [e for e in await world.events(intent) if e.object_version == now.version]
        assert [(e.type, e.record) for e in news] == [(PARTLY, now)]
        assert await ledger(world) == []
    await world.applied(notice_at(attempt, PAID, 30, "evt_30"))
    paid, (concluded,) = await world.now(intent)
    assert (paid.status, concluded.state) == (Status.SUCCEEDED, AttemptState.APPROVED)
    assert (paid.amount_received, paid.next_action, paid.payment_method) == (1999, None, BY_PUSH)
    assert await ledger(world) == [(1, 1999)]
    assert (await world.event_types(intent))[2:] == [
        "payment_intent.requires_action",
        PARTLY,
        PARTLY,
        "payment_intent.succeeded",
    ]


async def test_a_part_is_not_told_again(world: World) -> None:
    """The same amount under another reference, the same event twice, and an older one late."""
    intent, attempt = await paying(world, funded())
    await world.applied(notice_at(attempt, funded(1500), 20))
    now = await world.now(intent)
    await world.receive(notice_at(attempt, funded(1500), 20))
    again = await world.applied(notice_at(attempt, funded(1500), 30, "evt_again"))
    assert (again.status, again.verdict) == (EventStatus.PROCESSED, "nothing_new")
    older = await world.applied(notice_at(attempt, funded(500), 10, "evt_older"))
    assert (older.status, older.verdict) == (EventStatus.STALE, "older_than_applied")
    first = await world.applied(notice_at(attempt, funded(), 5, "evt_first"))
    assert first.status is EventStatus.STALE
    assert await world.now(intent) == now
    assert (await world.event_types(intent)).count(PARTLY) == 1
    assert len(await world.all(ProviderEvent)) == 4


async def test_two_parts_of_one_second_are_fetched(world: World) -> None:
    """Which of them is newer only the provider knows; what it says then is told."""
    intent, attempt = await paying(world, funded())
    await world.applied(notice_at(attempt, funded(500), 20))
    world.provider.objects.append(at(20, funded(1500)))
    event = await world.applied(notice_at(attempt, funded(900), 20, "evt_2"))
    assert (event.verdict, len(world.provider.retrieved)) == ("applied", 1)
    amounts = [received(intent_of(e)) for e in await world.events(intent) if e.type == PARTLY]
    assert sorted(amounts) == [500, 1500]


async def test_a_part_that_went_away_again_is_shown_and_not_told(world: World) -> None:
    intent, attempt = await paying(world, funded())
    await world.applied(notice_at(attempt, funded(1500), 20))
    await world.applied(notice_at(attempt, funded(500), 30, "evt_2"))
    now, _ = await world.now(intent)
    assert isinstance(now.next_action, TransferInstructions)
    assert now.next_action.amount_received == 500
    assert (await world.event_types(intent)).count(PARTLY) == 1


@pytest.mark.parametrize("end", [PAID, Cancelled("abandoned")])
async def test_no_part_is_told_after_the_end(world: World, end: Approved | Cancelled) -> None:
    intent, attempt = await paying(world, funded())
    await world.applied(notice_at(attempt, end, 20))
    ended = await world.now(intent)
    assert ended[0].status in FINAL
    for seconds in (10, 30):
        late = await world.applied(notice_at(attempt, funded(1500), seconds, f"evt_{seconds}"))
        assert late.verdict == "already_settled"
    assert await world.now(intent) == ended
    assert PARTLY not in await world.event_types(intent)


async def test_a_part_that_comes_before_the_confirms_own_reply(world: World) -> None:
    """The reply is older: it takes no money back from the payer's page."""

    async def deliver(_: ConfirmOrder) -> None:
        (attempt,) = await world.all(Attempt)
        await world.applied(notice_at(attempt, funded(500), 5))

    world.provider.during = deliver
    world.provider.answers.append(answer(funded()))
    intent = await confirm_by(world, await to_transfer(world))
    assert isinstance(intent.next_action, TransferInstructions)
    assert intent.next_action.amount_received == 500
    assert (await world.event_types(intent))[2:] == ["payment_intent.requires_action"]


@pytest.mark.parametrize("seed", range(4))
async def test_in_any_order_and_at_once_it_ends_the_same(world: World, seed: int) -> None:
    """Four parts and the whole, each delivered twice."""
    intent, attempt = await paying(world, funded())
    parts = [notice_at(attempt, funded(400 * n), n, f"evt_{n}") for n in range(1, 5)]
    notices = [*parts, notice_at(attempt, PAID, 9, "evt_paid")]
    for each in notices:
        await world.receive(each)
    events = [ApplyProviderEvent(e.merchant, e.id) for e in await world.all(ProviderEvent)] * 2
    random.Random(seed).shuffle(events)
    for batch in (events[:5], events[5:]):
        await asyncio.gather(*(apply_provider_event(world.ctx, each) for each in batch))
    after, _ = await world.now(intent)
    assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
    assert await ledger(world) == [(1, 1999)]
    shown = [
        intent_of(e) for e in sorted(await world.events(intent), key=lambda e: e.object_version)
    ]
    told = [received(each) for each in shown if isinstance(each.next_action, TransferInstructions)]
    assert told == sorted(set(told)), "never less than before, each told once"
    assert (await world.event_types(intent))[-1] == "payment_intent.succeeded"
    assert {e.status for e in await world.all(ProviderEvent)} <= {
        EventStatus.PROCESSED,
        EventStatus.STALE,
    }


@pytest.mark.parametrize(
    ("outcome", "status", "state", "money"),
    [
        (DEBITED, Status.SUCCEEDED, AttemptState.APPROVED, [(1, 1999)]),
        (BROKE, Status.FAILED, AttemptState.DECLINED, []),
    ],
)
async def test_a_debit_is_answered_days_later(
    world: World,
    outcome: Approved | Declined,
    status: Status,
    state: AttemptState,
    money: list[tuple[int, int]],
) -> None:
    intent, attempt = await paying(world, Pending(BY_DEBIT), DEBIT)
    assert (intent.status, intent.pending_operation) == (Status.PROCESSING, "confirm")
    for day in range(5):
        world.clock.forward(DAY)
        world.provider.objects.append(at(day * DAY, Pending(BY_DEBIT)))
        assert await close_overdue_attempts(world.ctx, "run_1") == 0
    assert world.provider.standing == []
    event = await world.applied(notice_at(attempt, outcome, 5 * DAY))
    assert event.verdict == "applied"
    after, (concluded,) = await world.now(intent)
    assert (after.status, concluded.state) == (status, state)
    assert (after.pending_operation, after.payment_method) == (None, BY_DEBIT)
    assert await ledger(world) == money
    assert (await world.event_types(intent))[2:] == [f"payment_intent.{status}"]
    if isinstance(outcome, Declined):
        assert after.last_payment_error == outcome.error


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(DEBITED, Status.SUCCEEDED), (BROKE, Status.FAILED), (Cancelled("x"), Status.CANCELLED)],
)
async def test_a_debits_cancel_stays_pending_and_ends_as_the_debit_does(
    world: World, outcome: Approved | Declined | Cancelled, status: Status
) -> None:
    intent, attempt = await paying(world, Pending(BY_DEBIT), DEBIT)
    world.provider.answers.append(at(1, Pending(BY_DEBIT)))
    wished = await cancel(world, intent)
    assert (wished.status, wished.pending_operation) == (Status.PROCESSING, "cancel")
    with pytest.raises(Refusal) as refused:
        await cancel(world, intent)
    assert refused.value.code is ErrorCode.OPERATION_PENDING
    # The bank works on: news of that do not forget the wish, and it is asked of again.
    await world.applied(notice_at(attempt, Pending(BY_DEBIT), 60))
    for _ in range(2):
        world.provider.answers.append(at(90, Pending(BY_DEBIT)))
        assert await close_overdue_attempts(world.ctx, "run_1") == 0
        world.clock.forward(15 * 60)
    first, *_, last = world.provider.cancel_keys()
    assert first != last, "a refusal is remembered under its key"
    now, _ = await world.now(intent)
    assert (now.status, now.pending_operation) == (Status.PROCESSING, "cancel")
    await world.applied(notice_at(attempt, outcome, 3 * DAY, "evt_end"))
    after, _ = await world.now(intent)
    assert (after.status, after.pending_operation) == (status, None)
    if status is Status.CANCELLED:
        assert after.cancellation_reason == "out of stock"
    assert await ledger(world) == ([(1, 1999)] if status is Status.SUCCEEDED else [])
    world.clock.forward(DAY)
    assert await close_overdue_attempts(world.ctx, "run_2") == 0
    assert len(world.provider.standing) == 3


async def test_money_for_a_transfer_that_was_cancelled_is_a_correction(world: World) -> None:
    """It should lie on the payer's account instead; should the provider take it, that is true."""
    intent, attempt = await paying(world, funded())
    world.provider.answers.append(at(1, Cancelled(None)))
    assert (await cancel(world, intent)).status is Status.CANCELLED
    event = await world.applied(notice_at(attempt, PAID, DAY))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "corrected")
    after, _ = await world.now(intent)
    assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
    assert await ledger(world) == [(1, 1999)]
