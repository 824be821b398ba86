"""Small changes as data: what they make of the world, and what may be answered to them.

A plan crosses process borders as JSON and becomes the same change everywhere, so that the test
can rebuild what others committed. Every change writes its label into all its records: a row
that survived tells whose it is.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from paygate.domain.access.roles import Action, Actor
from paygate.domain.audit import AuditEntry
from paygate.domain.event import of as event_of
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.ids import PREFIXES, make_id
from paygate.domain.payments.attempt import Attempt, AttemptState, Operation
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.payments.reference_claim import ReferenceClaim
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.storage.change import Change, Committed, Impossible, Record
from paygate.storage.door import Door
from tests.making import START, make_intent
from tests.storage.stored import TABLE_OF, Stored

Claim = tuple[Literal["provider_event", "idempotency_key"], int]

COMMITTED: Final = "committed"
IMPOSSIBLE: Final = "impossible"
"""What the schema refuses. Other answers are a reason and a table: `stale payment_intent`."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change. `intent` and `key` are which one of the pool, and the version it shall have."""

    label: str
    intent: tuple[int, int] | None = None
    legal: bool = True
    """Whether the intent's new status is one that the schema allows."""
    key: tuple[int, int] | None = None
    claim: Claim | None = None
    reserve: int | None = None
    """Which reference it claims beside that, as the first to do so."""
    attempt: Literal["open", "closed"] | None = None
    """Written beside the intent, as flows do. Closed ones never collide."""
    creates: bool = False
    says: bool = False
    job: bool = False
    seen: frozenset[str] = frozenset()
    """Tables whose record the caller has seen one version below before it asked."""

    def targets(self) -> dict[str, tuple[int, int]]:
        """Table to the record of the pool that it advances, and to which version."""
        wanted = {"idempotency_key": self.key, "payment_intent": self.intent}
        return {table: target for table, target in wanted.items() if target is not None}


class Outcome(msgspec.Struct, frozen=True):
    """What was asked, and what was answered."""

    plan: Plan
    answer: str


class World(msgspec.Struct, frozen=True):
    """Where plans take place: a merchant, and what exists at the start."""

    merchant: str
    intents: int = 3
    keys: int = 2
    events: int = 1

    def record_id(self, kind: str, label: str) -> str:
        """The same label is the same id, in every process."""
        digest = hashlib.sha256(f"{self.merchant}/{kind}/{label}".encode()).digest()
        return make_id(PREFIXES[kind], int(START.timestamp() * 1000), digest[:10])

    def intent(self, number: int, version: int, label: str, *, legal: bool = True) -> PaymentIntent:
        """An intent of the pool at a version, as the change with this label writes it."""
        made = make_intent(
            self.merchant, intent_id=self.record_id("payment_intent", f"pool {number}")
        )
        later = Status.PROCESSING if legal else Status.REFUNDED
        return msgspec.structs.replace(
            made,
            version=version,
            status=Status.CREATED if version == 1 else later,
            description=label,
        )

    def key(self, number: int, version: int, label: str) -> IdempotencyKey:
        """A key, fresh or advanced."""
        return IdempotencyKey(
            id=f"key {number}",
            merchant=self.merchant,
            state=KeyState.WORKING,
            fingerprint=b"f",
            claim="req_1",
            holder="req_1",
            created_at=START,
            updated_at=START,
            version=version,
            body=label.encode(),
        )

    def event(self, number: int, label: str) -> ProviderEvent:
        """A provider event, as the change with this label received it."""
        return ProviderEvent(
            id=self.record_id("provider_event", label),
            merchant=self.merchant,
            provider_reference=f"evt_{number}",
            type="payment_intent.succeeded",
            status=EventStatus.RECEIVED,
            provider_created_at=START,
            received_at=START,
            updated_at=START,
            body=label.encode(),
        )

    def reference(self, number: int, label: str) -> ReferenceClaim:
        """The first claim of a reference; of all who claim it the id is the same."""
        return ReferenceClaim(
            id=f"{self.merchant} reference {number}",
            merchant=self.merchant,
            reference=str(number),
            intent=label,
            updated_at=START,
        )

    def start(self) -> list[Change]:
        """What makes the world."""
        made: list[tuple[str, PaymentIntent | IdempotencyKey | ProviderEvent]] = []
        made += [(f"start i{n}", self.intent(n, 1, "start")) for n in range(self.intents)]
        made += [(f"start k{n}", self.key(n, 1, "start")) for n in range(self.keys)]
        made += [(f"start e{n}", self.event(n, f"start {n}")) for n in range(self.events)]
        return [Change(self._audit(label), creates=(record,)) for label, record in made]

    def change(self, plan: Plan) -> Change:
        """The change that a plan describes."""
        creates: list[
            PaymentIntent | IdempotencyKey | ProviderEvent | Attempt | ReferenceClaim
        ] = []
        advances: list[PaymentIntent | IdempotencyKey] = []
        if plan.claim is not None:
            kind, number = plan.claim
            event = kind == "provider_event"
            creates.append(
                self.event(number, plan.label) if event else self.key(number, 1, plan.label)
            )
        if plan.reserve is not None:
            creates.append(self.reference(plan.reserve, plan.label))
        if plan.creates:
            new = self.record_id("payment_intent", plan.label)
            creates.append(make_intent(self.merchant, intent_id=new))
        if plan.intent is not None:
            advances.append(self.intent(*plan.intent, plan.label, legal=plan.legal))
            if plan.attempt is not None:
                creates.append(self._attempt(*plan.intent, plan))
        if plan.key is not None:
            advances.append(self.key(*plan.key, plan.label))
        says = event_of(
            self.intent(0, 1, plan.label),
            "payment_intent.created",
            event_id=self.record_id("event", plan.label),
            at=START,
            request_id=plan.label,
        )
        job = Job(ApplyProviderEvent(self.merchant, plan.label))
        return Change(
            self._audit(plan.label),
            creates=(*creates, says) if plan.says else tuple(creates),
            advances=tuple(advances),
            jobs=(job,) if plan.job else (),
        )

    def _attempt(self, intent: int, number: int, plan: Plan) -> Attempt:
        return Attempt(
            id=self.record_id("attempt", plan.label),
            merchant=self.merchant,
            intent=self.record_id("payment_intent", f"pool {intent}"),
            number=number,
            operation=Operation.CONFIRM,
            state=AttemptState.STARTED if plan.attempt == "open" else AttemptState.DECLINED,
            instrument=CardToken(plan.label),
            first_sent_at=START,
            created_at=START,
            updated_at=START,
        )

    def _audit(self, label: str) -> AuditEntry:
        return AuditEntry(
            id=self.record_id("audit_entry", label),
            merchant=self.merchant,
            at=START,
            actor=Actor("job"),
            action=Action.INTENT_CREATE,
            details={"label": label},
        )


