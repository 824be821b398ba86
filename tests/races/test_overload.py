"""F21 and F22: a database without room, a row that somebody holds, and everybody at one intent."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import pytest

from paygate.domain.errors import Refusal
from paygate.domain.payments.payment_intent import FINAL, Status
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.storage.change import StorageError
from paygate.storage.connections.session import Connection
from tests.api.test_bad_input import counts
from tests.flows.world import APPROVED, World, answer
from tests.gateway import Gateway, Response, until

Connect = Callable[[], Awaitable[Connection]]


def is_busy(answered: Response) -> bool:
    """A 503 that says when to come again, and that nothing was done."""
    busy = (answered.status, answered.code) == (503, "overloaded")
    return busy and int(answered.headers["Retry-After"]) >= 1


async def test_a_database_without_a_free_connection(gateway: Gateway) -> None:
    """Payments have their connections; what needs another one is told to come again."""
    intent = await gateway.create()
    taken: list[Connection] = []
    with suppress(asyncpg.PostgresError):
        while True:
            taken.append(await asyncpg.connect(gateway.ready["database_url"]))
    assert len(taken) > 5
    try:
        before = await gateway.call("GET", f"/payment-intents/{intent['id']}")
        answers = await asyncio.gather(
            *(gateway.call("GET", "/payment-intents") for _ in range(10)),
            *(gateway.call("GET", f"/payment-intents/{intent['id']}") for _ in range(10)),
            gateway.confirm(intent["id"]),
        )
        assert before.status == 200
        assert all(a.status == 200 or is_busy(a) for a in answers), answers
    finally:
        for connection in taken:
            await connection.close()

    async def recovered() -> bool:
        return (await gateway.call("GET", "/payment-intents")).status == 200

    await until(recovered)
    if (await gateway.read(intent["id"]))["status"] == "created":
        assert (await gateway.confirm(intent["id"])).status == 200
    assert len(await gateway.charges(intent["id"])) == 1


async def test_an_intent_that_a_long_transaction_holds(gateway: Gateway) -> None:
    """Those who want it are told to come again; others' payments go on; then it is free."""
    intent, other = await gateway.create(), await gateway.create()
    connection = await asyncpg.connect(gateway.ready["database_url"])
    long = connection.transaction()
    await long.start()
    await connection.execute("SELECT FROM payment_intent WHERE id = $1 FOR UPDATE", intent["id"])
    before = await counts(gateway)
    answers = await asyncio.gather(
        *(gateway.call("POST", f"/payment-intents/{intent['id']}/cancel") for _ in range(10)),
        *(gateway.confirm(intent["id"]) for _ in range(10)),
    )
    assert all(is_busy(a) for a in answers), answers
    assert await counts(gateway) == before, "no partial effects"
    assert (await gateway.confirm(other["id"])).json["status"] == "succeeded"
    await long.rollback()
    await connection.close()
    assert (await gateway.confirm(intent["id"])).json["status"] == "succeeded"
    assert len(await gateway.charges(intent["id"])) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_everybody_at_one_intent(world: World, connect: Connect, seed: int) -> None:
    """F22: confirms, cancels and expiries at once, while another transaction locks both rows the
    other way round and gives up: one legal end, a history without gaps, and nothing but refusals.
    """
    chance = random.Random(seed)
    intent = await world.create()
    world.clock.forward(25 * 3600)
    world.provider.answers = [answer(APPROVED) for _ in range(40)]

    def someone() -> Awaitable[object]:
        match chance.randrange(3):
            case 0:
                return world.confirm(intent)
            case 1:
                return cancel_payment_intent(world.ctx, world.caller, intent.id)
            case _:
                return expire_payment_intents(world.ctx, "run_1")

    foreign = asyncio.create_task(_lock_and_give_up(await connect(), chance))
    results = await asyncio.gather(*(someone() for _ in range(40)), return_exceptions=True)
    await foreign
    wrong = [r for r in results if isinstance(r, BaseException)]
    assert all(isinstance(r, Refusal | StorageError) for r in wrong), wrong
    after, attempts = await world.now(intent)
    if after.status is Status.CREATED:  # it was locked all the time
        after = await world.confirm(intent)
        attempts = (await world.now(intent))[1]
    assert after.status in FINAL
    assert len(world.provider.orders) == len(attempts) <= 1
    versions = sorted(event.object_version for event in await world.events(intent))
    assert versions == list(range(1, after.version + 1))


async def _lock_and_give_up(connection: Connection, chance: random.Random) -> None:
    for _ in range(5):
        transaction = connection.transaction()
        await transaction.start()
        for table in chance.sample(["attempt", "payment_intent", "idempotency_key"], 3):
            with suppress(asyncpg.PostgresError):
                await connection.execute(f"SELECT FROM {table} FOR UPDATE")
        await asyncio.sleep(chance.random() / 100)
        await transaction.rollback()
