"""One request, one answer: whatever is repeated, raced, cut off or taken over."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import (
    Purpose,
    add_key,
    disable_key,
    generate_keyring,
    load_keyring,
    promote_key,
)
from paygate.crypto.kms import FileKms
from paygate.domain.access.roles import Action
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation
from paygate.domain.payments.outcome import Answer, Cancelled, NotSent, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus
from paygate.flows.context import CommitDoor, Context
from paygate.flows.idempotency import run_once as idempotency
from paygate.flows.idempotency.keyed_door import KeyedDoor, KeyedRequest
from paygate.flows.idempotency.run_once import StoredResponse, idempotently
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.providers.contract import ConfirmOrder
from paygate.storage.change import Change, OutcomeUnknown, Verdict
from paygate.storage.connections.session import Connection
from tests.flows.provider_events.test_apply_provider_event import CHALLENGE
from tests.flows.world import APPROVED, INSTALLATION, REQUEST, World, answer, encode, notice

NOT_SENT = Answer(NotSent("refused", retry_after_seconds=7))


async def key_of(world: World) -> IdempotencyKey:
    (key,) = await world.all(IdempotencyKey)
    assert isinstance(key, IdempotencyKey)
    return key


def with_lease(world: World, seconds: float) -> None:
    policy = msgspec.structs.replace(world.ctx.policy, lock_ttl=timedelta(seconds=seconds))
    world.use(policy=policy)


def frozen(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A holder that renews nothing, as one that is stopped; the returned call lets others renew."""
    renew_in_time = KeyedDoor._renew_in_time
    monkeypatch.setattr(KeyedDoor, "_renew_in_time", lambda _: None)
    return lambda: monkeypatch.setattr(KeyedDoor, "_renew_in_time", renew_in_time)


async def create_once(
    world: World,
    key: str,
    *,
    amount: int = 1999,
    scope: str = "sk POST /payment-intents",
    **more: Any,
) -> StoredResponse:
    request = NewPaymentIntent(amount=amount, currency="eur", **more)
    return await idempotently(
        world.ctx,
        KeyedRequest(world.caller, Action.INTENT_CREATE, scope, key, encode(request)),
        lambda ctx: create_payment_intent(ctx, world.caller, request),
        lambda created: encode(created.intent),
    )


async def cancel_once(world: World, intent: PaymentIntent, key: str) -> StoredResponse:
    world.requests += 1
    caller = msgspec.structs.replace(world.caller, request_id=f"req_{world.requests}")
    return await idempotently(
        world.ctx,
        KeyedRequest(caller, Action.INTENT_CANCEL, f"sk POST {intent.id}/cancel", key, b"{}"),
        lambda ctx: cancel_payment_intent(ctx, caller, intent.id),
        encode,
    )


