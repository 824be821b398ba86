"""Settings to the assembled parts. Nothing else builds the house."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from paygate import __version__
from paygate.alert_channels import AppriseChannel
from paygate.checkpoints import CheckpointAddress, CheckpointFile
from paygate.crypto.audit_keys import AuditKeys
from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.callback_states import CallbackStates
from paygate.crypto.credentials import CredentialHasher
from paygate.crypto.keyring import check_keysets, generate_keyring
from paygate.crypto.kms import Kms, open_kms
from paygate.crypto.proofs import Proofs
from paygate.crypto.seal import Sealer
from paygate.crypto.secret import Secret
from paygate.documents.inspect import Documents
from paygate.domain.addresses import Reach
from paygate.domain.ids import RANDOM_BYTES, make_id
from paygate.domain.warning import WarningCode
from paygate.egress.client import Egress
from paygate.flows.context import CheckpointPlace, Context, Policy
from paygate.flows.provider.pace import PART, Pace, shared
from paygate.flows.provider.watch import look_at_provider, watcher
from paygate.flows.provider_events.answers_under_way import AnswersUnderWay
from paygate.flows.restores.after_restore import AfterRestore
from paygate.providers.contract import CallWatch
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.rehearsal import SandboxEvents
from paygate.providers.stripe.settings import StripeSettings, livemode_of
from paygate.providers.stripe.webhook_endpoints import StripeWebhookEndpoints
from paygate.setting_kinds import Rate
from paygate.settings import Settings, SettingsError
from paygate.storage.access.api_key_use import ApiKeyUse
from paygate.storage.access.merchants import Merchants
from paygate.storage.audit_chain import AuditChain
from paygate.storage.audit_log import AuditLog
from paygate.storage.audit_seals import AuditSeals, Turn
from paygate.storage.commit.committer import Committer
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.connections.reach import reaching
from paygate.storage.connections.session import Connect
from paygate.storage.dispute_files import DisputeFiles
from paygate.storage.disputes import DisputeReader
from paygate.storage.door import Door
from paygate.storage.erasure import Erasure
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.installation import (
    DEFAULT_MERCHANT,
    Installation,
    install,
    read_installation,
    stored_keysets,
)
from paygate.storage.keyring_keeper import KeyringKeeper
from paygate.storage.keysets import Keysets, Loaded
from paygate.storage.reader import Reader
from paygate.storage.reconciliations import Reconciliations
from paygate.storage.records import Records
from paygate.storage.refunds import RefundReader
from paygate.storage.rehashing import Rehashing
from paygate.storage.resealing import Resealing
from paygate.storage.restores import Restores, notice_restore
from paygate.storage.retention import Retention
from paygate.storage.schema.application import grant_rights, make_role, role_of
from paygate.storage.schema.migrate import Tell, migrate
from paygate.storage.schema.taking_out import detach_months, disown_seals
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

if TYPE_CHECKING:
    from paygate.storage.limits_store import LimitsStore

RANDOM_PAGE_BYTES: Final = 4096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
START_ASK_SECONDS: Final = 2.0
"""For one try: a provider that is away holds up no start."""


def now() -> datetime:
    """The world's clock, to the millisecond: what is stored is what the wire shows."""
    return _moment(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)  # a request asks some ten times, and others at the same moment
def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def connect(settings: Settings, *, name: str) -> Connect:
    """How this process connects to its database."""
    return connector(settings.require("database_url"), name=f"paygate {name}")


def _reach(settings: Settings, *, name: str, owner: bool = False) -> Connect:
    """How a process makes its first connection: a fault is told as one to whoever started it.
    `owner`: with the rights of the tables' owner, where that is another role.
    """
    dsn = settings.require("database_url")
    if owner and settings.owner_database_url is not None:
        dsn = settings.owner_database_url
    return reaching(connector(dsn, name=f"paygate {name}"), dsn)


async def prepare_database(settings: Settings, tell: Tell = lambda _: None) -> list[str]:
    """Migrate, and make the installation if there is none. Returns the migrations applied; what it
    does, and whom it waits for, is told.

    Raises:
        KeyringError: the keys that are there do not open; the database is as it was. A keyset that
            is new in this version would be wrapped under a KEK that is not the others'.
    """
    livemode = _livemode(settings)
    kms = _kms(settings)
    dial = _reach(settings, name="migrate", owner=True)
    role = await role_of(_reach(settings, name="migrate"))
    there = await stored_keysets(dial)
    if there is not None:
        await asyncio.to_thread(check_keysets, kms, *there)
    applied = await migrate(dial, tell=tell)
    new_id = make_id("in_", int(now().timestamp() * 1000), secrets.token_bytes(RANDOM_BYTES))
    installation = await install(
        dial,
        installation_id=new_id,
        livemode=livemode,
        keysets=lambda installation: generate_keyring(kms, installation),
    )
    if installation.id == new_id:
        tell(
            f"made installation {new_id}, for {'live' if livemode else 'test'} payments,"
            f" with its keys and merchant {DEFAULT_MERCHANT}"
        )
    keysets = Keysets(dial, kms, installation.id)
    await keysets.ask_for_proofs(await keysets.load())
    if await grant_rights(dial, role):
        await read_installation(_reach(settings, name="migrate"), livemode=livemode)
    return applied


