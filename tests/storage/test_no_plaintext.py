"""A stolen dump, disk, write-ahead log or server log shows nothing of a payment.

Unmistakable values stand in every field of every record; then everything that PostgreSQL wrote
is searched for them, in every spelling that a leak could have. The test first proves that it
can see: the same values, planted in clear, are found by the same search.
"""

import asyncio
import base64
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec
import pytest

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import (
    Purpose,
    add_key,
    generate_keyring,
    load_keyring,
    promote_key,
)
from paygate.crypto.kms import FileKms
from paygate.crypto.seal import Sealer
from paygate.domain.access.api_key import ApiKey
from paygate.domain.account_transfer import AccountTransfer
from paygate.domain.alert import Alert, AlertNotice, Occurrence
from paygate.domain.audit import AuditEntry
from paygate.domain.customer import Customer
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.disputes.evidence_chunk import EvidenceChunk
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.ledger import Account, Entry, Transfer
from paygate.domain.payments.attempt import Attempt, AttemptState
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.payments.reference_claim import ReferenceClaim
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.provider_event import EventStatus, ProviderEvent, ProviderEventBody
from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Reconciliation, RunStatus
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.domain.settlements.discrepancy import (
    Discrepancy,
    DiscrepancyStatus,
    Found,
)
from paygate.domain.settlements.line import Candidate, LineMatch, LinePage
from paygate.domain.settlements.report_import import FileChunk, ImportStatus, SettlementImport
from paygate.domain.settlements.settlement import Matching, Settlement
from paygate.domain.webhooks.delivery import Delivery, WebhookBody
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.embedded.cluster import place
from paygate.embedded.server import EmbeddedPostgres, binaries
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.storage.change import (
    Appended,
    Change,
    Committed,
    Conflict,
    Impossible,
    Record,
    Versioned,
)
from paygate.storage.commit.committer import Committer, Connect, Connection
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.installation import install
from paygate.storage.records import Records
from paygate.storage.resealing import Resealing, tables
from paygate.storage.schema.migrate import migrate
from tests.making import new_id
from tests.storage.filled import KINDS, Planted, filled, planted
from tests.storage.loose import loosen
from tests.storage.stored import TABLE_OF

MARK: Final = "Zq7xKw93Vb52"
"""Around every planted text and byte string."""
EYES: Final = "Yp4nHd81Tc66"
"""Planted in clear, to be found; its numbers are these and not the records'."""
EYES_NUMBERS: Final = (61827459, 57392841, 48261953)

