"""Three beats: an attempt is durable, the provider is asked, what the provider said is applied."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from paygate.domain.alert import Alert, AlertType
from paygate.domain.audit import AuditEntry
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.outcome import (
    Answer,
    NotSent,
    Outcome,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import FINAL, PaymentIntent, Status
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.provider_event import EventStatus
from paygate.flows.payments.confirm import confirm_payment_intent
from paygate.providers.contract import ConfirmOrder
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from tests.domain.payments.test_confirmation import ENDS
from tests.flows.world import APPROVED, CARD, CARDLESS, REQUEST, THEIRS, World, answer, notice
from tests.storage.stored import TABLE_OF, select

Connect = Callable[[], Awaitable[Connection]]

IDLE = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'paygate flows'"
    " AND datname = current_database() AND (state <> 'idle' OR xact_start IS NOT NULL)"
)


async def _only(connection: Connection, records: Records, kind: type) -> object:
    (row,) = await connection.fetch(select(TABLE_OF[kind]))
    return records.open(kind, tuple(row))


async def test_the_attempt_is_durable_before_the_provider_hears_of_it(
    world: World, connect: Connect
) -> None:
    seen: list[tuple[object, object, int]] = []

    async def look(order: ConfirmOrder) -> None:
        other = await connect()
        intent = await _only(other, world.records, PaymentIntent)
        attempt = await _only(other, world.records, Attempt)
        seen.append((intent, attempt, await other.fetchval(IDLE)))

    world.provider.during = look
    world.provider.answers.append(answer(APPROVED))
    created = await world.create()
    await world.confirm(created)
    ((intent, attempt, open_in_database),) = seen
    (order,) = world.provider.orders
    assert isinstance(attempt, Attempt)
    assert isinstance(intent, PaymentIntent)
    assert (attempt.id, attempt.state) == (order.attempt, AttemptState.STARTED)
    assert (attempt.instrument, attempt.number) == (CardToken("tok_1"), 1)
    assert (intent.status, intent.attempt) == (Status.PROCESSING, attempt.id)
    assert intent.pending_operation == "confirm"
    assert open_in_database == 0


@pytest.mark.parametrize(
    ("outcome", "status", "state"), [end for end in ENDS if not isinstance(end[0], NotSent)]
)
async def test_each_outcome_has_its_end_in_the_database(
    world: World, outcome: Outcome, status: Status, state: AttemptState
) -> None:
    answered, _ = await world.confirming(outcome)
    intent, (attempt,) = await world.now(answered)
    assert intent == answered
    assert (intent.status, attempt.state) == (status, state)
    assert intent.pending_operation == ("confirm" if status is Status.PROCESSING else None)
    changes = [Status.CREATED, Status.PROCESSING]
    changes += [status] if status is not Status.PROCESSING else []
    assert await world.event_types(intent) == [f"payment_intent.{s}" for s in changes]
    actions = [(e.action, e.subject.id) for e in await world.audited() if e.subject]
    assert actions == [
        ("payment_intent.create", intent.id),
        ("payment_intent.confirm", intent.id),
        ("payment_intent.confirm", intent.id),
    ]


async def test_a_refused_key_of_ours_fails_the_payment_plainly(world: World) -> None:
    intent, attempt = await world.confirming(Rejected("provider_configuration", "401"))
    assert (intent.status, attempt.state) == (Status.FAILED, AttemptState.REJECTED)
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == "provider_configuration"
    await world.confirming(Rejected("provider_configuration", "401"))
    (alert,) = await world.all(Alert)
    assert alert.problem.type is AlertType.PROVIDER_MISCONFIGURED
    assert (alert.count, alert.problem.severity) == (2, "critical")


@pytest.mark.parametrize("outcome", [e[0] for e in ENDS if not isinstance(e[0], NotSent)])
async def test_after_any_other_answer_no_second_confirm_is_sent(
    world: World, outcome: Outcome
) -> None:
    """Unknown above all: it may have been charged."""
    intent, _ = await world.confirming(outcome)
    before = await world.counts()
    with pytest.raises(Refusal) as refused:
        await world.confirm(intent)
    assert refused.value.code is ErrorCode.INTENT_ALREADY_CONFIRMED
    assert refused.value.subject == intent
    assert await world.counts() == before
    assert len(world.provider.orders) == 1


@pytest.mark.parametrize(
    "answered",
    [answer(APPROVED), Answer(Unknown("timeout")), answer(APPROVED, as_of=None), answer(CARDLESS)],
)
async def test_an_event_that_comes_before_the_answer_concludes_once(
    world: World, answered: Answer
) -> None:
    """F11: the webhook is applied while the call is still under way."""

    async def deliver(order: ConfirmOrder) -> None:
        (attempt,) = await world.all(Attempt)
        event = await world.applied(notice(attempt, APPROVED))
        assert (event.status, event.verdict) == (EventStatus.PROCESSED, "applied")

    world.provider.during = deliver
    world.provider.answers.append(answered)
    created = await world.create()
    confirmed = await world.confirm(created)
    intent, (attempt,) = await world.now(created)
    assert confirmed == intent
    assert (intent.status, attempt.state) == (Status.SUCCEEDED, AttemptState.APPROVED)
    assert (intent.amount_received, intent.payment_method) == (1999, CARD)
    assert (intent.version, attempt.version) == (3, 2)
    assert await world.event_types(intent) == [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.succeeded",
    ]


async def test_an_event_of_the_next_step_outlives_a_late_answer(world: World) -> None:
    """The event brings the challenge, the answer says the same: one event for the merchant."""
    challenge = next(e[0] for e in ENDS if e[1] is Status.REQUIRES_ACTION)

    async def deliver(order: ConfirmOrder) -> None:
        (attempt,) = await world.all(Attempt)
        await world.applied(notice(attempt, challenge))

    world.provider.during = deliver
    world.provider.answers.append(answer(challenge))
    confirmed = await world.confirm(await world.create())
    intent, (attempt,) = await world.now(confirmed)
    assert confirmed == intent
    assert isinstance(intent.next_action, RedirectToUrl)
    assert attempt.state is AttemptState.ACTION_REQUIRED
    assert (await world.event_types(intent)).count("payment_intent.requires_action") == 1


async def test_racing_confirms_ask_the_provider_once(world: World) -> None:
    intent = await world.create()
    world.provider.answers.append(answer(APPROVED))
    answers = await asyncio.gather(
        *(world.confirm(intent) for _ in range(8)), return_exceptions=True
    )
    refused = [a for a in answers if isinstance(a, Refusal)]
    assert len(refused) == 7
    assert {r.code for r in refused} == {ErrorCode.INTENT_ALREADY_CONFIRMED}
    assert len(world.provider.orders) == 1
    stored, attempts = await world.now(intent)
    assert stored in answers
    assert len(attempts) == 1


@pytest.mark.parametrize(
    ("request_changes", "code"),
    [
        ({"amount": 2000}, ErrorCode.AMOUNT_MISMATCH),
        ({"currency": "usd"}, ErrorCode.CURRENCY_MISMATCH),
    ],
)
async def test_a_refused_confirm_leaves_nothing(
    world: World, request_changes: dict[str, object], code: ErrorCode
) -> None:
    """Its audit entry is the edge's."""
    intent = await world.create()
    before = await world.counts()
    request = msgspec.structs.replace(REQUEST, **request_changes)
    with pytest.raises(Refusal) as refused:
        await confirm_payment_intent(world.ctx, world.caller, intent.id, request)
    assert refused.value.code is code
    assert await world.counts() == before
    assert (await world.now(intent))[0] == intent
    assert world.provider.orders == []


async def test_another_merchants_intent_is_missing(world: World) -> None:
    intent = await world.create()
    before = await world.counts()
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    with pytest.raises(Refusal) as refused:
        await world.confirm(intent)
    assert refused.value.code is ErrorCode.RESOURCE_MISSING
    assert await world.counts() == before


async def test_a_crash_in_the_call_leaves_a_question(world: World) -> None:
    """The attempt stays open for the sweep, and no other confirm may start."""

    async def die(order: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    world.provider.during = die
    created = await world.create()
    with pytest.raises(ConnectionAbortedError):
        await world.confirm(created)
    intent, (attempt,) = await world.now(created)
    assert (intent.status, attempt.state) == (Status.PROCESSING, AttemptState.STARTED)
    assert intent.status not in FINAL
    with pytest.raises(Refusal) as refused:
        await world.confirm(created)
    assert refused.value.code is ErrorCode.INTENT_ALREADY_CONFIRMED
    assert len(world.provider.orders) == 1
    assert intent.provider_reference != THEIRS
    assert len(await world.all(AuditEntry)) == 2
