"""Old code beside new: what a newer version has written is never lost by an older node, and what
it does not know yet stands in the way of no older node.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from paygate.crypto.seal import SealError
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.audit import AuditEntry
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Account, Entry, Transfer, sides
from paygate.domain.money import Currency
from paygate.domain.payments.payment_intent import PaymentIntent, Trigger, advance
from paygate.domain.record import Recorded
from paygate.storage.change import Change, Committed, Outdated, Record
from paygate.storage.commit.committer import Connection
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.door import Door
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.records import _KINDS, Records
from paygate.storage.unreadable import Tampered
from tests.making import START, make_audit, make_intent
from tests.storage.filled import planted
from tests.storage.newer import NEWS, made_newer, plain, sealed, structs_within

MARK = "Zq7xKw93Vb52"
FIXED: dict[type[Record], dict[str, Any]] = {
    Transfer: {"entries": (Entry(Account.PROVIDER, 5), Entry(Account.SALES, -5))},
    AccountTransfer: {"entries": sides(Account.FEES, Account.PROVIDER, 5, Currency("eur"))},
}
every_kind = pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)


def row_of(records: Records, record: Record) -> tuple[Any, ...]:
    if isinstance(record, AuditEntry):
        return records.rows(Change(record))[0][1]
    return records.rows(Change(make_audit(), creates=(record,)))[1][1]


def opened(records: Records, record: Record, content: dict[str, Any]) -> Record:
    """The record with other content, sealed at its place."""
    row = row_of(records, record)
    return records.open(type(record), (*row[:-1], sealed(records, record, content)))


@every_kind
def test_whatever_is_sealed_is_recorded(kind: type[Record]) -> None:
    """All that is nested in a record too: a plain struct would drop what it does not know."""
    for struct in structs_within(inspect.type_info(kind)):
        assert issubclass(struct, Recorded), struct
        config = struct.__struct_config__
        assert (config.forbid_unknown_fields, config.omit_defaults) == (True, True), struct


@every_kind
def test_a_field_that_is_not_known_is_never_dropped(records: Records, kind: type[Record]) -> None:
    """At the top, and in every struct within."""
    record = planted(kind, MARK, **FIXED.get(kind, {}))
    content = plain(record)
    places = [content, *nested(content)]
    assert opened(records, record, content) == record
    for place in places:
        place.update(NEWS)
        with pytest.raises(Outdated) as caught:
            opened(records, record, content)
        assert MARK not in str(caught.value)
        del place["of_a_newer_version"]


def nested(content: Any) -> list[dict[str, Any]]:
    """Every struct in a record's content: what has a type, or no free text for its keys."""
    found: list[dict[str, Any]] = []
    values = content.values() if isinstance(content, dict) else content
    for value in values:
        if isinstance(value, dict):
            found += [] if all(MARK in str(key) for key in value) else [value]
            found += nested(value)
        elif isinstance(value, list):
            found += nested(value)
    return found


@pytest.mark.parametrize(
    "news",
    [
        {"status": "refunding"},
        {"payment_method_types": ["wallet"]},
        {"payment_method": {"type": "wallet", "brand": "x"}},
        {"next_action": {"type": "scan_a_code", "url": "https://x.example"}},
        {"amount": {"value": 1999, "of": "eur"}},
    ],
    ids=lambda news: next(iter(news)),
)
def test_a_value_that_is_not_known_is_of_a_newer_version(
    records: Records, news: dict[str, Any]
) -> None:
    """A new status, a new kind of something, a field that holds more: it was sealed by us."""
    intent = make_intent()
    with pytest.raises(Outdated):
        opened(records, intent, {**plain(intent), **news})


@pytest.mark.parametrize("within", [{"object": "wallet"}, {"data": {"id": "wa_1", "balance": 5}}])
def test_an_event_of_what_is_not_known_is_of_a_newer_version(
    records: Records, within: dict[str, Any]
) -> None:
    event = planted(Event, MARK)
    with pytest.raises(Outdated):
        opened(records, event, {**plain(event), **within})


def test_what_was_altered_is_not_taken_for_newer(records: Records) -> None:
    intent = make_intent()
    row = row_of(records, intent)
    with pytest.raises(Tampered):
        records.open(PaymentIntent, (*row[:3], "succeeded", *row[4:]))
    with pytest.raises(SealError):
        records.open(PaymentIntent, (*row[:-1], row[-1][:-1] + b"x"))


Grown = msgspec.defstruct(
    "Grown", [("of_a_newer_version", int, 0)], bases=(PaymentIntent,), frozen=True, kw_only=True
)


def grown(intent: PaymentIntent, **more: Any) -> dict[str, Any]:
    """What a newer version writes of an intent, which has a field more there."""
    fields = msgspec.structs.asdict(intent) | more
    content: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(Grown(**fields)))
    return content


def test_an_older_node_works_on_what_does_not_use_the_new_field(records: Records) -> None:
    """The newer version has the field, and no use of it yet: payments go on at every node."""
    intent = make_intent()
    assert opened(records, intent, grown(intent)) == intent


def test_an_older_node_keeps_off_what_does(records: Records) -> None:
    intent = make_intent()
    with pytest.raises(Outdated):
        opened(records, intent, grown(intent, of_a_newer_version=500))


async def test_what_became_newer_since_it_was_read_is_not_advanced(
    door: Door, records: Records, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """An older node holds the version before; its advance is refused as every stale one is."""
    intent = make_intent()
    assert await door.commit(Change(make_audit(), creates=(intent,))) == Committed()
    connection = await connect()
    theirs = advance(intent, Trigger.CANCEL, START)
    assert await door.commit(Change(make_audit(), advances=(theirs,))) == Committed()
    await made_newer(connection, records, theirs)
    before = await connection.fetchval("SELECT sealed FROM payment_intent")
    await door.commit(Change(make_audit(), advances=(advance(intent, Trigger.CANCEL, START),)))
    assert await connection.fetchval("SELECT sealed FROM payment_intent") == before


async def test_a_newer_key_holds_up_nobody_who_asks_for_another(
    door: Door, records: Records, database: str, connect: Callable[[], Awaitable[Connection]]
) -> None:
    """Look-ups of many requests go to the database together."""
    known, newer = planted(IdempotencyKey, MARK), planted(IdempotencyKey, MARK)
    for key in (known, newer):
        assert await door.commit(Change(make_audit(), creates=(key,))) == Committed()
    await made_newer(await connect(), records, newer)
    pool = open_pool(database, name="keys")
    keys = IdempotencyKeys(connector(database, name="keys"), pool, records)
    wanted = [keys.find("default", key.id) for key in (newer, known)]
    first, second = await asyncio.gather(*wanted, return_exceptions=True)
    assert isinstance(first, Outdated)
    assert isinstance(second, tuple)
    assert second[0] == known
    await keys.close()
    pool.close()
