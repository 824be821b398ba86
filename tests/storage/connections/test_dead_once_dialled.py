"""Whoever dials a connection for itself alone waits for no dead one, whatever it asks."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from paygate.storage.change import Unavailable
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import DRIVER_FAULTS, Connect, Connection
from paygate.storage.installation import install, read_installation
from paygate.storage.records import Records
from paygate.storage.restores import notice_restore
from paygate.storage.schema.migrate import migrate
from paygate.storage.sole_run import SoleRuns
from paygate.storage.whole_ledger import WholeLedger
from tests.proxy import Proxy

ENDS_WITHIN_SECONDS = 20.0
"""It takes two; a wait without a watch takes for ever."""


async def fault_over_a_dead_connection(
    database: str, ask: Callable[[Connect], Awaitable[object]]
) -> BaseException | None:
    """How it ends for who dials, when the first connection dies before it is asked anything."""
    async with Proxy(database) as proxy:
        through, dialled = connector(proxy.dsn, name="dead"), False

        async def connect() -> Connection:
            nonlocal dialled
            connection = await through()
            if not dialled:
                proxy.mute()
            dialled = True
            return connection

        try:
            async with asyncio.timeout(ENDS_WITHIN_SECONDS):
                await ask(connect)
        except Exception as fault:  # noqa: BLE001 -- it is what is asked for
            return fault
    return None


async def test_nobody_waits_for_a_connection_that_is_dead(database: str, records: Records) -> None:
    async def turn(connect: Connect) -> None:
        async with SoleRuns(connect).alone("sweep"):
            raise AssertionError

    async def whole(connect: Connect) -> None:
        async with WholeLedger(connect, records).session():
            raise AssertionError

    asked: dict[str, Callable[[Connect], Awaitable[object]]] = {
        "migrate": migrate,
        "install": lambda connect: install(
            connect, installation_id="in_1", livemode=False, keysets=lambda _: {}
        ),
        "read_installation": lambda connect: read_installation(connect, livemode=False),
        "notice_restore": lambda connect: notice_restore(connect, datetime.now(UTC)),
        "turn": turn,
        "whole": whole,
    }
    faults = await asyncio.gather(
        *(fault_over_a_dead_connection(database, ask) for ask in asked.values())
    )
    for name, fault in zip(asked, faults, strict=True):
        assert isinstance(fault, (Unavailable, *DRIVER_FAULTS)), (name, fault)


async def test_a_reading_of_the_whole_ends_when_its_connection_dies(
    database: str, records: Records
) -> None:
    """In the middle of it, and what is asked after that is told the same at once."""
    async with Proxy(database) as proxy:
        ledger = WholeLedger(connector(proxy.dsn, name="ledger"), records)
        async with ledger.session() as session, asyncio.timeout(ENDS_WITHIN_SECONDS):
            await session.of("default", "pi_none")
            proxy.mute()
            for _ in range(2):
                try:
                    await session.of("default", "pi_none")
                except Unavailable:
                    continue
                raise AssertionError


async def test_a_turn_is_given_back_over_a_dead_connection(database: str) -> None:
    async with Proxy(database) as proxy:
        runs = SoleRuns(connector(proxy.dsn, name="turn"))
        async with asyncio.timeout(ENDS_WITHIN_SECONDS), runs.alone("sweep") as alone:
            assert alone
            proxy.mute()
