"""The sealer: every committed entry, once, in the order of commits, whatever dies or waits."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from paygate.domain.alert import Alert
from paygate.domain.audit_chain import Head
from paygate.flows.audit_log.seal import BATCH, LogSealer, seal_audit_log
from paygate.storage.connections.session import Connection
from tests.flows.audit_log.log import Log

Connect = Callable[[], Awaitable[Connection]]
ORDER = "SELECT number, entry FROM audit_seal ORDER BY number"


async def order(log: Log) -> list[tuple[int, str]]:
    return [tuple(row) for row in await log.connection.fetch(ORDER)]


async def test_entries_are_chained_in_the_order_of_their_commits(log: Log) -> None:
    """D3: the clock goes back between two of them, and says the same of others."""
    first = await log.act(3)
    log.world.clock.forward(-3600)
    earlier = await log.act(2)
    assert await log.seal() == 5
    expected = [entry.id for entry in (*first, *earlier)]
    assert await order(log) == list(enumerate(expected, start=1))
    assert await log.seal() == 0
    more = await log.act()
    assert await log.seal() == 1
    assert (await order(log))[-1] == (6, more[0].id)
    assert (await log.verify()).is_good


async def test_an_entry_of_a_transaction_that_is_open_is_waited_for(
    log: Log, connect: Connect
) -> None:
    """D2, A24: it is older than others that are there, and comes before them all the same."""
    await log.act(2)
    assert await log.seal() == 2
    late = await connect()
    transaction = late.transaction()
    await transaction.start()
    (first,) = await log.act()
    await late.execute(
        "INSERT INTO audit_entry (merchant, id, at, sealed)"
        " SELECT merchant, 'au_late', at, sealed FROM audit_entry WHERE id = $1",
        first.id,
    )
    await log.act(2)
    assert await log.seal() == 1, "what was committed before it began to write"
    await transaction.rollback()
    assert await log.seal() == 2
    assert (await log.verify()).is_good


async def test_acts_that_were_rolled_back_leave_no_gap(log: Log, connect: Connect) -> None:
    """D13."""
    other = await connect()
    for _ in range(20):
        transaction = other.transaction()
        await transaction.start()
        await other.execute("INSERT INTO merchant (id) VALUES ('nobody')")
        await transaction.rollback()
        await log.act()
    assert await log.seal() == 20
    assert [number for number, _ in await order(log)] == list(range(1, 21))


async def test_two_sealers_make_one_chain(log: Log) -> None:
    """D1: at once on an empty table, and one that stood still while the other went on."""
    entries = await log.act(40)
    one, other = LogSealer(log.ctx), LogSealer(log.ctx)
    counts = await asyncio.gather(one.seal_waiting(), other.seal_waiting())
    assert sum(counts) == 40
    assert [entry for _, entry in await order(log)] == [entry.id for entry in entries]
    # What the one has in hand when it stands still is nobody's any more when it goes on.
    await log.act(3)
    await log.end_turn()
    held = await log.ctx.audit_seals.next("stands still", 10)
    assert held is not None
    await log.seal()
    seals = one._chained(held, held.head.number + 1)
    assert not await log.ctx.audit_seals.seal("stands still", held, seals)
    assert [number for number, _ in await order(log)] == list(range(1, 44))
    assert (await log.verify()).is_good


async def test_entries_that_were_astray_are_passed_by(log: Log) -> None:
    """The job has sealed some out of the order, of which the sealer's place knows nothing: no entry
    is sealed twice, and none behind them is held up.
    """
    await log.act(3)
    await log.seal()
    early, sealer = await log.act(4), LogSealer(log.ctx)
    assert await sealer.seal_astray() == 4
    late = await log.act(3)
    assert await sealer.seal_waiting() == 3
    assert [entry for _, entry in await order(log)][3:] == [each.id for each in (*early, *late)]
    assert await log.ctx.audit_seals.next("run", 10) is None
    assert (await log.verify()).is_good


async def test_a_number_is_given_once(log: Log) -> None:
    await log.act(2)
    await log.seal()
    again = "INSERT INTO audit_seal SELECT {} FROM audit_seal WHERE number = 2"
    rest = "at, key, format, leaf, hash, signature"
    with pytest.raises(asyncpg.UniqueViolationError):
        await log.connection.execute(again.format(f"number, merchant, 'au_x', {rest}"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await log.connection.execute(again.format(f"3, merchant, entry, {rest}"))
    for change in ("UPDATE audit_seal SET number = 9", "DELETE FROM audit_seal"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await log.connection.execute(change)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="goes forward"):
        await log.connection.execute("UPDATE audit_head SET number = 1")


async def test_an_entry_that_does_not_open_holds_up_no_other(log: Log) -> None:
    first, broken, last = await log.act(3)
    sealed = await log.connection.fetchval(
        "SELECT sealed FROM audit_entry WHERE id = $1", broken.id
    )
    await log.by_superuser(f"UPDATE audit_entry SET sealed = 'x' WHERE id = '{broken.id}'")
    await log.seal()
    found = [entry for _, entry in await order(log)]
    assert found[:2] == [first.id, last.id]
    assert await log.found() == (None, broken.id)
    alerts = await log.world.all(Alert)
    assert {alert.problem.type for alert in alerts} == {"record_unreadable", "audit_tampered"}
    # Its bytes are put back: the next run of the job takes it up.
    await log.by_superuser(
        f"UPDATE audit_entry SET sealed = '\\x{sealed.hex()}' WHERE id = '{broken.id}'"
    )
    await seal_audit_log(log.ctx)
    assert broken.id in [entry for _, entry in await order(log)]
    assert (await log.verify()).is_good


async def test_entries_that_never_opened_hide_no_other(log: Log) -> None:
    """Somebody who may add entries, and has no key, wrote more of them than a batch has."""
    (broken,) = await log.act()
    sealed = await log.connection.fetchval(
        "SELECT sealed FROM audit_entry WHERE id = $1", broken.id
    )
    await log.by_superuser(f"UPDATE audit_entry SET sealed = 'x' WHERE id = '{broken.id}'")
    await log.seal()
    await log.connection.execute(
        "INSERT INTO audit_entry (merchant, id, at, sealed, written_in)"
        " SELECT 'default', 'au_0' || n, now(), 'x', '0' FROM generate_series(1, $1::int) n",
        BATCH + 1,
    )
    await log.by_superuser(
        f"UPDATE audit_entry SET sealed = '\\x{sealed.hex()}' WHERE id = '{broken.id}'"
    )
    await seal_audit_log(log.ctx)
    assert broken.id in [entry for _, entry in await order(log)]


async def test_a_dump_in_another_server_is_sealed_on(log: Log) -> None:
    """Its transactions are counted from another beginning, for what is sealed and what is not."""
    await log.act(3)
    await log.seal()
    waiting = await log.act(2)
    far = "(pg_current_xact_id()::text::bigint + 1000000)::text::xid8"
    await log.by_superuser(
        f"UPDATE audit_entry SET written_in = {far}", f"UPDATE audit_head SET written_in = {far}"
    )
    since = await log.act(2)
    assert await log.seal() >= 0
    later = await log.act()
    await log.seal()
    found = [entry for _, entry in await order(log)]
    assert len(found) == len(set(found)) == 8
    assert set(found[3:]) == {entry.id for entry in (*waiting, *since, *later)}
    assert (await log.verify()).is_good


async def test_entries_of_before_the_chain_come_first(log: Log) -> None:
    entries = await log.act(3)
    await log.by_superuser("UPDATE audit_entry SET written_in = '0'")
    later = await log.act(2)
    await log.seal()
    assert [entry for _, entry in await order(log)] == [e.id for e in (*entries, *later)]


async def test_the_worker_seals_until_it_is_stopped(log: Log) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(LogSealer(log.ctx).run(stop))
    try:
        await log.act(3)
        while (await log.ctx.audit_seals.state()).head.number < 3:
            await asyncio.sleep(0.02)
        await log.act()
        while (await log.ctx.audit_seals.state()).head.number < 4:
            await asyncio.sleep(0.02)
    finally:
        stop.set()
        await running
    assert log.file is not None
    assert b'"number":4' in log.file.read_bytes().splitlines()[-1], "its end is told"
    assert await log.ctx.audit_seals.lag_seconds() is None


async def test_the_head_is_signed_at_the_end_of_each_batch(log: Log) -> None:
    await log.act(4)
    await log.seal()
    signed = await log.connection.fetch("SELECT number FROM audit_seal WHERE signature IS NOT NULL")
    assert [row["number"] for row in signed] == [4]
    state = await log.ctx.audit_seals.state()
    assert state.head == Head(4, state.head.hash)
