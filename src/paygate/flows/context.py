"""The context of every flow: the parts of the house, and the world's clock and chance."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from paygate.crypto.audit_keys import AuditKeys
from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.callback_states import CallbackStates
from paygate.crypto.credentials import CredentialHasher
from paygate.crypto.encoding import length_prefixed
from paygate.documents.inspect import Documents
from paygate.domain.access.roles import Action, Caller
from paygate.domain.alert import Severity
from paygate.domain.audit import AuditEntry, Result, Subject, entry
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, id_from, make_id
from paygate.domain.payments.attempt import Operation
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.settlements.fees import FeeRules
from paygate.egress.client import Egress
from paygate.flows.provider.pace import Pace
from paygate.flows.provider_events.answers_under_way import AnswersUnderWay
from paygate.flows.restores.after_restore import AfterRestore
from paygate.providers.contract import Provider
from paygate.storage.access.api_key_use import ApiKeyUse
from paygate.storage.access.merchants import Merchants
from paygate.storage.audit_chain import AuditChain
from paygate.storage.audit_log import AuditLog
from paygate.storage.audit_seals import AuditSeals
from paygate.storage.change import Change, Overloaded, StorageError, Verdict
from paygate.storage.dispute_files import DisputeFiles
from paygate.storage.disputes import DisputeReader
from paygate.storage.door import ANSWER_WITHIN_SECONDS
from paygate.storage.erasure import Erasure
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.keysets import Keysets
from paygate.storage.reader import Reader
from paygate.storage.reconciliations import Reconciliations
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

FIRST_PAUSE_SECONDS: Final = 0.01
"""The first pause while another commit holds the wanted row: mostly a millisecond or two."""
LAST_PAUSE_SECONDS: Final = 0.25
PATIENCE_SECONDS: Final = 1.0
"""How long a flow reads and decides again while a record moves on under it, when a caller can be
told to come again."""
CONCLUDING_SECONDS: Final = ANSWER_WITHIN_SECONDS
"""The same when the provider has answered: as long as the commit may take that this one lost to."""


class Policy(msgspec.Struct, frozen=True):
    """The settings that flows decide by."""

    max_amount: int
    provider_timeout_seconds: float
    resend_window: timedelta
    intent_ttl: timedelta
    idempotency_ttl: timedelta
    lock_ttl: timedelta
    authentication_ttl: timedelta
    bank_transfer_ttl: timedelta
    support_refund_limit: Mapping[str, int] = MappingProxyType({})
    """Smallest units by currency; of any other a support key refunds nothing."""
    refund_approval_above: Mapping[str, int] | None = None
    """Smallest units by currency, above which a second person approves; of any other all is above.
    None: nobody approves."""
    production: bool = False
    events_kept: timedelta = timedelta(days=90)
    """How long bodies of provider events, and what merchants were sent, are kept."""
    audit_kept: timedelta = timedelta(days=400)
    """How long months of the audit log stay in it."""
    exclusive_account: bool = False
    """Whether nobody but this gateway takes payments on the provider's account."""
    numeric_references: bool = False
    """Whether a `reference` of digits alone is never taken for a card number."""
    public_url: str | None = None
    """Where payers' browsers reach us; None: the provider sends them straight back."""
    settlement_window: int = 3
    """Working days after which money that the provider has available must be in a payout."""
    fee_rules: FeeRules | None = None
    """What provider fees are judged by; None: they are recorded, and not judged."""
    return_url_hosts: tuple[str, ...] | None = None
    """The hosts that a return URL may have; None: every host."""


class RequestKey(NamedTuple):
    """The idempotency key of a request, and how many payment intents were created under it before.

    Ids are derived of `id`, which is the same whatever becomes of the index key.
    """

    id: str
    earlier: int


class CommitDoor(Protocol):
    """How a flow writes: the door itself, or as a request under an idempotency key sees it."""

    async def commit(self, change: Change) -> Verdict:
        """Make the change true, wholly and durably, or learn why not."""


class AlertChannel(Protocol):
    """Takes alerts out of the house."""

    @property
    def name(self) -> str:
        """What it is called in alerts, logs and notices: nothing secret."""

    async def send(self, severity: Severity, title: str, text: str) -> bool:
        """Whether the message was taken."""


