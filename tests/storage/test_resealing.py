"""Records sealed anew, as the application's role, in every table: the one update that every trigger
lets through, whatever a row stands at, and nothing else with it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

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
from paygate.domain.disputes.evidence_chunk import EvidenceChunk
from paygate.domain.ledger import Account, Transfer, sides
from paygate.domain.money import Currency
from paygate.storage.blocks import QUERIES
from paygate.storage.change import Record
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from paygate.storage.resealing import Resealing, tables
from paygate.storage.rewriting import PAGE_BYTES
from paygate.storage.schema.application import grant_rights, make_role
from paygate.storage.schema.versions import ANNOUNCED
from paygate.storage.stored import Stored
from paygate.storage.tables import PAYMENT_INTENT, STORED
from paygate.storage.unreadable import Unreadable
from tests.storage.filled import KINDS, planted
from tests.storage.stored import select

ROLE: Final = "app_that_seals_anew"
MARK: Final = "Sealed anew"
ENDED: Final = {
    "payment_intent": "status = 'failed'",
    "attempt": "state = 'declined'",
    "idempotency_key": "state = 'finished', lease = NULL",
    "provider_event": "status = 'processed', replay_until = NULL",
    "webhook_endpoint": "status = 'deleted'",
    "refund": "state = 'awaiting_approval'",
    "reconciliation": "status = 'completed', running_as = NULL",
    "settlement": "is_open = false",
    "discrepancy": "status = 'resolved'",
}
"""Where a row stands that takes no other change any more."""
CHANGED: Final = {
    "text": "{0} || 'x'",
    "timestamp with time zone": "{0} + interval '1 second'",
    "interval": "{0} + interval '1 second'",
    "integer": "{0} + 1",
    "smallint": "{0} + 1",
    "boolean": "NOT {0}",
    "bytea": "{0} || 'x'",
    "xid8": "'1'::xid8",
}


class Keys(NamedTuple):
    """Records under the keys of before, and under those of a rotation."""

    before: Records
    after: Records
    old: int
    new: int


def records_of(keyring: Keyring) -> Records:
    return Records(Sealer(keyring), BlindIndex(keyring))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    kms = FileKms.create(tmp_path / "kek")
    wrapped = generate_keyring(kms, "in_test")
    before = load_keyring(kms, "in_test", wrapped)
    keyset, new = add_key(kms, "in_test", Purpose.RECORDS, wrapped["records"])
    keyset = promote_key(kms, "in_test", Purpose.RECORDS, keyset, new)
    after = load_keyring(kms, "in_test", {**wrapped, "records": keyset})
    return Keys(records_of(before), records_of(after), before.keys[Purpose.RECORDS][0].key_id, new)


@pytest.fixture
async def owner(database: str, connect: Callable[[], Awaitable[Connection]]) -> Connection:
    return await connect()


@pytest.fixture
async def application(database: str, owner: Connection) -> AsyncIterator[str]:
    """The DSN of a role with the application's rights."""
    await make_role(connector(database, name="owner"), ROLE)
    assert await grant_rights(connector(database, name="owner"), ROLE)
    yield database.replace("://paygate@", f"://{ROLE}@")
    await owner.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


async def put(owner: Connection, records: Records) -> None:
    """A row of every table, put there by a hand, as far on as it can be."""
    for kind in (*KINDS, Transfer):
        stored: Stored[Any] = STORED[kind]
        row = [column[0] for column in records.columns((planted_of(kind),))]
        names = ", ".join(stored.names)
        values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        triggers = await owner.fetch(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = $1::text::regclass AND NOT tgisinternal"
            " AND tgenabled = 'A'",
            stored.name,
        )
        async with owner.transaction():
            for (trigger,) in triggers:
                await owner.execute(f"ALTER TABLE {stored.name} DISABLE TRIGGER {trigger}")
            await owner.execute(f"INSERT INTO {stored.name} ({names}) VALUES ({values})", *row)
            if stored.name in ENDED:
                await owner.execute(f"UPDATE {stored.name} SET {ENDED[stored.name]}")
            for (trigger,) in triggers:
                await owner.execute(f"ALTER TABLE {stored.name} ENABLE ALWAYS TRIGGER {trigger}")


def planted_of(kind: type[Any]) -> Record:
    balanced = {"entries": sides(Account.PROVIDER, Account.SALES, 1999, Currency("eur"))}
    record: Record = planted(kind, MARK, **(balanced if kind is Transfer else {}))
    return record


async def shown(owner: Connection) -> dict[str, list[str]]:
    """All rows, without their seals."""
    return {
        stored.name: [
            row[0]
            for row in await owner.fetch(
                f"SELECT (to_jsonb(t) - 'sealed')::text FROM {stored.name} t ORDER BY 1"
            )
        ]
        for stored in tables()
    }


async def seal_all_anew(resealing: Resealing) -> dict[str, int]:
    written: dict[str, int] = {}
    async with resealing.session() as session:
        for stored in tables():
            page = await session.page(stored, None)
            done = await session.rewrite(stored, page.rows)
            assert not done.unread
            written[stored.name] = done.written
    return written


async def test_every_table_with_a_seal_is_known(owner: Connection) -> None:
    rows = await owner.fetch(
        "SELECT c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid"
        " WHERE attname = 'sealed' AND relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = 'public'::regnamespace"
    )
    assert {row["relname"] for row in rows} == {stored.name for stored in tables()}


