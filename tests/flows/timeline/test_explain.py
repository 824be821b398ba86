"""Explain a payment: everything that is stored of it, in the order of time and cause, bounded, and
honest about what it leaves out.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import msgspec
import pytest

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.alert import Alert, AlertStatus, AlertType, Problem, closed
from paygate.domain.alert import acknowledged as seen_by
from paygate.domain.audit import AuditEntry, Result, Subject
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ledger import TransferKind
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.outcome import Cancelled, Declined, PaymentError, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus
from paygate.domain.reconciliation.finding import Finding, FindingAction, FindingKind
from paygate.domain.refunds.outcome import RefundAnswer
from paygate.domain.timeline import disputes, transfers
from paygate.domain.timeline.calls import ANSWERED, READS
from paygate.domain.timeline.entry import Entry, Kind
from paygate.domain.timeline.payments import STATUS_WORDS
from paygate.domain.timeline.told import VERDICTS
from paygate.domain.timeline.whole import OF_SOURCE, Stored
from paygate.domain.webhooks.delivery import DeliveryAttempt, attempted, begun
from paygate.flows.access.create_merchant import create_merchant
from paygate.flows.alerts.raise_alert import raise_alert
from paygate.flows.payments.read import read_payment_intent
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.flows.refunds.approve import approve_refund
from paygate.flows.refunds.find import apply_refund
from paygate.flows.refunds.resolve import resolve_refunds
from paygate.flows.timeline.explain import explain_payment
from paygate.storage import timelines
from paygate.storage.blocks import QUERIES
from paygate.storage.change import Change
from tests.flows.refunds.stories import GONE, paid, person, refund, shown, use_limits
from tests.flows.spoilt import spoil
from tests.flows.webhooks.courier import endpoint_at
from tests.flows.world import APPROVED, INSTALLATION, THEIRS, World, answer, notice
from tests.making import make_audit


async def told(world: World, intent: PaymentIntent) -> list[Entry]:
    return (await explain_payment(world.ctx, world.caller, intent.id)).entries


def kinds(entries: list[Entry]) -> list[str]:
    return [str(entry.kind) for entry in entries]


def of(entries: list[Entry], kind: Kind) -> list[Entry]:
    return [entry for entry in entries if entry.kind is kind]


def take_time(world: World) -> None:
    """Have the provider take a second for every call, as it does in life."""

    async def pass_by(_: object) -> None:
        world.clock.forward(1)

    world.provider.during = world.provider.amid_refund = pass_by


@asynccontextmanager
async def request(world: World, name: str | None = None) -> AsyncIterator[None]:
    """A call of its own, a second after the one before."""
    world.clock.forward(1)
    world.requests += 1
    before = world.caller
    actor = msgspec.structs.replace(before.actor, name=name)
    world.caller = Caller(actor, before.merchant, f"req_{world.requests}")
    yield
    world.caller = before


async def test_a_payment_from_end_to_end_in_the_order_of_its_causes(world: World) -> None:
    """Its status as well as its money: what is asked, said, become, booked, sent and told."""
    take_time(world)
    async with request(world, "shop"):
        intent = await world.create(reference="order-1")
    async with request(world, "shop"):
        world.provider.answers.append(answer(APPROVED, as_of=world.clock()))
        await world.confirm(intent)
    async with request(world, "ana@shop.example"):
        await refund(world, intent, 500)
    entries = await told(world, intent)
    assert kinds(entries) == [
        *("api_call", "transition"),
        *("api_call", "transition", "provider_call", "provider_call", "transition", "transfer"),
        *("api_call", "refund", "transfer", "provider_call"),
        *("provider_call", "refund", "transfer"),
    ]
    assert [(e.before, e.after) for e in of(entries, Kind.TRANSITION)] == [
        (None, "created"),
        ("created", "processing"),
        ("processing", "succeeded"),
    ]
    assert [(e.before, e.after) for e in of(entries, Kind.REFUND)] == [
        (None, "pending"),
        ("pending", "succeeded"),
    ]
    assert [e.actor for e in of(entries, Kind.API_CALL)] == ["shop", "shop", "ana@shop.example"]
    made = of(entries, Kind.TRANSITION)[0]
    assert made.summary == "The payment was created: 19.99 EUR, reference order-1."
    assert (made.actor, made.request_id) == ("shop", "req_1"), "whose doing it was"
    assert of(entries, Kind.TRANSITION)[-1].summary == (
        "The payment succeeded: 19.99 EUR taken, visa ending in 4242."
    )
    taken = of(entries, Kind.TRANSFER)[0]
    assert (taken.amount, taken.currency, taken.outcome) == (1999, "eur", "capture")
    answered = [e for e in of(entries, Kind.PROVIDER_CALL) if e.outcome is not None]
    assert [(e.outcome, e.provider_reference) for e in answered] == [
        ("approved", THEIRS),
        ("succeeded", f"their_{entries[-1].details['refund']}"),
    ]
    assert [e.at for e in entries] == sorted(e.at for e in entries)


async def test_whoever_asked_comes_before_what_came_of_it(world: World) -> None:
    """An audit entry is written after what it is about, in the same commit: here the clock goes on
    at each look.
    """

    def ticking() -> datetime:
        world.clock.forward(0.001)
        return world.clock()

    world.use(now=ticking)
    async with request(world):
        intent = await world.create()
    entries = await told(world, intent)
    assert kinds(entries) == ["api_call", "transition"]
    assert entries[0].at == entries[1].at


async def test_a_decline_says_why(world: World) -> None:
    error = PaymentError("card_declined", "The card has no money left.", "insufficient_funds")
    intent, _ = await world.confirming(Declined(error))
    entries = await told(world, intent)
    (failed,) = [e for e in of(entries, Kind.TRANSITION) if e.after == "failed"]
    assert failed.summary == (
        "The payment failed: The card has no money left (card_declined, insufficient_funds)."
    )


async def test_a_lost_reply_and_the_sweep_that_found_it(world: World) -> None:
    take_time(world)
    async with request(world):
        world.provider.answers.append(answer(Unknown("timeout")))
        intent = await world.confirm(await world.create())
    assert of(await told(world, intent), Kind.PROVIDER_CALL)[-1].outcome == "unknown"
    world.clock.forward(3600)
    known = {"attempt": intent.attempt, "merchant": "default", "installation": INSTALLATION}
    world.provider.objects.append(answer(APPROVED, as_of=world.clock(), **known))
    await resolve_attempts(world.ctx, "run_1")
    entries = await told(world, intent)
    (swept,) = of(entries, Kind.SWEEP)
    assert (swept.actor, swept.request_id) == ("resolve-attempts", "run_1")
    later = entries[entries.index(swept) :]
    assert kinds(later) == ["sweep", "provider_call", "transition", "transfer"]
    assert later[2].actor == "resolve-attempts"
    assert [e.outcome for e in of(entries, Kind.PROVIDER_CALL)] == [None, "unknown", "approved"]


async def test_each_of_two_refunds_that_one_run_found_out_is_told(world: World) -> None:
    intent = await paid(world)
    world.provider.refunding += [RefundAnswer(Unknown("timeout"))] * 2
    refunds = [await refund(world, intent, 500), await refund(world, intent, 700)]
    world.clock.forward(3600)
    await resolve_refunds(world.ctx, "run_1")
    swept = of(await told(world, intent), Kind.SWEEP)
    assert {entry.details["refund"] for entry in swept} == {each.id for each in refunds}


async def test_a_provider_event_and_a_correction(world: World) -> None:
    """Money that came after the end: told by the event, corrected, an alert raised and seen."""
    intent, attempt = await world.confirming(Cancelled("abandoned"))
    world.clock.forward(60)
    event = await world.applied(notice(attempt, APPROVED, as_of=world.clock()))
    (alert,) = await world.all(Alert)
    world.clock.forward(60)
    seen = seen_by(alert, "ana@shop.example", world.clock(), "the order is still wanted")
    await world.ctx.door.commit(Change(make_audit(), advances=(seen,)))
    await world.ctx.door.commit(Change(make_audit(), advances=(closed(seen, world.clock()),)))
    entries = await told(world, intent)
    (heard,) = of(entries, Kind.PROVIDER_EVENT)
    assert (heard.outcome, heard.details["provider_event"]) == ("corrected", event.id)
    (corrected,) = of(entries, Kind.CORRECTION)
    assert (corrected.before, corrected.after) == ("cancelled", "succeeded")
    assert corrected.provider_reference == "evt_1"
    transition = of(entries, Kind.TRANSITION)[-1]
    assert (transition.after, transition.details["correction"]) == ("succeeded", True)
    assert [e.outcome for e in of(entries, Kind.ALERT)] == [
        *(AlertStatus.CLOSED, AlertStatus.ACKNOWLEDGED, AlertStatus.CLOSED),
    ]
    assert of(entries, Kind.ALERT)[1].summary == (
        "ana@shop.example has seen the alert state_correction: the order is still wanted."
    )


async def test_who_approved_a_refund_and_that_it_failed_after_all(world: World) -> None:
    use_limits(world, refund_approval_above={"eur": 100})
    intent = await paid(world)
    ana, bea = person(1, "ana@shop.example"), person(2, "bea@shop.example")
    made = await refund(world, intent, 500, msgspec.structs.replace(ana, request_id="req_a"))
    world.clock.forward(60)
    approves = msgspec.structs.replace(bea, request_id="req_b")
    made = await approve_refund(world.ctx, approves, made.id)
    await apply_refund(world.ctx, world.caller, await shown(world, made, GONE))
    entries = await told(world, intent)
    asked = {e.actor: e.summary for e in of(entries, Kind.API_CALL) if e.actor != intent.id}
    assert asked["ana@shop.example"] == "ana@shop.example asked to refund the payment."
    assert asked["bea@shop.example"] == "bea@shop.example asked to approve a refund."
    summaries = [e.summary for e in of(entries, Kind.REFUND)]
    assert [words.partition("EUR ")[2] for words in summaries] == [
        "waits for a second person.",
        f"succeeded: the payer has it by {made.expected_by}.",
        "failed after all: The payer's card has ended.",
    ]
    assert [e.outcome for e in of(entries, Kind.TRANSFER)] == [
        *("capture", "refund_reserve", "refund_pay", "refund_return"),
    ]
    await world.count_occurrences()
    (alert,) = of(await told(world, intent), Kind.ALERT)
    assert alert.details["type"] == AlertType.REFUND_FAILED, "of a refund, and so of its payment"


async def test_refused_and_repeated_calls_are_told_reads_are_not(world: World) -> None:
    intent = await world.create()
    subject = Subject("payment_intent", intent.id)
    caller = msgspec.structs.replace(world.caller, request_id="req_refused")
    refused = world.ctx.audit(
        caller,
        Action.INTENT_CAPTURE,
        subject,
        result=Result.REFUSED,
        details={"code": "state_conflict"},
    )
    await world.ctx.door.commit(Change(refused))
    world.provider.answers.append(answer(APPROVED))
    world.requests = 10
    world.clock.forward(1)
    await world.confirm_once(intent, "k1")
    world.clock.forward(1)
    assert (await world.confirm_once(intent, "k1")).replayed
    for _ in range(3):
        await read_payment_intent(world.ctx, world.caller, intent.id)
    entries = of(await told(world, intent), Kind.API_CALL)
    assert Action.INTENT_READ in READS
    assert Action.INTENT_EXPLAIN in READS
    assert not any(str(e.details["action"]).endswith((".read", ".explain")) for e in entries)
    (said,) = [e for e in entries if e.outcome == "state_conflict"]
    assert said.summary == (
        "A key of the role admin asked to capture the money that is held: refused, state_conflict."
    )
    assert [e.summary.partition("asked ")[2] for e in entries if e is not said] == [
        "to create the payment.",
        "to confirm the payment.",
        "once more to confirm the payment, and got the first answer again.",
    ]


async def test_a_webhook_that_fails_and_one_that_came(world: World) -> None:
    made = await endpoint_at(world, "https://127.0.0.1:9/hook")
    intent = await world.create()
    (event,) = await world.events(intent)
    waits = begun(
        delivery_id=world.ctx.new_id("delivery"),
        merchant="default",
        endpoint=made.id,
        event=event.id,
        at=world.clock(),
    )
    await world.store(waits)
    assert "is on its way to" in of(await told(world, intent), Kind.WEBHOOK)[0].summary
    tried = DeliveryAttempt(at=world.clock(), duration_ms=5, status_code=500)
    failed = attempted(waits, tried, over=world.clock(), chance=0.5)
    await world.ctx.door.commit(Change(make_audit(), advances=(failed,)))
    (entry,) = of(await told(world, intent), Kind.WEBHOOK)
    assert entry.summary.startswith(
        f"The webhook payment_intent.created fails at {made.id} (500); next try at 2026-"
    )
    tried = DeliveryAttempt(at=world.clock(), duration_ms=5, status_code=204)
    came = attempted(failed, tried, over=world.clock(), chance=0.5)
    await world.ctx.door.commit(Change(make_audit(), advances=(came,)))
    (entry,) = of(await told(world, intent), Kind.WEBHOOK)
    assert (entry.outcome, entry.details["attempts"]) == ("delivered", 2)


async def test_what_a_reconciliation_found(world: World) -> None:
    intent = await paid(world)
    found = Finding(
        id=world.ctx.new_id("reconciliation_finding"),
        merchant="default",
        reconciliation=world.ctx.new_id("reconciliation"),
        livemode=False,
        kind=FindingKind.CAPTURED,
        action=FindingAction.HELD,
        reason="the provider took 5 more",
        created_at=world.clock(),
        payment_intent=intent.id,
        ours={"received": 1999},
        theirs={"received": 2004},
    )
    await world.store(found)
    (entry,) = of(await told(world, intent), Kind.SWEEP)
    assert entry.summary == (
        "The reconciliation found a difference in captured, and waits for a person:"
        " the provider took 5 more."
    )
    assert (entry.details["ours_received"], entry.details["theirs_received"]) == (1999, 2004)


async def test_another_merchants_payment_is_not_there(world: World) -> None:
    intent = await paid(world)
    await create_merchant(world.ctx, world.caller, "other")
    stranger = Caller(world.caller.actor, "other", "req_x")
    for name in (intent.id, "pi_1", "x" * 300):
        with pytest.raises(Refusal) as refused:
            await explain_payment(world.ctx, stranger, name)
        assert refused.value.code is ErrorCode.RESOURCE_MISSING
    assert [e for e in await world.audited() if e.action is Action.INTENT_EXPLAIN] == []


async def test_another_payments_records_are_not_told(world: World) -> None:
    """Nor what another merchant's log says of this one's id."""
    intent, other = await paid(world), await paid(world)
    await refund(world, other, 5)
    await create_merchant(world.ctx, world.caller, "other")
    stranger = Caller(Actor("api_key", id="key_eve"), "other", "req_eve")
    subject = Subject("payment_intent", intent.id)
    foreign = world.ctx.audit(stranger, Action.INTENT_CAPTURE, subject, result=Result.REFUSED)
    await world.ctx.door.commit(Change(foreign))
    entries = await told(world, intent)
    assert "refund" not in kinds(entries)
    assert "key_eve" not in {e.actor for e in entries}


async def test_it_is_audited_before_it_is_shown(world: World) -> None:
    intent = await paid(world)
    await told(world, intent)
    entry = (await world.audited())[-1]
    assert (entry.action, entry.subject) == (
        Action.INTENT_EXPLAIN,
        Subject("payment_intent", intent.id),
    )


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("attempt", Kind.PROVIDER_CALL),
        ("ledger_transfer", Kind.TRANSFER),
        ("event", Kind.TRANSITION),
        ("audit_entry", Kind.API_CALL),
        ("refund", Kind.REFUND),
    ],
)
async def test_a_record_that_cannot_be_read_is_an_entry_that_says_so(
    world: World, table: str, kind: Kind
) -> None:
    intent = await paid(world)
    await refund(world, intent, 500)
    whole = await told(world, intent)
    await spoil(world, table)
    entries = await told(world, intent)
    gaps = [e for e in entries if e.outcome == "unreadable"]
    assert gaps
    assert {e.kind for e in gaps} == {kind}
    assert all(e.details["source"] == table and e.details["record"] for e in gaps)
    rest = {e.kind for e in whole} - {kind}
    assert rest <= {e.kind for e in entries}, "all else is told"


async def test_a_payment_with_more_than_anybody_reads_is_cut_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = await world.create()
    subject = Subject("payment_intent", intent.id)
    problem = Problem(
        type=AlertType.ORPHAN_CHARGE,
        subject=subject,
        severity="warning",
        message="something",
        what_to_do="something",
    )
    await raise_alert(world.ctx, world.caller, problem)
    for number in range(timelines.MOST + 5):
        world.clock.forward(1)
        caller = Caller(world.caller.actor, "default", f"req_many_{number}")
        audit = world.ctx.audit(caller, Action.INTENT_CAPTURE, subject, result=Result.REFUSED)
        await world.ctx.door.commit(Change(audit))
    entries = await told(world, intent)
    calls = of(entries, Kind.API_CALL)
    assert len(calls) == timelines.MOST + 1
    (cut,) = [e for e in calls if e.outcome == "cut"]
    assert cut is calls[0], "before all that is shown of its kind"
    assert calls[-1].request_id == f"req_many_{timelines.MOST + 4}", "the newest are shown"
    assert len(of(entries, Kind.ALERT)) == 1
    assert await world.all(AuditEntry)


def test_every_status_and_every_source_has_its_words() -> None:
    """What is added to a record's vocabulary is added there, too."""
    assert set(transfers.WORDS) == set(TransferKind)
    assert set(disputes.BECAME) == set(DisputeStatus)
    assert set(ANSWERED) == set(AttemptState) - {AttemptState.STARTED}
    assert set(STATUS_WORDS) == set(Status)
    assert set(OF_SOURCE) == set(timelines.FIELDS)
    assert {field for _, field in timelines.FIELDS.values()} | {"gaps"} == set(
        Stored.__struct_fields__
    )
    assert set(VERDICTS) == set(EventStatus)


async def test_all_is_read_in_one_statement(world: World) -> None:
    """A payment with ten times the entries costs no more round trips."""
    intent = await paid(world)
    asked: list[str] = []
    fetch = world.ctx.timelines._searches.fetch

    async def counting(query: str, *arguments: object) -> object:
        asked.append(query)
        return await fetch(query, *arguments)

    world.ctx.timelines._searches.fetch = counting  # type: ignore[method-assign,assignment]
    await told(world, intent)
    assert len(asked) == 2, "the payment itself, and what is stored of it"
    assert asked.count(QUERIES["timeline"]) == 1


async def test_a_clock_that_was_ahead_at_the_creation_hides_nothing(world: World) -> None:
    world.clock.forward(3600)
    intent = await world.create()
    world.clock.time -= timedelta(hours=1)
    world.provider.answers.append(answer(APPROVED))
    await world.confirm(intent)
    assert {"api_call", "transition", "transfer"} <= set(kinds(await told(world, intent)))
