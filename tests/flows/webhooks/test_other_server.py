"""A dump is put into another server, which has counted fewer transactions: each event is in the
list, in its place, and merchants are told of each once.
"""

import asyncio
import itertools
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import msgspec
import pytest

from paygate.api.event_object import event_body
from paygate.embedded.server import EmbeddedPostgres, binaries
from paygate.flows.events.read import list_events
from paygate.flows.restores.declare import declare_restore
from paygate.flows.webhooks.tell import tell_events
from paygate.storage.commit.committer import Committer
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.connections.session import Connection
from paygate.storage.door import Door
from paygate.storage.pages import newest
from paygate.storage.reader import Reader
from paygate.storage.restores import Restores, notice_restore
from paygate.storage.schema.migrate import migrate
from paygate.storage.webhooks.outbox import Outbox
from paygate.storage.webhooks.reader import EventFilters, WebhookReader
from tests.flows.webhooks.courier import deliveries, endpoint_at, events
from tests.flows.webhooks.test_order import INSERT, an_event
from tests.flows.world import World
from tests.gateway import until
from tests.raw import raw

Connect = Callable[[], Awaitable[Connection]]


class Moved(NamedTuple):
    """A world in the other server, and where that is."""

    world: World
    dsn: str


Move = Callable[[World], Awaitable[Moved]]

KEEP: Final = "SELECT keep_order()"
SHIFT: Final = "SELECT counted_elsewhere FROM installation"
AHEAD: Final = "SELECT is_ahead()"
COUNT: Final = """
DO $$ BEGIN
    WHILE pg_snapshot_xmax(pg_current_snapshot()) < '%s'::xid8 LOOP
        PERFORM pg_current_xact_id();
        COMMIT;
    END LOOP;
END $$
"""
FAR: Final = 20_000
"""Many times what the other server has counted when it is new, and during these tests."""
NOWHERE: Final = "http://127.0.0.1:9/"

_numbers = itertools.count()


