"""The parts of a process, for as long as it needs them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from paygate import __version__
from paygate.crypto.audit_keys import AuditKeys
from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.callback_states import CallbackStates
from paygate.crypto.credentials import CredentialHasher
from paygate.crypto.proofs import Proofs
from paygate.crypto.seal import Sealer
from paygate.documents.inspect import Documents
from paygate.domain.warning import WarningCode
from paygate.egress.client import Egress
from paygate.flows.context import Context
from paygate.flows.provider.watch import look_at_provider, watcher
from paygate.flows.provider_events.answers_under_way import AnswersUnderWay
from paygate.flows.restores.after_restore import AfterRestore
from paygate.settings import Settings, SettingsError
from paygate.storage.access.api_key_use import ApiKeyUse
from paygate.storage.access.merchants import Merchants
from paygate.storage.audit_chain import AuditChain
from paygate.storage.audit_log import AuditLog
from paygate.storage.audit_seals import AuditSeals
from paygate.storage.commit.committer import Committer
from paygate.storage.connections.pool import open_pool
from paygate.storage.dispute_files import DisputeFiles
from paygate.storage.disputes import DisputeReader
from paygate.storage.door import Door
from paygate.storage.erasure import Erasure
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.keyring_keeper import KeyringKeeper
from paygate.storage.reader import Reader
from paygate.storage.reconciliations import Reconciliations
from paygate.storage.records import Records
from paygate.storage.refunds import RefundReader
from paygate.storage.rehashing import Rehashing
from paygate.storage.resealing import Resealing
from paygate.storage.restores import Restores, notice_restore
from paygate.storage.retention import Retention
from paygate.storage.retired_keys import RetiredKeys
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
from paygate.telemetry import log
from paygate.wiring.alerts import alert_channels, check_alert_channels, checkpoints_of
from paygate.wiring.database import connect, reach
from paygate.wiring.keys import unlock
from paygate.wiring.machine import Randomness, now
from paygate.wiring.policy import policy_of, reach_of
from paygate.wiring.provider import limits_store, pace_of, provider_of

START_ASK_SECONDS: Final = 2.0
"""For one try: a provider that is away holds up no start."""


async def check(settings: Settings) -> None:
    """Raises what would stop every process of this installation, before any is started."""
    check_alert_channels(settings)
    async with open_service(settings, name="check"):
        pass


@asynccontextmanager
async def open_service(settings: Settings, *, name: str) -> AsyncIterator[Context]:
    """The parts of a process that is to take or work on payments.

    Raises:
        SettingsError: the provider says that our key is of another account than the one that this
            installation's payments are at. A provider that cannot be asked stops nothing.
    """
    async with open_context(settings, name=name) as ctx:
        # Said and done of a start, and not of one that is refused: that is one line.
        if await notice_restore(reach(settings, name=name), now()):
            log.logger().warning("restore_noticed")
        if settings.environment == "production" and settings.require("kek").startswith("file:"):
            log.logger().warning("kek_in_a_file")
        asked = await look_at_provider(
            ctx, watcher(f"start {name}"), timeout_seconds=START_ASK_SECONDS
        )
        if asked.account is not None and asked.account.code is WarningCode.ACCOUNT_CHANGED:
            raise SettingsError(
                "PAYGATE_STRIPE_API_KEY is of another account than the one that this"
                " installation's payments are at: set that one's key, or use another database"
            )
        for warned in asked.warnings:
            log.logger().warning("provider_warning", reason=warned.code)
        yield ctx


@asynccontextmanager
async def open_context(
    settings: Settings, *, name: str, clock: Callable[[], datetime] = now
) -> AsyncIterator[Context]:
    """The parts of one process, for as long as it needs them."""
    dial = connect(settings, name=name)
    installation, keysets, loaded = await unlock(settings, name)
    keyring = loaded.keyring
    store = limits_store(settings)
    pace = pace_of(settings, store, livemode=installation.livemode)
    provider = provider_of(settings, installation, pace)
    sealer = Sealer(keyring)
    records = Records(sealer, BlindIndex(keyring))
    keysets.bind(records)
    retired = RetiredKeys(records)
    committer = Committer(dial, fence=retired)
    keeper = KeyringKeeper(
        connect(settings, name=f"{name} keyring"),
        keysets,
        loaded,
        records.turn_to,
        committer.drained,
    )
    dsn = settings.require("database_url")
    pool = open_pool(dsn, name=f"paygate {name}", guarded=retired.guarded)
    searches = open_pool(
        dsn, name=f"paygate {name} searches", plan_each=True, guarded=retired.guarded
    )
    keys = IdempotencyKeys(connect(settings, name=f"{name} keys"), pool, records)
    await committer.open()
    sealer.look_again = keeper.look_again
    key_use = ApiKeyUse(pool)
    restores = Restores(pool)
    after_restore = AfterRestore(restores, provider, installation.id)
    egress = Egress(reach_of(settings), user_agent=f"paygate/{__version__}")
    try:
        await keeper.open()
        yield Context(
            door=Door(records, committer),
            read=Reader(pool, searches, records),
            audit_log=AuditLog(pool, searches, records),
            audit_seals=AuditSeals(pool, searches, records, Proofs(keyring)),
            audit_chain=AuditChain(connect(settings, name=f"{name} audit"), records),
            audit_keys=AuditKeys(keyring),
            timelines=Timelines(pool, searches, records),
            refunds=RefundReader(pool, searches, records),
            disputes=DisputeReader(pool, searches, records),
            dispute_files=DisputeFiles(pool, records),
            settlements=SettlementReader(pool, searches, records),
            settlement_pages=SettlementPages(pool, searches, records),
            settlement_facts=SettlementFacts(pool, searches, records),
            settlement_imports=SettlementImports(pool, searches, records),
            whole_tables=WholeTables(pool, searches, records),
            documents=Documents(),
            ledger=WholeLedger(connect(settings, name=f"{name} ledger"), records),
            keys=keys,
            merchants=Merchants(pool, records),
            key_use=key_use,
            provider=provider,
            webhooks=WebhookReader(pool, searches, records),
            outbox=Outbox(pool, records),
            egress=egress,
            restores=restores,
            retention=Retention(searches),
            erasure=Erasure(pool, searches, records),
            keysets=keysets,
            resealing=Resealing(connect(settings, name=f"{name} resealing"), records),
            rehashing=Rehashing(connect(settings, name=f"{name} rehashing"), records),
            after_restore=after_restore,
            hasher=CredentialHasher(keyring),
            index=records.index,
            callback_states=CallbackStates(keyring),
            policy=policy_of(settings),
            pace=pace,
            answers=AnswersUnderWay(),
            reconciliations=Reconciliations(pool, searches, records),
            sole_runs=SoleRuns(connect(settings, name=f"{name} jobs")),
            installation=installation.id,
            now=clock,
            random_bytes=Randomness(),
            alert_channels=alert_channels(settings),
            checkpoints=checkpoints_of(settings, egress),
        )
    finally:
        await egress.close()
        await after_restore.close()
        await key_use.close()
        await committer.close()
        await keeper.close()
        await keys.close()
        searches.close()
        pool.close()
        await provider.close()
        await pace.close()
        if store is not None:
            await store.close()
