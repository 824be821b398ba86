"""Keys are used when every process knows them, and given up when nothing can be under them."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from paygate.crypto.keyring import KeyringError, Purpose
from paygate.crypto.kms import FileKms
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context
from paygate.flows.encryption.reseal import reseal_by_the_clock
from paygate.flows.encryption.retire import retire_key, unretire_key
from paygate.flows.encryption.rewrap import rewrap_keysets
from paygate.flows.encryption.rotate import Rotated, rotate_records_key, use_newest_key
from paygate.flows.encryption.status import encryption_status
from paygate.flows.encryption.watch import CRYPTOPERIOD, watch_keys
from paygate.settings import Settings
from paygate.storage.change import Change, Committed
from paygate.storage.commit.lane import LANE_LOCK_CLASS
from paygate.storage.keysets import KEYSETS_LOCK_CLASS
from paygate.wiring.machine import now
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import CALLER, HOLD, Connect, quiet, settings_for, standing
from tests.making import make_audit, make_intent


async def rotate(ctx: Context, within_seconds: float = 10.0) -> Rotated:
    return await rotate_records_key(
        ctx, CALLER, tell=quiet, progress=quiet, within_seconds=within_seconds
    )


async def primary(ctx: Context) -> int:
    return (await ctx.keysets.load()).primary(Purpose.RECORDS)


async def put(ctx: Context) -> PaymentIntent:
    intent = make_intent()
    assert await ctx.door.commit(Change(make_audit(), creates=(intent,))) == Committed()
    return intent


async def test_every_process_uses_the_new_key_and_reads_the_old(
    settings: Settings, ctx: Context
) -> None:
    """Another process that runs all the while, and writes as soon as the key is used."""
    async with open_context(settings, name="other") as other:
        before = await put(other)
        done = await rotate(ctx)
        assert done.resealed.left == 0
        assert other.resealing.primary == ctx.resealing.primary == done.key == await primary(ctx)
        after = await put(other)
        for process in (ctx, other):
            for intent in (before, after):
                assert await process.read.payment_intent("default", intent.id) == intent
        counts = await ctx.resealing.counts()
        assert {count.key for count in counts} == {done.key}


async def test_a_process_that_lacks_the_new_key_is_waited_for(
    ctx: Context, connect: Connect
) -> None:
    """It shows an older generation: it has heard of the key, say, and could not load it."""
    behind, before = await connect(), await primary(ctx)
    await behind.execute(HOLD, KEYSETS_LOCK_CLASS, 1)
    with pytest.raises(KeyringError, match="have not loaded the newest keys"):
        await rotate(ctx, within_seconds=0.3)
    assert await primary(ctx) == before
    waiting = [k for k in (await ctx.keysets.load()).keyring.keys[Purpose.RECORDS] if not k.primary]
    await behind.close()
    assert (await rotate(ctx)).key == waiting[0].key_id


async def test_a_process_of_the_version_before_is_waited_for(
    ctx: Context, connect: Connect
) -> None:
    """It writes, and shows no generation at all."""
    older, before = await connect(), await primary(ctx)
    await older.execute("SELECT pg_advisory_lock($1, 1)", LANE_LOCK_CLASS)
    with pytest.raises(KeyringError, match="1 of 2 processes"):
        await rotate(ctx, within_seconds=0.3)
    assert await primary(ctx) == before


async def test_a_process_whose_connection_is_lost_takes_another(
    ctx: Context, connect: Connect
) -> None:
    hand = await connect()
    ended = await hand.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'paygate test keyring'"
    )
    assert ended == 1
    assert (await rotate(ctx)).key == ctx.resealing.primary


async def test_a_key_that_is_not_known_is_asked_for(settings: Settings, ctx: Context) -> None:
    """By a process that has not heard of it, in the middle of a reading, once."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(open_context(settings, name="other"))
        intent = await put(ctx)
        records = other.resealing._records
        sealer = records._sealer
        old = sealer._keyring
        await rotate(ctx)
        sealer.turn_to(old)
        asked: list[int] = []
        ask = sealer.look_again
        assert ask is not None

        def counted(key: int) -> object:
            asked.append(key)
            return ask(key)

        sealer.look_again = counted  # type: ignore[assignment]
        assert await other.read.payment_intent("default", intent.id) == intent
        assert asked == [ctx.resealing.primary]
        assert sealer.primary == ctx.resealing.primary


