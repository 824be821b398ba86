"""Alerts close when their cause is gone, each by what its own records say; and only then."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertStatus, AlertType, Problem
from paygate.domain.audit import Subject
from paygate.domain.payments.outcome import (
    ActionRequired,
    Answer,
    Approved,
    Cancelled,
    Declined,
    PaymentError,
    Pending,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import EventStatus
from paygate.flows.alerts.acknowledge import acknowledge_alert
from paygate.flows.alerts.close import close_alert, close_alerts, close_cleared
from paygate.flows.alerts.list import list_alerts
from paygate.flows.alerts.raise_alert import occurrence, raise_alert
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.sweeps.close_failed import GIVE_UP_AFTER, close_failed_payment
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.flows.payments.sweeps.watch_authorizations import watch_authorizations
from paygate.flows.sweep import Sweep
from paygate.jobs.messages import CloseFailedPayment
from paygate.providers.absence import Absent
from paygate.storage.change import Change
from paygate.storage.pages import newest
from tests.flows.idempotency.test_idempotency import NOT_SENT, refused
from tests.flows.world import APPROVED, World, answer
from tests.making import make_audit, make_provider_event

HOUR = 3600
CHALLENGE = ActionRequired(RedirectToUrl("https://bank.example/3ds"))
LOST = Answer(Unknown("reset"))
KEY_REJECTED = Rejected("provider_configuration", "401")
Mend = Callable[[World], Awaitable[None]]


async def a_hold_expires(world: World) -> Mend:
    until = world.clock.time + timedelta(hours=20)
    outcome = Approved(False, 0, 1999, authorization_expires_at=until)
    intent, _ = await world.confirming(outcome)
    await watch_authorizations(world.ctx, "run")

    async def mend(world: World) -> None:
        world.clock.forward(1)
        world.provider.answers.append(answer(Cancelled(None), as_of=world.clock.time))
        await cancel_payment_intent(world.ctx, world.caller, intent.id)

    return mend


async def an_attempt_is_unresolved(world: World) -> Mend:
    await world.confirming(Unknown("reset"), provider_reference=None)
    world.clock.forward(2 * HOUR)
    world.provider.objects = [Absent()]
    await resolve_attempts(world.ctx, "run")

    async def mend(world: World) -> None:
        (order,) = world.provider.orders
        found = answer(APPROVED, attempt=order.attempt, merchant="default")
        world.provider.objects = [msgspec.structs.replace(found, installation="in_test")]
        assert (await resolve_attempts(world.ctx, "run")).resolved == 1

    return mend


async def a_key_is_unfinished(world: World) -> Mend:
    intent = await world.create()
    world.provider.answers.append(NOT_SENT)
    await refused(world.confirm_once(intent, "k"))
    world.clock.forward(25 * HOUR)
    await purge_idempotency_keys(world.ctx, "run")

    async def mend(world: World) -> None:
        await resolve_attempts(world.ctx, "run")
        assert (await world.now(intent))[0].status is Status.FAILED

    return mend


async def an_event_is_dead(world: World) -> Mend:
    stored = make_provider_event("evt_broken")
    await world.ctx.door.commit(Change(make_audit(), creates=(stored,)))
    event = await world.apply(stored)
    assert event.status is EventStatus.DEAD_LETTER

    async def mend(world: World) -> None:
        replayed = msgspec.structs.replace(event, status="processed", version=event.version + 1)
        await world.connection.execute("ALTER TABLE provider_event DISABLE TRIGGER USER")
        await world.ctx.door.commit(Change(make_audit(), advances=(replayed,)))

    return mend


async def the_provider_refuses(world: World) -> Mend:
    await world.confirming(KEY_REJECTED)
    world.clock.forward(1)

    async def mend(world: World) -> None:
        await world.confirming(APPROVED)

    return mend


CAUSES: dict[AlertType, Callable[[World], Awaitable[Mend]]] = {
    AlertType.AUTHORIZATION_EXPIRING: a_hold_expires,
    AlertType.ATTEMPT_UNRESOLVED: an_attempt_is_unresolved,
    AlertType.IDEMPOTENCY_UNFINISHED: a_key_is_unfinished,
    AlertType.WEBHOOK_DEAD_LETTER: an_event_is_dead,
    AlertType.PROVIDER_MISCONFIGURED: the_provider_refuses,
}
"""`record_unreadable` is in test_unreadable."""


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("kind", CAUSES)
async def test_an_alert_closes_when_its_cause_is_gone_and_not_before(
    world: World, kind: AlertType, *, seen: bool
) -> None:
    """Whether somebody has seen it or not."""
    mend = await CAUSES[kind](world)
    (alert,) = await world.all(Alert)
    assert alert.problem.type is kind
    if seen:
        await acknowledge_alert(world.ctx, world.caller, alert.id)
    assert (await close_alerts(world.ctx, "run")).closed == 0
    await mend(world)
    assert (await close_alerts(world.ctx, "run_2")).closed == 1
    assert (await close_alerts(world.ctx, "run_3")).closed == 0
    page = await list_alerts(
        world.ctx, world.caller, newest("alert", 10), AlertStatus.CLOSED, "status=closed"
    )
    assert [a.id for a in page.items] == [alert.id]
    (entry,) = [e for e in await world.audited() if e.action is Action.ALERT_CLOSE]
    assert (entry.actor.name, entry.request_id) == ("close-alerts", "run_2")
    assert entry.subject == Subject("alert", alert.id)


@pytest.mark.parametrize("waits", [CHALLENGE, Pending()])
async def test_a_payment_that_is_missing_is_told_of_until_the_provider_has_it(
    world: World, waits: ActionRequired | Pending
) -> None:
    """Its attempt is not in doubt: it waits, for a payment that another account does not know."""
    await world.confirming(waits)
    for times in (1, 2):
        world.clock.forward(HOUR)
        world.provider.answers = [LOST]
        world.provider.objects = [Absent()]
        await close_overdue_attempts(world.ctx, "run")
        assert (await close_alerts(world.ctx, "run")).closed == 0
        (alert,) = await world.all(Alert)
        assert (alert.status, alert.count) == (AlertStatus.OPEN, times)
    world.clock.forward(HOUR)
    world.provider.answers = [LOST]
    world.provider.objects = [answer(Cancelled(None), as_of=world.clock())]
    await close_overdue_attempts(world.ctx, "run")
    assert (await close_alerts(world.ctx, "run")).closed == 1


@pytest.mark.parametrize("said", [Absent(), Answer(Unknown("500"))])
async def test_what_has_failed_and_may_be_open_at_the_provider_is_a_persons_to_end(
    world: World, said: Absent | Answer
) -> None:
    """Its attempt ended long ago, and says nothing of it."""
    intent, attempt = await world.confirming(Declined(PaymentError("card_declined", "no")))
    job = CloseFailedPayment(attempt.merchant, attempt.id)
    for seconds in (60, GIVE_UP_AFTER.total_seconds()):
        world.clock.forward(seconds)
        world.provider.answers = [LOST]
        world.provider.objects = [said]
        await close_failed_payment(world.ctx, job)
        assert (await close_alerts(world.ctx, "run")).closed == 0
    counts = {alert.problem.stage: alert.count for alert in await world.all(Alert)}
    assert counts == {"left_open": 1} | ({"missing": 2} if said == Absent() else {})
    # It has taken money after all, and pays for the intent.
    world.provider.answers = [answer(APPROVED, as_of=world.clock())]
    await close_failed_payment(world.ctx, job)
    assert (await world.now(intent))[0].status is Status.SUCCEEDED
    assert (await close_alerts(world.ctx, "run")).closed == len(counts)


def test_the_docs_say_of_every_type_what_it_is_and_when_it_closes() -> None:
    text = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    rows = [
        line.split(" | ") for line in text.splitlines() if line.startswith("| `") and "|" in line
    ]
    types = [row[0].strip("| `") for row in rows if len(row) == 5]
    assert types == sorted(AlertType)


async def test_what_comes_up_after_an_alert_was_closed_is_another(world: World) -> None:
    mend = await the_provider_refuses(world)
    await world.all(Alert)
    await mend(world)
    await close_alerts(world.ctx, "run")
    await world.confirming(KEY_REJECTED)
    found = await world.all(Alert)
    assert sorted(a.status for a in found) == [AlertStatus.CLOSED, AlertStatus.OPEN]
    assert [a.count for a in found] == [1, 1]


async def test_a_payment_from_before_the_refusal_is_no_proof(world: World) -> None:
    await world.confirming(APPROVED)
    world.clock.forward(1)
    await the_provider_refuses(world)
    await world.all(Alert)
    assert (await close_alerts(world.ctx, "run")).closed == 0


async def test_what_has_happened_stays_for_a_person(world: World) -> None:
    subject = Subject("payment_intent", "pi_1")
    for kind in (
        AlertType.STATE_CORRECTION,
        AlertType.ORPHAN_CHARGE,
        AlertType.TRANSFER_EXCESS,
        AlertType.TRANSFER_PARTLY_FUNDED,
        AlertType.CARD_DATA_REFUSED,
        AlertType.LEDGER_MISMATCH,  # closed by its own check alone
    ):
        await raise_alert(world.ctx, world.caller, problem(kind, subject))
    assert (await close_alerts(world.ctx, "run")).closed == 0


def problem(kind: AlertType, subject: Subject, stage: str | None = None) -> Problem:
    return Problem(
        type=kind, subject=subject, severity="warning", message="m", what_to_do="w", stage=stage
    )


async def test_a_check_closes_the_alert_that_it_finds_gone(world: World) -> None:
    kind, subject = AlertType.CLOCK_SKEW, Subject("provider", "scripted")
    await raise_alert(world.ctx, world.caller, problem(kind, subject))
    await raise_alert(world.ctx, world.caller, problem(kind, subject, stage="worse"))
    assert await close_alert(world.ctx, world.caller, kind, subject)
    assert not await close_alert(world.ctx, world.caller, kind, subject)
    by_stage = {a.problem.stage: a.status for a in await world.all(Alert)}
    assert by_stage == {None: AlertStatus.CLOSED, "worse": AlertStatus.OPEN}


async def test_a_whole_check_closes_what_it_has_not_found_again(world: World) -> None:
    kind = AlertType.LEDGER_MISMATCH
    gone, still, newer = (Subject("payment_intent", f"pi_{n}") for n in range(3))
    for subject in (gone, still):
        await raise_alert(world.ctx, world.caller, problem(kind, subject))
    await raise_alert(world.ctx, world.caller, problem(AlertType.ORPHAN_CHARGE, gone))
    world.clock.forward(1)
    began = world.clock.time
    await raise_alert(world.ctx, world.caller, problem(kind, newer))
    sweep = Sweep(world.ctx, "verify-ledger", "run")
    assert await close_cleared(world.ctx, sweep, kind, {("default", still.id)}, began) == 1
    closed = [a for a in await world.all(Alert) if a.status is AlertStatus.CLOSED]
    assert [(a.problem.type, a.problem.subject) for a in closed] == [(kind, gone)]


async def test_an_occurrence_whose_job_was_lost_is_counted_by_the_clock(world: World) -> None:
    subject = Subject("payment_intent", "pi_1")
    found = occurrence(world.ctx, "default", problem(AlertType.ORPHAN_CHARGE, subject))
    audit = world.ctx.audit(world.caller, Action.INTENT_CONFIRM)
    await world.ctx.door.commit(Change(audit, creates=(found,)))
    assert await close_alerts(world.ctx, "run") == (0, 0), "its job may yet come"
    world.clock.forward(HOUR)
    assert await close_alerts(world.ctx, "run") == (0, 1)
    assert await close_alerts(world.ctx, "run") == (0, 0)
    (alert,) = await world.all(Alert)
    assert alert.created_at == found.at


async def test_a_hundred_confirms_with_a_refused_key_all_conclude_and_raise_one_alert(
    world: World,
) -> None:
    intents = [await world.create() for _ in range(100)]
    world.provider.answers += [answer(KEY_REJECTED) for _ in intents]
    done = await asyncio.gather(*map(world.confirm, intents))
    assert {intent.status for intent in done} == {Status.FAILED}
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.count) == (AlertType.PROVIDER_MISCONFIGURED, 100)
