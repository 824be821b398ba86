"""A door that remembers what was committed through it, and can die at any commit.

What it remembers is held against the database after every step.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.payments.attempt import Attempt, Operation
from paygate.domain.payments.payment_intent import TRANSITIONS, PaymentIntent, Status
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.provider_event import ProviderEvent
from paygate.flows.context import CommitDoor
from paygate.storage.change import Change, Committed, OutcomeUnknown, Unavailable, Verdict
from tests.flows.world import encode

LEGAL: Final = {(before, after) for (before, _), after in TRANSITIONS.items()} | {
    (None, Status.CREATED)
}
NAMED: Final = CardToken("tok_1")
"""What a confirm is paid with that names a method."""


@dataclass(frozen=True)
class Death:
    """A process ends at its n-th commit: just before it, or when it is durable and not told."""

    commit: int
    durable: bool


@dataclass
class Log:
    """What was committed for one merchant, record by record; asserts that each step is legal."""

    merchant: str
    records: dict[tuple[type, str], Any] = field(default_factory=dict)
    audits: dict[str, str] = field(default_factory=dict)
    """Audit entry to the request that it is about."""
    spellings: set[bytes] = field(default_factory=set)
    """Every version of every intent, as an answer shows it."""
    received: list[ProviderEvent] = field(default_factory=list)

    def add(self, change: Change) -> None:
        self.audits[change.audit.id] = change.audit.request_id or ""
        self.received += [r for r in change.creates if isinstance(r, ProviderEvent)]
        for record in change.creates:
            if isinstance(record, Attempt) and record.operation is Operation.CONFIRM:
                attached = self.records[PaymentIntent, record.intent].attached
                assert record.instrument in (NAMED, attached), "paid with what nobody chose"
            if record.merchant == self.merchant:
                assert getattr(record, "version", 1) == 1
                assert (type(record), record.id) not in self.records, "made once"
                self._put(change, None, record)
        for record in change.advances:
            if record.merchant == self.merchant:
                before = self.records[type(record), record.id]
                assert record.version == before.version + 1
                self._put(change, before, record)
        for record in (*change.creates, *change.advances):
            if isinstance(record, IdempotencyKey):
                assert record.holder == change.audit.request_id, "who writes holds the key"
                assert record.body is None or record.body in self.spellings, "not true yet"

    def _put(self, change: Change, before: Any, record: Any) -> None:
        if isinstance(record, PaymentIntent):
            was = None if before is None else before.status
            assert record.attached is None or record.status is Status.CREATED
            assert (was, record.status) in LEGAL, f"{was} became {record.status}"
            events = [e.record for e in change.creates if isinstance(e, Event)]
            assert events == ([record] if was is not record.status else []), "told once, as it is"
        if isinstance(before, IdempotencyKey):
            assert before.state is KeyState.WORKING, "a finished key stays as it is"
        if isinstance(record, PaymentIntent):
            self.spellings.add(encode(record))
        self.records[type(record), record.id] = record

    def all(self, kind: type) -> list[Any]:
        return [record for (found, _), record in self.records.items() if found is kind]

    def attempts(self, intent: str) -> list[Attempt]:
        return sorted((a for a in self.all(Attempt) if a.intent == intent), key=lambda a: a.number)


@dataclass
class WatchedDoor:
    """One process's way to the real door."""

    door: CommitDoor
    log: Log
    death: Death | None = None
    commits: int = 0

    async def commit(self, change: Change) -> Verdict:
        self.commits += 1
        dying = self.death is not None and self.commits == self.death.commit
        if self.death is not None and self.commits > self.death.commit:
            raise Unavailable("the process is dead")
        if dying and not (self.death and self.death.durable):
            raise OutcomeUnknown("the process died before its commit")
        verdict = await self.door.commit(change)
        if isinstance(verdict, Committed):
            self.log.add(change)
        if dying:
            raise OutcomeUnknown("the process died and heard nothing of its commit")
        return verdict
