"""What a lane keeps prepared: bounded, whatever a day's batches are made of."""

import random
from collections.abc import Awaitable, Callable

from paygate.domain.access.api_key import ApiKey
from paygate.domain.alert import Alert
from paygate.domain.audit import AuditEntry
from paygate.domain.customer import Customer
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.payment_intent import PaymentIntent, Trigger, advance
from paygate.domain.payments.reference_claim import ReferenceClaim
from paygate.domain.provider_event import ProviderEvent
from paygate.storage.change import Change, Committed, Conflict, Reason
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.commit.lane import PLANS
from paygate.storage.commit.statement import Section
from paygate.storage.commit.statements import OWN_STATEMENTS, Statements
from paygate.storage.door import Door
from paygate.storage.records import _ENQUEUE, _KINDS, _STAND
from tests.making import START, make_audit, make_intent, make_provider_event

Connect = Callable[[], Awaitable[Connection]]

BATCHES = 2000
MOST_STATEMENTS = OWN_STATEMENTS + 2
MOST_BYTES = 32 * 1024 * 1024
"""Some two megabytes a statement; before they were bounded a day's mix took a gigabyte."""
MEMORY = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts"
PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'WITH change AS%'"


def new(*records: type) -> frozenset[Section]:
    return frozenset(_KINDS[record].insert for record in records)


def moved(*records: type) -> frozenset[Section]:
    return frozenset(_KINDS[record].advance for record in records)


JOB = frozenset({_ENQUEUE})
STANDS = frozenset({_STAND})
SHAPES = [
    shape | new(AuditEntry)
    for shape in (
        new(PaymentIntent, Event),
        new(PaymentIntent, Event, IdempotencyKey),
        new(PaymentIntent, Event, Customer, IdempotencyKey),
        new(PaymentIntent, Event) | moved(Customer),
        new(PaymentIntent, Event, IdempotencyKey, ReferenceClaim),
        new(PaymentIntent, Event, IdempotencyKey) | moved(ReferenceClaim),
        new(Attempt, Event, IdempotencyKey) | moved(PaymentIntent),
        new(Attempt, Event) | moved(PaymentIntent),
        new(Event, Transfer) | moved(Attempt, PaymentIntent, IdempotencyKey),
        new(Event) | moved(Attempt, PaymentIntent, IdempotencyKey),
        moved(Attempt, PaymentIntent),
        new(Event) | moved(Attempt, PaymentIntent, IdempotencyKey) | JOB,
        new(ProviderEvent) | JOB,
        moved(ProviderEvent),
        new(ProviderEvent) | STANDS,
        new(Event, Transfer) | moved(ProviderEvent, PaymentIntent, Attempt),
        new(Correction, Transfer, Event) | moved(ProviderEvent, PaymentIntent),
        moved(ProviderEvent) | JOB,
        new(Alert),
        moved(Alert),
        moved(IdempotencyKey),
        moved(Customer),
        new(ApiKey),
        frozenset(),
    )
]
"""What flows write in one change."""


def kinds(seed: int) -> list[frozenset[Section]]:
    """A day: single requests at night, crowds at noon."""
    rng = random.Random(seed)
    return [
        frozenset().union(*rng.choices(SHAPES, k=rng.choice((1, 1, 2, 3, 4, 6, 8, 12))))
        for _ in range(BATCHES)
    ]


async def run_empty(
    connection: Connection, statements: Statements, kind: frozenset[Section]
) -> None:
    """A batch of that kind which holds no change; it refers to its statement as long as a lane."""
    prepared = await statements.for_batch(connection, kind)
    assert kind.issubset(prepared.sections)
    assert (_ENQUEUE in prepared.sections) == (_ENQUEUE in kind), "the queue is told of jobs alone"
    arrays: list[list[object]] = [[], []]
    for section in prepared.sections:
        arrays.extend([] for _ in range(1 + len(section.table.columns)))
    assert await prepared.statement.fetch(*arrays) == []


async def test_a_mixed_day_leaves_few_statements_and_little_memory(connect: Connect) -> None:
    connection = await connect()
    await connection.execute(PLANS)
    before = await connection.fetchval(MEMORY)
    statements = Statements()
    day = kinds(seed=20261128)
    assert len(set(day)) > 20 * MOST_STATEMENTS
    most = 0
    for number, kind in enumerate(day):
        await run_empty(connection, statements, kind)
        if number % 100 == 0:
            most = max(most, await connection.fetchval(PREPARED))
    assert MOST_STATEMENTS - 2 <= most <= MOST_STATEMENTS
    assert await connection.fetchval(MEMORY) - before < MOST_BYTES


async def test_what_has_become_common_gets_a_statement_of_its_own(connect: Connect) -> None:
    connection = await connect()
    statements = Statements()
    for kind in kinds(seed=7)[:200]:
        await statements.for_batch(connection, kind)
    common = new(PaymentIntent, Event, IdempotencyKey, AuditEntry)
    for _ in range(500):
        await statements.for_batch(connection, common)
    prepared = await statements.for_batch(connection, common)
    assert frozenset(prepared.sections) == common
    rare = new(Correction, ApiKey, AuditEntry)
    prepared = await statements.for_batch(connection, rare)
    assert frozenset(prepared.sections) > rare


async def test_a_general_statement_decides_as_an_own_one_does(
    door: Door, committer: Committer, connect: Connect
) -> None:
    """Each verdict names its table and each row is written, whichever statement it was."""
    intent, event = make_intent(), make_provider_event("evt_1")
    assert await door.commit(Change(make_audit(), creates=(intent,))) == Committed()
    assert await door.commit(Change(make_audit(), creates=(event,))) == Committed()
    for lane in committer._lanes:
        assert lane._connection is not None
        for kind in kinds(seed=1):
            if len(lane._statements._own) == OWN_STATEMENTS and lane._statements._general:
                break  # full
            await lane._statements.for_batch(lane._connection, kind)
    moved_on = advance(intent, Trigger.CANCEL, START)
    both = make_intent()
    new_event, claimed, another = (make_provider_event(f"evt_{n}") for n in (2, 1, 3))
    stale = Conflict(Reason.STALE, "payment_intent")
    for change, verdict in (
        (Change(make_audit(), advances=(moved_on,), creates=(new_event,)), Committed()),
        (Change(make_audit(), advances=(moved_on,)), stale),
        (Change(make_audit(), creates=(claimed,)), Conflict(Reason.CLAIMED, "provider_event")),
        (Change(make_audit(), creates=(both, another)), Committed()),
    ):
        assert await door.commit(change) == verdict
    for lane in committer._lanes:
        assert len(lane._statements._own) == OWN_STATEMENTS, "these had none of their own"
    other = await connect()
    stored = await other.fetch("SELECT id, version FROM payment_intent ORDER BY id")
    expected = sorted([(intent.id, moved_on.version), (both.id, both.version)])
    assert [tuple(row) for row in stored] == expected
    assert await other.fetchval("SELECT count(*) FROM provider_event") == 3
