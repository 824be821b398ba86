"""Many changes at once equal the same changes one at a time: random ones, in one process and in
two, and while backends are killed, sockets are cut and the server crashes.

What "equal" means exactly is written in `serial_order`; the changes themselves are made by `plans`.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paygate.storage.change import Change, Committed, Conflict, Impossible, Reason
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.records import Records
from tests.claims import hold_claim
from tests.making import make_audit, make_intent, make_provider_event
from tests.storage.commit.plans import COMMITTED, Model, Outcome, Plan, World, ask
from tests.storage.commit.serial_order import assert_serial
from tests.storage.loose import loosen
from tests.storage.stored import stored

Connect = Callable[[], Awaitable[Connection]]

_merchants = (f"shop {n}" for n in itertools.count())

WAIT = """
CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock_shared(1, 1); RETURN NEW; END $$;
"""
WAIT_IN_INSERT = f"""{WAIT}
CREATE TRIGGER at_insert BEFORE INSERT ON payment_intent
    FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
"""
WAIT_IN_COMMIT = f"""{WAIT}
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON payment_intent
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_for_the_test();
"""


@pytest.fixture(autouse=True)
async def _loose(connect: Connect) -> None:
    """The plans' attempts are under no intent."""
    await loosen(await connect())


@st.composite
def _plan(draw: st.DrawFn, *, poisonous: bool) -> dict[str, Any]:
    """A change on a tiny pool, so that most of them collide; the start's versions are likely."""
    versions = st.sampled_from([2, 2, 2, 3, 3, 4, 1])
    claim = st.tuples(
        st.sampled_from(["provider_event", "idempotency_key"]),
        st.sampled_from([2, 2, 2, 2, 3, 0, 1]),
    )
    intent = draw(st.sampled_from([0, 0, 1, 2, None, None]))
    key = draw(st.sampled_from([0, 1, 2, None, None, None, None, None, None]))
    return {
        "intent": None if intent is None else (intent, draw(versions)),
        "legal": not poisonous or draw(st.sampled_from([True] * 9 + [False])),
        "attempt": draw(st.sampled_from([None, "closed", "open" if poisonous else None])),
        "key": None if key is None else (key, draw(versions)),
        "claim": draw(st.none() | claim),
        "reserve": draw(st.sampled_from([0, 0, 1, None, None, None])),
        "creates": draw(st.booleans()),
        "says": draw(st.booleans()),
        "job": draw(st.booleans()),
    }