async def refused(work: Awaitable[object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await work
    return caught.value


async def test_a_repeated_request_gets_the_same_bytes(world: World) -> None:
    first = await create_once(world, "order-1")
    again = await create_once(world, "order-1")
    assert (first.replayed, again.replayed) == (False, True)
    assert first.body == again.body
    assert len(await world.all(PaymentIntent)) == 1
    details = [dict(entry.details) for entry in await world.audited()]
    assert details == [{}, {"idempotency": "replayed"}]
    assert (await key_of(world)).version == 1, "claimed and answered in one commit"


async def test_other_parameters_are_refused(world: World) -> None:
    await create_once(world, "order-1")
    no = await refused(create_once(world, "order-1", amount=2000))
    assert no.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert len(await world.all(PaymentIntent)) == 1


async def test_merchants_sides_and_paths_have_keys_of_their_own(world: World) -> None:
    await create_once(world, "order-1")
    await create_once(world, "order-1", scope="pk POST /payment-intents")
    await create_once(world, "order-1", scope="sk POST /elsewhere")
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    answered = await create_once(world, "order-1", amount=5)
    assert not answered.replayed
    assert len(await world.all(PaymentIntent)) == 4
    assert len({key.id for key in await world.all(IdempotencyKey)}) == 4


async def test_a_key_is_known_again_after_the_index_key_was_rotated(
    world: World, tmp_path: Path
) -> None:
    """It stands under the name that the old index key gave it, which no claim runs into."""
    kms = FileKms.create(tmp_path / "rotating")
    wrapped = generate_keyring(kms, INSTALLATION)
    world.use(index=BlindIndex(load_keyring(kms, INSTALLATION, wrapped)))
    first = await create_once(world, "order-1")
    keyset, new = add_key(kms, INSTALLATION, Purpose.INDEX, wrapped["index"])
    keyset = promote_key(kms, INSTALLATION, Purpose.INDEX, keyset, new)
    world.use(index=BlindIndex(load_keyring(kms, INSTALLATION, {**wrapped, "index": keyset})))
    assert await create_once(world, "order-1") == StoredResponse(first.body, replayed=True)
    no = await refused(create_once(world, "order-1", amount=2000))
    assert no.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
    assert not (await create_once(world, "order-2")).replayed
    assert len(await world.all(PaymentIntent)) == 2


async def test_what_is_asked_of_the_provider_keeps_its_name_while_the_index_key_is_rotated(
    world: World, tmp_path: Path, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """A payment that was forgotten is asked for under the same key again, at every step; and who
    uses an idempotency key anew is counted on.
    """
    kms = FileKms.create(tmp_path / "rotating")
    wrapped = generate_keyring(kms, INSTALLATION)
    old = load_keyring(kms, INSTALLATION, wrapped).keys[Purpose.INDEX][0].key_id
    added, new = add_key(kms, INSTALLATION, Purpose.INDEX, wrapped["index"])
    promoted = promote_key(kms, INSTALLATION, Purpose.INDEX, added, new)
    retired = disable_key(kms, INSTALLATION, Purpose.INDEX, promoted, old)
    world.use(index=BlindIndex(load_keyring(kms, INSTALLATION, wrapped)))
    await create_once(world, "order-1")
    (first,) = await world.all(PaymentIntent)
    name, hand = world.ctx.attempt_id(first, Operation.CONFIRM, 1), await connect()
    for step in (added, promoted, retired):
        world.use(index=BlindIndex(load_keyring(kms, INSTALLATION, {**wrapped, "index": step})))
        assert world.ctx.attempt_id(first, Operation.CONFIRM, 1) == name
        await hand.execute("DELETE FROM idempotency_key")
        await create_once(world, "order-1")
    intents = await world.all(PaymentIntent)
    assert {intent.create_key for intent in intents} == {first.create_key}
    assert len({intent.seed for intent in intents}) == len(intents) == 4


async def test_many_at_once_make_one_intent(world: World) -> None:
    answers = await asyncio.gather(*(create_once(world, "order-1") for _ in range(60)))
    assert len({a.body for a in answers}) == 1
    assert [a.replayed for a in answers].count(False) == 1
    assert len(await world.all(PaymentIntent)) == 1


async def test_a_refused_request_leaves_the_key_free(world: World) -> None:
    intent = await world.create()
    world.provider.answers.append(answer(APPROVED))
    wrong = msgspec.structs.replace(REQUEST, amount=1)
    assert (await refused(world.confirm_once(intent, "k", request=wrong))).code is (
        ErrorCode.AMOUNT_MISMATCH
    )
    assert await world.all(IdempotencyKey) == []
    answered = await world.confirm_once(intent, "k")
    assert b'"succeeded"' in answered.body
    # Now that it is taken, the refused parameters are other parameters.
    assert (await refused(world.confirm_once(intent, "k", request=wrong))).code is (
        ErrorCode.IDEMPOTENCY_KEY_REUSED
    )


async def test_many_confirms_at_once_ask_the_provider_once(world: World) -> None:
    intent = await world.create()
    world.provider.during = lambda _: asyncio.sleep(0.2)
    world.provider.answers.append(answer(APPROVED))
    answers = await asyncio.gather(*(world.confirm_once(intent, "k") for _ in range(40)))
    assert len({a.body for a in answers}) == 1
    assert [a.replayed for a in answers].count(False) == 1
    assert len(world.provider.orders) == 1


async def test_those_who_wait_are_woken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the notification: the second look is an hour away."""
    monkeypatch.setattr(idempotency, "LOOK_AGAIN_SECONDS", 3600.0)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 60.0)
    intent = await world.create()
    world.provider.during = lambda _: asyncio.sleep(0.5)
    world.provider.answers.append(answer(APPROVED))
    async with asyncio.timeout(20):
        first, second = await asyncio.gather(
            world.confirm_once(intent, "k"), world.confirm_once(intent, "k")
        )
    assert first.body == second.body


async def test_who_waits_too_long_is_told_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.3)
    intent = await world.create()
    release = asyncio.Event()
    world.provider.during = lambda _: _wait(release)
    world.provider.answers.append(answer(APPROVED))
    first = asyncio.create_task(world.confirm_once(intent, "k"))
    await _sent(world)
    no = await refused(world.confirm_once(intent, "k"))
    assert (no.code, no.retry_after_seconds) == (ErrorCode.IDEMPOTENCY_KEY_IN_USE, 1)
    release.set()
    await first
    assert (await world.confirm_once(intent, "k")).replayed
    assert len(world.provider.orders) == 1


async def test_a_lease_is_renewed_while_its_holder_works(world: World) -> None:
    """The call takes several leases, and nobody takes over."""
    with_lease(world, 0.3)
    intent = await world.create()
    world.provider.during = lambda _: asyncio.sleep(1.2)
    world.provider.answers.append(answer(APPROVED))
    answers = await asyncio.gather(*(world.confirm_once(intent, "k") for _ in range(3)))
    assert len({a.body for a in answers}) == 1
    assert len(world.provider.orders) == 1
    renewals = [e for e in await world.audited() if e.details == {"idempotency": "renewed"}]
    assert len(renewals) >= 3


async def test_a_lease_that_was_taken_over_is_renewed_before_the_first_commit(
    world: World,
) -> None:
    """What was written down before is asked for at once, and that may take several leases."""
    with_lease(world, 0.3)
    intent, _ = await world.confirming(CHALLENGE)

    async def fail() -> None:
        raise ConnectionAbortedError

    world.provider.amid = fail
    with pytest.raises(ConnectionAbortedError):
        await cancel_once(world, intent, "k")
    world.provider.amid = lambda: asyncio.sleep(1.2)
    world.provider.answers += [answer(Cancelled())] * 3
    answers = await asyncio.gather(*(cancel_once(world, intent, "k") for _ in range(3)))
    assert len({a.body for a in answers}) == 1
    assert [a.replayed for a in answers].count(False) == 1
    assert len(world.provider.standing) == 2


class Deaf:
    """The door, where renewals are written, and no answer says so in time."""

    def __init__(self, door: CommitDoor) -> None:
        self._door = door
        self.unheard = asyncio.Event()

    async def commit(self, change: Change) -> Verdict:
        verdict = await self._door.commit(change)
        if change.audit.details == {"idempotency": "renewed"}:
            self.unheard.set()
            raise OutcomeUnknown("the database has not answered yet")
        return verdict


async def test_a_holder_keeps_the_lease_whose_renewal_was_written_unheard(world: World) -> None:
    """The key is a version further than its holder knows, and nobody else's."""
    with_lease(world, 0.6)
    intent = await world.create()
    door = Deaf(world.ctx.door)
    world.use(door=door)
    world.provider.during = lambda _: _wait(door.unheard)
    world.provider.answers.append(answer(APPROVED))
    answered = await world.confirm_once(intent, "k")
    assert b'"succeeded"' in answered.body
    assert not answered.replayed
    assert len(world.provider.orders) == 1
    assert (await key_of(world)).state is KeyState.FINISHED


async def test_an_answer_is_kept_by_the_holder_whose_renewal_was_written_unheard(
    world: World,
) -> None:
    """The flow's last commit was made before, so its answer has one of its own."""
    with_lease(world, 0.6)
    door = Deaf(world.ctx.door)
    caller = msgspec.structs.replace(world.caller, request_id="req_slow")
    request = KeyedRequest(caller, Action.INTENT_CREATE, "sk POST /slow", "k", b"")
    runs = 0

    async def flow(ctx: Context) -> str:
        nonlocal runs
        runs += 1
        await ctx.door.commit(Change(ctx.audit(caller, Action.INTENT_CREATE)))
        await door.unheard.wait()
        return "done"

    world.use(door=door)
    assert await idempotently(world.ctx, request, flow, encode) == StoredResponse(b'"done"', False)
    assert (await idempotently(world.ctx, request, flow, encode)).replayed
    assert runs == 1


async def test_a_dead_holders_request_is_resumed_with_the_same_provider_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F05: the call outlives the lease; another takes over, both come back, one charge."""
    renew = frozen(monkeypatch)
    with_lease(world, 0.3)
    intent = await world.create()
    release = asyncio.Event()
    world.provider.during = lambda _: _wait(release)
    world.provider.answers += [answer(APPROVED), answer(APPROVED)]
    first = asyncio.create_task(world.confirm_once(intent, "k"))
    await _sent(world)
    renew()
    world.provider.during = None
    second = await world.confirm_once(intent, "k")
    assert not second.replayed
    release.set()
    late = await first
    assert late.body == second.body
    assert late.replayed, "the one that was fenced out gives the other's answer"
    keys = {order.attempt for order in world.provider.orders}
    assert (len(world.provider.orders), len(keys)) == (2, 1)
    stored, attempts = await world.now(intent)
    assert (stored.status, [a.state for a in attempts]) == (
        Status.SUCCEEDED,
        [AttemptState.APPROVED],
    )
    assert (await world.event_types(intent)).count("payment_intent.succeeded") == 1


async def test_a_holder_that_lost_its_lease_writes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one who took over does not know the outcome yet; the late answer may not conclude it."""
    frozen(monkeypatch)
    with_lease(world, 0.3)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 1.0)
    intent = await world.create()
    gates = [asyncio.Event(), asyncio.Event()]
    at = iter(gates)
    world.provider.during = lambda _: _wait(next(at))
    world.provider.answers += [answer(APPROVED), answer(APPROVED)]
    first = asyncio.create_task(world.confirm_once(intent, "k"))
    await _sent(world)
    with_lease(world, 30)
    second = asyncio.create_task(world.confirm_once(intent, "k"))
    await _sent(world, 2)
    before, attempts = await world.now(intent)
    gates[0].set()
    assert (await refused(first)).code is ErrorCode.IDEMPOTENCY_KEY_IN_USE
    assert (await world.now(intent)) == (before, attempts)
    gates[1].set()
    assert not (await second).replayed
    assert (await world.now(intent))[0].status is Status.SUCCEEDED


async def test_a_request_that_was_cut_off_is_resumed_at_once(world: World) -> None:
    """A fault of ours after the first commit frees the lease; the next try goes on."""

    async def fail(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    intent = await world.create()
    world.provider.during = fail
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "k")
    key = await key_of(world)
    assert (key.state, key.lease) == (KeyState.WORKING, None)
    world.provider.during = None
    world.provider.answers.append(answer(APPROVED))
    answered = await world.confirm_once(intent, "k")
    assert (answered.replayed, b'"succeeded"' in answered.body) == (False, True)
    assert len({order.attempt for order in world.provider.orders}) == 1


async def test_what_is_sent_once_more_is_in_doubt_until_it_is_answered(world: World) -> None:
    """The first sending may have charged, so "certainly not sent" is true of the second alone."""

    async def fail(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    intent = await world.create()
    world.provider.during = fail
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "k")
    world.provider.during = None
    world.provider.answers.append(NOT_SENT)
    no = await refused(world.confirm_once(intent, "k"))
    assert no.code is ErrorCode.PROVIDER_UNAVAILABLE
    stored, (attempt,) = await world.now(intent)
    assert (stored.status, attempt.state) == (Status.PROCESSING, AttemptState.UNKNOWN)
    world.provider.answers.append(answer(APPROVED))
    assert b'"succeeded"' in (await world.confirm_once(intent, "k")).body
    assert len({order.attempt for order in world.provider.orders}) == 1


async def test_nothing_is_sent_again_when_the_provider_may_have_forgotten_its_key(
    world: World,
) -> None:
    """F09's hard stop, an hour before the provider's own time is over."""

    async def fail(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    intent = await world.create()
    world.provider.during = fail
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "k")
    world.provider.during = None
    world.clock.forward(23 * 3600)
    answered = await world.confirm_once(intent, "k")
    assert b'"processing"' in answered.body
    assert len(world.provider.orders) == 1
    assert (await world.now(intent))[1][0].state is AttemptState.UNKNOWN


async def test_an_event_that_concludes_a_cut_off_request_is_its_answer(world: World) -> None:
    async def fail(_: ConfirmOrder) -> None:
        raise ConnectionAbortedError

    intent = await world.create()
    world.provider.during = fail
    with pytest.raises(ConnectionAbortedError):
        await world.confirm_once(intent, "k")
    (attempt,) = await world.all(Attempt)
    event = await world.applied(notice(attempt, APPROVED))
    assert event.status is EventStatus.PROCESSED
    answered = await world.confirm_once(intent, "k")
    assert (answered.replayed, b'"succeeded"' in answered.body) == (False, True)
    assert len(world.provider.orders) == 1
    assert (await key_of(world)).body == answered.body


async def test_what_was_not_sent_is_tried_again_by_the_same_request_alone(world: World) -> None:
    world.provider.answers += [NOT_SENT, NOT_SENT, answer(APPROVED)]
    intent = await world.create()
    for _ in range(2):
        no = await refused(world.confirm_once(intent, "k"))
        assert (no.code, no.retry_after_seconds) == (ErrorCode.PROVIDER_UNAVAILABLE, 7)
        stored, attempts = await world.now(intent)
        assert [a.state for a in attempts] == [AttemptState.NOT_SENT]
        assert stored.status is Status.PROCESSING
        for other in (world.confirm_once(intent, "another"), world.confirm(intent)):
            assert (await refused(other)).code is ErrorCode.INTENT_ALREADY_CONFIRMED
    assert b'"succeeded"' in (await world.confirm_once(intent, "k")).body
    _, attempts = await world.now(intent)
    assert [a.number for a in attempts] == [1]
    assert [order.attempt for order in world.provider.orders] == [attempts[0].id] * 3
    assert (await world.confirm_once(intent, "k")).replayed
    assert await world.event_types(intent) == [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.succeeded",
    ]


async def test_an_unknown_outcome_is_an_answer_and_is_kept(world: World) -> None:
    intent = await world.create()
    world.provider.answers.append(Answer(Unknown("timeout")))
    first = await world.confirm_once(intent, "k")
    assert b'"processing"' in first.body
    assert await world.confirm_once(intent, "k") == StoredResponse(first.body, replayed=True)
    assert len(world.provider.orders) == 1


async def test_an_answer_is_kept_in_the_commit_that_makes_it_true(world: World) -> None:
    """Were they two, a crash in between would tell of a payment that is not, or charge again."""
    one_commit = (
        "SELECT count(DISTINCT t.xmin::text) FROM (SELECT xmin FROM idempotency_key"
        " UNION ALL SELECT xmin FROM payment_intent UNION ALL SELECT xmin FROM attempt) t"
    )
    intent = await world.create()
    world.provider.answers.append(answer(APPROVED))
    await world.confirm_once(intent, "k")
    assert (await key_of(world)).state is KeyState.FINISHED
    assert await world.connection.fetchval(one_commit) == 1


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def _sent(world: World, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while len(world.provider.orders) < count:
            await asyncio.sleep(0.01)
