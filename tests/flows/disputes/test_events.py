"""What events of disputes and of early fraud warnings come to."""

from itertools import permutations

import msgspec
import pytest

from paygate.domain.alert import Alert
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.outcome import DisputeStatus, DisputeUnfamiliar
from paygate.domain.payments.outcome import Unknown
from paygate.domain.provider_event import RETRY_AFTER, EventStatus, ProviderEvent
from paygate.flows.alerts.close import close_alerts
from paygate.providers.contract import Notice
from tests.domain.disputes.made import BACK, TAKEN
from tests.flows.disputes.stories import (
    alerts,
    check_books,
    disputed,
    paid,
    said,
    shown,
    told,
    told_of,
    warned,
)
from tests.flows.refunds.stories import refund
from tests.flows.world import APPROVED, THEIRS, World, answer, notice
from tests.making import START


async def ended(world: World, said: Notice) -> ProviderEvent:
    """What became of an event after all its tries."""
    event = await world.applied(said)
    for wait in RETRY_AFTER:
        if event.status not in {EventStatus.RECEIVED, EventStatus.PARKED}:
            break
        world.clock.forward(wait.total_seconds())
        event = await world.apply(event)
    return event


async def test_an_event_records_a_dispute_and_others_move_it(world: World) -> None:
    intent = await paid(world)
    opened = shown(world, said(world, "needs_response", TAKEN))
    event = await world.applied(told(opened, "evt_d1"))
    (dispute,) = await world.all(Dispute)
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "recorded")
    assert event.subject is not None
    assert event.subject.id == dispute.id
    won = shown(world, said(world, "won", TAKEN, BACK))
    world.provider.disputes_shown.clear()  # what is exact and known asks nobody
    event = await world.applied(told(won, "evt_d2"))
    assert (event.status, event.verdict) == (EventStatus.PROCESSED, "applied")
    assert (await check_books(world, intent)).amount_refundable == 1999


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_events_in_any_order_end_alike(world: World, order: tuple[int, ...]) -> None:
    intent = await paid(world)
    steps = [
        shown(world, said(world, "needs_response", TAKEN)),
        shown(world, said(world, "under_review", TAKEN, submission_count=1)),
        shown(world, said(world, "won", TAKEN, BACK, submission_count=1)),
    ]
    for number in (*order, *order):
        await world.applied(told(steps[number], f"evt_d{number}"))
    (dispute,) = await world.all(Dispute)
    assert dispute.status is DisputeStatus.WON
    assert (await check_books(world, intent)).amount_refundable == 1999


async def test_closed_before_created_before_the_payments_own_success(world: World) -> None:
    """A returned debit: its loss is told before anything else, and nothing of that is undone."""
    intent, attempt = await world.confirming(Unknown("nobody knows"))
    lost = shown(world, said(world, "lost", TAKEN, evidence_due_by=None))
    earlier = said(world, "needs_response", evidence_due_by=None)
    created = msgspec.structs.replace(lost, outcome=earlier, as_of=START)
    first = await world.applied(told(lost, "evt_lost"))
    assert first.status is EventStatus.PARKED
    await world.applied(told(created, "evt_created"))
    world.provider.objects.append(answer(APPROVED, attempt=attempt.id))
    await world.applied(notice(attempt, APPROVED))
    world.clock.forward(60)
    first = await world.apply(first)
    assert (first.status, first.verdict) == (EventStatus.PROCESSED, "recorded")
    for event in await world.all(ProviderEvent):
        await world.apply(event)
    (dispute,) = await world.all(Dispute)
    assert dispute.status is DisputeStatus.LOST
    assert (await check_books(world, intent)).amount_refundable == 0


async def test_an_event_that_does_not_name_its_payment_is_looked_up(world: World) -> None:
    await paid(world)
    whole = shown(world, said(world, "needs_response", TAKEN), "dp_1")
    bare = msgspec.structs.replace(whole, payment_reference=None, charge_reference="ch_1")
    event = await world.applied(told(bare, "evt_d1", exact=False))
    assert event.verdict == "recorded"
    (dispute,) = await world.all(Dispute)
    assert dispute.provider_reference == "dp_1"


async def test_a_rehearsed_dispute_is_none(world: World) -> None:
    await paid(world)
    never = shown(world, said(world, "needs_response", TAKEN))
    world.provider.disputes_shown.clear()
    event = await world.applied(told(never, "evt_d1"))
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "no_such_dispute")
    assert await world.all(Dispute) == []


async def test_a_strangers_dispute_is_foreign(world: World) -> None:
    theirs = shown(world, said(world), payment_reference="ref_else", installation=None)
    event = await world.applied(told(theirs, "evt_d1"))
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "foreign")
    assert await alerts(world) == []


async def test_one_of_our_mark_that_nobody_knows_is_an_orphan(world: World) -> None:
    lost = shown(world, said(world, "needs_response", TAKEN), payment_reference="ref_else")
    event = await ended(world, told(lost, "evt_d1"))
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "orphan_charge")
    assert await alerts(world) == [("orphan_charge", None)]


async def test_a_provider_that_does_not_tell_puts_the_event_off(world: World) -> None:
    await paid(world)
    whole = shown(world, said(world, "needs_response", TAKEN))
    silent = msgspec.structs.replace(whole, outcome=Unknown("not told"))
    world.provider.disputes_shown["du_1"] = silent
    event = await world.applied(told(whole, "evt_d1"))
    assert event.status is EventStatus.RECEIVED
    world.provider.disputes_shown["du_1"] = whole
    assert (await world.apply(event)).verdict == "recorded"