async def test_a_row_of_every_table_is_sealed_anew_and_nothing_else_of_it_changes(
    owner: Connection, application: str, keys: Keys
) -> None:
    await put(owner, keys.before)
    before = await shown(owner)
    resealing = Resealing(connector(application, name="app"), keys.after)
    assert set(await seal_all_anew(resealing)) == set(before)
    assert await shown(owner) == before
    for stored in tables():
        for row in await owner.fetch(select(stored)):
            content = keys.after.content(stored.record, tuple(row))
            assert MARK.encode() in content or stored.decode(content)
    counts = await resealing.counts()
    assert {(count.key, count.rows) for count in counts} == {(keys.new, 1)}
    assert {count.table for count in counts} == set(before)
    assert set((await seal_all_anew(resealing)).values()) == {0}


async def test_nothing_else_is_changed_with_a_seal(
    owner: Connection, application: str, keys: Keys
) -> None:
    """By the application's role where it has the right, and by the owner."""
    await put(owner, keys.before)
    role = await asyncpg.connect(application, server_settings=dict(ANNOUNCED))
    tried, taken = 0, []
    for stored in tables():
        (row,) = await owner.fetch(select(stored))
        anew = keys.after.seal_anew(stored, tuple(row))
        columns = await owner.fetch(
            "SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute"
            " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attname NOT IN ('sealed', 'version')",
            stored.name,
        )
        for name, kind in columns:
            value = CHANGED[kind].format(name)
            if await owner.fetchval(f"SELECT {name} IS NULL FROM {stored.name}"):
                continue
            statement = f"UPDATE {stored.name} SET sealed = $1, {name} = {value}"
            for who in (owner, role):
                tried += 1
                with suppress(
                    asyncpg.IntegrityConstraintViolationError, asyncpg.InsufficientPrivilegeError
                ):
                    await who.execute(statement, anew)
                    taken.append((stored.name, name))
    await role.close()
    assert taken == []
    assert tried > 200


async def test_the_same_key_is_no_reason_to_write(
    owner: Connection, application: str, keys: Keys
) -> None:
    """Nor are bytes of another length, or of no key."""
    await put(owner, keys.before)
    role = await asyncpg.connect(application, server_settings=dict(ANNOUNCED))
    for stored in tables():
        (row,) = await owner.fetch(select(stored))
        again = keys.before.seal_anew(stored, tuple(row))
        anew = keys.after.seal_anew(stored, tuple(row))
        for sealed in (again, anew + b"x", b"\0" + anew[1:]):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await role.execute(f"UPDATE {stored.name} SET sealed = $1", sealed)
    await role.close()


async def test_a_row_that_moves_on_is_left_as_it_is(
    owner: Connection, database: str, keys: Keys
) -> None:
    """Between a page's reading and its writing, and while somebody holds it."""
    await put(owner, keys.before)
    await owner.execute("UPDATE payment_intent SET sealed = sealed WHERE false")
    resealing = Resealing(connector(database, name="app"), keys.after)
    async with resealing.session() as session:
        page = await session.page(PAYMENT_INTENT, None)
        async with owner.transaction():
            await owner.execute("SELECT FROM payment_intent FOR NO KEY UPDATE")
            assert (await session.rewrite(PAYMENT_INTENT, page.rows)).written == 0
        (row,) = page.rows
        moved = keys.before.seal_anew(PAYMENT_INTENT, row)
        await owner.execute("ALTER TABLE payment_intent DISABLE TRIGGER version_next")
        await owner.execute("ALTER TABLE payment_intent DISABLE TRIGGER payment_intent_status")
        await owner.execute("UPDATE payment_intent SET sealed = $1", moved)
        assert (await session.rewrite(PAYMENT_INTENT, page.rows)).written == 0
        assert await owner.fetchval("SELECT sealed FROM payment_intent") == moved


async def test_what_does_not_open_is_told_and_stops_nothing(
    owner: Connection, database: str, keys: Keys
) -> None:
    await put(owner, keys.before)
    await owner.execute("ALTER TABLE attempt DISABLE TRIGGER ALL")
    await owner.execute("UPDATE attempt SET sealed = sealed || 'x'")
    resealing = Resealing(connector(database, name="app"), keys.after)
    async with resealing.session() as session:
        for stored in tables():
            page = await session.page(stored, None)
            done = await session.rewrite(stored, page.rows)
            unread = [fault.table for fault in done.unread if isinstance(fault, Unreadable)]
            assert unread == ["attempt"] * (stored.name == "attempt")
    left = [count for count in await resealing.counts() if count.key != keys.new]
    assert [(count.table, count.key, count.rows) for count in left] == [("attempt", keys.old, 1)]
    await owner.execute("UPDATE attempt SET sealed = 'nothing'")
    left = [count for count in await resealing.counts() if count.key != keys.new]
    assert [(count.table, count.key, count.rows) for count in left] == [("attempt", None, 1)]


async def test_a_page_of_large_rows_is_a_short_one(
    owner: Connection, database: str, keys: Keys
) -> None:
    """Files in chunks; none is left out, and none is gone through twice."""
    stored: Stored[Any] = STORED[EvidenceChunk]
    for number in range(1, 8):
        content = bytes(PAGE_BYTES // 3)
        chunk = planted(EvidenceChunk, MARK, id="file_1", version=number, content=content)
        row = [column[0] for column in keys.before.columns((chunk,))]
        await owner.execute(QUERIES["write_dispute_file_chunk"], *row)
    resealing = Resealing(connector(database, name="app"), keys.after)
    sizes, after = [], None
    async with resealing.session() as session:
        while True:
            page = await session.page(stored, after)
            sizes.append((await session.rewrite(stored, page.rows)).written)
            if (after := page.last) is None:
                break
    assert sizes == [3, 3, 1, 0]