CLEAR: Final = {
    "payment_intent": {
        *("merchant", "id", "version", "status", "created_at", "updated_at"),
        *("reference_index", "customer", "money_seq", "provider_reference_index", "create_key"),
    },
    "customer": {
        *("merchant", "id", "version", "created_at", "updated_at"),
        *("erasure_began_at", "erased_at"),  # the schema lets what is theirs be overwritten
    },
    "ledger_transfer": {"merchant", "id", "intent", "money_seq", "posted_at"},
    "alert": {
        *("merchant", "id", "version", "status", "stands_as", "created_at", "updated_at"),
        "subject",  # a payment's timeline has its alerts
    },
    "alert_occurrence": {"merchant", "id", "version", "at"},
    "alert_notice": {
        *("merchant", "id", "version", "alert", "channel", "alert_version", "at", "next_at"),
    },
    "correction": {"merchant", "id", "intent", "intent_version", "from_status", "to_status", "at"},
    "attempt": {
        *("merchant", "id", "version", "intent", "number", "operation", "state"),
        *("first_sent_at", "updated_at", "close_at"),
    },
    "idempotency_key": {
        *("merchant", "id", "version", "state", "holder", "lease", "leased_until"),
        *("created_at", "updated_at"),
        "about",  # an erasure finds the responses about a payment
    },
    "provider_event": {
        *("merchant", "id", "version", "status", "reference_index", "received_at", "updated_at"),
        # A person looks for events by what, of what, its verdict and when; the last is a sweep's.
        *("type_index", "subject", "verdict", "provider_created_at", "replay_until"),
    },
    "api_key": {
        *("merchant", "id", "version", "secret_hash", "expires_at", "revoked_at"),
        *("created_at", "updated_at"),
    },
    "api_key_use": {"key", "last_used_at"},
    "provider_account": {"merchant", "id", "created_at"},
    "event": {"merchant", "id", "object_id", "created_at", "type", "written_in"},
    "webhook_endpoint": {"merchant", "id", "version", "status", "created_at", "updated_at"},
    "webhook_body": {"merchant", "id", "created_at"},
    "delivery": {
        *("merchant", "id", "version", "endpoint", "event", "status", "next_attempt_at"),
        *("created_at", "updated_at", "leased_until", "run"),
    },
    "webhook_cursor": {"merchant", "written_in", "event"},
    "webhook_pause": {"merchant", "endpoint", "paused_until", "failures"},
    "refund": {
        *("merchant", "id", "version", "intent", "state", "created_at", "updated_at"),
        *("last_sent_at", "approval_expires_at", "provider_reference_index"),
    },
    "dispute": {
        *("merchant", "id", "version", "intent", "status", "created_at", "updated_at"),
        # What is looked at by the clock: open ones, those with a deadline, those with an order.
        *("is_watched", "answer_due_at", "pending_operation", "provider_reference_index"),
    },
    # The dispute is asked whether it names the file.
    "dispute_file": {"merchant", "id", "version", "dispute", "created_at"},
    "reference_claim": {"merchant", "id", "version", "updated_at"},
    "provider_event_body": {"merchant", "id", "received_at"},
    "reconciliation": {
        *("merchant", "id", "version", "status", "running_as", "created_at", "updated_at"),
    },
    "reconciliation_finding": {
        *("merchant", "id", "reconciliation", "kind", "action", "created_at"),
        "payment_intent",  # of whose timeline it is a part
    },
    "settlement": {
        *("merchant", "id", "version", "status", "matching", "is_open"),
        *("created_at", "updated_at", "provider_reference_index"),
    },
    "settlement_page": {"merchant", "id", "version", "created_at"},
    "settlement_line": {"merchant", "id", "settlement", "page", "place", "fact", "suspect"},
    "settlement_withdrawn": {"merchant", "settlement", "page"},
    "settlement_match": {"merchant", "id", "settlement", "fact", "created_at"},
    "discrepancy": {
        *("merchant", "id", "version", "kind", "status", "created_at", "updated_at"),
        *("settlement", "payment_intent"),  # people look for those of one
    },
    "settlement_import": {
        *("merchant", "id", "version", "status", "content_hash", "created_at", "updated_at"),
    },
    "settlement_file": {"merchant", "id", "version", "created_at"},
    "account_transfer": {"merchant", "id", "settlement", "posted_at"},
    # An auditor asks for a subject, an action or a key. A person's name is none of them.
    "audit_entry": {"merchant", "id", "at", "subject", "action", "actor", "written_in"},
    # Keyed hashes, hashes of those, and signatures. A checkpoint and a verification are these too.
    "audit_seal": {
        *("number", "merchant", "entry", "at", "key", "format", "leaf", "hash", "signature"),
    },
    "audit_seal_disowned": {
        *("number", "merchant", "entry", "at", "key", "format", "leaf", "hash", "signature"),
        "disowned_at",
    },
    "audit_head": {
        *("one", "number", "hash", "written_in", "entry", "run", "leased_until"),
        *("checkpoint", "verified", "created_at", "turn"),
        *("proof", "proof_hash"),  # of a keyed hash that is shown once; the first is always null
    },
    "installation": {
        *("one", "id", "livemode", "created_at", "system_identifier", "timeline"),
        "counted_elsewhere",
    },
    "database_restore": {"noticed_at", "taken_at", "cause"},
    "merchant": {"id", "created_at"},
    "keyset": {"purpose", "wrapped", "generation", "created_at", "proof", "proof_hash"},
    "keyset_key": {"purpose", "key", "added_at", "promoted_at", "sealed_at", "retired_at"},
    "schema_migration": {"number", "name", "checksum", "applied_at"},
}
"""All that may be in clear: ids, states (an event's `type` is one), times, versions, numbers of
transactions (`written_in`, `counted_elsewhere`), and keyed hashes (`reference_index`,
`secret_hash`, `create_key`, the id of a key or a claim; a `holder` is a request's id). The queue's
tables hold a job's name and ids."""


class Needle(NamedTuple):
    """A value in one spelling."""

    what: str
    spelling: str
    written: bytes


