"""The worker's connection dies without a word, and jobs go on."""

import asyncio

import pytest

from paygate.api.event_object import event_body
from paygate.storage.connections.database import connector
from paygate.worker.main import work
from tests.flows.world import APPROVED, World, notice
from tests.proxy import Proxy

BACK_WITHIN_SECONDS = 6.0
"""Five for the connection, one for the job."""


async def until_done(world: World) -> None:
    while await world.connection.fetchval("SELECT count(*) FROM pgqueuer"):
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", ["cut", "mute"])
async def test_jobs_go_on(world: World, database: str, fault: str) -> None:
    stop = asyncio.Event()
    async with Proxy(database) as proxy:
        working = asyncio.create_task(
            work(world.ctx, connector(proxy.dsn, name="worker"), stop, event_body)
        )
        await world.stored_only(
            notice(None, APPROVED, reference="evt_before", installation="other")
        )
        await until_done(world)
        getattr(proxy, fault)()
        await world.stored_only(notice(None, APPROVED, reference="evt_after", installation="other"))
        async with asyncio.timeout(BACK_WITHIN_SECONDS):
            await until_done(world)
        stop.set()
        await working
