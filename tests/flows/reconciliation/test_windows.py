"""The provider's lists, window by window: nothing is left out between two rounds, whatever the
lists do (pitfalls B1 to B7, B15).
"""

from datetime import timedelta
from typing import Any

import pytest

from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import ProviderEvent
from paygate.domain.reconciliation.run import Cause, RunStatus
from paygate.domain.refunds.outcome import RefundAnswer, Refunded
from paygate.flows.reconciliation.read_payments import LAG
from paygate.flows.reconciliation.run import OVERLAP, WHOLE
from tests.flows.reconciliation.books import QUARTER, Shop
from tests.flows.world import APPROVED
from tests.making import START

SECOND = timedelta(seconds=1)


def hide(shop: Shop, reference: str, seconds: float) -> None:
    """Show a payment in the lists so long after it was made, and not before."""
    shop.books.payments[reference].listed_after = timedelta(seconds=seconds)


async def orphans(shop: Shop) -> set[str | None]:
    return {found.provider_reference for found in await shop.findings()}


async def test_the_first_round_looks_back_and_the_next_go_on_where_it_ended(shop: Shop) -> None:
    first = await shop.round()
    assert (first.cause, first.status) == (Cause.START, RunStatus.COMPLETED)
    assert first.until == shop.world.clock()
    assert first.cursors.payments == first.until - LAG
    second = await shop.round()
    assert second.cause is Cause.SCHEDULE
    assert second.since == first.cursors.payments - OVERLAP
    assert second.until == first.until + timedelta(seconds=QUARTER)


async def test_more_in_one_second_than_a_page_and_one_more_later(shop: Shop) -> None:
    """B1: the bounds are inclusive, and a payment is known by its id."""
    for number in range(250):
        shop.has(f"theirs_{number}", APPROVED, marked=f"at_{number}", merchant="default")
    assert (await shop.round()).tally.orphans == 250
    await shop.round()
    made_at = shop.books.payments["theirs_0"].made_at
    shop.has("late", APPROVED, marked="at_late", merchant="default")
    shop.books.payments["late"].made_at = made_at
    hide(shop, "late", 3600)
    await shop.round(after_seconds=3600)
    assert "late" not in await orphans(shop), "it is as old as what was read for good"
    await shop.round(after_seconds=86_400)
    assert "late" in await orphans(shop), "once a day the last 30 days are compared"


@pytest.mark.parametrize("late_by", [0, 90, 300])
@pytest.mark.parametrize("before_the_end", [-1, 0, 1, 60])
async def test_what_is_listed_late_at_the_edge_of_a_round_is_found(
    shop: Shop, late_by: int, before_the_end: int
) -> None:
    """B2 and F26: made just at the end of a window, and listed minutes after."""
    await shop.round()
    edge = shop.world.clock() + timedelta(seconds=QUARTER)
    shop.world.clock.forward(QUARTER - before_the_end)
    shop.has("theirs_edge", APPROVED, marked="at_edge", merchant="default")
    hide(shop, "theirs_edge", late_by)
    shop.world.clock.forward(before_the_end)
    assert shop.world.clock() == edge
    await shop.round(after_seconds=0)
    await shop.round()
    assert await orphans(shop) == {"theirs_edge"}
    assert len(await shop.findings()) in {1, 2}, "each round tells of what it holds"


async def test_an_event_just_at_the_edge_is_received_once(shop: Shop) -> None:
    """F26."""
    _, attempt = await shop.waiting()
    first = await shop.round()
    assert first.until is not None
    for at in (first.until - LAG - OVERLAP, first.until - LAG, first.until, first.until + SECOND):
        shop.tells(f"evt_{at}", attempt, APPROVED).at = at
    for _ in range(3):
        await shop.round()
    events: list[ProviderEvent] = await shop.world.all(ProviderEvent)
    named = [e.provider_reference for e in events if e.provider_reference.startswith("evt_2026")]
    assert sorted(named) == sorted(set(named))
    assert len(named) == 4


async def test_a_lost_event_comes_by_the_list_through_the_inbox(shop: Shop) -> None:
    intent, attempt = await shop.waiting()
    shop.world.clock.forward(60)
    shop.tells("evt_lost", attempt, APPROVED)
    shop.books.silent.add("payments")
    shop.books.silent.add("retrieve")
    await shop.round()
    event = next(
        e for e in await shop.world.all(ProviderEvent) if e.provider_reference == "evt_lost"
    )
    await shop.world.apply(event)
    assert await shop.status(intent) in {Status.REQUIRES_ACTION, Status.SUCCEEDED}


