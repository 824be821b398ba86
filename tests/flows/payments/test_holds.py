"""Holds: captured once, wholly or in part, or released; the ledger has every cent of it."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.event import Event
from paygate.domain.ledger import Account, Transfer
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Declined,
    NotSent,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.capture import capture_payment_intent
from paygate.flows.payments.sweeps.watch_authorizations import watch_authorizations
from paygate.providers.contract import CancelOrder, CaptureOrder
from tests.flows.world import APPROVED, THEIRS, World, answer, notice
from tests.making import START

EXPIRES = START + timedelta(days=7)
HELD = Approved(
    captured=False, amount_received=0, amount_capturable=1999, authorization_expires_at=EXPIRES
)


def taken(amount: int = 1999) -> Approved:
    return Approved(captured=True, amount_received=amount, amount_capturable=0)


def later(outcome: Outcome) -> Answer:
    return answer(outcome, as_of=START + timedelta(seconds=1))


async def held(world: World) -> PaymentIntent:
    world.provider.answers.append(answer(HELD))
    intent = await world.confirm(await world.create(capture_method="manual"))
    assert intent.status is Status.REQUIRES_CAPTURE
    return intent


async def capture(world: World, intent: PaymentIntent, amount: int | None = None) -> PaymentIntent:
    return await capture_payment_intent(world.ctx, world.caller, intent.id, amount=amount)


async def cancel(world: World, intent: PaymentIntent) -> PaymentIntent:
    return await cancel_payment_intent(world.ctx, world.caller, intent.id, reason="out of stock")


async def ledger(world: World) -> list[tuple[int, int]]:
    """Each transfer's place, and what it put into the provider's account."""
    transfers: list[Transfer] = await world.all(Transfer)
    assert all(sum(e.amount for e in t.entries) == 0 for t in transfers)
    return [(t.money_seq, t.moved(Account.PROVIDER)) for t in transfers]


async def code_of(work: Any) -> ErrorCode:
    with pytest.raises(Refusal) as refused:
        await work
    return refused.value.code


async def test_an_automatic_capture_is_in_the_ledger(world: World) -> None:
    intent, _ = await world.confirming(APPROVED)
    assert (intent.money_seq, await ledger(world)) == (1, [(1, 1999)])


@pytest.mark.parametrize("amount", [None, 1999, 500, 1])
async def test_a_hold_is_captured(world: World, amount: int | None) -> None:
    intent = await held(world)
    assert (intent.money_seq, await ledger(world)) == (0, [])
    wanted = amount or 1999
    world.provider.answers.append(later(taken(wanted)))
    after = await capture(world, intent, amount)
    found = (after.status, after.amount_received, after.amount_capturable)
    assert found == (Status.SUCCEEDED, wanted, 0)
    stored, attempts = await world.now(intent)
    assert stored == after
    assert [(a.operation, a.state) for a in attempts] == [
        (Operation.CONFIRM, AttemptState.APPROVED),
        (Operation.CAPTURE, AttemptState.APPROVED),
    ]
    order = CaptureOrder(
        attempt=attempts[1].id, provider_reference=THEIRS, amount=wanted, currency=intent.currency
    )
    assert world.provider.standing == [order]
    assert await ledger(world) == [(1, wanted)]
    assert (await world.event_types(intent))[-1] == "payment_intent.succeeded"


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, ErrorCode.AMOUNT_TOO_SMALL),
        (-1, ErrorCode.AMOUNT_TOO_SMALL),
        (2000, ErrorCode.AMOUNT_TOO_LARGE),
    ],
)
async def test_an_amount_out_of_range_asks_nobody(
    world: World, amount: int, code: ErrorCode
) -> None:
    intent = await held(world)
    assert await code_of(capture(world, intent, amount)) is code
    assert (await world.now(intent))[0] == intent
    assert world.provider.standing == []


async def test_after_its_expiry_nothing_is_captured(world: World) -> None:
    intent = await held(world)
    world.clock.forward(7 * 24 * 3600)
    assert await code_of(capture(world, intent)) is ErrorCode.AUTHORIZATION_EXPIRED
    assert world.provider.standing == []


async def test_what_is_not_held_is_not_captured(world: World) -> None:
    intent = await world.create()
    assert await code_of(capture(world, intent)) is ErrorCode.STATE_CONFLICT
    paid, _ = await world.confirming(APPROVED)
    assert await code_of(capture(world, paid)) is ErrorCode.STATE_CONFLICT
    assert await ledger(world) == [(1, 1999)]


async def test_a_hold_is_released(world: World) -> None:
    intent = await held(world)
    world.provider.answers.append(later(Cancelled("requested_by_customer")))
    after = await cancel(world, intent)
    found = (after.status, after.cancellation_reason, after.amount_capturable)
    assert found == (Status.CANCELLED, "out of stock", 0)
    assert isinstance(world.provider.standing[0], CancelOrder)
    assert await ledger(world) == []


@pytest.mark.parametrize("again", ["capture", "cancel"])
async def test_while_the_outcome_is_unknown_nothing_else_begins(world: World, again: str) -> None:
    intent = await held(world)
    world.provider.answers.append(Answer(Unknown("timeout")))
    after = await capture(world, intent)
    assert (after.status, after.pending_operation) == (Status.REQUIRES_CAPTURE, "capture")
    work = capture(world, intent) if again == "capture" else cancel(world, intent)
    assert await code_of(work) is ErrorCode.OPERATION_PENDING
    assert len(world.provider.standing) == 1
    # The event brings the truth.
    (first, _) = (await world.now(intent))[1]
    event = await world.applied(notice(first, taken()))
    assert event.status is EventStatus.PROCESSED, event.verdict
    final, attempts = await world.now(intent)
    assert (final.status, final.pending_operation) == (Status.SUCCEEDED, None)
    assert attempts[1].state is AttemptState.APPROVED
    assert await ledger(world) == [(1, 1999)]


async def test_what_was_not_sent_may_be_tried_again(world: World) -> None:
    intent = await held(world)
    world.provider.answers.append(Answer(NotSent("refused")))
    assert await code_of(capture(world, intent)) is ErrorCode.PROVIDER_UNAVAILABLE
    stored, _ = await world.now(intent)
    assert (stored.status, stored.pending_operation) == (Status.REQUIRES_CAPTURE, None)
    world.provider.answers.append(later(taken()))
    assert (await capture(world, intent)).status is Status.SUCCEEDED
    assert len({o.attempt for o in world.provider.standing if isinstance(o, CaptureOrder)}) == 2


async def test_a_refused_capture_leaves_the_hold(world: World) -> None:
    intent = await held(world)
    world.provider.answers.append(Answer(Rejected("provider_configuration", "401")))
    after = await capture(world, intent)
    assert (after.status, after.pending_operation) == (Status.REQUIRES_CAPTURE, None)
    assert after.last_payment_error is not None
    assert await ledger(world) == []
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.PROVIDER_MISCONFIGURED


@pytest.mark.parametrize("order", ["capture", "cancel"])
async def test_the_provider_moved_first(world: World, order: str) -> None:
    """A hold that lapsed cannot be captured; one that was captured cannot be released."""
    intent = await held(world)
    outcome: Outcome = Cancelled("automatic") if order == "capture" else taken()
    world.provider.answers.append(later(outcome))
    after = await (capture(world, intent) if order == "capture" else cancel(world, intent))
    if order == "capture":
        assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "automatic")
        assert await ledger(world) == []
    else:
        assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
        assert await ledger(world) == [(1, 1999)]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Cancelled("automatic"), Status.CANCELLED), (taken(700), Status.SUCCEEDED)],
)
async def test_a_hold_that_moves_by_itself(world: World, outcome: Outcome, status: Status) -> None:
    """It lapses, or somebody captures it in the provider's dashboard: an event tells."""
    intent = await held(world)
    (attempt,) = await world.all(Attempt)
    event = await world.applied(notice(attempt, outcome))
    assert event.verdict == "applied"
    after, _ = await world.now(intent)
    assert (after.status, after.amount_capturable) == (status, 0)
    assert await ledger(world) == ([] if status is Status.CANCELLED else [(1, 700)])


