"""The key that look-ups are hashed with: used when every process knows it, and given up when
nothing is hashed with it. What is unique is under one key at every step.
"""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import (
    Keyring,
    KeyringError,
    Purpose,
    add_key,
    disable_key,
    load_keyring,
    promote_key,
)
from paygate.crypto.kms import FileKms
from paygate.domain.access.roles import Action
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import ProviderEvent
from paygate.embedded.binaries import binaries
from paygate.flows.context import Context
from paygate.flows.encryption.loaded import loaded_by_all
from paygate.flows.encryption.reseal import counts_of, reseal, reseal_by_the_clock
from paygate.flows.encryption.retire import retire_key, unretire_key
from paygate.flows.encryption.rotate import Rotated, rotate_index_key, use_newest_key
from paygate.flows.encryption.status import encryption_status
from paygate.flows.encryption.watch import UNFINISHED_AFTER, watch_keys
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import idempotently
from paygate.settings import Settings
from paygate.storage.change import Change, Committed, Conflict
from paygate.storage.keysets import KEYSETS_LOCK_CLASS
from paygate.storage.pages import newest
from paygate.storage.reader import EventFilters, IntentFilters
from paygate.storage.tables import STORED
from paygate.storage.unreadable import Tampered
from paygate.wiring.machine import now
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import CALLER, HOLD, Connect, quiet, settings_for, standing
from tests.making import make_audit, make_intent, make_provider_event, new_id


@pytest.fixture
async def other(settings: Settings, ctx: Context) -> AsyncIterator[Context]:
    """Another process."""
    async with open_context(settings, name="other") as opened:
        yield opened


async def rotate(ctx: Context, within_seconds: float = 10.0) -> Rotated:
    return await rotate_index_key(
        ctx, CALLER, tell=quiet, progress=quiet, within_seconds=within_seconds
    )


async def primary(ctx: Context) -> int:
    return (await ctx.keysets.load()).primary(Purpose.INDEX)


async def rows_under(ctx: Context) -> dict[int | None, int]:
    found: dict[int | None, int] = {}
    for count in await counts_of(ctx, Purpose.INDEX):
        found[count.key] = found.get(count.key, 0) + count.rows
    return found


def with_reference(reference: str) -> PaymentIntent:
    return msgspec.structs.replace(make_intent(), reference=reference)


async def put(ctx: Context, record: PaymentIntent | ProviderEvent) -> None:
    assert await ctx.door.commit(Change(make_audit(), creates=(record,))) == Committed()


async def found(ctx: Context, intents: list[PaymentIntent], events: list[ProviderEvent]) -> None:
    """Every look-up that goes by a keyed hash finds each of these."""
    for intent in intents:
        assert intent.reference is not None
        page = await ctx.read.payment_intents(
            "default",
            newest("payment_intent", 10),
            IntentFilters(reference=intent.reference),
        )
        assert (list(page.items), page.unread) == ([intent], ())
        rival = await ctx.read.payment_intent_by_reference(
            "default", intent.reference, besides="pi_none"
        )
        assert rival == intent
    for event in events:
        theirs = event.provider_reference
        assert (await ctx.read.provider_event_by_provider_reference("default", theirs)) is not None
        assert await ctx.read.provider_events_known("default", [theirs]) == {theirs}
        listed = await ctx.read.provider_events(
            "default", newest("provider_event", 10), EventFilters(type=event.type)
        )
        assert [each.id for each in listed.items] == [event.id]


def event_of(number: int) -> ProviderEvent:
    return msgspec.structs.replace(make_provider_event(f"evt_{number}"), type=f"made.up_{number}")


async def test_look_ups_find_old_and_new_at_every_step(ctx: Context, other: Context) -> None:
    """By two processes; and the same event, and the same request, are taken once at each."""
    intents, events = [with_reference("order 0")], [event_of(0)]
    await put(ctx, intents[0])
    await put(other, events[0])
    old = await primary(ctx)
    answers = [await answered(ctx, "key 0")]

    async def more(number: int) -> None:
        """Something new, each by another process; and all that there is, once more."""
        intents.append(with_reference(f"order {number}"))
        events.append(event_of(number))
        await put(other, intents[-1])
        await put(ctx, events[-1])
        answers.append(await answered(other, f"key {number}"))
        for process in (ctx, other):
            await found(process, intents, events)
            for event in events:
                again = msgspec.structs.replace(event, id=new_id("provider_event"))
                taken = await process.door.commit(Change(make_audit(), creates=(again,)))
                assert isinstance(taken, Conflict)
            assert [await answered(process, f"key {n}") for n in range(len(answers))] == answers

    loaded = await ctx.keysets.load()
    await ctx.keysets.add(loaded, Purpose.INDEX, lambda _: make_audit())
    await more(1)
    assert set(await rows_under(ctx)) == {old}
    new = await use_newest_key(ctx, CALLER, Purpose.INDEX, quiet, 10.0)
    await more(2)
    assert await rows_under(ctx) == {old: 4, new: 2}
    assert (await reseal(ctx, CALLER, purpose=Purpose.INDEX)).rows == 4
    assert await rows_under(ctx) == {new: 6}
    await more(3)
    await retire_key(ctx, CALLER, old, tell=quiet, within_seconds=10.0)
    await more(4)
    again = (await rotate(ctx)).key
    assert await rows_under(ctx) == {again: 10}
    await more(5)
    await unretire_key(ctx, CALLER, old)
    await more(6)


