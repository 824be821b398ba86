"""The standby is lost, callers give up and come back, and then the primary is lost: what was
acknowledged is on the standby, and what is not there was never acknowledged.

A real primary and a real standby, of the programs that come with us; between them and us a network
whose address moves.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.embedded.binaries import binaries_for, run
from paygate.embedded.cluster import NAME, place
from paygate.embedded.server import EmbeddedPostgres
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import StoredResponse, idempotently
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.storage.change import OutcomeUnknown, Unavailable
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.schema.migrate import migrate
from tests.flows.world import World, encode
from tests.proxy import Proxy

TRIED_TO_END = """
SELECT count(*) FROM pg_stat_activity
WHERE query LIKE '%pg_terminate_backend%' AND pid <> pg_backend_pid()
"""


@dataclass
class Pair:
    """A primary whose commits wait for its standby."""

    folder: Path
    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    network: Proxy

    async def lose_the_standby(self) -> None:
        await asyncio.to_thread(self.standby.stop, immediate=True)

    async def fail_over(self) -> None:
        """The primary is gone, and its address leads to what was the standby."""
        self.network.mute()  # a host that is gone takes leave of nobody
        await asyncio.to_thread(self.primary.stop, immediate=True)
        self.standby = await asyncio.to_thread(EmbeddedPostgres.start, self.folder / "standby")
        promoting = await asyncpg.connect(self.standby.dsn)
        (config,) = (self.folder / "standby").rglob("postgresql.conf")
        config.write_text(config.read_text() + "\nsynchronous_standby_names = ''\n")
        await promoting.execute("SELECT pg_reload_conf()")
        assert await promoting.fetchval("SELECT pg_promote()")
        await promoting.close()
        self.network.lead_to(self.standby.dsn)


def copy(folder: Path) -> None:
    """A standby in `folder/standby`, of the primary in `folder/primary`."""
    primary = place(folder / "primary")
    there = folder / "standby"
    there.mkdir(mode=0o700)
    if primary.account.uid is not None and primary.account.gid is not None:
        os.chown(there, primary.account.uid, primary.account.gid)
    done = run(
        [
            binaries_for(primary.account) / "pg_basebackup",
            *("-h", str(primary.sockets), "-U", NAME, "-D", "cluster"),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        ],
        account=primary.account,
        folder=there,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    primary = await asyncio.to_thread(EmbeddedPostgres.start, tmp_path / "primary")
    await migrate(connector(primary.dsn, name="migrate"))
    await asyncio.to_thread(copy, tmp_path)
    standby = await asyncio.to_thread(EmbeddedPostgres.start, tmp_path / "standby")
    (config,) = (tmp_path / "primary").rglob("postgresql.conf")
    config.write_text(config.read_text() + "\nsynchronous_standby_names = '*'\n")
    admin = await asyncpg.connect(primary.dsn)
    await admin.execute("SELECT pg_reload_conf()")
    while not await admin.fetchval(
        "SELECT count(*) FROM pg_stat_replication WHERE sync_priority > 0"
    ):
        await asyncio.sleep(0.02)
    await admin.close()
    async with Proxy(primary.dsn) as network:
        both = Pair(tmp_path, primary, standby, network)
        yield both
    for server in (both.primary, both.standby):
        await asyncio.to_thread(server.stop, immediate=True)


@pytest.fixture
def database(pair: Pair) -> str:
    return pair.network.dsn


async def create_once(world: World, key: str) -> StoredResponse:
    """Create under an idempotency key: one commit makes the intent and stores the answer."""
    world.requests += 1
    caller = msgspec.structs.replace(world.caller, request_id=f"req_{world.requests}")
    body = NewPaymentIntent(amount=1999, currency="eur", reference=key)
    return await idempotently(
        world.ctx,
        KeyedRequest(caller, Action.INTENT_CREATE, "sk POST /payment-intents", key, encode(body)),
        lambda ctx: create_payment_intent(ctx, caller, body),
        lambda created: encode(created.intent),
    )


async def create_until_answered(world: World, key: str) -> StoredResponse:
    """What a shop does: the same request again, until it is answered."""
    while True:
        try:
            return await create_once(world, key)
        except (Unavailable, OutcomeUnknown):
            await asyncio.sleep(0.05)


async def waiting(admin: Connection) -> set[int]:
    """The backends that wait for the standby."""
    rows = await admin.fetch("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    return {row["pid"] for row in rows}


async def test_nothing_is_acknowledged_that_no_standby_has(world: World, pair: Pair) -> None:
    first = await create_once(world, "first")
    admin = await asyncpg.connect(pair.primary.dsn)
    await pair.lose_the_standby()
    asking = asyncio.create_task(create_once(world, "second"))
    while not (cancelled := await waiting(admin)):
        await asyncio.sleep(0.02)
    # The connection breaks meanwhile. Recovery leaves that backend in peace: ended, its commit
    # would be here to be read by everybody, and nowhere else.
    pair.network.cut()
    while not await admin.fetchval(TRIED_TO_END):
        await asyncio.sleep(0.02)
    for _ in range(5):
        assert await admin.fetchval("SELECT count(*) FROM payment_intent") == 1
        assert await waiting(admin) == cancelled
    # What a driver's timeout does, an operator's hand, or a switch-over's: now it is.
    for backend in cancelled:
        await admin.execute("SELECT pg_cancel_backend($1)", backend)
    while await admin.fetchval("SELECT count(*) FROM payment_intent") != 2:
        await asyncio.sleep(0.02)
    again = asyncio.create_task(create_once(world, "second"))
    # The first looks whether it was written, on the lane that the second needs: both must wait.
    while not await waiting(admin) - cancelled:
        await asyncio.sleep(0.02)
    for _ in range(10):
        assert not asking.done()
        assert not again.done(), "a stored answer is told again only when it is safe"
        await asyncio.sleep(0.02)
    await admin.close()
    world.connection.terminate()
    await pair.fail_over()
    results = await asyncio.gather(asking, again, return_exceptions=True)
    third = await create_until_answered(world, "second")
    for answered in results:
        assert not isinstance(answered, StoredResponse) or answered.body == third.body
    assert (await create_until_answered(world, "first")).body == first.body
    promoted = await asyncpg.connect(pair.standby.dsn)
    assert await promoted.fetchval("SELECT count(*) FROM payment_intent") == 2
    await promoted.close()