async def count_to(connection: Connection, number: int) -> None:
    """Have a server count its transactions up to a number."""
    await connection.execute(COUNT % number)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Another server, which is new."""
    server = EmbeddedPostgres.start(tmp_path_factory.mktemp("other"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
async def source(world: World, other: EmbeddedPostgres) -> World:
    """A world in a server that has counted farther than the other one."""
    there = await raw(other.dsn)
    counted = await there.fetchval("SELECT pg_current_xact_id()::text::bigint")
    await there.close()
    await count_to(world.connection, counted + FAR)
    await world.connection.execute("INSERT INTO installation (id, livemode) VALUES ('in_', false)")
    return world


@pytest.fixture
async def move(database: str, other: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Move]:
    """Puts a dump of a world's database into the other server, and the world with it. Nobody has
    looked at the database there yet.
    """
    async with AsyncExitStack() as stack:

        async def to_other(world: World) -> Moved:
            name, dump = f"moved_{next(_numbers)}", tmp_path / "dump.sql"
            admin = await raw(other.dsn)
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            stack.push_async_callback(admin.close)
            stack.push_async_callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)")
            dsn = other.dsn.replace("@/paygate?", f"@/{name}?")
            await done("pg_dump", "-f", dump, database)
            await done("psql", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-f", dump, dsn)
            return Moved(await opened(world, dsn, stack), dsn)

        yield to_other


async def done(program: str, *arguments: str | Path) -> None:
    await asyncio.to_thread(
        subprocess.run, [binaries() / program, *arguments], check=True, stdout=subprocess.DEVNULL
    )


async def opened(world: World, dsn: str, stack: AsyncExitStack) -> World:
    """The same world on another database: what makes, lists and tells events."""
    committer, pool = Committer(connector(dsn, name="moved")), open_pool(dsn, name="moved")
    connection = await raw(dsn)
    stack.push_async_callback(connection.close)
    stack.callback(pool.close)
    await committer.open()
    stack.push_async_callback(committer.close)
    ctx = msgspec.structs.replace(
        world.ctx,
        door=Door(world.records, committer),
        read=Reader(pool, pool, world.records),
        webhooks=WebhookReader(pool, pool, world.records),
        outbox=Outbox(pool, world.records),
        restores=Restores(pool),
    )
    return World(ctx, world.provider, world.clock, world.records, connection, caller=world.caller)


async def shown(world: World) -> list[str]:
    """The ids of all events in the list, the oldest first."""
    page = await list_events(world.ctx, world.caller, newest("event", 100), EventFilters(), "")
    return [event.id for event in reversed(page.items)]


async def tell(world: World) -> int:
    return await tell_events(world.ctx, "run", event_body)


async def told_of(world: World) -> list[str]:
    """The events that there are deliveries of."""
    return [delivery.event for delivery in await deliveries(world)]


async def forget_deliveries(world: World) -> None:
    """As after a month: what was told is known by the cursor alone."""
    await world.connection.execute(
        "ALTER TABLE delivery DISABLE TRIGGER delivery_waits;"
        " DELETE FROM delivery; DELETE FROM webhook_body;"
        " ALTER TABLE delivery ENABLE ALWAYS TRIGGER delivery_waits"
    )


async def lived(world: World) -> list[str]:
    """Three events that were told, and two that nobody was told of yet; the ids of all, in their
    order, which is not that of their ids.
    """
    await endpoint_at(world, NOWHERE)
    await events(world, 3)
    assert await tell(world) == 3
    world.clock.forward(-3600)
    await events(world, 2)
    await forget_deliveries(world)
    ids = await shown(world)
    assert len(ids) == 5
    assert ids != sorted(ids)
    return ids


async def by_migrate(moved: Moved) -> None:
    messages: list[str] = []
    await migrate(connector(moved.dsn, name="migrate"), tell=messages.append)
    assert any("dump of another server" in line for line in messages)
    messages.clear()
    await migrate(connector(moved.dsn, name="migrate"), tell=messages.append)
    assert messages == []


async def by_start(moved: Moved) -> None:
    await notice_restore(connector(moved.dsn, name="start"), moved.world.clock())


async def by_declaration(moved: Moved) -> None:
    await declare_restore(moved.world.ctx, moved.world.caller)


@pytest.mark.parametrize("keep", [by_migrate, by_start, by_declaration])
async def test_exactly_the_untold_are_told(
    source: World, move: Move, keep: Callable[[Moved], Awaitable[None]]
) -> None:
    before = await lived(source)
    moved = await move(source)
    world = moved.world
    assert await world.connection.fetchval(AHEAD)
    assert await shown(world) == []
    await keep(moved)
    assert not await world.connection.fetchval(AHEAD)
    assert await shown(world) == before
    await events(world, 2)
    after = await shown(world)
    assert after[:5] == before
    assert len(after) == 7
    assert await tell(world) == 4
    assert sorted(await told_of(world)) == sorted(after[3:])
    assert await tell(world) == 0


@pytest.mark.parametrize("reached", [1, 2, 3, 4, 5])
async def test_a_server_that_has_counted_past_some_of_them(
    source: World, move: Move, reached: int
) -> None:
    """Past all of them, it needs nothing."""
    before = await lived(source)
    places = await source.connection.fetch(
        "SELECT written_in::text::bigint AS place FROM event ORDER BY written_in"
    )
    moved = await move(source)
    world = moved.world
    await count_to(world.connection, places[reached - 1]["place"] + 1)
    kept = await world.connection.fetchval(KEEP)
    assert kept is (reached < 5)
    assert (await world.connection.fetchval(SHIFT) > 0) is kept
    await events(world, 1)
    after = await shown(world)
    assert after[:5] == before
    assert len(after) == 6
    assert await tell(world) == 3
    assert sorted(await told_of(world)) == sorted(after[3:])


async def test_a_cursor_that_is_ahead_of_no_event(source: World, move: Move) -> None:
    """The endpoint is newer than all events, or there was none."""
    await endpoint_at(source, NOWHERE)
    moved = await move(source)
    assert await moved.world.connection.fetchval(KEEP)
    await events(moved.world, 1)
    assert await tell(moved.world) == 1


async def test_a_merchant_without_endpoints_has_a_list(source: World, move: Move) -> None:
    await events(source, 2)
    before = await shown(source)
    moved = await move(source)
    assert await moved.world.connection.fetchval(KEEP)
    assert await shown(moved.world) == before
    await endpoint_at(moved.world, NOWHERE)
    assert await tell(moved.world) == 0, "what was written before is not told to a new endpoint"
    await events(moved.world, 1)
    assert await tell(moved.world) == 1
    assert (await shown(moved.world))[:2] == before


async def test_a_healthy_server_is_left_as_it_is(source: World, connect: Connect) -> None:
    """Whatever is open beside it: an event that is not committed, and is older than one that is."""
    await lived(source)
    slow = await connect()
    _, row = await an_event(source)
    async with slow.transaction():
        await slow.execute(INSERT, *row)
        await events(source, 1)
        assert not await source.connection.fetchval(KEEP)
    assert not await source.connection.fetchval(KEEP)
    assert await source.connection.fetchval(SHIFT) == 0
    assert await tell(source) == 2 + 3


async def test_who_writes_meanwhile_is_behind_too(source: World, move: Move) -> None:
    """One process is killed while it waits for an event that is being written; then two at once
    keep the order, while more are written.
    """
    before = await lived(source)
    moved = await move(source)
    world = moved.world
    writer, killed = await raw(moved.dsn), await raw(moved.dsn)
    _, row = await an_event(world)
    opened_one = writer.transaction()
    await opened_one.start()
    await writer.execute(INSERT, *row)
    waiting = asyncio.create_task(killed.fetchval(KEEP))
    await waits_for_lock(world, killed)
    await world.connection.execute("SELECT pg_terminate_backend($1)", killed.get_server_pid())
    with pytest.raises(asyncpg.PostgresError):
        await waiting
    assert await world.connection.fetchval(SHIFT) == 0
    dial = connector(moved.dsn, name="migrate")
    migrating = [asyncio.create_task(migrate(dial)) for _ in range(2)]
    starting = asyncio.create_task(notice_restore(dial, world.clock()))
    more = asyncio.create_task(events(world, 20))
    await asyncio.sleep(0)
    await opened_one.commit()
    await asyncio.gather(*migrating, starting, more)
    await writer.close()
    await events(world, 1)
    after = await shown(world)
    assert len(after) == 5 + 2 + 20 + 1
    assert [event for event in after if event in before] == before
    shift = await world.connection.fetchval(SHIFT)
    assert shift > 0
    assert not await world.connection.fetchval(KEEP)
    assert await world.connection.fetchval(SHIFT) == shift


async def waits_for_lock(world: World, connection: Connection) -> None:
    pid = connection.get_server_pid()

    async def waits() -> bool:
        return bool(
            await world.connection.fetchval(
                "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid
            )
        )

    await until(waits)


async def test_a_write_that_waited_for_the_lock_sees_the_new_count(
    source: World, move: Move
) -> None:
    """It began before the order was kept, and its place is behind all the same."""
    before = await lived(source)
    moved = await move(source)
    world, keeper = moved.world, await raw(moved.dsn)
    late, row = await an_event(source)
    transaction = keeper.transaction()
    await transaction.start()
    assert await keeper.fetchval(KEEP)
    writer = await raw(moved.dsn)
    writing = asyncio.create_task(writer.execute(INSERT, *row))
    await waits_for_lock(world, writer)
    await transaction.commit()
    await writing
    assert await shown(world) == [*before, late.id]
    assert await tell(world) == 3
    await writer.close()
    await keeper.close()


async def test_what_was_told_is_not_told_again(world: World) -> None:
    """The schema refuses to take a cursor back, whichever version asks for it."""
    await endpoint_at(world, NOWHERE)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="not told again"):
        await world.connection.execute("UPDATE webhook_cursor SET written_in = '3'")
