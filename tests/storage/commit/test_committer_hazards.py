"""The hazards of writing many changes in one statement, each provoked on a real server."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.change import Change, Committed, Conflict, OutcomeUnknown, Reason, Unavailable
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.records import Records
from paygate.storage.schema.migrate import migrate
from tests.claims import hold_claim
from tests.making import (
    make_audit,
    make_confirmed,
    make_intent,
    make_provider_event,
    make_records,
)
from tests.storage.hazards import SLEEP_IN_INSERT, create, until_sleeping

Connect = Callable[[], Awaitable[Connection]]

NOTE_DURABILITY_IN_INSERT = """
CREATE TABLE noted (synchronous_commit text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO noted VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT ON payment_intent FOR EACH ROW EXECUTE FUNCTION note();
"""
READ_ONLY = """
SET default_transaction_read_only = off;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {setting}', current_database()); END $$
"""
WEAKEN_DURABILITY = """
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());
END $$
"""


async def test_a_ghost_commit_is_found_and_not_written_twice(
    records: Records, database: str, connect: Connect
) -> None:
    """The socket is cut while the server works on: the commit appears after the re-read would
    have found nothing, had it not waited for the old backend.
    """
    other = await connect()
    await other.execute(SLEEP_IN_INSERT.format(seconds=0.5))
    committer = Committer(connector(database, name="ghost"), lanes=1)
    await committer.open()
    door = Door(records, committer)
    waiting = asyncio.create_task(door.commit(create()))
    await until_sleeping(other)
    lane = committer._lanes[0]
    assert lane._connection is not None
    lane._connection.terminate()
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 0
    assert await waiting == Committed()
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 1
    await other.execute("DROP TRIGGER slow ON payment_intent")
    assert await door.commit(create()) == Committed()
    await committer.close()


async def test_a_killed_backend_wrote_nothing_and_the_batch_is_sent_again(
    records: Records, database: str, connect: Connect
) -> None:
    other = await connect()
    await other.execute(SLEEP_IN_INSERT.format(seconds=0.2))
    committer = Committer(connector(database, name="victim"), lanes=1)
    await committer.open()
    door = Door(records, committer)
    waiting = [asyncio.create_task(door.commit(create())) for _ in range(3)]
    await until_sleeping(other)
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'"
    )
    assert await asyncio.gather(*waiting) == [Committed()] * 3
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 3
    await committer.close()


async def test_a_foreign_claim_does_not_stop_the_line(
    door: Door, records: Records, connect: Connect
) -> None:
    """Another transaction holds a claim for as long as it likes; the rest goes on."""
    event = make_provider_event("evt_held")
    other = await connect()
    holding = other.transaction()
    await holding.start()
    await hold_claim(other, records, "evt_held")
    async with asyncio.timeout(60):
        verdicts = await asyncio.gather(
            door.commit(Change(make_audit(), creates=(event,))),
            *(door.commit(create()) for _ in range(50)),
        )
    assert verdicts[0] == Conflict(Reason.BUSY, "provider_event")
    assert verdicts[1:] == [Committed()] * 50
    await holding.rollback()
    assert await door.commit(Change(make_audit(), creates=(event,))) == Committed()


async def test_a_locked_intent_reads_as_stale_and_does_not_stop_the_line(
    door: Door, connect: Connect
) -> None:
    intent = make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    move = make_confirmed(intent)
    other = await connect()
    async with other.transaction():
        await other.fetch("SELECT 1 FROM payment_intent WHERE id = $1 FOR UPDATE", intent.id)
        async with asyncio.timeout(60):
            verdicts = await asyncio.gather(
                door.commit(move), *(door.commit(create()) for _ in "ab")
            )
    assert verdicts == [Conflict(Reason.STALE, "payment_intent"), Committed(), Committed()]
    assert await door.commit(move) == Committed()


async def test_hot_intents_do_not_deadlock(
    records: Records, database: str, connect: Connect
) -> None:
    """Two committers advance the same few intents in every order at once."""
    doors = []
    for name in ("one", "two"):
        committer = Committer(connector(database, name=name))
        await committer.open()
        doors.append((committer, Door(records, committer)))
    intents = [make_intent() for _ in range(20)]
    for intent in intents:
        await doors[0][1].commit(Change(make_audit(), creates=(intent,)))
    rng = random.Random(7)

    async def fight(door: Door) -> int:
        won = 0
        for _ in range(15):
            order = rng.sample(intents, len(intents))
            verdicts = await asyncio.gather(*(door.commit(make_confirmed(i)) for i in order))
            won += verdicts.count(Committed())
        return won

    won = await asyncio.gather(*(fight(door) for _, door in doors for _ in range(2)))
    assert sum(won) == len(intents)
    other = await connect()
    assert (
        await other.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        == 0
    )
    for committer, _ in doors:
        await committer.close()


async def test_who_stops_waiting_cancels_nothing(door: Door, connect: Connect) -> None:
    other = await connect()
    await other.execute(SLEEP_IN_INSERT.format(seconds=0.3))
    given_up = asyncio.create_task(door.commit(create()))
    await until_sleeping(other)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await door.commit(create()) == Committed()
    while await other.fetchval("SELECT count(*) FROM payment_intent") != 2:
        await asyncio.sleep(0.01)


async def test_no_answer_in_time_is_unknown_and_the_commit_goes_on(
    records: Records, committer: Committer, connect: Connect
) -> None:
    other = await connect()
    await other.execute(SLEEP_IN_INSERT.format(seconds=0.3))
    hasty = Door(records, committer, answer_within_seconds=0.05)
    with pytest.raises(OutcomeUnknown):
        await hasty.commit(create())
    while await other.fetchval("SELECT count(*) FROM payment_intent") != 1:
        await asyncio.sleep(0.01)


async def test_a_database_that_refuses_writes_fails_closed_and_recovers(
    records: Records, database: str, connect: Connect
) -> None:
    """Whoever stops the writes (a host whose disk fills up, a switch-over) is obeyed, and need not
    know of our connections when it lets them go on: a session keeps the default it began with.
    """
    other = await connect()
    committer = Committer(connector(database, name="read only"), lanes=1)
    await committer.open()
    door = Door(records, committer)
    await other.execute(READ_ONLY.format(setting="SET default_transaction_read_only = on"))
    committer._lanes[0].hang_up()
    for result in await asyncio.gather(
        *(door.commit(create()) for _ in "abc"), return_exceptions=True
    ):
        assert isinstance(result, Unavailable)
    await other.execute(READ_ONLY.format(setting="RESET default_transaction_read_only"))
    assert await door.commit(create()) == Committed()
    await committer.close()


async def test_a_weaker_default_does_not_weaken_an_acknowledgement(
    records: Records, database: str, connect: Connect
) -> None:
    """The database's own default would answer a commit before it is on the disk. A lane commits
    as it must all the same, also after it had to dial again.
    """
    other = await connect()
    await other.execute(NOTE_DURABILITY_IN_INSERT)
    await other.execute(WEAKEN_DURABILITY)
    assert await (await connect()).fetchval("SHOW synchronous_commit") == "off"
    committer = Committer(connector(database, name="weak"), lanes=1)
    await committer.open()
    door = Door(records, committer)
    assert await door.commit(create()) == Committed()
    committer._lanes[0].hang_up()
    assert await door.commit(create()) == Committed()
    noted = await other.fetch("SELECT synchronous_commit FROM noted")
    assert [row["synchronous_commit"] for row in noted] == ["on", "on"]
    await committer.close()


async def test_a_cancelled_wait_for_the_standby_is_not_an_acknowledgement(
    own_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """PostgreSQL answers such a commit with success and a warning; a failover would undo it."""
    other = await asyncpg.connect(own_server.dsn)
    # A default that would keep the warning from us.
    await other.execute("ALTER DATABASE paygate SET client_min_messages = error")
    committer = Committer(connector(own_server.dsn, name="sync"), lanes=1)
    await committer.open()
    door = Door(make_records(tmp_path), committer, answer_within_seconds=60)
    (config,) = (tmp_path / "postgres").rglob("postgresql.conf")
    text = config.read_text()
    config.write_text(text + "\nsynchronous_standby_names = 'nobody'\n")
    await other.execute("SELECT pg_reload_conf()")
    waiting = asyncio.create_task(door.commit(create()))
    for _ in range(2):  # the second is the re-read's own commit
        cancelled = False
        while not cancelled:
            cancelled = await other.fetchval(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'sync' AND wait_event = 'SyncRep'"
            )
            await asyncio.sleep(0.02)
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 1
    assert not waiting.done()
    config.write_text(text)
    await other.execute("SELECT pg_reload_conf()")
    assert await waiting == Committed()
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 1
    await other.close()
    await committer.close()


async def test_crashes_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """The server is stopped in the middle, again and again, as a power cut would."""
    data = tmp_path / "postgres"
    server = EmbeddedPostgres.start(data)
    await migrate(connector(server.dsn, name="migrate"))
    committer = Committer(connector(server.dsn, name="load"))
    await committer.open()
    door = Door(make_records(tmp_path), committer, answer_within_seconds=60)
    acknowledged: list[str] = []
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            change = create()
            assert await door.commit(change) == Committed()
            acknowledged.append(change.creates[0].id)

    callers = [asyncio.create_task(caller()) for _ in range(32)]
    for _ in range(4):
        await asyncio.sleep(0.4)
        before = len(acknowledged)
        await asyncio.to_thread(server.stop, immediate=True)
        server = await asyncio.to_thread(EmbeddedPostgres.start, data)
        while len(acknowledged) <= before:
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*callers)
    await committer.close()
    connection = await asyncpg.connect(server.dsn)
    stored = [r["id"] for r in await connection.fetch("SELECT id FROM payment_intent")]
    await connection.close()
    server.stop()
    assert len(acknowledged) == len(set(acknowledged)) > 100
    assert sorted(stored) == sorted(acknowledged)


async def test_what_was_submitted_before_is_waited_for(
    records: Records, database: str, connect: Connect
) -> None:
    """Though its caller has given up: it is on its way, sealed with the keys of then."""
    hand = await connect()
    committer = Committer(connector(database, name="drained"))
    await committer.open()
    door = Door(records, committer, answer_within_seconds=0.05)
    async with hand.transaction():
        await hand.execute("LOCK TABLE audit_entry IN SHARE MODE")
        with pytest.raises(OutcomeUnknown):
            await door.commit(create())
        drained = asyncio.create_task(committer.drained())
        after = asyncio.create_task(Door(records, committer).commit(create()))
        await asyncio.wait({drained}, timeout=0.1)
        assert not drained.done()
    await drained
    assert await hand.fetchval("SELECT count(*) FROM payment_intent") >= 1
    assert await after == Committed()
    await committer.drained()
    await committer.close()
