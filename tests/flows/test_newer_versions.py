"""A node of an older version beside a newer one: it does nothing by halves, and says so."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from paygate.domain.alert import Alert
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.ledger.verify import verify_ledger
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.read import read_payment_intent
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.flows.payments.sweeps.watch_authorizations import watch_authorizations
from paygate.storage.change import Outdated
from tests.flows.world import APPROVED, World, answer
from tests.storage.newer import made_newer

LOST = Answer(Unknown("reset"))


async def made(world: World, **content: Any) -> PaymentIntent:
    """An intent that a newer version has gone on with."""
    intent = await world.create()
    await made_newer(world.connection, world.records, intent, **content)
    return intent


ACTS: dict[str, Callable[[World, PaymentIntent], Awaitable[object]]] = {
    "read": lambda world, intent: read_payment_intent(world.ctx, world.caller, intent.id),
    "confirm": lambda world, intent: world.confirm(intent),
    "confirm under a key": lambda world, intent: world.confirm_once(intent, "key"),
    "cancel": lambda world, intent: cancel_payment_intent(world.ctx, world.caller, intent.id),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("content", [{}, {"status": "of a newer version"}], ids=["field", "status"])
async def test_nothing_is_begun_on_what_is_not_understood(
    world: World, act: Callable[[World, PaymentIntent], Awaitable[object]], content: dict[str, Any]
) -> None:
    """Not even read: what an older node showed of it would be wrong."""
    intent = await made(world, **content)
    before = await world.connection.fetchval("SELECT sealed FROM payment_intent")
    with pytest.raises(Outdated):
        await act(world, intent)
    assert not world.provider.orders
    assert not world.provider.standing
    assert await world.all(Attempt) == await world.all(IdempotencyKey) == []
    assert await world.connection.fetchval("SELECT sealed FROM payment_intent") == before


async def test_the_sweep_resolves_the_others(world: World) -> None:
    """A newer attempt, and one whose intent is newer, are left to a node of that version."""
    intents = []
    for _ in range(3):
        world.provider.answers.append(LOST)
        intents.append(await world.confirm(await world.create()))
    first, second, third = intents
    for attempt in await world.all(Attempt):
        if attempt.intent == first.id:
            await made_newer(world.connection, world.records, attempt)
    await made_newer(world.connection, world.records, second)
    world.clock.forward(60)
    world.provider.answers.append(answer(APPROVED))
    await resolve_attempts(world.ctx, "run_1")
    after = await world.ctx.read.payment_intent(third.merchant, third.id)
    assert after is not None
    assert after.status is Status.SUCCEEDED
    assert len(world.provider.orders) == 4, "the newer were sent once"
    assert await world.all(Alert) == []


async def test_no_sweep_is_stopped_and_none_touches_what_is_newer(world: World) -> None:
    intent = await made(world)
    world.provider.answers.append(LOST)
    await world.confirm_once(await world.create(), "key")
    (attempt,) = await world.all(Attempt)
    (key,) = await world.all(IdempotencyKey)
    for record in (attempt, key):
        await made_newer(world.connection, world.records, record)
    await world.connection.execute(
        "ALTER TABLE idempotency_key DISABLE TRIGGER USER;"
        " UPDATE idempotency_key SET state = 'working', lease = NULL"
    )
    world.clock.forward(30 * 24 * 3600)
    before = await rows(world)
    for sweep in (
        resolve_attempts,
        close_overdue_attempts,
        expire_payment_intents,
        purge_idempotency_keys,
        watch_authorizations,
    ):
        await sweep(world.ctx, "run_1")
    assert await rows(world) == before
    with pytest.raises(Outdated):  # a sum without it would be wrong
        await verify_ledger(world.ctx, world.caller)
    assert intent.id


async def rows(world: World) -> list[Any]:
    """Every attempt, intent and key as it lies there."""
    return [
        await world.connection.fetch(f"SELECT * FROM {table} ORDER BY id")
        for table in ("payment_intent", "attempt", "idempotency_key")
    ]
