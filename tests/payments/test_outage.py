"""The provider has said yes, and our database is not there to hear of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from tests.api.shops import Shop
from tests.gateway import until
from tests.payments.agreement import agrees_with_provider, shops_charges
from tests.payments.steps import all_fired, fault, ledger_agrees, order, persist
from tests.payments.test_scenarios import CONFIRM, LOST_EVENTS, create

HEADERS = {"Idempotency-Key": "confirm"}


@asynccontextmanager
async def outage(shop: Shop) -> AsyncIterator[None]:
    """Whoever was in the database is cut off, and nobody gets in."""
    dsn = shop.gateway.ready["database_url"]
    name = "paygate"
    assert f"/{name}?" in dsn
    admin = await asyncpg.connect(dsn.replace(f"/{name}?", "/postgres?"))
    try:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
        )
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


async def test_a_success_that_could_not_be_written_down(shop: Shop, tmp_path: Path) -> None:
    """Once the database is back it has succeeded, once, though no event ever comes."""
    intent = await create(shop)
    path = f"/payment-intents/{intent}/confirm"
    faults = (fault("confirm", "slow", count=1, seconds=1.5, hold="after"), LOST_EVENTS)
    await order(shop, faults)
    confirming = asyncio.create_task(shop.call("POST", path, CONFIRM, headers=HEADERS))
    (charge,) = await until(lambda: shops_charges(shop))
    async with outage(shop):
        answer = await confirming
        assert answer.status in (500, 503), answer
        assert answer.json["error"]["retriable"] is True
    await all_fired(shop, faults)
    again = await persist(shop, path, CONFIRM, HEADERS["Idempotency-Key"])
    assert again.json["status"] == "succeeded"
    assert await shops_charges(shop) == [charge]
    await agrees_with_provider(shop)
    await asyncio.to_thread(ledger_agrees, shop, tmp_path)