async def ask(door: Door, world: World, plan: Plan) -> Outcome:
    """Commit the plan's change. Only the answers that the door promises for it are taken."""
    try:
        verdict = await door.commit(world.change(plan))
    except Impossible:
        return Outcome(plan, IMPOSSIBLE)
    if isinstance(verdict, Committed):
        return Outcome(plan, COMMITTED)
    return Outcome(plan, f"{verdict.reason} {verdict.table}")


class Model:
    """The door as a person would explain it, for changes that come one at a time.

    Advances are decided first (in the order of the tables' names), then the reference, then the
    claim, and what the schema thinks comes last.
    """

    def __init__(self, world: World) -> None:
        self.versions = {("payment_intent", n): 1 for n in range(world.intents)}
        self.versions |= {("idempotency_key", n): 1 for n in range(world.keys)}
        self._events = set(range(world.events))
        self._open: set[int] = set()
        self._references: set[int] = set()

    def answer(self, plan: Plan) -> str:
        """What must be answered; when that is `committed`, the model has moved on."""
        targets = plan.targets()
        for table, (number, version) in targets.items():
            if self.versions.get((table, number)) != version - 1:
                return f"stale {table}"
        if plan.reserve in self._references:
            return "claimed reference_claim"
        if plan.claim is not None and self._claimed(plan.claim):
            return f"claimed {plan.claim[0]}"
        opens = plan.intent[0] if plan.intent is not None and plan.attempt == "open" else None
        if (plan.intent is not None and not plan.legal) or opens in self._open:
            return IMPOSSIBLE
        for table, (number, version) in targets.items():
            self.versions[table, number] = version
        if opens is not None:
            self._open.add(opens)
        if plan.claim is not None:
            self._give(plan.claim)
        if plan.reserve is not None:
            self._references.add(plan.reserve)
        return COMMITTED

    def _claimed(self, claim: Claim) -> bool:
        kind, number = claim
        return number in self._events if kind == "provider_event" else claim in self.versions

    def _give(self, claim: Claim) -> None:
        kind, number = claim
        if kind == "provider_event":
            self._events.add(number)
        else:
            self.versions[kind, number] = 1


def fold(world: World, outcomes: Sequence[Outcome]) -> Stored:
    """What the tables must hold when exactly the committed changes were written, each once.

    Asserts on the way that they can be put in a row: no record got the same version twice or
    skipped one, and no claim was given twice.
    """
    committed = [o.plan for o in outcomes if o.answer == COMMITTED]
    changes = [*world.start(), *(world.change(plan) for plan in committed)]
    chains: defaultdict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    claims: Counter[str] = Counter()
    for change in changes:
        for record in (change.audit, *change.creates, *change.advances):
            place = (TABLE_OF[type(record)].name, record.id)
            version = getattr(record, "version", 1)
            assert version not in chains[place], f"{place} got version {version} twice"
            chains[place][version] = record
            if isinstance(record, ProviderEvent):
                claims[record.provider_reference] += 1
    for place, chain in chains.items():
        skipped = set(range(1, max(chain) + 1)) - set(chain)
        assert not skipped, f"{place} skipped versions"
    twice = {reference for reference, count in claims.items() if count > 1}
    assert not twice, "claims were given twice"
    return Stored(
        {place: chain[len(chain)] for place, chain in chains.items()},
        Counter(job.message for change in changes for job in change.jobs),
    )
