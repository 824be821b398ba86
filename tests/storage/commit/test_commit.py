"""What `commit(change)` promises, one change at a time and many at once."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec
import pytest

from paygate.domain.payments.payment_intent import Trigger, advance
from paygate.domain.provider_event import EventStatus, ended
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.storage.change import Change, Committed, Conflict, Impossible, Overloaded, Reason
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.commit.statement import CLAIM_LOCK_SEED
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.records import Records
from tests.making import (
    START,
    make_attempt,
    make_audit,
    make_confirmed,
    make_intent,
    make_provider_event,
)
from tests.storage.commit.plans import World


async def rows(database: str, table: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        count = await connection.fetchval(f"SELECT count(*) FROM {table}")
    finally:
        await connection.close()
    assert isinstance(count, int)
    return count


async def test_everything_of_a_change_is_written(door: Door, database: str) -> None:
    intent = make_intent()
    event = make_provider_event("evt_1")
    job = Job(ApplyProviderEvent(event.merchant, event.id))
    assert await door.commit(Change(make_audit(), creates=(intent,))) == Committed()
    verdict = await door.commit(
        Change(
            make_audit(),
            creates=(event, make_attempt(intent)),
            advances=(advance(intent, Trigger.CONFIRM, START),),
            jobs=(job,),
        )
    )
    assert verdict == Committed()
    for table, count in (
        ("payment_intent", 1),
        ("attempt", 1),
        ("provider_event", 1),
        ("audit_entry", 2),
        ("pgqueuer", 1),
    ):
        assert await rows(database, table) == count, table


async def test_a_refused_change_writes_nothing(door: Door, database: str) -> None:
    intent = make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    after = advance(intent, Trigger.CANCEL, START)
    assert await door.commit(Change(make_audit(), advances=(after,))) == Committed()
    again = await door.commit(
        Change(
            make_audit(),
            creates=(make_attempt(intent), make_provider_event("evt_1")),
            advances=(after,),
            jobs=(Job(ApplyProviderEvent("default", "pe_x")),),
        )
    )
    assert again == Conflict(Reason.STALE, "payment_intent")
    assert await rows(database, "attempt") == 0
    assert await rows(database, "provider_event") == 0
    assert await rows(database, "pgqueuer") == 0
    assert await rows(database, "audit_entry") == 2


async def test_a_claim_is_given_once(door: Door) -> None:
    first = await door.commit(Change(make_audit(), creates=(make_provider_event("evt_1"),)))
    second = await door.commit(Change(make_audit(), creates=(make_provider_event("evt_1"),)))
    other = await door.commit(
        Change(make_audit("shop"), creates=(make_provider_event("evt_1", "shop"),))
    )
    assert first == Committed()
    assert second == Conflict(Reason.CLAIMED, "provider_event")
    assert other == Committed()


async def test_of_two_claims_neither_is_half_held(door: Door, database: str) -> None:
    """Whichever of them is taken, the other is as free as before."""
    world = World("default")
    key, other_key = (world.key(number, 1, "key") for number in range(2))
    reference, other = (world.reference(number, "reference") for number in range(2))
    assert await door.commit(Change(make_audit(), creates=(key, reference))) == Committed()
    assert await door.commit(Change(make_audit(), creates=(other_key, reference))) == Conflict(
        Reason.CLAIMED, "reference_claim"
    )
    assert await door.commit(Change(make_audit(), creates=(key, other))) == Conflict(
        Reason.CLAIMED, "idempotency_key"
    )
    assert await rows(database, "idempotency_key") == await rows(database, "reference_claim") == 1
    assert await door.commit(Change(make_audit(), creates=(other_key, other))) == Committed()


async def test_a_reference_that_another_claims_just_now_is_busy(
    door: Door, connect: Callable[[], Awaitable[Connection]]
) -> None:
    reference = World("default").reference(0, "reference")
    other = await connect()
    async with other.transaction():
        await other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended("
            "concat_ws(chr(31), 'reference_claim', $1::text, $2::text), $3))",
            *(reference.merchant, reference.id, CLAIM_LOCK_SEED),
        )
        twins = [Change(make_audit(), creates=(reference,)) for _ in "abc"]
        verdicts = await asyncio.gather(*(door.commit(twin) for twin in twins))
    assert verdicts == [Conflict(Reason.BUSY, "reference_claim")] * 3
    assert await door.commit(Change(make_audit(), creates=(reference,))) == Committed()


async def test_a_look_sees_what_was_committed_since_its_statement_began(
    door: Door, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """The statement has its snapshot when the claim is made; the function has one of its own."""
    reference = World("default").reference(0, "reference")
    slow, watching = await connect(), await connect()
    await watching.execute("SELECT pg_advisory_lock(1, 1)")
    looking = asyncio.create_task(
        slow.fetchrow(
            "WITH waited AS MATERIALIZED (SELECT pg_advisory_lock(1, 1)::text IS NOT NULL AS is)"
            " SELECT reference_claim_exists($1, $2) AS seen,"
            " EXISTS (SELECT FROM reference_claim WHERE id = $2) AS by_the_statement"
            " FROM waited WHERE waited.is",
            *(reference.merchant, reference.id),
        )
    )
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(20):
        while not await watching.fetchval(waiting):
            pass
    assert await door.commit(Change(make_audit(), creates=(reference,))) == Committed()
    await watching.execute("SELECT pg_advisory_unlock(1, 1)")
    row = await looking
    assert row is not None
    assert (row["seen"], row["by_the_statement"]) == (True, False)


async def test_twins_of_a_key_in_one_batch_have_one_winner(door: Door, database: str) -> None:
    """Unlike those of a provider event, they have the same id."""
    key = World("default").key(0, 1, "twin")
    verdicts = await asyncio.gather(
        *(door.commit(Change(make_audit(), creates=(key,))) for _ in range(50))
    )
    assert verdicts.count(Committed()) == 1
    assert await rows(database, "idempotency_key") == 1
    assert await rows(database, "audit_entry") == 1


async def test_twins_in_one_batch_have_one_winner(door: Door, database: str) -> None:
    intent = make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    after = advance(intent, Trigger.CANCEL, START)
    verdicts = await asyncio.gather(
        *(door.commit(Change(make_audit(), advances=(after,))) for _ in range(50)),
        *(
            door.commit(Change(make_audit(), creates=(make_provider_event("evt_1"),)))
            for _ in range(50)
        ),
    )
    assert verdicts[:50].count(Committed()) == 1
    assert verdicts[50:].count(Committed()) == 1
    assert await rows(database, "audit_entry") == 3


async def test_a_neighbour_of_a_refused_change_is_unharmed(door: Door, database: str) -> None:
    intent = make_intent()
    stale = msgspec.structs.replace(advance(intent, Trigger.CONFIRM, START), version=7)
    await door.commit(Change(make_audit(), creates=(intent,)))
    verdicts = await asyncio.gather(
        *(
            door.commit(Change(make_audit(), advances=(stale,)))
            if n % 3 == 0
            else door.commit(Change(make_audit(), creates=(make_intent(),)))
            for n in range(60)
        )
    )
    assert verdicts.count(Committed()) == 40
    assert await rows(database, "payment_intent") == 41


async def test_a_poison_change_harms_only_itself(door: Door, database: str) -> None:
    """A change that the schema refuses takes the batch with it; its neighbours are sent again."""
    intent = make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    skips = msgspec.structs.replace(intent, version=2, status="refunded")  # no such transition
    nul = make_intent(intent_id="pi_\x00")  # text that PostgreSQL cannot hold
    results = await asyncio.gather(
        *(door.commit(Change(make_audit(), creates=(make_intent(),))) for _ in range(20)),
        door.commit(Change(make_audit(), advances=(skips,))),
        door.commit(Change(make_audit(), creates=(nul,))),
        *(door.commit(Change(make_audit(), creates=(make_intent(),))) for _ in range(20)),
        return_exceptions=True,
    )
    faults = [r for r in results if isinstance(r, BaseException)]
    assert [type(f) for f in faults] == [Impossible, Impossible]
    assert results.count(Committed()) == 40
    assert await rows(database, "payment_intent") == 41


async def test_one_open_attempt_of_an_intent(door: Door) -> None:
    intent = make_intent()
    await door.commit(Change(make_audit(), creates=(intent,)))
    await door.commit(make_confirmed(intent))
    with pytest.raises(Impossible, match="attempt_open"):
        await door.commit(Change(make_audit(), creates=(make_attempt(intent, 2),)))


async def test_an_argument_that_cannot_be_encoded_harms_only_itself(door: Door) -> None:
    wrong = msgspec.structs.replace(make_attempt(make_intent()), number=2**40)
    results = await asyncio.gather(
        door.commit(Change(make_audit(), creates=(wrong,))),
        door.commit(Change(make_audit(), creates=(make_intent(),))),
        return_exceptions=True,
    )
    assert isinstance(results[0], Impossible)
    assert results[1] == Committed()


async def test_a_full_queue_refuses_at_once(records: Records, database: str) -> None:
    small = Committer(connector(database, name="small"), queue_limit=10)
    await small.open()
    door = Door(records, small)
    results = await asyncio.gather(
        *(door.commit(Change(make_audit(), creates=(make_intent(),))) for _ in range(25)),
        return_exceptions=True,
    )
    assert sum(isinstance(r, Overloaded) for r in results) == 15
    assert results.count(Committed()) == 10
    await small.close()
    with pytest.raises(Overloaded):
        await door.commit(Change(make_audit(), creates=(make_intent(),)))


async def test_two_claims_in_one_change_are_a_bug(door: Door) -> None:
    events = (make_provider_event("evt_1"), make_provider_event("evt_2"))
    with pytest.raises(AssertionError):
        await door.commit(Change(make_audit(), creates=events))


async def test_a_claimed_record_advances(door: Door) -> None:
    event = make_provider_event("evt_1")
    await door.commit(Change(make_audit(), creates=(event,)))
    done = ended(event, EventStatus.PROCESSED, START)
    assert await door.commit(Change(make_audit(), advances=(done,))) == Committed()
    stale = await door.commit(Change(make_audit(), advances=(done,)))
    assert stale == Conflict(Reason.STALE, "provider_event")


async def test_what_must_stand_is_looked_at_and_left_alone(door: Door, database: str) -> None:
    """Two may rest on one record at once, and on its newest version alone."""
    intent = make_intent()
    moved = advance(intent, Trigger.CONFIRM, START)
    await door.commit(Change(make_audit(), creates=(intent,)))
    first = (make_provider_event("evt_1"), make_provider_event("evt_2"))
    changes = [Change(make_audit(), creates=(event,), stands=intent) for event in first]
    assert await asyncio.gather(*map(door.commit, changes)) == [Committed()] * 2
    attempt = make_attempt(intent)
    move = Change(make_audit(), creates=(attempt,), advances=(moved,))
    assert await door.commit(move) == Committed(), "nothing moved it"
    late = Change(make_audit(), creates=(make_provider_event("evt_3"),), stands=intent)
    assert await door.commit(late) == Conflict(Reason.STALE, "payment_intent")
    assert await rows(database, "provider_event") == 2
    assert await door.commit(msgspec.structs.replace(late, stands=moved)) == Committed()
    unknown = Change(make_audit(), creates=(make_provider_event("evt_4"),), stands=make_intent())
    assert await door.commit(unknown) == Conflict(Reason.STALE, "payment_intent")
    assert await rows(database, "audit_entry") == 5
