"""What trips a round up is held, told, and asked for again: it keeps no cursor back, and hides
nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from paygate.domain.alert import Alert, AlertStatus, AlertType
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import Cancelled
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.domain.reconciliation.finding import FindingAction, FindingKind
from paygate.domain.reconciliation.run import Cause, Reconciliation, RunStatus
from paygate.domain.refunds.outcome import RefundAnswer, Refunded
from paygate.flows.reconciliation.read_payments import LAG
from paygate.flows.reconciliation.run import OVERLAP, rehearse
from paygate.storage.change import Change, Impossible, Verdict
from paygate.storage.unreadable import Unreadable
from tests.flows.payments.test_holds import HELD, cancel, taken
from tests.flows.reconciliation.books import QUARTER, Shop
from tests.flows.spoilt import mend, spoil
from tests.flows.world import APPROVED, INSTALLATION, THEIRS, answer
from tests.making import START, make_audit


@contextmanager
def refusing(shop: Shop, bad: str) -> Iterator[None]:
    """Let the database refuse whatever is committed about one payment."""
    door = shop.world.ctx.door

    class Refusing:
        async def commit(self, change: Change) -> Verdict:
            if change.audit.subject and change.audit.subject.id == bad:
                raise Impossible("a fault")
            return await door.commit(change)

    shop.world.use(door=Refusing())
    yield
    shop.world.use(door=door)


async def taken_under_a_cancel(shop: Shop) -> tuple[PaymentIntent, Attempt]:
    """A payment that is at its end here, so that nothing but the lists has it, and not there."""
    intent, attempt = await shop.paid(HELD, capture_method="manual")
    shop.world.clock.forward(1)
    shop.provider.answers.append(answer(Cancelled(), as_of=shop.world.clock()))
    assert (await cancel(shop.world, intent)).status is Status.CANCELLED
    shop.has(str(intent.provider_reference), taken(), attempt)
    return intent, attempt


async def drift_alerts(shop: Shop) -> dict[str | None, AlertStatus]:
    """The alerts of what could not be examined, by what they are about."""
    found: list[Alert] = await shop.world.all(Alert)
    return {a.problem.subject.id: a.status for a in found if a.problem.stage == "unexamined"}


async def test_a_payment_that_trips_every_round_up_is_held_and_the_cursor_goes_on(
    shop: Shop,
) -> None:
    """B4. The others are healed, no window grows, and once the fault is gone it is healed too."""
    before = await shop.round()
    bad, _ = await taken_under_a_cancel(shop)
    waits, attempt = await shop.waiting()
    shop.has(str(waits.provider_reference), APPROVED, attempt)
    with refusing(shop, bad.id):
        for number in range(3):
            shop.has(f"orphan_{number}", APPROVED, marked=f"at_{number}", merchant="default")
            run = await shop.round(after_seconds=7 * 3600)
            assert run.status is RunStatus.COMPLETED
            assert run.cursors.payments == shop.world.clock() - LAG
            (found,) = [f for f in await shop.findings(run) if f.payment_intent == bad.id]
            assert (found.action, found.provider_reference) == ("held", bad.provider_reference)
            assert found.reason.endswith("asked for again: a fault (Impossible)")
            assert run.tally.orphans == 1
            assert run.since == (before.cursors.payments or START) - OVERLAP
            before = run
        assert await drift_alerts(shop) == {bad.id: AlertStatus.OPEN}
    assert await shop.status(waits) is Status.SUCCEEDED
    run = await shop.round(after_seconds=7 * 3600)
    assert await shop.status(bad) is Status.SUCCEEDED
    assert (run.tally.healed, run.tally.held) == (1, 0)
    assert await drift_alerts(shop) == {bad.id: AlertStatus.CLOSED}
    assert await shop.findings(await shop.round()) == []


async def test_what_is_held_is_handed_on_over_rounds_that_came_to_nothing(shop: Shop) -> None:
    bad, _ = await taken_under_a_cancel(shop)
    with refusing(shop, bad.id):
        await shop.round()
    skew, shop.provider.skew = shop.provider.skew, None
    for _ in range(30):
        assert (await shop.round()).status is RunStatus.FAILED
    shop.provider.skew = skew
    await shop.round(after_seconds=40 * 86_400)
    assert await shop.status(bad) is Status.SUCCEEDED


async def test_a_round_whose_record_cannot_be_read_holds_up_no_later_one(shop: Shop) -> None:
    """Its cursors are not known, but what it held is asked for all the same."""
    bad, _ = await taken_under_a_cancel(shop)
    with refusing(shop, bad.id):
        await shop.round(after_seconds=7 * 3600)
        before = await shop.round(after_seconds=7 * 3600)
        unread = await shop.round(after_seconds=7 * 3600)
    await spoil(shop.world, "reconciliation", unread.id)
    run = await shop.round(after_seconds=40 * 86_400)
    assert (run.status, run.before) == (RunStatus.COMPLETED, before.started_at)
    assert await shop.status(bad) is Status.SUCCEEDED
    raised: list[Alert] = await shop.world.all(Alert)
    told = {a.problem.subject.id for a in raised if a.problem.type is AlertType.RECORD_UNREADABLE}
    assert told == {unread.id}


async def test_a_running_round_that_cannot_be_read_is_told_of(shop: Shop) -> None:
    """Nobody can go on with it, and none begins beside it."""
    run = a_round(shop)
    await shop.world.ctx.door.commit(Change(make_audit(), creates=(run,)))
    await spoil(shop.world, "reconciliation", run.id)
    with pytest.raises(Unreadable):
        await shop.round()
    raised: list[Alert] = await shop.world.all(Alert)
    assert [(a.problem.type, a.problem.subject.id) for a in raised] == [
        (AlertType.RECORD_UNREADABLE, run.id)
    ]


async def test_a_record_that_cannot_be_read_is_held_with_its_own_alert(shop: Shop) -> None:
    bad, _ = await taken_under_a_cancel(shop)
    good, attempt = await shop.waiting()
    shop.has(str(good.provider_reference), APPROVED, attempt)
    await spoil(shop.world, "payment_intent", bad.id)
    for _ in range(2):
        run = await shop.round(after_seconds=7 * 3600)
        assert run.cursors.payments == shop.world.clock() - LAG
        found = {f.provider_reference: f for f in await shop.findings(run)}
        assert found[bad.provider_reference].reason.endswith("a record of ours cannot be read")
    await mend(shop.world, "payment_intent", bad.id)
    assert await shop.status(good) is Status.SUCCEEDED
    await shop.round(after_seconds=7 * 3600)
    assert await shop.status(bad) is Status.SUCCEEDED
    raised: list[Alert] = await shop.world.all(Alert)
    kinds = [a.problem.type for a in raised if a.problem.subject.id == bad.id]
    assert kinds[0] is AlertType.RECORD_UNREADABLE
    assert await drift_alerts(shop) == {}


async def test_a_dry_run_tells_of_no_record_that_it_cannot_read(shop: Shop) -> None:
    bad, _ = await taken_under_a_cancel(shop)
    await spoil(shop.world, "payment_intent", bad.id)
    shop.world.clock.forward(QUARTER)
    before = await shop.world.connection.fetchval("SELECT count(*) FROM audit_entry")
    run = a_round(shop)
    report = await rehearse(shop.world.ctx, run, "run_1")
    assert [f.provider_reference for f in report.kept] == [bad.provider_reference]
    assert await shop.world.connection.fetchval("SELECT count(*) FROM audit_entry") == before


def a_round(shop: Shop) -> Reconciliation:
    now = shop.world.clock()
    return Reconciliation(
        id=shop.world.ctx.new_id("reconciliation"),
        merchant="default",
        livemode=False,
        cause=Cause.PERSON,
        status=RunStatus.RUNNING,
        started_at=now,
        created_at=now,
        updated_at=now,
    )


async def test_what_the_provider_does_not_say_is_asked_for_again_and_told_the_second_time(
    shop: Shop,
) -> None:
    """The list shows it, and it cannot be fetched just now. It is final here: nothing else asks."""
    intent, attempt = await shop.paid(APPROVED)
    shop.has(str(intent.provider_reference), APPROVED, attempt, disputed=True)
    shop.books.silent.add("retrieve")
    run = await shop.round()
    assert (run.status, run.tally.held) == (RunStatus.COMPLETED, 1)
    assert await drift_alerts(shop) == {}
    await shop.round(after_seconds=7 * 3600)
    assert await drift_alerts(shop) == {intent.id: AlertStatus.OPEN}
    shop.books.silent.clear()
    run = await shop.round(after_seconds=7 * 3600)
    (found,) = await shop.findings(run)
    assert (found.kind, found.theirs) == (FindingKind.DISPUTE, {"disputed": True})
    assert await drift_alerts(shop) == {intent.id: AlertStatus.CLOSED}


async def test_a_refund_whose_payment_is_not_known_yet_is_asked_for_again(shop: Shop) -> None:
    await shop.round()
    made = RefundAnswer(
        Refunded(),
        provider_reference="re_1",
        payment_reference=THEIRS,
        created_at=shop.world.clock(),
        amount=5,
        currency="eur",
        installation=INSTALLATION,
        merchant="default",
    )
    shop.provider.refunds_shown["re_1"] = made
    run = await shop.round()
    assert run.cursors.refunds == shop.world.clock() - LAG
    (found,) = await shop.findings(run)
    assert (found.kind, found.action) == (FindingKind.REFUNDED, FindingAction.HELD)
    shop.world.clock.forward(7 * 3600)
    intent, _ = await shop.paid(APPROVED)
    run = await shop.round()
    assert (await shop.world.now(intent))[0].amount_refunded == 5
    (found,) = await shop.findings(run)
    assert (found.payment_intent, found.action) == (intent.id, FindingAction.HEALED)
    assert found.theirs == {"status": "succeeded", "amount": 5, "currency": "eur"}


async def test_a_listed_event_that_cannot_be_read_is_a_dead_letter_and_in_the_report(
    shop: Shop,
) -> None:
    await shop.paid(APPROVED)
    shop.books.unread.append((shop.world.clock(), b'{"object": "of tomorrow"}'))
    run = await shop.round()
    assert run.status is RunStatus.COMPLETED
    assert run.cursors.events == shop.world.clock() - LAG
    (found,) = await shop.findings(run)
    assert found.reason == "an event that the provider lists cannot be read; it is a dead letter"
    events: list[ProviderEvent] = await shop.world.all(ProviderEvent)
    (event,) = [e for e in events if e.provider_reference == found.provider_reference]
    assert (await shop.world.apply(event)).status is EventStatus.DEAD_LETTER
    (alert,) = await shop.world.all(Alert)
    assert alert.problem.type is AlertType.WEBHOOK_DEAD_LETTER
    assert await shop.findings(await shop.round()) == [], "it is told once"


async def test_an_event_that_cannot_be_stored_is_held_and_asked_for_again(shop: Shop) -> None:
    _, attempt = await shop.waiting()
    for number in range(3):
        shop.tells(f"evt_{number}", attempt, APPROVED)
    door = shop.world.ctx.door

    class Refusing:
        async def commit(self, change: Change) -> Verdict:
            for record in change.creates:
                if isinstance(record, ProviderEvent) and record.provider_reference == "evt_1":
                    raise Impossible("a fault")
            return await door.commit(change)

    shop.world.use(door=Refusing())
    for _ in range(2):
        run = await shop.round(after_seconds=7 * 3600)
        assert run.cursors.events == shop.world.clock() - LAG
        held = [f.provider_reference for f in await shop.findings(run) if f.again is not None]
        assert held == ["evt_1"]
    assert await drift_alerts(shop) == {"evt_1": AlertStatus.OPEN}
    shop.world.use(door=door)
    await shop.round(after_seconds=7 * 3600)
    events: list[ProviderEvent] = await shop.world.all(ProviderEvent)
    assert {f"evt_{n}" for n in range(3)} <= {e.provider_reference for e in events}
    assert await drift_alerts(shop) == {"evt_1": AlertStatus.CLOSED}


async def test_one_that_trips_the_closing_of_alerts_up_hides_no_other(shop: Shop) -> None:
    """And the round has come to its end all the same."""
    held = [await shop.paid(APPROVED) for _ in range(3)]
    for intent, attempt in held:
        shop.has(str(intent.provider_reference), APPROVED, attempt, disputed=True)
    await shop.round()
    for intent, attempt in held:
        shop.has(str(intent.provider_reference), APPROVED, attempt)
    first, second, third = (intent for intent, _ in held)
    await spoil(shop.world, "payment_intent", first.id)
    shop.books.stumbles_over = str(second.provider_reference)
    run = await shop.round(after_seconds=2 * 3600)
    await mend(shop.world, "payment_intent", first.id)
    assert run.status is RunStatus.FAILED
    assert run.faults == ("alerts: a fault (RuntimeError)",)
    alerts: list[Alert] = await shop.world.all(Alert)
    stand = {a.problem.subject.id: a.status for a in alerts if a.problem.stage == "dispute"}
    assert stand == {
        first.id: AlertStatus.OPEN,
        second.id: AlertStatus.OPEN,
        third.id: AlertStatus.CLOSED,
    }
    unreadable = [a for a in alerts if a.problem.type is AlertType.RECORD_UNREADABLE]
    assert [a.problem.subject.id for a in unreadable] == [first.id]
