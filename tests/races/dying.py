"""A process that runs one flow and is killed at its n-th step: before and after each commit, each
read and each effect at the provider, whose books are a file of its own.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from paygate.crypto.audit_keys import AuditKeys
from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.callback_states import CallbackState, CallbackStates
from paygate.crypto.credentials import CredentialHasher
from paygate.crypto.keyring import load_keyring
from paygate.crypto.kms import open_kms
from paygate.crypto.proofs import Proofs
from paygate.crypto.seal import Sealer
from paygate.documents.inspect import Documents
from paygate.domain.access.roles import Action, Actor, Caller, Role
from paygate.domain.addresses import Reach
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import Approved
from paygate.domain.payments.payment_method import CardToken, PushTransfer
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.egress.client import Egress
from paygate.flows.context import Context, Policy
from paygate.flows.idempotency.keyed_door import Flow, KeyedRequest
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.payments.attach import attach_payment_method
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.capture import capture_payment_intent
from paygate.flows.payments.complete_authentication import complete_authentication
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.provider.pace import Pace
from paygate.flows.provider_events.answers_under_way import AnswersUnderWay
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.flows.provider_events.receive import receive_provider_event
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.restores.after_restore import AfterRestore
from paygate.jobs.messages import ApplyProviderEvent
from paygate.providers.contract import ConfirmOrder
from paygate.storage.access.api_key_use import ApiKeyUse
from paygate.storage.access.merchants import Merchants
from paygate.storage.audit_chain import AuditChain
from paygate.storage.audit_log import AuditLog
from paygate.storage.audit_seals import AuditSeals
from paygate.storage.change import Change, Verdict
from paygate.storage.commit.committer import Committer
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
from tests.flows.world import INSTALLATION, REQUEST, WAITS_SECONDS, encode, notice
from tests.races.durable_provider import AMOUNT, CARD, FileProvider, Steps

CALLER = Caller(Actor("api_key", id="key_1", role=Role.ADMIN), "default", request_id="req_1")
ATTACH = CardToken("tok_attached")
REVIEWED = Confirmation(return_url="https://shop.example/done")
ORDER = NewPaymentIntent(amount=AMOUNT, currency="eur", reference="order-1", unique_reference=True)
REFUNDED = 500
TRANSFER = Confirmation(instrument=PushTransfer("DE"))


class Setting(msgspec.Struct, frozen=True):
    """What a child process is told."""

    dsn: str
    folder: str
    wrapped: Mapping[str, bytes]
    flow: str
    intent: str = ""
    first: str = "captured"
    """What a confirm is at the provider, at first."""


class SteppedDoor:
    """The door, with a step on either side of a commit."""

    def __init__(self, door: Door, steps: Steps) -> None:
        self.door = door
        self.steps = steps

    async def commit(self, change: Change) -> Verdict:
        self.steps.step()
        verdict = await self.door.commit(change)
        self.steps.step()
        return verdict


@asynccontextmanager
async def opened(setting: Setting, steps: Steps) -> AsyncIterator[Context]:
    """A whole context, as one process has it."""
    folder = Path(setting.folder)
    kms = open_kms((folder / "kek").as_uri())
    keyring = load_keyring(kms, INSTALLATION, setting.wrapped)
    index = BlindIndex(keyring)
    records = Records(Sealer(keyring), index)
    committer = Committer(connector(setting.dsn, name="dying"))
    await committer.open()
    pool = open_pool(setting.dsn, name="dying")
    keys = IdempotencyKeys(connector(setting.dsn, name="dying keys"), pool, records)
    provider = FileProvider(folder, steps, first=setting.first)
    restores = Restores(pool)
    try:
        yield Context(
            door=SteppedDoor(Door(records, committer), steps),
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
            audit_chain=AuditChain(connector(setting.dsn, name="dying audit"), records),
            audit_keys=AuditKeys(keyring),
            timelines=Timelines(pool, pool, records),
            ledger=WholeLedger(connector(setting.dsn, name="dying ledger"), records),
            keys=keys,
            merchants=Merchants(pool, records),
            key_use=ApiKeyUse(pool),
            provider=provider,
            webhooks=WebhookReader(pool, pool, records),
            outbox=Outbox(pool, records),
            egress=Egress(Reach(), user_agent="paygate"),
            restores=restores,
            retention=Retention(pool),
            erasure=Erasure(pool, pool, records),
            keysets=Keysets(connector(setting.dsn, name="dying keysets"), kms, INSTALLATION),
            resealing=Resealing(connector(setting.dsn, name="dying resealing"), records),
            rehashing=Rehashing(connector(setting.dsn, name="dying rehashing"), records),
            after_restore=AfterRestore(restores, provider, INSTALLATION),
            hasher=CredentialHasher(keyring),
            index=index,
            callback_states=CallbackStates(keyring),
            policy=Policy(
                max_amount=99_999_999,
                provider_timeout_seconds=30.0,
                resend_window=timedelta(minutes=2),
                intent_ttl=timedelta(hours=24),
                idempotency_ttl=timedelta(hours=24),
                lock_ttl=timedelta(milliseconds=300),
                authentication_ttl=timedelta(0 if setting.flow == "overdue" else 1),
                bank_transfer_ttl=timedelta(days=14),
            ),
            pace=Pace(10_000),
            answers=AnswersUnderWay(
                waits_seconds=(60.0,) if setting.flow == "held" else WAITS_SECONDS
            ),
            sole_runs=SoleRuns(connector(setting.dsn, name="dying jobs")),
            installation=INSTALLATION,
            now=lambda: datetime.now(UTC),
            random_bytes=random.SystemRandom().randbytes,
        )
    finally:
        await committer.close()
        await keys.close()
        pool.close()


async def act(ctx: Context, setting: Setting) -> bytes:
    """The flow, as the edge or the worker runs it; what it answers."""
    intent = setting.intent
    match setting.flow:
        case "event":
            return await _deliver(ctx, intent)
        case "held":
            return await _overtaken(ctx, setting)
        case "callback":
            return await _come_back(ctx, intent)
        case "overdue":
            await close_overdue_attempts(ctx, "run_1")
            return b"closed"
        case _:
            return await keyed(ctx, setting, *_request(setting.flow, intent))


def _request(flow: str, intent: str) -> tuple[Action, Flow]:
    """What a client asks for."""
    match flow:
        case "create" | "order":
            new = ORDER if flow == "order" else NewPaymentIntent(amount=AMOUNT, currency="eur")
            return Action.INTENT_CREATE, lambda ctx: create_payment_intent(ctx, CALLER, new)
        case "attach":
            return (
                Action.INTENT_ATTACH,
                lambda ctx: attach_payment_method(ctx, CALLER, intent, ATTACH),
            )
        case "confirm" | "transfer" | "reviewed":
            how = {"confirm": REQUEST, "transfer": TRANSFER, "reviewed": REVIEWED}[flow]
            return (
                Action.INTENT_CONFIRM,
                lambda ctx: confirm_payment_intent(ctx, CALLER, intent, how),
            )
        case "capture":
            return (
                Action.INTENT_CAPTURE,
                lambda ctx: capture_payment_intent(ctx, CALLER, intent),
            )
        case "refund":
            return (
                Action.REFUND_CREATE,
                lambda ctx: refund_payment_intent(ctx, CALLER, intent, NewRefund(REFUNDED)),
            )
        case "cancel" | "release":
            return (
                Action.INTENT_CANCEL,
                lambda ctx: cancel_payment_intent(ctx, CALLER, intent),
            )
    raise AssertionError(flow)


async def keyed(ctx: Context, setting: Setting, action: Action, flow: Flow) -> bytes:
    """What a client is answered under its key, whichever of its tries it is."""
    scope = f"sk {setting.flow} {setting.intent}"
    caller = msgspec.structs.replace(CALLER, request_id=ctx.new_id("run"))
    request = KeyedRequest(caller, action, scope, "k", setting.flow.encode())
    return (await idempotently(ctx, request, flow, lambda value: encode(_plain(value)))).body


async def _come_back(ctx: Context, intent_id: str) -> bytes:
    """The payer has answered the challenge, and is sent to us."""
    (attempt,) = await attempts_of(ctx, intent_id)
    until = int(datetime.now(UTC).timestamp()) + 600
    state = ctx.callback_states.make(intent_id, CallbackState("default", attempt.id, until))
    stranger = Caller(Actor("client"), "default", request_id="req_2")
    return (await complete_authentication(ctx, stranger, intent_id, state)).encode()


def _plain(value: Any) -> Any:
    return value.intent if hasattr(value, "intent") else value


async def _deliver(ctx: Context, intent_id: str) -> bytes:
    """Receive the approval of an intent's attempt, then apply whatever was received."""
    intent = await ctx.read.payment_intent("default", intent_id)
    assert intent is not None
    assert intent.attempt is not None
    await _receive(ctx, intent.attempt)
    await _apply(ctx)
    return b"applied"


