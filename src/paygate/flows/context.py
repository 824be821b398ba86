"""What flows are given: the parts of the house, and the world's clock and chance."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.callback_states import CallbackStates
from paygate.crypto.credentials import CredentialHasher
from paygate.domain.access import Action, Caller
from paygate.domain.audit import AuditEntry, Result, Subject, entry
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id
from paygate.providers.contract import Provider
from paygate.storage.api_key_use import ApiKeyUse
from paygate.storage.change import Change, Verdict
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.merchants import Merchants
from paygate.storage.reader import Reader
from paygate.storage.whole_ledger import WholeLedger

TRIES: Final = 8
"""How often a flow reads and decides again when a record moved on; more would mean a bug."""
PAUSE_SECONDS: Final = 0.01


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
    production: bool = False
    numeric_references: bool = False
    """Whether a `reference` of digits alone is never taken for a card number."""
    public_url: str | None = None
    """Where payers' browsers reach us; None: the provider sends them straight back."""
    return_url_hosts: tuple[str, ...] | None = None
    """None: every host."""


class CommitDoor(Protocol):
    """How a flow writes: the door itself, or as a request under an idempotency key sees it."""

    async def commit(self, change: Change) -> Verdict:
        """Make the change true, wholly and durably, or learn why not."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a flow may touch. Clock and randomness are injected, so worlds can be replayed."""

    door: CommitDoor
    read: Reader
    ledger: WholeLedger
    keys: IdempotencyKeys
    merchants: Merchants
    key_use: ApiKeyUse
    provider: Provider
    hasher: CredentialHasher
    index: BlindIndex
    callback_states: CallbackStates
    policy: Policy
    installation: str
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    claim: str | None = None
    """What a request and its retries have in common, when they run under an idempotency key."""

    def new_id(self, kind: str, at: datetime | None = None) -> str:
        """A fresh id for an object of this kind, made at `at` or now."""
        milliseconds = int((at or self.now()).timestamp() * 1000)
        return make_id(PREFIXES[kind], milliseconds, self.random_bytes(RANDOM_BYTES))

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


async def pause() -> None:
    """Let another's commit end: it holds a row that this one wants, for a millisecond or two."""
    await asyncio.sleep(PAUSE_SECONDS)


def intent_subject(intent_id: str) -> Subject:
    """A payment intent, as the audit log names it."""
    return Subject("payment_intent", intent_id)
