"""Look-ups hashed anew, as the application's role, whatever a row stands at: the hash alone
changes, by its key, and nothing else with it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import (
    Keyring,
    Purpose,
    add_key,
    generate_keyring,
    load_keyring,
    promote_key,
)
from paygate.crypto.kms import FileKms
from paygate.crypto.seal import Sealer
from paygate.domain.payments.payment_intent import Status
from paygate.domain.provider_event import EventStatus
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from paygate.storage.rehashing import Rehashing, rotated_tables
from paygate.storage.rewriting import Count
from paygate.storage.schema.application import grant_rights, make_role
from paygate.storage.schema.versions import ANNOUNCED
from paygate.storage.stored import Stored
from paygate.storage.tables import PAYMENT_INTENT, PROVIDER_EVENT
from tests.storage.filled import planted
from tests.storage.stored import select
from tests.storage.test_resealing import CHANGED

ROLE = "app_that_hashes_anew"
MARK = "Hashed anew"
ENDED: dict[str, dict[str, Any]] = {
    "payment_intent": {"status": Status.FAILED},
    "provider_event": {"status": EventStatus.PROCESSED, "replay_until": None},
}
"""Where a record stands whose row takes no other change any more."""


class Keys(NamedTuple):
    """Records under the keys of before, and under those of a rotation."""

    before: Records
    after: Records
    old: int
    new: int


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    kms = FileKms.create(tmp_path / "kek")
    wrapped = generate_keyring(kms, "in_test")
    before = load_keyring(kms, "in_test", wrapped)
    keyset, new = add_key(kms, "in_test", Purpose.INDEX, wrapped["index"])
    keyset = promote_key(kms, "in_test", Purpose.INDEX, keyset, new)
    after = load_keyring(kms, "in_test", {**wrapped, "index": keyset})

    def records(keyring: Keyring) -> Records:
        return Records(Sealer(keyring), BlindIndex(keyring))

    return Keys(records(before), records(after), before.keys[Purpose.INDEX][0].key_id, new)


@pytest.fixture
async def owner(database: str, connect: Callable[[], Awaitable[Connection]]) -> Connection:
    return await connect()


@pytest.fixture
async def role(database: str, owner: Connection) -> AsyncIterator[str]:
    """The DSN of a role with the application's rights."""
    await make_role(connector(database, name="owner"), ROLE)
    assert await grant_rights(connector(database, name="owner"), ROLE)
    yield database.replace("://paygate@", f"://{ROLE}@")
    await owner.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


async def put(owner: Connection, records: Records) -> None:
    """A row of each table, put there by a hand, as far on as it can be."""
    for stored in rotated_tables():
        record = planted(stored.record, MARK, **ENDED[stored.name])
        row = [column[0] for column in records.columns((record,))]
        names = ", ".join(stored.names)
        values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await owner.execute(f"ALTER TABLE {stored.name} DISABLE TRIGGER USER")
        await owner.execute(f"INSERT INTO {stored.name} ({names}) VALUES ({values})", *row)
        await owner.execute(f"ALTER TABLE {stored.name} ENABLE TRIGGER USER")


def column_of(stored: Stored[Any]) -> str:
    assert stored.rotated is not None
    return stored.rotated.name


async def one(owner: Connection, stored: Stored[Any]) -> tuple[Any, ...]:
    (row,) = await owner.fetch(select(stored))
    return tuple(row)


async def hash_all_anew(rehashing: Rehashing) -> dict[str, int]:
    written = {}
    async with rehashing.session() as session:
        for stored in rotated_tables():
            page = await session.page(stored, None)
            done = await session.rewrite(stored, page.rows)
            assert not done.unread
            written[stored.name] = done.written
    return written


async def test_the_tables_are_those_whose_references_are_guessed() -> None:
    assert [stored.name for stored in rotated_tables()] == ["payment_intent", "provider_event"]
    assert column_of(PAYMENT_INTENT) == "reference_index"
    assert column_of(PROVIDER_EVENT) == "type_index"


