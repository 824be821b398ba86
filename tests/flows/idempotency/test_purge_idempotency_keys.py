"""What becomes of idempotency keys that are past their time: those that ended are deleted, and
people are told of the others, unless their payments have ended without them.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec

from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.providers.contract import ClockSkew
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.idempotency import IdempotencyKeys
from tests.flows.idempotency.test_idempotency import NOT_SENT, create_once, refused
from tests.flows.world import APPROVED, World, answer


async def test_a_purge_takes_finished_keys_that_are_past_their_time(world: World) -> None:
    await create_once(world, "finished")
    intent = await world.create()
    world.provider.answers += [NOT_SENT, answer(APPROVED)]
    with suppress(Refusal):
        await world.confirm_once(intent, "unfinished")
    assert await purge_idempotency_keys(world.ctx, "run_1") == (0, 0)
    world.clock.forward(24 * 3600 + 1)
    await create_once(world, "young")
    assert await purge_idempotency_keys(world.ctx, "run_2") == (1, 1)
    states = sorted(k.state for k in await world.all(IdempotencyKey))
    assert states == [KeyState.FINISHED, KeyState.WORKING]
    world.clock.forward(3600)
    assert await purge_idempotency_keys(world.ctx, "run_3") == (0, 1)
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.count) == (AlertType.IDEMPOTENCY_UNFINISHED, 2)
    # F10: business uniqueness holds without the key: the intent cannot be confirmed again.
    assert not (await create_once(world, "finished")).replayed


async def test_many_keys_that_never_ended_hide_none(world: World) -> None:
    """More of them than are looked at together; and once their payments have failed, and everybody
    was told so, there is nothing left to look at.
    """
    intents = await asyncio.gather(*(world.create() for _ in range(110)))
    world.provider.answers += [NOT_SENT] * 110
    await asyncio.gather(*(refused(world.confirm_once(i, f"key {i.id}")) for i in intents))
    world.clock.forward(25 * 3600)
    assert await purge_idempotency_keys(world.ctx, "run_1") == (0, 110)
    alerts = await world.all(Alert)
    assert {a.problem.subject.id for a in alerts} == {k.id for k in await world.all(IdempotencyKey)}
    assert (await resolve_attempts(world.ctx, "run")).resolved == 110
    assert await purge_idempotency_keys(world.ctx, "run_2") == (0, 0)
    assert {a.count for a in await world.all(Alert)} == {1}


async def test_a_key_whose_payment_ended_still_answers_its_request(world: World) -> None:
    """In silence, and for as long as it takes."""
    intent = await world.create()
    world.provider.answers.append(NOT_SENT)
    await refused(world.confirm_once(intent, "k"))
    world.clock.forward(3600)
    await resolve_attempts(world.ctx, "run")
    world.clock.forward(48 * 3600)
    assert await purge_idempotency_keys(world.ctx, "run") == (0, 0)
    first = await world.confirm_once(intent, "k")
    assert (first.replayed, b'"failed"' in first.body) == (False, True)
    assert len(world.provider.orders) == 1


async def test_after_the_purge_a_confirm_charges_nothing_again(world: World) -> None:
    intent = await world.create()
    world.provider.answers.append(answer(APPROVED))
    await world.confirm_once(intent, "k")
    world.clock.forward(24 * 3600 + 1)
    assert await purge_idempotency_keys(world.ctx, "run_1") == (1, 0)
    no = await refused(world.confirm_once(intent, "k"))
    assert no.code is ErrorCode.INTENT_ALREADY_CONFIRMED
    assert len(world.provider.orders) == 1


def _same(at: datetime) -> datetime:
    return at


async def test_a_node_whose_clock_is_ahead_purges_nothing(world: World, database: str) -> None:
    """Else a retry of an hour later would be a payment of its own."""
    first = await create_once(world, "k")
    pool = open_pool(database, name="ahead")
    try:
        for ahead, deleted in ((timedelta(hours=25), 0), (timedelta(0), 1)):

            def machine_time(ahead: timedelta = ahead) -> datetime:
                return datetime.now(UTC) + ahead

            dial = connector(database, name="keys")
            keys = IdempotencyKeys(dial, pool, world.records, machine_time=machine_time)
            started = world.clock.time + timedelta(hours=25)
            node = msgspec.structs.replace(world.ctx, keys=keys, now=partial(_same, started))
            assert await purge_idempotency_keys(node, "run") == (deleted, 0)
            again = await create_once(world, "k")
            assert again.replayed == (not deleted)
            assert (again.body == first.body) == (not deleted)
    finally:
        pool.close()


async def test_a_clock_that_the_provider_contradicts_purges_nothing(world: World) -> None:
    """The database may be of the same machine, and its clock as wrong."""
    await create_once(world, "k")
    world.clock.forward(24 * 3600 + 1)
    for ahead, deleted in ((-90, 0), (90, 0), (0, 1)):
        world.provider.skew = ClockSkew(timedelta(seconds=ahead), timedelta(seconds=1))
        assert await purge_idempotency_keys(world.ctx, f"run {ahead}") == (deleted, 0)
    await create_once(world, "while the provider is silent")
    world.provider.skew = None
    world.clock.forward(24 * 3600 + 1)
    assert await purge_idempotency_keys(world.ctx, "run") == (1, 0)