async def answered(ctx: Context, key: str) -> bytes:
    """What a request under an idempotency key is answered, which runs once."""
    request = KeyedRequest(CALLER, Action.INTENT_CREATE, "POST /tried", key, b"{}")

    async def flow(within: Context) -> str:
        ran = os.urandom(8).hex()
        await within.door.commit(Change(make_audit(), response=ran))
        return ran

    def render(value: str) -> bytes:
        return msgspec.json.encode({"ran": value})

    return (await idempotently(ctx, request, flow, render)).body


def steps(loaded_wrapped: dict[str, bytes], kms: FileKms, installation: str) -> list[Keyring]:
    """The keyring at each step of two rotations."""
    made = [load_keyring(kms, installation, loaded_wrapped)]
    keyset, last = loaded_wrapped["index"], made[0].keys[Purpose.INDEX][0].key_id
    for _ in range(2):
        keyset, key = add_key(kms, installation, Purpose.INDEX, keyset)
        made.append(load_keyring(kms, installation, {**loaded_wrapped, "index": keyset}))
        keyset = promote_key(kms, installation, Purpose.INDEX, keyset, key)
        made.append(load_keyring(kms, installation, {**loaded_wrapped, "index": keyset}))
        keyset = disable_key(kms, installation, Purpose.INDEX, keyset, last)
        made.append(load_keyring(kms, installation, {**loaded_wrapped, "index": keyset}))
        last = key
    return made


async def test_two_writers_share_every_unique_key_whatever_they_know(
    ctx: Context, tmp_path: Path
) -> None:
    """Each with the keys of any step, even where no process could be that far behind."""
    wrapped = dict((await ctx.keysets.load()).wrapped)
    keyrings = steps(wrapped, FileKms.open(tmp_path / "kek"), ctx.installation)
    indexes = [BlindIndex(keyring) for keyring in keyrings]
    hashes = [
        column.hashed
        for stored in STORED.values()
        for column in stored.columns
        if column.hashed is not None and not column.hashed.rotated
    ]
    assert len(hashes) == 5
    for hashed in hashes:
        assert len({hashed.of(index, "default", "v") for index in indexes}) == 1
    event = event_of(0)
    await put(ctx, event)
    answer = await answered(ctx, "key")
    for keyring in keyrings:
        ctx.index.turn_to(keyring)
        again = msgspec.structs.replace(event, id=new_id("provider_event"))
        taken = await ctx.door.commit(Change(make_audit(), creates=(again,)))
        assert isinstance(taken, Conflict)
        assert await answered(ctx, "key") == answer


async def test_no_hash_that_moves_to_another_key_is_unique(connect: Connect) -> None:
    """Nor is it a row's key."""
    hand = await connect()
    rows = await hand.fetch(
        "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)"
        " WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace"
    )
    unique = {tuple(row) for row in rows}
    moved = {
        (stored.name, column.name)
        for stored in STORED.values()
        for column in stored.columns
        if column.hashed is not None and column.hashed.rotated
    }
    assert moved == {("payment_intent", "reference_index"), ("provider_event", "type_index")}
    assert moved & unique == set()
    assert ("provider_event", "reference_index") in unique


async def test_a_process_that_lacks_the_new_key_is_waited_for(
    ctx: Context, connect: Connect
) -> None:
    behind, before = await connect(), await primary(ctx)
    await behind.execute(HOLD, KEYSETS_LOCK_CLASS, 1)
    with pytest.raises(KeyringError, match="have not loaded the newest keys"):
        await rotate(ctx, within_seconds=0.3)
    assert (await primary(ctx), ctx.rehashing.primary) == (before, before)
    await behind.close()
    assert (await rotate(ctx)).key == ctx.rehashing.primary != before


async def test_a_rotation_that_was_killed_goes_on_by_the_clock(settings: Settings) -> None:
    moment = now()
    async with open_context(settings, name="test", clock=lambda: moment) as ctx:
        await put(ctx, with_reference("order"))
        key = await use_newest_key(ctx, CALLER, Purpose.INDEX, quiet, 10.0)
        moment += UNFINISHED_AFTER * 2
        await watch_keys(ctx, "run_0")
        (alert,) = await standing(ctx)
        assert (alert.problem.type, alert.problem.stage) == ("key_rotation_due", "unfinished")
        done = await reseal_by_the_clock(ctx, "run_1")
        assert (done.rows, done.left) == (1, 0)
        assert (await reseal_by_the_clock(ctx, "run_2")).rows == 0
        await watch_keys(ctx, "run_3")
        assert await standing(ctx) == []
        assert (await rotate(ctx)).key != key