async def test_the_hash_alone_is_written_anew(owner: Connection, role: str, keys: Keys) -> None:
    await put(owner, keys.before)
    before = {stored.name: await one(owner, stored) for stored in rotated_tables()}
    rehashing = Rehashing(connector(role, name="app"), keys.after)
    assert {(c.key, c.rows) for c in await rehashing.counts()} == {(keys.old, 1)}
    assert await hash_all_anew(rehashing) == {"payment_intent": 1, "provider_event": 1}
    for stored in rotated_tables():
        was, now = before[stored.name], await one(owner, stored)
        changed = {n for n, a, b in zip(stored.names, was, now, strict=True) if a != b}
        assert changed == {column_of(stored)}
        assert keys.after.open(stored.record, now) == keys.before.open(stored.record, was)
    assert {(c.key, c.rows) for c in await rehashing.counts()} == {(keys.new, 1)}
    assert await hash_all_anew(rehashing) == {"payment_intent": 0, "provider_event": 0}


async def test_nothing_else_is_changed_with_a_hash(
    owner: Connection, role: str, keys: Keys
) -> None:
    """By the application's role, and by the owner; nor is it changed to anything but a hash by
    another key.
    """
    await put(owner, keys.before)
    app = await asyncpg.connect(role, server_settings=dict(ANNOUNCED))
    taken, tried = [], 0

    async def try_out(statement: str, *values: Any) -> None:
        nonlocal tried
        for who in (owner, app):
            tried += 1
            with suppress(asyncpg.IntegrityConstraintViolationError):
                await who.execute(statement, *values)
                taken.append(statement)

    for stored in rotated_tables():
        row, place = await one(owner, stored), column_of(stored)
        anew = keys.after.hash_anew(stored, row)
        columns = await owner.fetch(
            "SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute"
            " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attname NOT IN ('version', $2)",
            stored.name,
            place,
        )
        for name, kind in columns:
            if await owner.fetchval(f"SELECT {name} IS NULL FROM {stored.name}"):
                continue
            value = CHANGED[kind].format(name)
            await try_out(f"UPDATE {stored.name} SET {place} = $1, {name} = {value}", anew)
        again = bytes(len(row[stored.names.index(place)]))
        for wrong in (again, anew + b"x", anew[1:], b"", None):
            await try_out(f"UPDATE {stored.name} SET {place} = $1", wrong)
        await app.execute(f"UPDATE {stored.name} SET {place} = $1", anew)
        await try_out(f"UPDATE {stored.name} SET {place} = $1", anew[:4] + bytes(16))
        other = "reference_index" if place == "type_index" else "provider_reference_index"
        await try_out(f"UPDATE {stored.name} SET {other} = $1", anew)
    await app.close()
    assert taken == []
    assert tried > 60


async def test_a_row_that_moves_on_is_left_as_it_is(
    owner: Connection, database: str, keys: Keys
) -> None:
    """Between a page's reading and its writing, and while somebody holds it."""
    await put(owner, keys.before)
    rehashing = Rehashing(connector(database, name="app"), keys.after)
    async with rehashing.session() as session:
        page = await session.page(PAYMENT_INTENT, None)
        async with owner.transaction():
            await owner.execute("SELECT FROM payment_intent FOR NO KEY UPDATE")
            assert (await session.rewrite(PAYMENT_INTENT, page.rows)).written == 0
        await owner.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
        await owner.execute("UPDATE payment_intent SET version = version + 1")
        assert (await session.rewrite(PAYMENT_INTENT, page.rows)).written == 0
        await owner.execute("UPDATE payment_intent SET version = version - 1")
        assert (await session.rewrite(PAYMENT_INTENT, page.rows)).written == 1
        assert (await session.rewrite(PAYMENT_INTENT, page.rows)).written == 0


async def test_bytes_that_are_no_hash_name_no_key(
    owner: Connection, database: str, keys: Keys
) -> None:
    await put(owner, keys.before)
    await owner.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
    await owner.execute("UPDATE payment_intent SET reference_index = 'nothing'")
    await owner.execute("ALTER TABLE provider_event DISABLE TRIGGER USER")
    await owner.execute("UPDATE provider_event SET type_index = NULL")
    rehashing = Rehashing(connector(database, name="app"), keys.after)
    assert await rehashing.counts() == [Count("payment_intent", None, 1)]