@pytest.mark.parametrize("outcome", [ActionRequired(RedirectToUrl("https://p.example")), Pending()])
async def test_a_challenge_or_a_debit_is_closed_at_the_provider(
    world: World, outcome: Outcome
) -> None:
    intent, _ = await world.confirming(outcome)
    world.provider.answers.append(later(Cancelled(None)))
    after = await cancel(world, intent)
    assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "out of stock")
    _, (attempt,) = await world.now(intent)
    assert attempt.state is AttemptState.CANCELLED


async def test_capture_races_cancel(world: World) -> None:
    """One order goes out; the other is told that it is under way, or that it is over."""
    intent = await held(world)
    world.provider.amid = lambda: asyncio.sleep(0.05)
    world.provider.answers.append(later(taken()))
    results = await asyncio.gather(
        *(capture(world, intent) for _ in range(5)),
        *(cancel(world, intent) for _ in range(5)),
        return_exceptions=True,
    )
    refused = [r for r in results if isinstance(r, Refusal)]
    assert len(refused) == 9, results
    assert {r.code for r in refused} <= {ErrorCode.OPERATION_PENDING, ErrorCode.STATE_CONFLICT}
    assert len(world.provider.standing) == 1
    after, attempts = await world.now(intent)
    assert len(attempts) == 2
    # Whichever went out, the provider said that the money is taken.
    assert (after.status, await ledger(world)) == (Status.SUCCEEDED, [(1, 1999)])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payment_intent SET version = version + 1, status = 'succeeded', money_seq = 1",
        "UPDATE payment_intent SET version = version + 1, money_seq = 2",
        "INSERT INTO ledger_transfer SELECT merchant, id, id, 1, now(), 's' FROM payment_intent",
        "INSERT INTO ledger_transfer SELECT merchant, id, id, 0, now(), 's' FROM payment_intent",
    ],
)
async def test_money_and_transfers_go_together(world: World, statement: str) -> None:
    """The schema refuses what a forgetful flow would commit."""
    await held(world)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await world.connection.execute(statement)