async def test_a_rotation_that_was_killed_goes_on_by_the_clock(ctx: Context) -> None:
    await put(ctx)
    key = await use_newest_key(ctx, CALLER, Purpose.RECORDS, quiet, 10.0)
    done = await reseal_by_the_clock(ctx, "run_1")
    assert (done.rows > 0, done.left) == (True, 0)
    assert (await reseal_by_the_clock(ctx, "run_2")).rows == 0
    assert (await rotate(ctx)).key != key


async def test_a_record_that_does_not_open_keeps_its_key_and_stops_no_rotation(
    ctx: Context, connect: Connect
) -> None:
    """It has an alert, and is counted; the next rotation is another one."""
    old, broken = await primary(ctx), await put(ctx)
    await put(ctx)
    hand = await connect()
    await hand.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    spoil = "UPDATE payment_intent SET sealed = sealed || 'x' WHERE id = $1"
    await hand.execute(spoil, broken.id)
    await hand.execute("ALTER TABLE payment_intent ENABLE TRIGGER USER")
    first = await rotate(ctx)
    assert (first.resealed.left, first.resealed.unread) == (1, 1)
    (alert,) = await standing(ctx)
    assert (alert.problem.type, alert.problem.subject.id) == ("record_unreadable", broken.id)
    with pytest.raises(KeyringError, match=f"1 rows are sealed under key {old}"):
        await retire_key(ctx, CALLER, old, tell=quiet)
    assert (await rotate(ctx)).key != first.key


async def test_a_transaction_that_is_open_is_waited_for(ctx: Context, connect: Connect) -> None:
    old = await primary(ctx)
    await rotate(ctx)
    writer = await connect()
    async with writer.transaction():
        await writer.execute("SELECT pg_current_xact_id()")
        with pytest.raises(KeyringError, match="a transaction has been open"):
            await retire_key(ctx, CALLER, old, tell=quiet, within_seconds=0.3)
    await retire_key(ctx, CALLER, old, tell=quiet, within_seconds=10.0)
    shown = await encryption_status(ctx, quiet)
    assert [key.status for key in shown.keys if key.id == str(old)] == ["retired"]


async def test_a_retirement_that_was_killed_is_said_again(ctx: Context, connect: Connect) -> None:
    """Between its two counts: it counts again, and takes the key back where a row came under it."""
    intent, old = await put(ctx), await primary(ctx)
    hand = await connect()
    sealed = await hand.fetchval("SELECT sealed FROM payment_intent")
    await rotate(ctx)
    loaded = await ctx.keysets.load()
    await ctx.keysets.disable(loaded, Purpose.RECORDS, old, make_audit())
    await hand.execute("UPDATE payment_intent SET sealed = $1", sealed)
    with pytest.raises(KeyringError, match="1 rows have come under key"):
        await retire_key(ctx, CALLER, old, tell=quiet)
    assert await ctx.read.payment_intent("default", intent.id) == intent
    await rotate(ctx)
    loaded = await ctx.keysets.load()
    await ctx.keysets.disable(loaded, Purpose.RECORDS, old, make_audit())
    told: list[str] = []
    for _ in "ab":
        await retire_key(ctx, CALLER, old, tell=told.append)
    assert len([line for line in told if "is retired already" in line]) == 2
    shown = await encryption_status(ctx, quiet)
    assert [key.status for key in shown.keys if key.id == str(old)] == ["retired"]


async def test_a_row_that_comes_under_a_key_takes_it_back(ctx: Context, connect: Connect) -> None:
    """Written while the rows are counted, and committed when the key is given up."""
    intent, old = await put(ctx), await primary(ctx)
    hand, writer = await connect(), await connect()
    sealed = await hand.fetchval("SELECT sealed FROM payment_intent")
    await rotate(ctx)
    counting = asyncio.Event()

    async def write() -> None:
        await counting.wait()
        async with writer.transaction():
            await writer.execute("UPDATE payment_intent SET sealed = $1", sealed)
            while not await hand.fetchval(
                "SELECT true FROM keyset_key WHERE key = $1 AND retired_at IS NOT NULL", old
            ):
                await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    with pytest.raises(KeyringError, match="1 rows have come under key"):
        await retire_key(ctx, CALLER, old, tell=lambda _: counting.set(), within_seconds=10.0)
    await writing
    assert await ctx.read.payment_intent("default", intent.id) == intent
    with pytest.raises(KeyringError, match="is not retired"):
        await unretire_key(ctx, CALLER, old)