def needles(mark: str, numbers: tuple[int, ...]) -> Iterator[Needle]:
    """Every spelling in which a mark or a number could have been written."""
    utf8 = mark.encode()
    yield Needle(mark, "utf-8", utf8)
    yield Needle(mark, "hex", utf8.hex().encode())
    yield Needle(mark, "HEX", utf8.hex().upper().encode())
    yield Needle(mark, "utf-16 little-endian", mark.encode("utf-16-le"))
    yield Needle(mark, "utf-16 big-endian", mark.encode("utf-16-be"))
    for offset in range(3):
        # For each way that it can be aligned, the characters that no neighbour touches.
        end = offset + len(utf8)
        coded = base64.b64encode(bytes(offset) + utf8 + bytes(-end % 3))
        yield Needle(mark, f"base64 at {offset}", coded[-(-offset * 8 // 6) : end * 8 // 6])
    for number in numbers:
        digits = str(number)
        yield Needle(digits, "decimal", digits.encode())
        yield Needle(digits, "decimal in hex", digits.encode().hex().encode())
        yield Needle(digits, "decimal in utf-16", digits.encode("utf-16-le"))
        yield Needle(digits, "msgpack", msgspec.msgpack.encode(number))
        yield Needle(digits, "msgpack in hex", msgspec.msgpack.encode(number).hex().encode())
        yield Needle(digits, "64 bits big-endian", number.to_bytes(8))
        yield Needle(digits, "64 bits little-endian", number.to_bytes(8, "little"))


NEEDLES: Final = tuple(needles(MARK, Planted.NUMBERS))
EYES_NEEDLES: Final = tuple(needles(EYES, EYES_NUMBERS))


def found_in(content: bytes, wanted: tuple[Needle, ...]) -> set[Needle]:
    return {needle for needle in wanted if needle.written in content}


def found_under(folder: Path, wanted: tuple[Needle, ...]) -> dict[Needle, list[str]]:
    """Which needles are in which of the folder's files."""
    found: dict[Needle, list[str]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        for needle in found_in(path.read_bytes(), wanted):
            found.setdefault(needle, []).append(str(path.relative_to(folder)))
    return found


class Stolen(NamedTuple):
    """What a thief has: a dump, the data directory, the log in it."""

    dump: bytes
    data: Path
    log: bytes


def records_in(folder: Path, installation: str) -> tuple[Records, dict[str, bytes]]:
    kms = FileKms.create(folder / "kek")
    wrapped = generate_keyring(kms, installation)
    keyring = load_keyring(kms, installation, wrapped)
    return Records(Sealer(keyring), BlindIndex(keyring)), wrapped


ADVANCED: Final[dict[type[Record], dict[str, object]]] = {
    PaymentIntent: {"status": Status.PROCESSING},
    Attempt: {"state": AttemptState.UNKNOWN},
    IdempotencyKey: {"state": KeyState.FINISHED},
    ProviderEvent: {"status": EventStatus.PROCESSED, "replay_until": None},
    ApiKey: {},
    Customer: {},
    ReferenceClaim: {},
    Refund: {"state": RefundState.UNKNOWN},
    Dispute: {"status": DisputeStatus.UNDER_REVIEW},
    Alert: {},
    Occurrence: {"alert": new_id("alert")},
    AlertNotice: {"alert_version": 2},
    WebhookEndpoint: {},
    Delivery: {},
    Reconciliation: {"status": RunStatus.COMPLETED},
    Settlement: {"matching": Matching.DISCREPANT},
    Discrepancy: {"status": DiscrepancyStatus.EXPLAINED},
    SettlementImport: {"status": ImportStatus.COMPLETED},
}


NEVER_ADVANCED: Final = (
    *(Event, Correction, ProviderEventBody, WebhookBody, EvidenceChunk),
    *(AccountTransfer, LinePage, FileChunk),
)
CLAIMED_ALONE: Final = (
    *(AuditEntry, ProviderEvent, ProviderAccount, Alert, AlertNotice),
    *(Reconciliation, Finding),
    *(Settlement, SettlementImport, Discrepancy, LineMatch),
)
"""A change claims one thing at most."""


async def live(door: Door) -> None:
    """Commits of every kind, advances, refusals and faults, all with planted values."""
    first: list[Versioned | Appended] = [
        planted(kind, MARK) for kind in KINDS if kind not in CLAIMED_ALONE
    ]
    event: ProviderEvent = planted(ProviderEvent, MARK)
    alert: Alert = planted(Alert, MARK)
    notice: AlertNotice = planted(AlertNotice, MARK)
    run: Reconciliation = planted(Reconciliation, MARK)
    settlement: Settlement = planted(Settlement, MARK)
    imported: SettlementImport = planted(SettlementImport, MARK)
    what: Found = filled(Found, Planted(MARK), payment_intent=new_id("payment_intent"))
    wrong: Discrepancy = planted(Discrepancy, MARK, what=what)
    ours = new_id("payment_intent")
    taken: Candidate = filled(
        Candidate, Planted(MARK), payment_intent=ours, refund=None, dispute=None
    )
    job = Job(ApplyProviderEvent(event.merchant, event.id))
    creates = [
        Change(planted(AuditEntry, MARK), creates=tuple(first)),
        Change(planted(AuditEntry, MARK), creates=(event,), jobs=(job,)),
        Change(planted(AuditEntry, MARK), creates=(alert,)),
        Change(planted(AuditEntry, MARK), creates=(run,)),
        Change(planted(AuditEntry, MARK), creates=(planted(Finding, MARK),)),
        Change(planted(AuditEntry, MARK), creates=(planted(ProviderAccount, MARK),)),
        Change(planted(AuditEntry, MARK), creates=(notice,)),
        Change(planted(AuditEntry, MARK), creates=(settlement,)),
        Change(planted(AuditEntry, MARK), creates=(imported,)),
        Change(planted(AuditEntry, MARK), creates=(wrong,)),
        Change(planted(AuditEntry, MARK), creates=(planted(LineMatch, MARK, taken=taken),)),
    ]
    for change in creates:
        assert await door.commit(change) == Committed()
    for record in (*first, event, alert, notice, run, settlement, imported, wrong):
        if isinstance(record, NEVER_ADVANCED):
            continue
        kept: dict[str, Any] = (
            {"intent": record.intent} if isinstance(record, Attempt | Refund | Dispute) else {}
        )
        if isinstance(record, Refund | Dispute):
            kept["created_at"] = record.created_at
        if isinstance(record, Delivery):
            kept = {"event": record.event}
        if isinstance(record, Settlement | Discrepancy):
            kept = {"created_at": record.created_at}
        if isinstance(record, Discrepancy):
            kept |= {"what": record.what, "settlement": record.settlement}
        after = planted(
            type(record), MARK, id=record.id, version=2, **ADVANCED[type(record)], **kept
        )
        advance = Change(planted(AuditEntry, MARK), advances=(after,))
        assert await door.commit(advance) == Committed()
        assert isinstance(await door.commit(advance), Conflict)
    intent = next(record for record in first if isinstance(record, PaymentIntent))
    paid = {"version": 3, "status": Status.SUCCEEDED, "money_seq": 1}
    number = Planted.NUMBERS[0]
    transfer = planted(
        Transfer,
        MARK,
        intent=intent.id,
        money_seq=1,
        entries=(Entry(Account.PROVIDER, number), Entry(Account.SALES, -number)),
    )
    moved = Change(
        planted(AuditEntry, MARK),
        creates=(transfer,),
        advances=(planted(PaymentIntent, MARK, id=intent.id, **paid),),
    )
    assert await door.commit(moved) == Committed()
    claimed = Change(planted(AuditEntry, MARK), creates=(planted(ProviderEvent, MARK),))
    assert isinstance(await door.commit(claimed), Conflict)
    twice = Change(planted(AuditEntry, MARK), creates=(first[0],))
    with pytest.raises(Impossible):
        await door.commit(twice)


async def seal_anew(connect: Connect, folder: Path, wrapped: dict[str, bytes]) -> None:
    """Every record under another key, as a rotation leaves it."""
    kms = FileKms.open(folder / "kek")
    keyset, key = add_key(kms, "in_test", Purpose.RECORDS, wrapped["records"])
    keyset = promote_key(kms, "in_test", Purpose.RECORDS, keyset, key)
    keyring = load_keyring(kms, "in_test", {**wrapped, "records": keyset})
    resealing = Resealing(connect, Records(Sealer(keyring), BlindIndex(keyring)))
    async with resealing.session() as session:
        for stored in tables():
            page = await session.page(stored, None)
            assert (await session.rewrite(stored, page.rows)).written == len(page.rows) > 0
    assert {count.key for count in await resealing.counts()} == {key}


async def plant_in_clear(connection: Connection) -> None:
    """What the search must find, each spelling as bytes and, where it is text, as text."""
    await connection.execute("CREATE TABLE scratch (bytes bytea, text text, number bigint)")
    # Twice: a page's end in the write-ahead log may cut one of them in two.
    for needle in (*EYES_NEEDLES, *EYES_NEEDLES):
        await connection.execute("INSERT INTO scratch (bytes) VALUES ($1)", needle.written)
        if needle.written.isalnum():
            text = needle.written.decode()
            await connection.execute("INSERT INTO scratch (text) VALUES ($1)", text)
    for number in EYES_NUMBERS:
        await connection.execute("INSERT INTO scratch (number) VALUES ($1)", number)


async def fail_aloud(connection: Connection) -> None:
    """Errors that a server could log with the statement, a parameter or the failing row."""
    for statement, arguments in (
        ("SELECT $1::text::int", (MARK,)),
        (f"SELECT '{MARK}'::int", ()),
        (f"SELECT nothing FROM nowhere -- {MARK}", ()),
        ("INSERT INTO idempotency_key (state) VALUES ($1)", (MARK,)),
    ):
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute(statement, *arguments)


def dump_of(dsn: str) -> bytes:
    return subprocess.run([binaries() / "pg_dump", dsn], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
async def stolen(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stolen]:
    """The server lives a little, and its keys are rotated; then its files are taken as they are."""
    folder = tmp_path_factory.mktemp("stolen")
    data = folder / "postgres"
    server = await asyncio.to_thread(EmbeddedPostgres.start, data)
    try:
        connect = connector(server.dsn, name="thief's victim")
        await migrate(connect)
        records, wrapped = records_in(folder, "in_test")
        await install(connect, installation_id="in_test", livemode=True, keysets=lambda _: wrapped)
        by_hand = await connect()
        await loosen(by_hand)
        await by_hand.close()
        committer = Committer(connect)
        await committer.open()
        await live(Door(records, committer))
        await committer.close()
        await seal_anew(connect, folder, wrapped)
        connection = await asyncpg.connect(server.dsn)
        await plant_in_clear(connection)
        await connection.execute("CHECKPOINT")
        dump = await asyncio.to_thread(dump_of, server.dsn)
        await fail_aloud(connection)
        await connection.close()
        yield Stolen(dump, data, place(data).log.read_bytes())
    finally:
        server.stop(immediate=True)


def test_the_search_sees_what_is_in_clear(stolen: Stolen) -> None:
    """In the dump as PostgreSQL spells bytes, in the heap, and in the write-ahead log."""
    files = found_under(stolen.data, EYES_NEEDLES)
    for needle in EYES_NEEDLES:
        assert needle.written in stolen.dump or needle.written.hex().encode() in stolen.dump
        where = [Path(name).parts for name in files[needle]]
        assert any("base" in parts for parts in where), needle
        assert any("pg_wal" in parts for parts in where), needle
    texts = {needle.spelling for needle in found_in(stolen.dump, EYES_NEEDLES)}
    assert {"utf-8", "hex", "decimal", "msgpack in hex", "base64 at 0"} <= texts


def test_the_rows_are_there(stolen: Stolen) -> None:
    """Nothing is found of what was never written."""
    for table in TABLE_OF.values():
        # A month's rows are those of its table.
        copied = re.split(rf"COPY public\.{table.name}(?:_[0-9_]+)? \(".encode(), stolen.dump)[1:]
        assert any(part.split(b"\n\\.\n")[0].count(b"\n") for part in copied), table.name
    assert b"ready to accept connections" in stolen.log


def test_a_dump_shows_nothing(stolen: Stolen) -> None:
    assert found_in(stolen.dump, NEEDLES) == set()


def test_the_files_show_nothing(stolen: Stolen) -> None:
    """Heap, indexes, TOAST, write-ahead log, statistics, and the log beside them."""
    names = {path.name for path in stolen.data.rglob("*")}
    assert {"cluster", "base", "pg_wal", "postgres.log"} <= names
    assert found_under(stolen.data, NEEDLES) == {}


def test_the_log_shows_nothing(stolen: Stolen) -> None:
    assert found_in(stolen.log, NEEDLES) == set()


async def test_what_stands_in_clear_is_listed(database: str) -> None:
    """A column added later is sealed, or it is put on this list by someone who has thought."""
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns"
        " JOIN pg_class ON oid = format('%I.%I', table_schema, table_name)::regclass"
        " WHERE table_schema = 'public' AND table_name NOT LIKE 'pgqueuer%' AND NOT relispartition"
    )
    await connection.close()
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["table_name"], set()).add(row["column_name"])
    assert {table: columns - {"sealed"} for table, columns in found.items()} == CLEAR
