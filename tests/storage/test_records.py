"""A record comes back whole and from its own place, or not at all; and what is said of a failure
holds nothing of it.
"""

import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paygate.crypto.seal import SealedPlace, Sealer, SealError
from paygate.domain.access.api_key import ApiKey
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.audit import AuditEntry
from paygate.domain.event import Event
from paygate.domain.ledger import Account, sides
from paygate.domain.money import Currency
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.provider_event import ProviderEvent
from paygate.storage.change import Change, Committed, Impossible, Outdated, Record
from paygate.storage.connections.pool import open_pool
from paygate.storage.connections.session import Connection
from paygate.storage.door import Door
from paygate.storage.reader import Reader
from paygate.storage.records import Records
from paygate.storage.unreadable import Tampered
from tests.making import make_attempt, make_audit, make_intent, make_records
from tests.storage.filled import KINDS, filled, planted
from tests.storage.loose import loosen
from tests.storage.stored import TABLE_OF, select

Connect = Callable[[], Awaitable[Connection]]

MARK = "Zq7xKw93Vb52"

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


class Drawn:
    """Leaves that hypothesis draws: whatever the field's type can hold."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def text(self, path: str) -> str:
        return self._draw(st.text())

    def data(self, path: str) -> bytes:
        return self._draw(st.binary())

    def number(self, path: str) -> int:
        return self._draw(st.integers(-(2**63), 2**64 - 1))

    def time(self, path: str) -> datetime:
        return self._draw(st.datetimes(timezones=st.just(UTC)))

    def one_of(self, path: str, options: list[Any]) -> Any:
        return self._draw(st.sampled_from(options))

    def present(self, path: str) -> bool:
        return self._draw(st.booleans())


@st.composite
def _drawn(draw: st.DrawFn) -> Any:
    kind, leaves = draw(st.sampled_from(KINDS)), Drawn(draw)
    if kind is AccountTransfer:
        amount, currency = draw(st.integers(1, 2**62)), Currency(draw(st.text(min_size=1)))
        return filled(kind, leaves, entries=sides(Account.FEES, Account.PROVIDER, amount, currency))
    if kind is not Event:
        return filled(kind, leaves)
    about = msgspec.msgpack.encode(filled(PaymentIntent, leaves))
    return filled(kind, leaves, object="payment_intent", data=msgspec.Raw(about))


def row_of(records: Records, record: Record) -> tuple[Any, ...]:
    """The row that the door would write."""
    if isinstance(record, AuditEntry):
        return records.rows(Change(record))[0][1]
    return records.rows(Change(make_audit(), creates=(record,)))[1][1]


def logged(error: BaseException) -> str:
    """All that a log could say of it, causes and contexts included."""
    return "".join(traceback.format_exception(error)) + repr(error)


@settings(
    max_examples=200,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(record=_drawn())
def test_every_field_comes_back(records: Records, record: Record) -> None:
    row = row_of(records, record)
    assert len(row) == len(TABLE_OF[type(record)].columns)
    opened = records.open(type(record), row)
    assert opened == record
    for field in record.__struct_fields__:
        assert type(getattr(opened, field)) is type(getattr(record, field)), field


@every_kind
async def test_every_field_comes_back_from_the_database(
    door: Door, records: Records, connect: Connect, kind: type[Record]
) -> None:
    record, connection = planted(kind, MARK), await connect()
    await loosen(connection)
    await commit(door, record)
    assert records.open(kind, await stored_row(connection, record)) == record


OF_ANOTHER_NAME = {
    *("object_id", "reference_index", "provider_reference_index", "type_index", "sealed"),
}


@every_kind
def test_a_column_in_clear_is_the_field_of_its_name(records: Records, kind: type[Record]) -> None:
    record = planted(kind, MARK)
    for name, value in zip(TABLE_OF[kind].names, row_of(records, record), strict=True):
        if name in {"subject", "actor", "about"}:
            assert value == getattr(record, f"{name}_id")
        elif name not in OF_ANOTHER_NAME:
            assert value == getattr(record, name), name


@every_kind
def test_a_row_opens_nowhere_else(records: Records, tmp_path: Path, kind: type[Record]) -> None:
    row = row_of(records, planted(kind, MARK))
    versioned = [3] if TABLE_OF[kind].names[2] == "version" else []
    elsewhere = [("other", *row[1:]), (row[0], "other", *row[2:])]
    elsewhere += [(*row[:2], version, *row[3:]) for version in (0, 2, *versioned) if versioned]
    for moved in elsewhere:
        with pytest.raises(SealError) as caught:
            records.open(kind, moved)
        assert MARK not in logged(caught.value)
    (tmp_path / "other").mkdir()
    with pytest.raises(SealError):  # the same row under the keys of another installation
        make_records(tmp_path / "other", "in_other").open(kind, row)


@every_kind
def test_sealed_bytes_open_in_no_other_table(records: Records, kind: type[Record]) -> None:
    """Even at the same merchant, id and version, where only the table differs."""
    record = planted(kind, MARK)
    sealed = row_of(records, record)[-1]
    for other in KINDS:
        row = row_of(records, planted(other, MARK, id=record.id))
        if other is not kind:
            with pytest.raises(SealError):
                records.open(other, (*row[:-1], sealed))


@every_kind
def test_altered_bytes_do_not_open(records: Records, kind: type[Record]) -> None:
    row = row_of(records, planted(kind, MARK))
    sealed: bytes = row[-1]
    step = max(len(sealed) // 50, 1)
    altered = [b"", sealed[:-1], sealed[1:], sealed + b"\0"]
    altered += [
        sealed[:n] + bytes([sealed[n] ^ 1]) + sealed[n + 1 :] for n in range(0, len(sealed), step)
    ]
    for wrong in altered:
        with pytest.raises(SealError):
            records.open(kind, (*row[:-1], wrong))


@every_kind
async def test_a_column_altered_alone_is_found(
    door: Door, records: Records, connect: Connect, kind: type[Record]
) -> None:
    """By a hand that switched the triggers off. What is part of the place fails to open, the rest
    is held against the sealed record; and nothing half right ever comes back.
    """
    record, table, connection = planted(kind, MARK), TABLE_OF[kind], await connect()
    await loosen(connection)
    await commit(door, record)
    for column in table.columns:
        name = column.name
        changed = {
            "text": f"CASE {name} WHEN 'working' THEN 'finished' WHEN 'open' THEN 'acknowledged'"
            " WHEN 'enabled' THEN 'disabled' WHEN 'pending' THEN 'failed'"
            f" ELSE {name} || 'x' END",
            "int4": f"{name} + 1",
            "timestamptz": f"{name} + interval '1 microsecond'",
            "interval": f"{name} + interval '1 microsecond'",
            "bool": f"NOT {name}",
            "bytea": f"set_byte({name}, 7, (get_byte({name}, 7) + 1) % 256)",
        }[column.sql_type]
        once = connection.transaction()
        await once.start()
        await connection.execute(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
        row = await connection.fetchrow(
            f"UPDATE {table.name} SET {name} = {changed} WHERE id = $1"
            f" RETURNING {', '.join(table.names)}",
            record.id,
        )
        await once.rollback()
        assert row is not None
        expected = SealError if name in ("merchant", "id", "version", "sealed") else Tampered
        with pytest.raises(expected) as caught:
            records.open(kind, tuple(row))
        assert MARK not in logged(caught.value), name


async def test_a_time_erased_alone_is_found(door: Door, records: Records, connect: Connect) -> None:
    """A revoked key that is made to look as if it never was."""
    key = planted(ApiKey, MARK)
    await commit(door, key)
    connection = await connect()
    await connection.execute("ALTER TABLE api_key DISABLE TRIGGER USER")
    await connection.execute("UPDATE api_key SET revoked_at = NULL")
    with pytest.raises(Tampered):
        records.open(ApiKey, await stored_row(connection, key))


async def test_the_reader_hands_out_nothing_altered(
    door: Door, records: Records, database: str, connect: Connect
) -> None:
    connection = await connect()
    await loosen(connection)
    pool = open_pool(database, name="reader")
    reader = Reader(pool, pool, records)
    intent, attempt = planted(PaymentIntent, MARK), planted(Attempt, MARK)
    event, key = planted(ProviderEvent, MARK), planted(ApiKey, MARK)
    for record in (intent, attempt, event, key):
        await commit(door, record)
    reads: list[tuple[Record, Callable[[], Awaitable[Record | None]]]] = [
        (intent, lambda: reader.payment_intent("default", intent.id)),
        (attempt, lambda: reader.attempt("default", attempt.id)),
        (event, lambda: reader.provider_event("default", event.id)),
        (key, lambda: reader.api_key(key.id)),
    ]
    for record, read in reads:
        table = TABLE_OF[type(record)].name
        assert await read() == record
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        await connection.execute(f"UPDATE {table} SET updated_at = updated_at + interval '1 s'")
        with pytest.raises(Tampered):
            await read()
    assert await reader.payment_intent("other", intent.id) is None
    pool.close()


@pytest.mark.parametrize(
    "change",
    [
        {"capture_method": MARK},
        {"amount": MARK},
        {"metadata": {MARK: 1}},
        {"payment_method_types": [MARK]},
        {"next_action": {"type": MARK}},
        {"created_at": MARK},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_record_of_another_shape_is_not_quoted(records: Records, change: dict[str, Any]) -> None:
    """Sealed by us and at its place, but not what this version of the code can read, as after a
    downgrade. The decoder's own words would quote what it found.
    """
    intent = make_intent()
    row = row_of(records, intent)
    content = {**msgspec.to_builtins(intent), **change}
    sealer: Sealer = records._sealer
    place = SealedPlace(intent.merchant, "payment_intent", intent.id, 1)
    sealed = sealer.seal(place, msgspec.msgpack.encode(content))
    with pytest.raises(Outdated) as caught:
        records.open(PaymentIntent, (*row[:-1], sealed))
    assert MARK not in logged(caught.value)


async def test_a_refused_argument_is_not_quoted(door: Door) -> None:
    odd = 2**40 + 12345
    attempt = msgspec.structs.replace(make_attempt(make_intent()), number=odd)
    with pytest.raises(Impossible) as caught:
        await door.commit(Change(make_audit(), creates=(attempt,)))
    assert str(odd) not in logged(caught.value)


async def commit(door: Door, record: Record) -> None:
    """Write one record."""
    audit, creates = (record, ()) if isinstance(record, AuditEntry) else (make_audit(), (record,))
    assert await door.commit(Change(audit, creates=creates)) == Committed()


async def stored_row(connection: Connection, record: Record) -> tuple[Any, ...]:
    """Its row as it is in the database."""
    row = await connection.fetchrow(f"{select(TABLE_OF[type(record)])} WHERE id = $1", record.id)
    assert row is not None
    return tuple(row)
