"""A world of its own for every test: a fresh database, a scripted provider, a still clock."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from paygate.crypto.audit_keys import AuditKeys
from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.callback_states import CallbackStates
from paygate.crypto.credentials import CredentialHasher
from paygate.crypto.keyring import generate_keyring, load_keyring
from paygate.crypto.kms import FileKms
from paygate.crypto.proofs import Proofs
from paygate.crypto.seal import Sealer
from paygate.documents.inspect import Documents
from paygate.domain.addresses import Reach
from paygate.egress.client import Egress
from paygate.flows.context import Context, Policy
from paygate.flows.provider.pace import Pace
from paygate.flows.provider_events.answers_under_way import AnswersUnderWay
from paygate.flows.restores.after_restore import AfterRestore
from paygate.storage.access.api_key_use import ApiKeyUse
from paygate.storage.access.merchants import Merchants
from paygate.storage.audit_chain import AuditChain
from paygate.storage.audit_log import AuditLog
from paygate.storage.audit_seals import AuditSeals
from paygate.storage.blocks import QUERIES
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.dispute_files import DisputeFiles
from paygate.storage.disputes import DisputeReader
from paygate.storage.door import Door
from paygate.storage.erasure import Erasure
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.keysets import Keysets
from paygate.storage.reader import Reader
from paygate.storage.reconciliations import Reconciliations
from paygate.storage.records import Records
from paygate.storage.refunds import RefundReader
from paygate.storage.rehashing import Rehashing
from paygate.storage.resealing import Resealing
from paygate.storage.restores import Restores
from paygate.storage.retention import Retention
from paygate.storage.settlements.facts import SettlementFacts
from paygate.storage.settlements.imports import SettlementImports
from paygate.storage.settlements.pages import SettlementPages
from paygate.storage.settlements.reader import SettlementReader
from paygate.storage.sole_run import SoleRuns
from paygate.storage.timelines import Timelines
from paygate.storage.webhooks.outbox import Outbox
from paygate.storage.webhooks.reader import WebhookReader
from paygate.storage.whole_ledger import WholeLedger
from paygate.storage.whole_tables import WholeTables
from tests.flows.world import INSTALLATION, WAITS_SECONDS, Clock, ScriptedProvider, World


@pytest.fixture
async def world(
    database: str, connect: Callable[[], Awaitable[Connection]], tmp_path: Path
) -> AsyncIterator[World]:
    kms = FileKms.create(tmp_path / "kek")
    wrapped = generate_keyring(kms, INSTALLATION)
    keyring = load_keyring(kms, INSTALLATION, wrapped)
    keysets = Keysets(connector(database, name="paygate keysets"), kms, INSTALLATION)
    records = Records(Sealer(keyring), BlindIndex(keyring))
    keysets.bind(records)
    committer = Committer(connector(database, name="paygate flows"))
    await committer.open()
    pool = open_pool(database, name="paygate flows")
    keys = IdempotencyKeys(connector(database, name="paygate keys"), pool, records)
    key_use = ApiKeyUse(pool)
    provider, clock = ScriptedProvider(), Clock()
    restores = Restores(pool)
    egress = Egress(Reach(loopback=True), user_agent="paygate")
    ctx = Context(
        door=Door(records, committer),
        read=Reader(pool, pool, records),
        refunds=RefundReader(pool, pool, records),
        disputes=DisputeReader(pool, pool, records),
        dispute_files=DisputeFiles(pool, records),
        settlements=SettlementReader(pool, pool, records),
        settlement_pages=SettlementPages(pool, pool, records),
        settlement_facts=SettlementFacts(pool, pool, records),
        settlement_imports=SettlementImports(pool, pool, records),
        whole_tables=WholeTables(pool, pool, records),
        documents=Documents(),
        reconciliations=Reconciliations(pool, pool, records),
        audit_log=AuditLog(pool, pool, records),
        audit_seals=AuditSeals(pool, pool, records, Proofs(keyring)),
        audit_chain=AuditChain(connector(database, name="paygate audit"), records),
        audit_keys=AuditKeys(keyring),
        timelines=Timelines(pool, pool, records),
        ledger=WholeLedger(connector(database, name="paygate ledger"), records),
        keys=keys,
        merchants=Merchants(pool, records),
        key_use=key_use,
        provider=provider,
        webhooks=WebhookReader(pool, pool, records),
        outbox=Outbox(pool, records),
        egress=egress,
        restores=restores,
        retention=Retention(pool),
        erasure=Erasure(pool, pool, records),
        keysets=keysets,
        resealing=Resealing(connector(database, name="paygate resealing"), records),
        rehashing=Rehashing(connector(database, name="paygate rehashing"), records),
        after_restore=AfterRestore(restores, provider, INSTALLATION),
        hasher=CredentialHasher(keyring),
        index=records.index,
        callback_states=CallbackStates(keyring),
        policy=Policy(
            max_amount=99_999_999,
            provider_timeout_seconds=30.0,
            intent_ttl=timedelta(hours=24),
            idempotency_ttl=timedelta(hours=24),
            lock_ttl=timedelta(seconds=30),
            authentication_ttl=timedelta(hours=1),
            bank_transfer_ttl=timedelta(days=14),
            resend_window=timedelta(minutes=2),
        ),
        pace=Pace(10_000),
        answers=AnswersUnderWay(waits_seconds=WAITS_SECONDS),
        sole_runs=SoleRuns(connector(database, name="paygate jobs")),
        installation=INSTALLATION,
        now=clock,
        random_bytes=random.Random(20261124).randbytes,
    )
    connection = await connect()
    await connection.execute("INSERT INTO merchant (id) VALUES ('default')")
    await connection.executemany(QUERIES["add_keyset"], list(wrapped.items()))
    yield World(ctx, provider, clock, records, connection)
    await egress.close()
    await key_use.close()
    await committer.close()
    await keys.close()
    pool.close()