async def test_a_hold_that_ends_soon_is_alerted_once_and_then_followed(world: World) -> None:
    intent = await held(world)
    assert await watch_authorizations(world.ctx, "run_1") == (0, 0)
    world.clock.forward(6 * 24 * 3600 + 1)
    assert await watch_authorizations(world.ctx, "run_2") == (1, 0)
    assert await watch_authorizations(world.ctx, "run_3") == (1, 0)
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.count) == (AlertType.AUTHORIZATION_EXPIRING, 1)
    assert alert.problem.due_at == EXPIRES
    world.clock.forward(24 * 3600)
    # The provider's own clock may be behind: as long as it holds the money, so do we.
    world.provider.objects = [later(HELD), later(Cancelled("automatic"))]
    assert await watch_authorizations(world.ctx, "run_4") == (0, 0)
    assert await watch_authorizations(world.ctx, "run_5") == (0, 1)
    after, _ = await world.now(intent)
    assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "automatic")
    assert await watch_authorizations(world.ctx, "run_6") == (0, 0)


async def test_a_hold_without_an_end_lasts_seven_days(world: World) -> None:
    endless = Approved(captured=False, amount_received=0, amount_capturable=1999)
    intent, _ = await world.confirming(endless)
    assert intent.authorization_expires_at == START + timedelta(days=7)