async def detach_audit_months(
    settings: Settings, months: Sequence[str], tell: Tell = lambda _: None
) -> None:
    """Take months out of the audit log, as the tables' owner. Raises MigrationError."""
    dial = _reach(settings, name="migrate", owner=True)
    await detach_months(dial, "audit_entry", months, tell=tell)


async def disown_audit_seals(
    settings: Settings, kept: int, seen: int, turn: Turn, tell: Tell = lambda _: None
) -> int:
    """Take seals out of the audit log, as the tables' owner. Raises MigrationError."""
    dial = _reach(settings, name="migrate", owner=True)
    return await disown_seals(dial, kept, seen, *turn, tell=tell)


async def make_application_role(settings: Settings) -> None:
    """Make the role of `PAYGATE_DATABASE_URL`, which has no password, in a server of our own."""
    role = urlsplit(settings.require("database_url")).username
    assert role is not None, "we wrote the address"
    await make_role(_reach(settings, name="migrate", owner=True), role)


async def check(settings: Settings) -> None:
    """Raises what would stop every process of this installation, before any is started."""
    check_alert_channels(settings)
    async with open_service(settings, name="check"):
        pass


def check_alert_channels(settings: Settings) -> None:
    """Raises SettingsError, which names the channel and not its URL, when alerts cannot leave by
    one.
    """
    for channel in _alert_channels(settings):
        try:
            channel.check()
        except ValueError as error:
            raise SettingsError(f"PAYGATE_ALERT_URLS: {error}") from None


@asynccontextmanager
async def open_service(settings: Settings, *, name: str) -> AsyncIterator[Context]:
    """The parts of a process that is to take or work on payments.

    Raises:
        SettingsError: the provider says that our key is of another account than the one that this
            installation's payments are at. A provider that cannot be asked stops nothing.
    """
    async with open_context(settings, name=name) as ctx:
        # Said and done of a start, and not of one that is refused: that is one line.
        if await notice_restore(_reach(settings, name=name), now()):
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
    installation, keysets, loaded = await _unlock(settings, name)
    keyring = loaded.keyring
    store = _limits_store(settings)
    pace = _pace(settings, store, livemode=installation.livemode)
    provider = _provider(settings, installation, pace)
    index = BlindIndex(keyring)
    sealer = Sealer(keyring)
    records = Records(sealer, index)
    keysets.bind(records)
    committer = Committer(dial)
    keeper = KeyringKeeper(
        connect(settings, name=f"{name} keyring"),
        keysets,
        loaded,
        records.turn_to,
        committer.drained,
    )
    dsn = settings.require("database_url")
    pool = open_pool(dsn, name=f"paygate {name}")
    searches = open_pool(dsn, name=f"paygate {name} searches", plan_each=True)
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
            index=index,
            callback_states=CallbackStates(keyring),
            policy=_policy(settings),
            pace=pace,
            answers=AnswersUnderWay(),
            reconciliations=Reconciliations(pool, searches, records),
            sole_runs=SoleRuns(connect(settings, name=f"{name} jobs")),
            installation=installation.id,
            now=clock,
            random_bytes=Randomness(),
            alert_channels=_alert_channels(settings),
            checkpoints=_checkpoints(settings, egress),
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


async def open_records(settings: Settings) -> Records:
    """What seals and opens this installation's records, for tools that need nothing else."""
    _, _, loaded = await _unlock(settings, "records")
    return Records(Sealer(loaded.keyring), BlindIndex(loaded.keyring))


async def _unlock(settings: Settings, name: str) -> tuple[Installation, Keysets, Loaded]:
    installation = await read_installation(
        _reach(settings, name=name), livemode=_livemode(settings)
    )
    keysets = Keysets(connect(settings, name=name), _kms(settings), installation.id)
    return installation, keysets, await keysets.load()


def _kms(settings: Settings) -> Kms:
    kms = open_kms(settings.require("kek"))
    if settings.environment == "production" and kms.is_development:
        raise SettingsError(
            "production refuses the key-encryption key that `paygate up` made: PAYGATE_KEK (make"
            " one with `paygate keys create-kek`)"
        )
    return kms


