"""What is not at its end is asked for, whatever its age, at a falling rate (pitfall B9, B13)."""

from datetime import timedelta

import msgspec

from paygate.domain.payments.payment_intent import Status
from paygate.domain.reconciliation.run import Cause, Reconciliation, RunStatus
from paygate.flows.reconciliation.ask_open import is_due
from tests.flows.reconciliation.books import QUARTER, Shop
from tests.flows.world import APPROVED
from tests.making import START, make_intent

DAY = 86_400


def rounds(age: timedelta, count: int, *, left_out: int = 0) -> int:
    """In how many of so many rounds a payment that has not moved for so long is asked for."""
    intent, due = make_intent(), 0
    for number in range(0, count, left_out + 1):
        started = START + age + timedelta(seconds=QUARTER * number)
        before = started - timedelta(seconds=QUARTER * (left_out + 1))
        due += is_due(intent, a_round(started, before))
    return due


def a_round(started: object, before: object, cause: Cause = Cause.SCHEDULE) -> Reconciliation:
    run = Reconciliation(
        id="rc_1",
        merchant="default",
        livemode=False,
        cause=cause,
        status=RunStatus.RUNNING,
        started_at=START,
        created_at=START,
        updated_at=START,
    )
    return msgspec.structs.replace(run, started_at=started, before=before)


def test_the_young_are_asked_for_in_each_round_and_the_old_never_less_than_daily() -> None:
    day = DAY // QUARTER
    assert rounds(timedelta(hours=1), day // 2) == day // 2
    assert rounds(timedelta(days=2), day) == 24
    assert rounds(timedelta(days=30), day) == 4
    assert rounds(timedelta(days=400), day) == 4


def test_rounds_that_were_left_out_are_made_up_for() -> None:
    day = DAY // QUARTER
    assert rounds(timedelta(days=30), 4 * day, left_out=day - 1) == 4


def test_a_person_and_a_first_round_ask_for_all() -> None:
    started = START + timedelta(days=30)
    before = started - timedelta(seconds=1)
    assert is_due(make_intent(), a_round(started, None))
    assert is_due(make_intent(), a_round(started, before, Cause.PERSON))


async def test_a_transfer_that_is_paid_after_ten_days_is_found(shop: Shop) -> None:
    """Its event was lost, and no list of a window has it."""
    intent, attempt = await shop.waiting()
    await shop.round()
    await shop.round(after_seconds=10 * DAY)
    shop.has(str(intent.provider_reference), APPROVED, attempt)
    for _ in range(6 * 4):
        await shop.round()
    assert await shop.status(intent) is Status.SUCCEEDED


async def test_what_the_list_has_shown_is_not_asked_for_again(shop: Shop) -> None:
    for _ in range(5):
        await shop.waiting()
    await shop.round()
    assert shop.books.calls["retrieve"] == 0
    await shop.round(after_seconds=QUARTER)
    await shop.round(after_seconds=QUARTER)
    assert shop.books.calls["retrieve"] == 5, "older than the third round's window"
