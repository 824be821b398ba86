"""What flows are given: the parts of the house, and the world's clock and chance."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from paygate.crypto.credentials import CredentialHasher
from paygate.domain.access import Action, Caller
from paygate.domain.audit import AuditEntry, Result, Subject, entry
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id
from paygate.providers.contract import Provider
from paygate.storage.door import Door
from paygate.storage.reader import Reader


class Policy(msgspec.Struct, frozen=True):
    """The settings that flows decide by."""

    max_amount: int
    provider_timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a flow may touch. Clock and randomness are injected, so worlds can be replayed."""

    door: Door
    read: Reader
    provider: Provider
    hasher: CredentialHasher
    policy: Policy
    installation: str
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]

    def new_id(self, kind: str) -> str:
        """A fresh id for an object of this kind."""
        milliseconds = int(self.now().timestamp() * 1000)
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


def intent_subject(intent_id: str) -> Subject:
    """A payment intent, as the audit log names it."""
    return Subject("payment_intent", intent_id)