@asynccontextmanager
async def open_webhook_endpoints(settings: Settings) -> AsyncIterator[StripeWebhookEndpoints]:
    """The endpoints at the provider that this installation's events go to."""
    try:
        endpoints = StripeWebhookEndpoints(
            settings.stripe_api_base,
            Secret(settings.require("stripe_api_key")),
            timeout_seconds=settings.provider_timeout.total_seconds(),
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None
    try:
        yield endpoints
    finally:
        await endpoints.close()


def _alert_channels(settings: Settings) -> tuple[AppriseChannel, ...]:
    numbered = enumerate(settings.alert_urls, start=1)
    return tuple(AppriseChannel(number, Secret(url)) for number, url in numbered)


def _checkpoints(settings: Settings, egress: Egress) -> CheckpointPlace | None:
    place = settings.audit_checkpoints
    if place is None:
        return None
    return CheckpointFile(place) if isinstance(place, Path) else CheckpointAddress(place, egress)


@asynccontextmanager
async def open_sandbox_events(settings: Settings) -> AsyncIterator[SandboxEvents]:
    """The events that the sandbox sends for rehearsal."""
    try:
        events = SandboxEvents(settings.stripe_api_base)
    except ValueError as error:
        raise SettingsError(f"PAYGATE_STRIPE_API_BASE: {error}") from None
    try:
        yield events
    finally:
        await events.close()


def _livemode(settings: Settings) -> bool:
    """The mode is the provider key's."""
    try:
        return livemode_of(Secret(settings.require("stripe_api_key")))
    except ValueError as error:
        raise SettingsError(f"PAYGATE_STRIPE_API_KEY: {error}") from None


def _policy(settings: Settings) -> Policy:
    production = settings.environment == "production"
    return Policy(
        max_amount=settings.max_amount,
        provider_timeout_seconds=settings.provider_timeout.total_seconds(),
        intent_ttl=settings.intent_ttl,
        idempotency_ttl=settings.idempotency_ttl,
        lock_ttl=settings.lock_ttl,
        authentication_ttl=settings.authentication_ttl,
        bank_transfer_ttl=settings.bank_transfer_ttl,
        resend_window=settings.resend_window,
        production=production,
        support_refund_limit=settings.support_refund_limit,
        refund_approval_above=settings.refund_approval_above,
        events_kept=settings.retention_events,
        audit_kept=settings.retention_audit,
        exclusive_account=settings.exclusive_account,
        numeric_references=settings.numeric_references,
        settlement_window=settings.settlement_window,
        fee_rules=settings.fee_rules,
        public_url=settings.public_url,
        # In production a host that is not named is refused; so all are, where none is named.
        return_url_hosts=settings.return_url_hosts or (() if production else None),
    )


def provider_rate(settings: Settings, *, livemode: bool) -> Rate:
    """How often the provider may be asked: four fifths of what Stripe takes of an account in live
    mode, and in test mode (https://docs.stripe.com/rate-limits), unless it was set.
    """
    return settings.provider_rate or Rate(80 if livemode else 20, 1)


def reach_of(settings: Settings) -> Reach:
    """Which addresses merchants and operators may have requests sent to."""
    return Reach(
        private=settings.webhook_allowed_networks,
        loopback=settings.environment == "development",
    )


def _pace(settings: Settings, store: "LimitsStore | None", *, livemode: bool) -> Pace:
    """The turns of what nobody waits for; of all nodes together, where they share counts."""
    rate = provider_rate(settings, livemode=livemode)
    budget = None if store is None else shared(store, rate.amount, rate.seconds)
    return Pace(rate.amount / rate.seconds / PART, budget)


def _limits_store(settings: Settings) -> "LimitsStore | None":
    if settings.limits_url.startswith("memory:"):
        return None
    # A tenth of a second of imports, for the few who share their counts.
    from paygate.storage.limits_store import LimitsStore  # noqa: PLC0415

    return LimitsStore(settings.limits_url)


def _provider(settings: Settings, installation: Installation, watch: CallWatch) -> StripeProvider:
    try:
        return StripeProvider(
            StripeSettings(
                api_base=settings.stripe_api_base,
                api_key=Secret(settings.require("stripe_api_key")),
                webhook_secrets=tuple(
                    Secret(text) for text in settings.require_list("stripe_webhook_secrets")
                ),
                installation=installation.id,
                webhook_tolerance_seconds=int(settings.webhook_tolerance.total_seconds()),
            ),
            clock=now,  # the machine's own, whatever time a command plays
            watch=watch,
        )
    except ValueError as error:
        raise SettingsError(str(error)) from None


class Randomness:
    """The system's randomness, fetched a page at a time: a request draws several times."""

    def __init__(self) -> None:
        self._page = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes; none is given twice."""
        if self._at + size > len(self._page):
            self._page, self._at = secrets.token_bytes(max(size, RANDOM_PAGE_BYTES)), 0
        start, self._at = self._at, self._at + size
        return self._page[start : self._at]