@st.composite
def _drawn(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Changes for one go. One that the schema refuses makes its whole batch be sent again singly,
    so most goes are without, or else little would ever be decided inside one statement.
    """
    poisonous = draw(st.sampled_from([False, False, True]))
    return draw(st.lists(_plan(poisonous=poisonous), min_size=12, max_size=40))


def _plans(drawn: list[dict[str, Any]], world: World) -> list[Plan]:
    """The plans, named by their place. The caller knows what stands there at the start."""
    pools = {"payment_intent": world.intents, "idempotency_key": world.keys}
    plans = [Plan(label=str(n), **fields) for n, fields in enumerate(drawn)]
    known = [
        frozenset(t for t, (n, v) in plan.targets().items() if v == 2 and n < pools[t])
        for plan in plans
    ]
    return [
        msgspec.structs.replace(plan, seen=seen) for plan, seen in zip(plans, known, strict=True)
    ]


async def _open(records: Records, database: str, lanes: int, cap: int) -> tuple[Committer, Door]:
    committer = Committer(connector(database, name="properties"), lanes=lanes, batch_cap=cap)
    await committer.open()
    return committer, Door(records, committer)


async def _begin(door: Door) -> World:
    """A world of its own for each example: a merchant shares nothing with others."""
    world = World(next(_merchants))
    verdicts = await asyncio.gather(*(door.commit(change) for change in world.start()))
    assert set(verdicts) == {Committed()}
    return world


@settings(
    max_examples=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    drawn=_drawn(),
    lanes=st.sampled_from([1, 1, 2, 3]),
    cap=st.sampled_from([256, 256, 16, 4]),
)
async def test_changes_at_once_equal_some_order_of_the_same_changes(
    records: Records, database: str, drawn: list[dict[str, Any]], lanes: int, cap: int
) -> None:
    """The committed are a legal row of changes, every table is what they leave when applied one
    at a time, and every conflict is owed to the start or to a neighbour (`serial_order` has the
    rules).
    """
    committer, door = await _open(records, database, lanes, cap)
    world = await _begin(door)
    plans = _plans(drawn, world)
    outcomes = await asyncio.gather(*(ask(door, world, plan) for plan in plans))
    await committer.close()
    connection = await connector(database, name="judge")()
    found = await stored(connection, records, world.merchant)
    await connection.close()
    assert_serial(world, outcomes, found, lanes=lanes)


@settings(
    max_examples=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=_drawn())
async def test_changes_one_at_a_time_are_answered_as_the_model_says(
    records: Records, database: str, door: Door, drawn: list[dict[str, Any]]
) -> None:
    world = await _begin(door)
    model = Model(world)
    plans = _plans(drawn, world)
    expected = [Outcome(plan, model.answer(plan)) for plan in plans]
    outcomes = [await ask(door, world, plan) for plan in plans]
    assert outcomes == expected
    connection = await connector(database, name="judge")()
    found = await stored(connection, records, world.merchant)
    await connection.close()
    # One at a time, "seen at the start" is no longer what the caller sees: only the tables count.
    committed = [outcome for outcome in outcomes if outcome.answer == COMMITTED]
    assert_serial(world, committed, found, lanes=1)


async def test_nobody_is_told_before_the_commit(
    records: Records, database: str, connect: Connect
) -> None:
    """The statement has run and its rows are written, but COMMIT itself is held up: until it is
    through nobody hears anything, and then everybody can see it.
    """
    other = await connect()
    await other.execute(WAIT_IN_COMMIT)
    await other.execute("SELECT pg_advisory_lock(1, 1)")
    committer, door = await _open(records, database, 1, 256)
    waiting = [
        asyncio.create_task(door.commit(Change(make_audit(), creates=(make_intent(),))))
        for _ in range(3)
    ]
    await _until_a_backend_waits(other)
    assert not any(task.done() for task in waiting)
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 0
    await other.execute("SELECT pg_advisory_unlock(1, 1)")
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 3
    assert await asyncio.gather(*waiting) == [Committed()] * 3
    await committer.close()


async def test_all_twins_of_a_busy_claim_are_busy(
    door: Door, records: Records, connect: Connect
) -> None:
    """Another transaction is claiming it and may yet roll back: nobody may be told that it
    exists, neither the first of a batch nor the others.
    """
    other = await connect()
    async with other.transaction():
        await hold_claim(other, records, "evt_held")
        twins = [Change(make_audit(), creates=(make_provider_event("evt_held"),)) for _ in "abcd"]
        verdicts = await asyncio.gather(*(door.commit(change) for change in twins))
    assert verdicts == [Conflict(Reason.BUSY, "provider_event")] * 4


async def test_a_claim_of_what_is_being_advanced_does_not_stop_the_line(
    door: Door, connect: Connect
) -> None:
    """A retry claims a key that another process is finishing just now, and does not come to an
    end with it: it exists, whatever becomes of that, so nobody needs to wait.
    """
    key = World("default").key(0, 1, "first")
    assert await door.commit(Change(make_audit(), creates=(key,))) == Committed()
    other = await connect()
    async with other.transaction():
        await other.execute("UPDATE idempotency_key SET version = 2, state = 'finished'")
        async with asyncio.timeout(60):
            claimed, *rest = await asyncio.gather(
                door.commit(Change(make_audit(), creates=(key,))),
                *(door.commit(Change(make_audit(), creates=(make_intent(),))) for _ in range(20)),
            )
    assert claimed == Conflict(Reason.CLAIMED, "idempotency_key")
    assert rest == [Committed()] * 20


async def test_what_was_answered_is_not_sent_again(
    records: Records, database: str, connect: Connect
) -> None:
    """A batch with a poison in it is sent again one change at a time, and the connection is lost
    in the middle of that. Who was refused by then stays refused, though the same change would be
    accepted by now; who was not answered yet is sent again.
    """
    other, claiming = await connect(), await connect()
    await other.execute(WAIT_IN_INSERT)
    await other.execute("SELECT pg_advisory_lock(1, 1)")
    held = claiming.transaction()
    await held.start()
    event = make_provider_event("evt_held")
    await hold_claim(claiming, records, event.provider_reference)
    committer, door = await _open(records, database, 1, 256)
    refused, poison, waiting = (
        asyncio.create_task(door.commit(Change(make_audit(), creates=(record,))))
        for record in (event, make_intent(intent_id="pi_\x00"), make_intent())
    )
    await _until_a_backend_waits(other)
    assert await refused == Conflict(Reason.BUSY, "provider_event")
    with pytest.raises(Impossible):
        await poison
    await held.rollback()
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'properties'"
    )
    await other.execute("SELECT pg_advisory_unlock(1, 1)")
    assert await waiting == Committed()
    assert await other.fetchval("SELECT count(*) FROM payment_intent") == 1
    assert await other.fetchval("SELECT count(*) FROM provider_event") == 0
    assert await other.fetchval("SELECT count(*) FROM audit_entry") == 1
    await committer.close()


async def _until_a_backend_waits(connection: Connection) -> None:
    """Until one has come to the trigger that waits for the test."""
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND classid = 1 AND objid = 1"
    )
    async with asyncio.timeout(20):
        while not await connection.fetchval(waiting):
            pass
