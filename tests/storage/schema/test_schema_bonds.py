"""What the schema refuses of rows that belong together, of what is never rewritten, and of those
who may not write at all.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from paygate.domain.payments.attempt import OPEN, AttemptState
from paygate.domain.payments.payment_intent import FINAL, Status
from paygate.storage.change import Change, Committed, Outdated
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.door import Door
from paygate.storage.reader import Reader
from paygate.storage.records import Records
from paygate.storage.schema.versions import ANNOUNCED, WRITER, WRITER_SETTING
from tests.making import make_audit, make_intent
from tests.raw import lowest
from tests.storage.schema.test_schema import insert, refuses, route, step, tables

Connect = Callable[[], Awaitable[Connection]]

PAY = "UPDATE payment_intent SET version = version + 1, status = '{}'"
MOVE = "UPDATE attempt SET version = version + 1, {}"
OLDER = "PGW01"


async def go(connection: Connection, to: Status) -> None:
    """The one intent, brought to a status as a flow does it."""
    await insert(connection, "payment_intent", id="pi_1")
    for before, after in itertools.pairwise([Status.CREATED, *route(to)]):
        await connection.execute(step(before, after))


async def test_an_intent_does_not_succeed_without_money(superuser: Connection) -> None:
    await go(superuser, Status.PROCESSING)
    closed = "WITH a AS (UPDATE attempt SET version = version + 1, state = 'approved')"
    paid = f"{closed} {PAY.format('succeeded')}"
    assert await refuses(superuser, paid)
    assert await refuses(superuser, f"{paid}, money_seq = money_seq + 1"), "there is no transfer"
    assert not await refuses(superuser, step("processing", "succeeded"))


async def test_a_correction_takes_money_too(superuser: Connection) -> None:
    await go(superuser, Status.FAILED)
    version = await superuser.fetchval("SELECT version + 1 FROM payment_intent")
    await insert(superuser, "correction", intent_version=version)
    assert await refuses(superuser, PAY.format("succeeded"))
    assert not await refuses(superuser, step("failed", "succeeded"))


@pytest.mark.parametrize("end", sorted(FINAL - {Status.REFUNDED}))
@pytest.mark.parametrize("state", sorted(OPEN))
async def test_no_intent_ends_over_an_open_attempt(
    superuser: Connection, end: Status, state: AttemptState
) -> None:
    """The provider may still move under an open attempt, and the sweep asks for its intent."""
    await go(superuser, Status.PROCESSING)
    if state is not AttemptState.STARTED:
        await superuser.execute(MOVE.format(f"state = '{state}'"))
    ends = step("processing", end)
    over = ends.replace("WHERE state = 'started'", "WHERE false")
    assert over != ends
    assert await refuses(superuser, over)
    assert not await refuses(superuser, ends.replace("state = 'started'", f"state = '{state}'"))


async def test_no_intent_is_processing_without_an_attempt(superuser: Connection) -> None:
    await insert(superuser, "payment_intent", id="pi_1")
    assert await refuses(superuser, PAY.format("processing"))
    assert not await refuses(superuser, step("created", "processing"))


@pytest.mark.parametrize("state", sorted(frozenset(AttemptState) - {AttemptState.STARTED}))
async def test_an_attempt_begins_as_started(superuser: Connection, state: AttemptState) -> None:
    await go(superuser, Status.PROCESSING)
    await superuser.execute(MOVE.format("state = 'declined'"))
    row = "VALUES ('m', 'at_2', 1, 'pi_1', 2, 'confirm', '{}', now(), now(), 's')"
    born = f"INSERT INTO attempt ({COLUMNS}) {row}"
    assert await refuses(superuser, born.format(state))
    assert not await refuses(superuser, born.format("started"))


COLUMNS = (
    "merchant, id, version, intent, number, operation, state, first_sent_at, updated_at, sealed"
)
SECOND = (
    f"INSERT INTO attempt ({COLUMNS})"
    " VALUES ('m', 'at_2', 1, $1, 2, 'cancel', 'started', now(), now(), 's')"
)


@pytest.mark.parametrize("status", sorted(Status))
async def test_an_attempt_is_made_under_an_intent_that_is_under_way(
    superuser: Connection, status: Status
) -> None:
    await go(superuser, status)
    await superuser.execute(MOVE.format("state = 'declined'") + " WHERE state = 'started'")
    under_way = status not in FINAL and status is not Status.CREATED
    assert await refuses(superuser, SECOND, "pi_1") is not under_way


async def test_an_attempt_has_an_intent(superuser: Connection) -> None:
    await go(superuser, Status.PROCESSING)
    await superuser.execute(MOVE.format("state = 'declined'"))
    assert await refuses(superuser, SECOND, "pi_none")
    other = SECOND.replace("'m'", "'other'")
    assert await refuses(superuser, other, "pi_1"), "it is another merchant's"
    assert not await refuses(superuser, SECOND, "pi_1")


REOPENS = """
CREATE OR REPLACE FUNCTION check_attempt_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RETURN NEW; END $$
"""
"""As a schema has it that lets an attempt which was not sent be opened again."""


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.CANCELLED])
async def test_an_attempt_is_opened_again_under_an_intent_that_is_under_way(
    superuser: Connection, status: Status
) -> None:
    await superuser.execute(REOPENS)
    await go(superuser, Status.PROCESSING)
    await superuser.execute(MOVE.format("state = 'not_sent'"))
    if status is not Status.PROCESSING:
        await superuser.execute(step("processing", status))
    again = await refuses(superuser, MOVE.format("state = 'unknown'"))
    assert again is (status in FINAL)
    assert await refuses(
        superuser, MOVE.format("state = 'unknown', first_sent_at = first_sent_at + interval '1 s'")
    )


KEPT: dict[str, list[str]] = {
    "attempt": [
        "intent = 'pi_2'",
        "number = 2",
        "operation = 'capture'",
        "first_sent_at = first_sent_at + interval '1 day'",
        "first_sent_at = first_sent_at - interval '1 ms'",
    ],
    "payment_intent": [
        "created_at = now()",
        "customer = 'cus_1'",
    ],
    "provider_event": ["received_at = now()"],
    "idempotency_key": ["created_at = now()"],
    "api_key": ["created_at = now()"],
    "customer": ["created_at = now()"],
    "alert": ["created_at = now()"],
}


@pytest.mark.parametrize(("table", "changed"), [(t, c) for t, all_ in KEPT.items() for c in all_])
async def test_what_is_never_rewritten(superuser: Connection, table: str, changed: str) -> None:
    await insert(superuser, table)
    more = ", status = 'cancelled'" if table == "payment_intent" else ""
    update = f"UPDATE {table} SET version = version + 1{more}"
    assert await refuses(superuser, f"{update}, {changed}")
    assert not await refuses(superuser, update)


async def test_a_customer_is_not_taken_from_a_payment(superuser: Connection) -> None:
    await insert(superuser, "payment_intent", customer="cus_1")
    for other in ("NULL", "'cus_2'"):
        assert await refuses(superuser, f"{PAY.format('cancelled')}, customer = {other}")


@pytest.mark.parametrize("end", ["processed", "ignored", "stale"])
async def test_an_event_that_came_to_its_end_stays_there(superuser: Connection, end: str) -> None:
    """What is a dead letter may be tried again; a redelivery counts, and moves nothing. What was
    ignored is replayed, and by no other way.
    """
    await insert(superuser, "provider_event")
    to = "UPDATE provider_event SET version = version + 1, status = '{}'"
    for status in ("received", "dead_letter", "received", end, end):
        assert not await refuses(superuser, to.format(status)), status
        await superuser.execute(to.format(status))
    others = {"received", "parked", "processed", "ignored", "stale", "dead_letter"} - {end}
    for status in others:
        replayed = (end, status) == ("ignored", "received")
        assert await refuses(superuser, to.format(status)) is not replayed, status


async def test_nothing_but_a_dead_letter_is_tried_again_by_the_clock(superuser: Connection) -> None:
    await insert(superuser, "provider_event")
    to = "UPDATE provider_event SET version = version + 1, replay_until = now(), status = '{}'"
    for status in ("received", "parked", "processed", "ignored", "stale"):
        assert await refuses(superuser, to.format(status)), status
    assert not await refuses(superuser, to.format("dead_letter"))


async def test_every_table_of_ours_refuses_older_writers(superuser: Connection) -> None:
    """The list of them too: a table made later says `CALL keep_older_writers_out('...')`."""
    guarded = await superuser.fetch(
        "SELECT tgrelid::regclass::text AS table FROM pg_trigger"
        # Before each statement: insert, delete, update.
        " WHERE tgfoid = 'check_writer'::regproc AND tgenabled = 'A' AND tgtype = 2 + 4 + 8 + 16"
    )
    assert {row["table"] for row in guarded} == set(await tables(superuser))


@pytest.mark.parametrize("announced", ["", "0", "8", "-1"])
async def test_a_writer_below_the_lowest_writes_nothing(
    superuser: Connection, announced: str
) -> None:
    """A node of an earlier checkout announces nothing; nor does a hand in the database."""
    await insert(superuser, "idempotency_key")
    await superuser.execute("UPDATE idempotency_key SET version = version + 1, state = 'finished'")
    await superuser.execute(f"SET {WRITER_SETTING} = '{announced}'")
    for write in (
        "INSERT INTO merchant (id) VALUES ('x')",
        "UPDATE merchant SET id = 'x' WHERE false",
        "DELETE FROM idempotency_key",
    ):
        once = superuser.transaction()
        await once.start()
        with pytest.raises(asyncpg.PostgresError) as caught:
            await superuser.execute(write)
        assert caught.value.sqlstate == OLDER
        await once.rollback()
    for enough in (WRITER, WRITER + 1):
        await superuser.execute(f"SET {WRITER_SETTING} = {enough}")
        assert not await refuses(superuser, "DELETE FROM idempotency_key")


async def test_a_stranger_reads_and_does_not_write(database: str) -> None:
    connection = await asyncpg.connect(database)
    assert await connection.fetch("SELECT * FROM merchant") == []
    with pytest.raises(asyncpg.PostgresError, match="takes no writes of paygate before version"):
        await connection.execute("INSERT INTO merchant (id) VALUES ('x')")
    await connection.close()


async def test_every_connection_of_ours_announces_itself(database: str) -> None:
    connection = await connector(database, name="lane")()
    pool = open_pool(database, name="reads")
    searches = open_pool(database, name="searches", plan_each=True)
    show = f"SELECT current_setting('{WRITER_SETTING}')"
    for each in (connection, pool, searches):
        (row,) = await each.fetch(show)
        assert row[0] == ANNOUNCED[WRITER_SETTING] == str(WRITER)
    await connection.close()
    pool.close()
    searches.close()


async def test_a_node_that_has_become_too_old_says_so(
    database: str, records: Records, connect: Connect
) -> None:
    """A later migration puts it out while it runs: every change of a batch is refused, as one that
    a newer node can make; and it is not ready any longer.
    """
    committer = Committer(connector(database, name="older"), lanes=1)
    await committer.open()
    door = Door(records, committer)
    pool = open_pool(database, name="older reads")
    reader = Reader(pool, pool, records)
    assert await door.commit(Change(make_audit(), creates=(make_intent(),))) == Committed()
    await reader.ready()
    await (await connect()).execute(lowest(WRITER + 1))
    changes = [door.commit(Change(make_audit(), creates=(make_intent(),))) for _ in range(5)]
    refused = await asyncio.gather(*changes, return_exceptions=True)
    assert [type(each) for each in refused] == [Outdated] * 5
    with pytest.raises(Outdated, match="run the newer version"):
        await reader.ready()
    assert await (await connect()).fetchval("SELECT count(*) FROM payment_intent") == 1
    await committer.close()
    pool.close()
