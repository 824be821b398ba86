"""The ledger read from end to end: every range of every merchant, each as one commit left it."""

from pathlib import Path

import pytest

from paygate.storage.change import Unavailable
from paygate.storage.whole_ledger import RANGE, IntentBooks, Recorded, WholeLedger
from tests.flows.world import APPROVED, World, answer
from tests.making import START
from tools.bench.seed import Seeded, seed

OURS = "application_name = 'paygate ledger' AND datname = current_database()"
"""The connections of a check of this world."""


async def everything(ledger: WholeLedger) -> list[IntentBooks]:
    async with ledger.session() as books:
        return [one async for several in books.ranges() for one in several]


async def test_every_range_of_every_merchant(world: World, tmp_path: Path) -> None:
    """Also what has lost its intent: at either end, and just behind a range."""
    await world.connection.execute("INSERT INTO merchant (id) VALUES ('shop')")
    for merchant, payments in (("default", RANGE + 10), ("shop", 2)):
        await seed(world.ctx, tmp_path, Seeded(payments, merchant=merchant))
    rows = await world.connection.fetch("SELECT id FROM payment_intent ORDER BY merchant, id")
    ids = [row["id"] for row in rows]
    lost = {ids[0], ids[RANGE + 1], ids[-1]}
    await world.connection.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    await world.connection.execute(
        "DELETE FROM payment_intent WHERE id = ANY ($1::text[])", list(lost)
    )
    found = await everything(world.ctx.ledger)
    assert sorted(one.id for one in found) == sorted(ids), "each once"
    assert {one.id for one in found if one.intent is None} == lost
    assert all(len(one.transfers) == len(one.attempts) == 1 for one in found)
    assert not any(one.unreadable for one in found)


async def test_an_empty_ledger(world: World) -> None:
    assert await everything(world.ctx.ledger) == []


async def test_a_range_is_of_one_moment(world: World) -> None:
    """A commit between two of its statements is in none of them."""
    intent = await world.create()
    async with world.ctx.ledger.session() as books:
        before = await books.of("default", intent.id)
        async with books._snapshot():
            (held,) = await books._connection.fetch("SELECT version FROM payment_intent")
            world.provider.answers.append(answer(APPROVED))
            await world.confirm(intent)
            (again,) = await books._connection.fetch("SELECT version FROM payment_intent")
        assert held == again
        after = await books.of("default", intent.id)
    assert before.intent is not None
    assert after.intent is not None
    assert after.intent.version > before.intent.version


async def test_no_snapshot_outlives_its_range(world: World, tmp_path: Path) -> None:
    """One that is held for the whole check would keep the server from vacuuming."""
    await seed(world.ctx, tmp_path, Seeded(RANGE + 1))
    held = f"SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND {OURS}"
    async with world.ctx.ledger.session() as books:
        async for _ in books.ranges():
            assert await world.connection.fetchval(held) == 0


async def test_what_is_recorded_and_not_listed(world: World) -> None:
    def recorded(number: int, *, expected: bool = True) -> Recorded:
        index = number.to_bytes(16)
        return Recorded(index, "default", f"pi_{number}", b"same", True, expected, START, START)

    many = [recorded(n) for n in range(2 * RANGE)] + [recorded(9_999, expected=False)]
    async with world.ctx.ledger.session() as books:
        await books.note_recorded(many)
        listed = [one.reference_index for one in many[::2]]
        await books.note_listed(listed)
        await books.note_listed(listed[:3])
        assert [one async for one in books.not_listed()] == many[1:-1:2]
        assert await books.recorded_under([many[5].reference_index, b"unknown"]) == [many[5]]


async def test_a_lost_database_is_said(world: World) -> None:
    async with world.ctx.ledger.session() as books:
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}"
        await world.connection.execute(end)
        with pytest.raises(Unavailable):
            await books.of("default", "pi_1")