async def test_a_keyset_of_before_the_rotation_is_refused(
    settings: Settings, ctx: Context, connect: Connect
) -> None:
    """By who starts; who runs goes on with the keys that it has."""
    hand, intent = await connect(), await put(ctx)
    put_back = (
        "UPDATE keyset SET wrapped = $1, generation = generation + 1 WHERE purpose = 'records'"
    )
    await hand.execute("ALTER TABLE keyset DISABLE TRIGGER keyset_goes_on")
    before = await hand.fetchval("SELECT wrapped FROM keyset WHERE purpose = 'records'")
    await rotate(ctx)
    newest = await hand.fetchval("SELECT wrapped FROM keyset WHERE purpose = 'records'")
    await hand.execute(put_back, before)
    with pytest.raises(KeyringError, match=r"it is an older one.* from a backup of after 20"):
        async with open_context(settings, name="late"):
            raise AssertionError("it started")
    assert await ctx.read.payment_intent("default", intent.id) == intent
    await put(ctx)
    await hand.execute(put_back, newest)
    async with open_context(settings, name="late") as late:
        assert await late.read.payment_intent("default", intent.id) == intent


async def test_two_edits_at_once_are_one(ctx: Context) -> None:
    loaded = await ctx.keysets.load()
    await ctx.keysets.add(loaded, Purpose.RECORDS, lambda _: make_audit())
    with pytest.raises(KeyringError, match="edited by somebody else"):
        await ctx.keysets.add(loaded, Purpose.RECORDS, lambda _: make_audit())
    assert len((await ctx.keysets.load()).keyring.keys[Purpose.RECORDS]) == 2


async def test_the_keysets_are_wrapped_anew_together(
    settings: Settings, ctx: Context, tmp_path: Path, connect: Connect
) -> None:
    intent = await put(ctx)
    await rewrap_keysets(ctx, CALLER, FileKms.create(tmp_path / "other"))
    with pytest.raises(KeyringError, match="wrapped under another KEK"):
        async with open_context(settings, name="late"):
            raise AssertionError("it started")
    moved = settings_for(settings.require("database_url"), tmp_path, "other")
    async with open_context(moved, name="late") as late:
        assert await late.read.payment_intent("default", intent.id) == intent
        with pytest.raises(KeyringError, match="have not loaded the newest keys"):
            await rotate(late, within_seconds=0.3)
    rows = await (await connect()).fetch("SELECT generation FROM keyset ORDER BY purpose")
    assert [row["generation"] for row in rows] == [2, 2, 3]


async def test_a_rotation_is_due_after_a_quarter(settings: Settings) -> None:
    moment = now()
    async with open_context(settings, name="test", clock=lambda: moment) as ctx:
        await watch_keys(ctx, "run_1")
        assert await standing(ctx) == []
        moment += CRYPTOPERIOD + timedelta(days=1)
        await watch_keys(ctx, "run_2")
        (alert,) = await standing(ctx)
        assert (alert.problem.type, alert.problem.stage) == ("key_rotation_due", "old")
        await use_newest_key(ctx, CALLER, Purpose.RECORDS, quiet, 10.0)
        moment += timedelta(days=-1)
        await watch_keys(ctx, "run_3")
        (alert,) = await standing(ctx)
        assert (alert.problem.type, alert.problem.stage) == ("key_rotation_due", "unfinished")
        await reseal_by_the_clock(ctx, "run_4")
        moment = now()
        await watch_keys(ctx, "run_5")
        assert await standing(ctx) == []


async def test_each_edit_is_audited_in_its_commit(ctx: Context, connect: Connect) -> None:
    old = await primary(ctx)
    await rotate(ctx)
    await retire_key(ctx, CALLER, old, tell=quiet)
    await unretire_key(ctx, CALLER, old)
    rows = await (await connect()).fetch(
        "SELECT action, xmin::text FROM audit_entry WHERE action LIKE 'encryption.%' ORDER BY id"
    )
    assert [row["action"] for row in rows] == [
        *("encryption.rotate", "encryption.rotate", "encryption.reseal"),
        *("encryption.retire", "encryption.retire"),
    ]


async def test_the_schema_keeps_what_is_known_of_keys(ctx: Context, connect: Connect) -> None:
    await rotate(ctx)
    hand = await connect()
    for statement in (
        "UPDATE keyset SET wrapped = 'x'",
        "UPDATE keyset SET generation = generation + 2",
        "UPDATE keyset_key SET added_at = now()",
        "DELETE FROM keyset_key",
        "TRUNCATE keyset_key",
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await hand.execute(statement)
