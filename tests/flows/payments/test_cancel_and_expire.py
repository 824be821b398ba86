"""Cancel and expiry: nothing was sent for an intent that is created, so the database decides."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import AttemptState
from paygate.domain.payments.outcome import Outcome, Unknown
from paygate.domain.payments.payment_intent import FINAL, PaymentIntent, Status
from paygate.flows.context import CommitDoor
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.providers.contract import ConfirmOrder
from paygate.storage.change import Change, Verdict
from tests.domain.payments.test_confirmation import ENDS
from tests.flows.world import APPROVED, World, answer

DAY = 24 * 3600


async def cancel(world: World, intent: PaymentIntent, reason: str | None = None) -> PaymentIntent:
    return await cancel_payment_intent(world.ctx, world.caller, intent.id, reason=reason)


async def test_a_created_intent_is_cancelled_with_its_reason(world: World) -> None:
    intent = await world.create()
    after = await cancel(world, intent, "changed my mind")
    assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "changed my mind")
    assert (await world.now(intent))[0] == after
    assert after.final_at == world.clock()
    assert await world.event_types(intent) == ["payment_intent.created", "payment_intent.cancelled"]


@pytest.mark.parametrize(
    "end", [end for end in ENDS if end[1] in FINAL or isinstance(end[0], Unknown)]
)
async def test_what_has_ended_or_is_not_known_is_not_cancelled(
    world: World, end: tuple[Outcome, Status, AttemptState]
) -> None:
    outcome, status, _ = end
    world.provider.answers.append(answer(outcome))
    intent = await world.confirm(await world.create())
    with pytest.raises(Refusal) as refused:
        await cancel(world, intent)
    code = ErrorCode.STATE_CONFLICT if status in FINAL else ErrorCode.OPERATION_PENDING
    assert (refused.value.code, refused.value.subject) == (code, intent)
    assert (await world.now(intent))[0] == intent
    assert world.provider.standing == []


async def test_only_what_is_overdue_expires(world: World) -> None:
    old = [await world.create() for _ in range(3)]
    world.provider.answers.append(answer(APPROVED))
    paid = await world.confirm(await world.create())
    world.clock.forward(DAY - 1)
    young = await world.create()
    assert await expire_payment_intents(world.ctx, "run_1") == 0
    world.clock.forward(2)
    assert await expire_payment_intents(world.ctx, "run_2") == 3
    assert await expire_payment_intents(world.ctx, "run_3") == 0
    for intent in old:
        after, _ = await world.now(intent)
        assert (after.status, after.cancellation_reason) == (Status.CANCELLED, "expired")
    assert (await world.now(young))[0].status is Status.CREATED
    assert (await world.now(paid))[0].status is Status.SUCCEEDED
    entries = [e for e in await world.audited() if e.action == "payment_intent.expire"]
    assert {(e.actor.type, e.actor.name, e.request_id) for e in entries} == {
        ("job", "expire-intents", "run_2")
    }


async def test_every_merchants_intents_expire(world: World) -> None:
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('other')")
    mine = await world.create()
    world.caller = msgspec.structs.replace(world.caller, merchant="other")
    theirs = await world.create()
    world.clock.forward(DAY + 1)
    assert await expire_payment_intents(world.ctx, "run_1") == 2
    for intent in (mine, theirs):
        assert (await world.now(intent))[0].status is Status.CANCELLED


async def test_many_nodes_at_once_expire_each_intent_once(world: World) -> None:
    """More than one batch, from four runs."""
    intents = await asyncio.gather(*(world.create() for _ in range(450)))
    world.clock.forward(DAY + 1)
    done = await asyncio.gather(*(expire_payment_intents(world.ctx, f"run_{n}") for n in range(4)))
    assert sum(done) <= len(intents)
    while await expire_payment_intents(world.ctx, "run_again"):
        pass
    stored = await world.all(PaymentIntent)
    assert {(i.status, i.version) for i in stored} == {(Status.CANCELLED, 2)}
    events = await world.connection.fetchval("SELECT count(*) FROM event")
    assert events == 2 * len(intents)


@pytest.mark.parametrize("seed", range(6))
async def test_confirm_cancel_and_expiry_have_one_winner(world: World, seed: int) -> None:
    intent = await world.create()
    world.clock.forward(DAY + 1)
    world.provider.answers.append(answer(APPROVED))
    racers = [world.confirm(intent), cancel(world, intent, "by hand")]
    racers.insert(seed % 3, _expire(world, intent))
    results = await asyncio.gather(*racers, return_exceptions=True)
    refused = [r for r in results if isinstance(r, BaseException)]
    after, attempts = await world.now(intent)
    assert all(isinstance(r, Refusal) for r in refused), refused
    assert {r.code for r in refused if isinstance(r, Refusal)} <= {
        ErrorCode.INTENT_ALREADY_CONFIRMED,
        ErrorCode.STATE_CONFLICT,
        ErrorCode.OPERATION_PENDING,
    }
    assert len(world.provider.orders) == len(attempts)
    event_types = await world.event_types(intent)
    if after.status is Status.SUCCEEDED:
        assert event_types[1:] == ["payment_intent.processing", "payment_intent.succeeded"]
    else:
        assert after.status is Status.CANCELLED
        assert (event_types[1:], attempts) == (["payment_intent.cancelled"], [])


class Overtaken:
    """A way to the door that is so slow that `first` happens in between."""

    def __init__(self, door: CommitDoor, first: Callable[[], Awaitable[None]]) -> None:
        self._door = door
        self._first: Callable[[], Awaitable[None]] | None = first

    async def commit(self, change: Change) -> Verdict:
        first, self._first = self._first, None
        if first is not None:
            await first()
        return await self._door.commit(change)


@pytest.mark.parametrize("by", ["expiry", "cancel"])
async def test_what_is_confirmed_meanwhile_is_not_cancelled(world: World, by: str) -> None:
    """It was read as created; by the time of the commit the provider is being asked."""
    intent = await world.create()
    world.clock.forward(DAY + 1)
    release = asyncio.Event()
    confirming: list[asyncio.Task[PaymentIntent]] = []

    async def until_released(_: ConfirmOrder) -> None:
        await release.wait()

    async def confirm() -> None:
        confirming.append(asyncio.create_task(world.confirm(intent)))
        async with asyncio.timeout(60):
            while not world.provider.orders:
                await asyncio.sleep(0.01)

    world.provider.during = until_released
    world.provider.answers.append(answer(APPROVED))
    world.use(door=Overtaken(world.ctx.door, confirm))
    if by == "expiry":
        assert await expire_payment_intents(world.ctx, "run_1") == 0
    else:
        with pytest.raises(Refusal) as refused:
            await cancel(world, intent)
        assert refused.value.code is ErrorCode.OPERATION_PENDING
    assert (await world.now(intent))[0].status is Status.PROCESSING
    release.set()
    assert (await confirming[0]).status is Status.SUCCEEDED


async def _expire(world: World, intent: PaymentIntent) -> PaymentIntent:
    await expire_payment_intents(world.ctx, "run_1")
    return (await world.now(intent))[0]