class CheckpointPlace(Protocol):
    """Keeps the audit log's checkpoints, out of reach of who writes the database."""

    @property
    def name(self) -> str:
        """What it is called in the log: nothing secret."""

    async def last(self) -> bytes | None:
        """The last line there, where that can be asked. Raises OSError."""

    def lines(self) -> Iterator[bytes] | None:
        """All lines, the oldest first; None where that cannot be asked. Raises OSError."""

    async def put(self, line: bytes) -> Literal["kept", "contradicted", "failed"]:
        """Keep a line; contradicted: it does not follow the last one there."""


class Context(msgspec.Struct, frozen=True):
    """Everything a flow may touch. Clock and randomness are injected, so worlds can be replayed."""

    door: CommitDoor
    read: Reader
    audit_log: AuditLog
    audit_seals: AuditSeals
    audit_chain: AuditChain
    audit_keys: AuditKeys
    timelines: Timelines
    reconciliations: Reconciliations
    ledger: WholeLedger
    keys: IdempotencyKeys
    merchants: Merchants
    key_use: ApiKeyUse
    provider: Provider
    refunds: RefundReader
    disputes: DisputeReader
    dispute_files: DisputeFiles
    settlements: SettlementReader
    settlement_pages: SettlementPages
    settlement_facts: SettlementFacts
    settlement_imports: SettlementImports
    whole_tables: WholeTables
    documents: Documents
    webhooks: WebhookReader
    outbox: Outbox
    egress: Egress
    restores: Restores
    retention: Retention
    erasure: Erasure
    keysets: Keysets
    resealing: Resealing
    rehashing: Rehashing
    after_restore: AfterRestore
    hasher: CredentialHasher
    index: BlindIndex
    callback_states: CallbackStates
    policy: Policy
    pace: Pace
    """The pace of this process's sweeps, all together."""
    answers: AnswersUnderWay
    sole_runs: SoleRuns
    installation: str
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    alert_channels: tuple[AlertChannel, ...] = ()
    """Where alerts leave to."""
    checkpoints: CheckpointPlace | None = None
    """Where the audit log's checkpoints are told to."""
    claim: str | None = None
    """The claim that a request shares with its retries under an idempotency key."""
    request_key: RequestKey | None = None
    """The idempotency key itself, when a request runs under one."""

    def new_id(self, kind: str, at: datetime | None = None) -> str:
        """A fresh id for an object of this kind, made at `at` or now."""
        milliseconds = int((at or self.now()).timestamp() * 1000)
        return make_id(PREFIXES[kind], milliseconds, self.random_bytes(RANDOM_BYTES))

    def attempt_id(self, intent: PaymentIntent, operation: Operation, number: int) -> str:
        """The id of an intent's attempt: a keyed hash of the installation, and of what it does. The
        same try has the same id, and so the same key at the provider, whenever it is made.
        """
        seed = intent.seed or intent.id.encode()
        name = length_prefixed("attempt", intent.merchant, seed.hex(), operation, str(number))
        return id_from(PREFIXES["attempt"], self.index.name(name))

    def provider_time(self) -> datetime | None:
        """What the provider's clock shows now; None while that is not known."""
        skew = self.provider.skew
        return None if skew is None else self.now() + skew.ahead

    def audit(
        self,
        caller: Caller,
        action: Action,
        subject: Subject | None = None,
        *,
        result: Result = Result.ALLOWED,
        details: dict[str, str] | None = None,
    ) -> AuditEntry:
        """The audit entry for what `caller` does now; its id is the change's."""
        return entry(
            caller,
            action,
            entry_id=self.new_id("audit_entry"),
            at=self.now(),
            subject=subject,
            result=result,
            details=details,
        )


class Patience:
    """How long a flow goes on reading and deciding again, when a record moves on under it."""

    def __init__(
        self,
        what: str,
        *,
        end: type[StorageError] = Overloaded,
        seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`what` says in a sentence what kept changing, `end` what is raised about that."""
        self._what = what
        self._end = end
        self._until = asyncio.get_running_loop().time() + seconds
        self._pause = FIRST_PAUSE_SECONDS

    async def pause(self) -> None:
        """Let another's commit end. Raises `end` when that has been waited for too long."""
        if not await self.lasts():
            raise self._end(self._what)

    async def lasts(self) -> bool:
        """Pause likewise; returns whether time is left, for a caller that ends otherwise."""
        if asyncio.get_running_loop().time() >= self._until:
            return False
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, LAST_PAUSE_SECONDS)
        return True


def intent_subject(intent_id: str) -> Subject:
    """A payment intent, as the audit log names it."""
    return Subject("payment_intent", intent_id)
