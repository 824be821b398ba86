"""What the tests of webhooks share: endpoints, events, and a courier at work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from paygate.api.event_object import event_body
from paygate.domain.webhooks.delivery import Delivery
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.domain.webhooks.event_types import EVENT_TYPES
from paygate.flows.webhooks.courier import Courier
from paygate.flows.webhooks.create import create_webhook_endpoint
from tests.flows.world import World
from tests.gateway import until

OF_PAYMENTS = tuple(sorted(kind for kind in EVENT_TYPES if kind.startswith("payment_intent.")))


async def endpoint_at(world: World, url: str, **more: Any) -> WebhookEndpoint:
    """A new endpoint of the default merchant's; it wants all of payments, and no alerts."""
    given = {"events": OF_PAYMENTS, **more}
    return await create_webhook_endpoint(world.ctx, world.caller, url=url, **given)


async def events(world: World, count: int) -> None:
    """So many events: each is an intent that was created."""
    for _ in range(count):
        await world.create()


@asynccontextmanager
async def at_work(world: World) -> AsyncIterator[None]:
    """A courier, for as long as the context lasts."""
    stop = asyncio.Event()
    task = asyncio.create_task(Courier(world.ctx, event_body).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def deliveries(world: World) -> list[Delivery]:
    """All there are, as they stand, in the order in which they were made."""
    found: list[Delivery] = await world.all(Delivery)
    return sorted(found, key=lambda delivery: delivery.id)


async def settled(world: World, count: int) -> list[Delivery]:
    """All deliveries, once so many are over."""

    async def look() -> list[Delivery] | None:
        found = await deliveries(world)
        return found if sum(d.next_attempt_at is None for d in found) >= count else None

    found: list[Delivery] = await until(look, seconds=60)
    return found


async def tried(world: World, count: int) -> list[Delivery]:
    """All deliveries, once so many attempts were written down."""

    async def look() -> list[Delivery] | None:
        found = await deliveries(world)
        return found if sum(len(d.attempts) for d in found) >= count else None

    found: list[Delivery] = await until(look, seconds=60)
    return found


async def forward(world: World, length: timedelta) -> None:
    """As if so much time had passed: for what is due, and for pauses. The world's clock stands
    still, the database's does not.
    """
    world.clock.forward(length.total_seconds())
    await world.connection.execute("DELETE FROM webhook_pause")