@pytest.mark.parametrize("end", [Cancelled("abandoned"), Rejected("provider_unavailable", "no")])
async def test_money_after_the_end_is_a_correction(world: World, end: Outcome) -> None:
    intent, attempt = await world.confirming(end)
    assert intent.status in {Status.CANCELLED, Status.FAILED}
    event = await world.applied(notice(attempt, APPROVED))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "corrected")
    after, _ = await world.now(intent)
    assert (after.status, after.amount_received) == (Status.SUCCEEDED, 1999)
    assert await ledger(world) == [(1, 1999)]
    (correction,) = await world.all(Correction)
    assert (correction.from_status, correction.to_status) == (intent.status, Status.SUCCEEDED)
    assert (correction.intent_version, correction.proof) == (after.version, "evt_1")
    corrections = [e for e in await world.all(Event) if e.correction]
    assert [e.type for e in corrections] == ["payment_intent.succeeded"]
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.STATE_CORRECTION
    again = await world.applied(notice(attempt, APPROVED, reference="evt_2"))
    assert again.verdict == "already_settled"
    assert await ledger(world) == [(1, 1999)]


async def test_a_hold_after_the_end_is_given_back(world: World) -> None:
    intent, attempt = await world.confirming(Cancelled("abandoned"))
    world.provider.answers.append(later(Cancelled(None)))
    event = await world.applied(notice(attempt, HELD))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "hold_voided")
    assert [o for o in world.provider.standing if isinstance(o, CancelOrder)]
    assert (await world.now(intent))[0] == intent


async def test_another_amount_after_the_end_is_for_a_person(world: World) -> None:
    intent, attempt = await world.confirming(Cancelled("abandoned"))
    event = await world.applied(notice(attempt, APPROVED, amount=5))
    assert event.status is EventStatus.DEAD_LETTER
    assert (await world.now(intent))[0] == intent


@pytest.mark.parametrize("by", ["event", "watch"])
async def test_a_hold_that_the_provider_no_longer_has_has_failed(world: World, by: str) -> None:
    """Its capture was refused, which said so of the order; the payment says it of itself."""
    intent = await held(world)
    confirm = (await world.now(intent))[1][0]
    world.provider.answers.append(later(Rejected("order_refused", "holds no money")))
    after = await capture(world, intent)
    assert (after.status, after.pending_operation) == (Status.REQUIRES_CAPTURE, None)
    gone = Declined(PaymentError("card_declined", "The card was declined."))
    if by == "event":
        await world.applied(notice(confirm, gone, as_of=START + timedelta(seconds=2)))
    else:
        world.clock.forward(8 * 86400)
        world.provider.objects.append(answer(gone, as_of=world.clock()))
        assert await watch_authorizations(world.ctx, "run_1") == (0, 1)
    failed, _ = await world.now(intent)
    assert (failed.status, failed.amount_capturable) == (Status.FAILED, 0)
    assert failed.last_payment_error == gone.error
    assert (await world.event_types(intent))[-1] == "payment_intent.failed"


async def test_a_decline_from_before_the_hold_is_stale(world: World) -> None:
    intent = await held(world)
    (confirm,) = (await world.now(intent))[1]
    gone = Declined(PaymentError("card_declined", "The card was declined."))
    event = await world.applied(notice(confirm, gone, as_of=START - timedelta(seconds=1)))
    assert event.status is EventStatus.STALE
    assert (await world.now(intent))[0].status is Status.REQUIRES_CAPTURE


async def test_one_that_trips_the_watch_up_does_not_hold_up_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await held(world)
    second = await held(world)
    world.clock.forward(8 * 86400)
    asked: list[str] = []

    async def retrieve(reference: str, *, timeout_seconds: float) -> Answer:
        asked.append(reference)
        if len(asked) == 1:
            raise RuntimeError("a bug")
        return answer(Cancelled("expired"), as_of=world.clock(), provider_reference=reference)

    monkeypatch.setattr(world.provider, "retrieve", retrieve)
    with pytest.raises(RuntimeError):
        await watch_authorizations(world.ctx, "run_1")
    states = {(await world.now(intent))[0].status for intent in (first, second)}
    assert states == {Status.REQUIRES_CAPTURE, Status.CANCELLED}