async def test_a_key_with_rows_is_not_retired(ctx: Context, connect: Connect) -> None:
    """A row that does not open keeps its hash, has an alert, and stops no rotation."""
    old, broken = await primary(ctx), with_reference("order 1")
    await put(ctx, broken)
    await put(ctx, with_reference("order 2"))
    hand = await connect()
    await hand.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    kept = await hand.fetchval("SELECT sealed FROM payment_intent WHERE id = $1", broken.id)
    spoil = "UPDATE payment_intent SET sealed = $2 WHERE id = $1"
    await hand.execute(spoil, broken.id, kept + b"x")
    done = await rotate(ctx)
    assert (done.resealed.rows, done.resealed.unread, done.resealed.left) == (1, 1, 1)
    (alert,) = await standing(ctx)
    assert (alert.problem.type, alert.problem.subject.id) == ("record_unreadable", broken.id)
    assert await rows_under(ctx) == {old: 1, done.key: 1}
    with pytest.raises(KeyringError, match=f"1 rows are hashed with key {old}.*--index"):
        await retire_key(ctx, CALLER, old, tell=quiet)
    await hand.execute(spoil, broken.id, kept)
    await hand.execute("ALTER TABLE payment_intent ENABLE TRIGGER USER")
    await rotate(ctx)
    await retire_key(ctx, CALLER, old, tell=quiet, within_seconds=10.0)
    shown = await encryption_status(ctx, quiet)
    keys = [(key.status, key.rows) for key in shown.keys if key.purpose is Purpose.INDEX]
    assert keys == [("retired", 0), ("enabled", 0), ("primary", 2)]
    with pytest.raises(KeyringError, match="is the primary"):
        await retire_key(ctx, CALLER, await primary(ctx), tell=quiet)


async def test_a_row_that_comes_under_a_key_takes_it_back(ctx: Context, connect: Connect) -> None:
    """Hashed with the old key while the rows are counted, and committed when it is given up."""
    intent, old = with_reference("order"), await primary(ctx)
    await put(ctx, intent)
    hand, writer = await connect(), await connect()
    was = await hand.fetchval("SELECT reference_index FROM payment_intent")
    await rotate(ctx)
    await hand.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    counting = asyncio.Event()

    async def write() -> None:
        await counting.wait()
        async with writer.transaction():
            await writer.execute("UPDATE payment_intent SET reference_index = $1", was)
            while not await hand.fetchval(
                "SELECT true FROM keyset_key WHERE key = $1 AND retired_at IS NOT NULL", old
            ):
                await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    with pytest.raises(KeyringError, match="1 rows have come under key"):
        await retire_key(ctx, CALLER, old, tell=lambda _: counting.set(), within_seconds=10.0)
    await writing
    await loaded_by_all(ctx, (await ctx.keysets.load()).generation, quiet, 10.0)
    await found(ctx, [intent], [])


async def test_a_hash_of_something_else_is_found_out_during_a_rotation(
    ctx: Context, connect: Connect
) -> None:
    """Under whichever key: it says what the record does not."""
    intent, wrong = with_reference("order 1"), with_reference("order 2")
    await put(ctx, intent)
    await put(ctx, wrong)
    await use_newest_key(ctx, CALLER, Purpose.INDEX, quiet, 10.0)
    hand = await connect()
    await hand.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    for under in ctx.read._records.reference_indexes("default", "order 1"):
        await hand.execute(
            "UPDATE payment_intent SET reference_index = $1 WHERE id = $2", under, wrong.id
        )
        with pytest.raises(Tampered):
            await ctx.read.payment_intent("default", wrong.id)
        assert await ctx.read.payment_intent("default", intent.id) == intent


async def test_a_dump_of_the_middle_of_a_rotation_opens_and_goes_on(
    ctx: Context, settings: Settings, tmp_path: Path, postgres: Any
) -> None:
    intents, events = [with_reference("order 0")], [event_of(0)]
    await put(ctx, intents[0])
    await put(ctx, events[0])
    old = await primary(ctx)
    answer = await answered(ctx, "key")
    new = await use_newest_key(ctx, CALLER, Purpose.INDEX, quiet, 10.0)
    intents.append(with_reference("order 1"))
    events.append(event_of(1))
    await put(ctx, intents[1])
    await put(ctx, events[1])
    dump, dsn = tmp_path / "dump.sql", settings.require("database_url")
    await ran("pg_dump", "-f", str(dump), dsn)
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("CREATE DATABASE half_rotated TEMPLATE template0")
    try:
        copy = postgres.dsn.replace("@/paygate?", "@/half_rotated?")
        await ran("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), copy)
        async with open_context(settings_for(copy, tmp_path), name="restored") as restored:
            assert await rows_under(restored) == {old: 2, new: 2}
            await found(restored, intents, events)
            assert await answered(restored, "key") == answer
            assert (await rotate(restored)).key == new
            assert await rows_under(restored) == {new: 4}
            await found(restored, intents, events)
            await retire_key(restored, CALLER, old, tell=quiet, within_seconds=10.0)
            await found(restored, intents, events)
            assert await answered(restored, "key") == answer
    finally:
        await admin.execute("DROP DATABASE half_rotated WITH (FORCE)")
        await admin.close()


async def ran(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        binaries() / program, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    printed = await process.communicate()
    assert process.returncode == 0, printed