async def _overtaken(ctx: Context, setting: Setting) -> bytes:
    """Confirm, while the event that overtakes the answer is held."""
    deliveries: list[asyncio.Task[None]] = []

    async def overtake(order: ConfirmOrder) -> None:
        deliveries.append(asyncio.create_task(_receive(ctx, order.attempt)))
        while not ctx.answers.held and not deliveries[0].done():
            await asyncio.sleep(0.001)

    provider = ctx.provider
    assert isinstance(provider, FileProvider)
    provider.during = overtake
    body = await keyed(
        ctx,
        setting,
        Action.INTENT_CONFIRM,
        lambda c: confirm_payment_intent(c, CALLER, setting.intent, REQUEST),
    )
    if deliveries:
        await deliveries[0]
    else:  # the call was made in an earlier life, and the provider comes again
        (attempt,) = await attempts_of(ctx, setting.intent)
        await _receive(ctx, attempt.id)
    await _apply(ctx)
    return body


async def _receive(ctx: Context, attempt_id: str) -> None:
    """Receive the approval of an attempt; in the provider's books, once it is acknowledged."""
    attempt = await ctx.read.attempt("default", attempt_id)
    assert attempt is not None
    said = notice(
        attempt,
        Approved(True, AMOUNT, 0, CARD),
        as_of=datetime.now(UTC),
        provider_reference=f"theirs_{attempt.id}",
    )
    provider = Caller(Actor("provider", id="scripted"), "default", request_id="req_event")
    await receive_provider_event(ctx, provider, encode(said), {"signature": "good"})
    assert isinstance(ctx.provider, FileProvider)
    ctx.provider.books.write("INSERT INTO acknowledged VALUES ('evt_1')")
    ctx.provider.steps.step()


async def _apply(ctx: Context) -> None:
    """What the queue would do."""
    for event in await _received(ctx):
        await apply_provider_event(ctx, ApplyProviderEvent("default", event.id))


async def _received(ctx: Context) -> list[ProviderEvent]:
    """What the queue would hand out."""
    pool = ctx.read._pool
    rows = await pool.fetch("SELECT id FROM provider_event WHERE status = 'received'")
    found = [await ctx.read.provider_event("default", row["id"]) for row in rows]
    return [e for e in found if e is not None and e.status is EventStatus.RECEIVED]


def die(setting: Setting, kill_at: int) -> None:
    """The child's whole life."""

    async def live() -> None:
        steps = Steps(kill_at)
        async with opened(setting, steps) as ctx:
            await act(ctx, setting)

    asyncio.run(live())


async def attempts_of(ctx: Context, intent_id: str) -> list[Attempt]:
    """An intent's attempts."""
    pool = ctx.read._pool
    rows = await pool.fetch("SELECT id FROM attempt WHERE intent = $1 ORDER BY number", intent_id)
    found = [await ctx.read.attempt("default", row["id"]) for row in rows]
    return [attempt for attempt in found if attempt is not None]