async def test_a_new_dispute_in_an_unheard_of_word_is_a_dead_letter(world: World) -> None:
    await paid(world)
    odd = shown(world, DisputeUnfamiliar("arbitration"))
    event = await world.applied(told(odd, "evt_d1"))
    assert (event.status, event.verdict) == (EventStatus.DEAD_LETTER, "dispute_not_understood")


async def test_an_older_event_is_stale(world: World) -> None:
    await paid(world)
    opened = shown(world, said(world, "needs_response", TAKEN))
    await disputed(world, "under_review", TAKEN)
    event = await world.applied(told(opened, "evt_d1"))
    assert (event.status, event.verdict) == (EventStatus.STALE, "older_than_applied")


async def test_the_other_mode_is_not_read(world: World) -> None:
    await paid(world)
    opened = shown(world, said(world, "needs_response", TAKEN))
    live = msgspec.structs.replace(told(opened, "evt_d1"), livemode=True)
    event = await world.applied(live)
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "other_mode")
    assert await world.all(Dispute) == []


async def test_a_fraud_warning_is_told_once(world: World) -> None:
    intent = await paid(world)
    warning = warned()
    world.provider.warnings_shown[warning.provider_reference] = warning
    first = await world.applied(told_of(warning, "evt_w1"))
    again = await world.applied(told_of(warning, "evt_w2"))
    assert (first.verdict, again.verdict) == ("told", "told_before")
    assert first.subject is not None
    assert first.subject.id == intent.id
    (alert,) = await world.all(Alert)
    assert (alert.count, alert.problem.severity) == (1, "warning")
    assert "19.99 EUR of it can still be refunded" in alert.problem.message


async def test_a_fraud_warning_names_the_fee_that_a_dispute_cost(world: World) -> None:
    """Charge 19.99, fee 25.00: the refund is the cheaper of the two."""
    await paid(world)
    costly = msgspec.structs.replace(TAKEN, fee=2500)
    await disputed(world, "lost", costly)
    intent, _ = await world.confirming(APPROVED)
    warning = warned(payment_reference=intent.provider_reference)
    world.provider.warnings_shown["issfr_1"] = warning
    await world.applied(told_of(warning, "evt_w1"))
    (alert,) = [a for a in await world.all(Alert) if a.problem.type == "early_fraud_warning"]
    assert "a fee of 2500 eur" in alert.problem.message
    assert "the cheaper of the two" in alert.problem.message


async def test_no_refund_is_advised_where_it_spares_nothing(world: World) -> None:
    intent = await paid(world)
    shows = world.provider.warnings_shown
    for number, warning in enumerate((warned(actionable=False), warned(charge_disputed=True))):
        shows["issfr_1"] = warning
        event = await world.applied(told_of(warning, f"evt_w{number}"))
        assert event.verdict == "nothing_left_to_spare"
    shows["issfr_1"] = warned()
    await refund(world, intent)
    event = await world.applied(told_of(warned(), "evt_w3"))
    assert event.verdict == "nothing_left_to_spare"
    assert await alerts(world) == []


async def test_a_warning_after_the_dispute_began_advises_nothing(world: World) -> None:
    await paid(world)
    await disputed(world, "needs_response", TAKEN)
    world.provider.warnings_shown["issfr_1"] = warned()  # the provider is behind
    event = await world.applied(told_of(warned(), "evt_w1"))
    assert event.verdict == "nothing_left_to_spare"
    assert await alerts(world) == [("dispute_opened", None)]


async def test_the_advice_ends_with_the_dispute_it_warned_of(world: World) -> None:
    await paid(world)
    world.provider.warnings_shown["issfr_1"] = warned()
    await world.applied(told_of(warned(), "evt_w1"))
    await world.count_occurrences()
    await close_alerts(world.ctx, "run")
    assert await alerts(world) == [("early_fraud_warning", None)]
    await disputed(world, "needs_response", TAKEN)
    await world.count_occurrences()
    await close_alerts(world.ctx, "run_2")
    assert await alerts(world) == [("dispute_opened", None)]


async def test_a_strangers_warning_is_foreign(world: World) -> None:
    theirs = warned(payment_reference="ref_else", installation=None)
    world.provider.warnings_shown["issfr_1"] = theirs
    event = await world.applied(told_of(theirs, "evt_w1"))
    assert (event.status, event.verdict) == (EventStatus.IGNORED, "foreign")
    assert THEIRS != "ref_else"


async def test_a_warning_that_the_provider_does_not_tell_of_waits(world: World) -> None:
    await paid(world)
    world.provider.warnings_shown["issfr_1"] = Unknown("not told")
    event = await world.applied(told_of(warned(), "evt_w1"))
    assert event.status is EventStatus.RECEIVED


async def test_two_events_of_one_second_whose_look_ups_cross_leave_the_newer(
    world: World,
) -> None:
    """A dispute that is lost at once: the first event's look-up shows it open, and comes back when
    the second event's has recorded its end.
    """
    intent = await paid(world)
    opened = shown(world, said(world, "needs_response", TAKEN))

    async def closed() -> None:
        lost = shown(world, said(world, "lost", TAKEN), as_of=opened.as_of)
        await world.applied(told(lost, "evt_d2"))

    world.provider.amid_look = closed
    await world.applied(told(opened, "evt_d1"))
    (dispute,) = await world.all(Dispute)
    assert (dispute.status, dispute.closed_at is None) == (DisputeStatus.LOST, False)
    now = await check_books(world, intent)
    assert (now.disputes_blocking, now.amount_refundable) == (0, 0)