@pytest.mark.parametrize("kind", ["payments", "events"])
async def test_a_list_that_breaks_off_moves_no_cursor_and_the_rest_is_done(
    shop: Shop, kind: str
) -> None:
    """B3 and B4: also when the provider repeats a page, which its adapter takes for silence."""
    await shop.round()
    before = (await shop.round()).cursors
    intent, attempt = await shop.waiting()
    shop.has(str(intent.provider_reference), APPROVED, attempt)
    shop.books.silent.add(kind)
    run = await shop.round()
    assert run.status is RunStatus.FAILED
    assert getattr(run.cursors, kind) == getattr(before, kind)
    assert await shop.status(intent) is Status.SUCCEEDED, "it is asked for by its id"
    (alert,) = [a for a in await shop.world.all(Alert) if a.problem.stage == "failed"]
    assert (alert.problem.type, alert.status) == (AlertType.RECONCILIATION_DRIFT, AlertStatus.OPEN)
    shop.books.silent.clear()
    run = await shop.round()
    assert run.status is RunStatus.COMPLETED
    assert getattr(run.cursors, kind) == shop.world.clock() - LAG
    (alert,) = [a for a in await shop.world.all(Alert) if a.problem.stage == "failed"]
    assert alert.status is AlertStatus.CLOSED


async def test_a_cursor_that_stood_still_is_read_from_where_it_stood(shop: Shop) -> None:
    """B3: five windows of which the third breaks off; what was made in all of them is found."""
    first = await shop.round()
    for number in range(5):
        shop.world.clock.forward(3600)
        shop.has(f"theirs_{number}", APPROVED, marked=f"at_{number}", merchant="default")
    shop.books.silent.add("payments")
    assert (await shop.round()).cursors.payments == first.cursors.payments
    shop.books.silent.clear()
    run = await shop.round()
    assert run.since == (first.cursors.payments or START) - OVERLAP
    assert run.tally.orphans == 5


@pytest.mark.parametrize("kind", ["payments", "events"])
async def test_an_empty_list_where_something_was_expected_is_a_failure(
    shop: Shop, kind: str
) -> None:
    """B15: 200, and nothing in it."""
    await shop.paid(APPROVED)
    hidden: Any = shop.books.payments if kind == "payments" else shop.books.told
    hidden.clear()
    run = await shop.round()
    assert run.status is RunStatus.FAILED
    assert getattr(run.cursors, kind) is None
    assert len(run.faults) == 1
    assert kind in run.faults[0]


async def test_an_empty_list_of_an_idle_time_is_believed(shop: Shop) -> None:
    for _ in range(3):
        assert (await shop.round()).status is RunStatus.COMPLETED


async def test_a_refund_that_was_listed_in_an_outage_is_found_after_it(shop: Shop) -> None:
    intent, _ = await shop.paid(APPROVED)
    shop.world.clock.forward(40 * 86_400)
    await shop.round()
    made = RefundAnswer(
        Refunded(),
        provider_reference="re_dashboard",
        payment_reference=intent.provider_reference,
        created_at=shop.world.clock(),
        amount=5,
        currency=intent.currency,
    )
    shop.provider.refunds_shown["re_dashboard"] = made
    shop.provider.refunds_silent = True
    for _ in range(3):
        assert (await shop.round()).status is RunStatus.FAILED
    shop.provider.refunds_silent = False
    assert (await shop.round()).status is RunStatus.COMPLETED
    assert (await shop.world.now(intent))[0].amount_refunded == 5


async def test_a_gateway_that_stood_still_for_31_days_compares_the_objects(shop: Shop) -> None:
    """B7: the provider's events go back thirty days."""
    await shop.round()
    shop.world.clock.forward(60)
    intent, attempt = await shop.paid(APPROVED)
    shop.has("theirs_orphan", APPROVED, marked="at_unknown", merchant="default")
    shop.has(str(intent.provider_reference), APPROVED, attempt, disputed=True)
    run = await shop.round(after_seconds=31 * 86_400)
    assert run.events_since == shop.world.clock() - WHOLE
    assert (run.tally.orphans, run.tally.held) == (1, 1)


async def test_final_payments_are_compared_once_a_day(shop: Shop) -> None:
    intent, attempt = await shop.paid(APPROVED)
    assert (await shop.round()).whole_since is not None
    assert (await shop.round()).whole_since is None
    shop.world.clock.forward(3 * 86_400)
    await shop.round()
    shop.has(str(intent.provider_reference), APPROVED, attempt, refunded=1)
    seen = [(await shop.round()).tally.held for _ in range(24 * 4 + 1)]
    assert sum(seen) == 1


async def test_since_compares_from_then_on_and_moves_no_cursor_that_it_does_not_join(
    shop: Shop,
) -> None:
    shop.has("old", APPROVED, marked="at_old", merchant="default")
    shop.world.clock.forward(40 * 86_400)
    first = await shop.round()
    assert first.tally.orphans == 0
    later = await shop.by_hand(shop.world.clock() - timedelta(minutes=1))
    assert later.cursors.payments == first.cursors.payments
    back = await shop.by_hand(shop.world.clock() - timedelta(days=41))
    assert back.tally.orphans == 1
    assert back.cursors.payments == shop.world.clock() - LAG
