"""F01: a flow is killed at each of its steps, by SIGKILL; then whoever comes finishes it, once."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.crypto.keyring import generate_keyring
from paygate.crypto.kms import FileKms
from paygate.domain.customer import Payer
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.attempt import OPEN
from paygate.domain.payments.payment_intent import CaptureMethod, PaymentMethodType, Status
from paygate.domain.payments.payment_method import CardToken
from paygate.flows.context import Context
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.storage.connections.session import Connection
from tests.flows.world import INSTALLATION
from tests.races.durable_provider import AMOUNT, Books, Steps
from tests.races.dying import CALLER, ORDER, REFUNDED, Setting, act, attempts_of, die, opened

Connect = Callable[[], Awaitable[Connection]]

NEVER = 10**6
CREATES = ("create", "order")
"""Flows that begin with nothing."""
DELIVERIES = ("event", "held")
"""Flows in which the provider delivers an event."""


class Case(msgspec.Struct, frozen=True):
    """A flow that is killed, and how all must stand when somebody has finished it."""

    fewest: int
    """Two steps for each commit, and the provider's."""
    status: Status = Status.SUCCEEDED
    books: tuple[str, ...] = ("captured",)
    first: str = "captured"
    manual: bool = False
    after: str | None = None
    """What was done before, to its end."""
    attempts: int = 1


CASES = {
    "create": Case(2),
    "order": Case(2),
    "attach": Case(3, Status.CREATED, (), attempts=0),
    "reviewed": Case(6, after="attach"),
    "confirm": Case(6),
    "confirm, declined": Case(6, Status.FAILED, ("declined",), first="declined"),
    "cancel": Case(2, Status.CANCELLED, (), attempts=0),
    "event": Case(4),
    "held": Case(8),
    "capture": Case(6, manual=True, after="confirm", attempts=2),
    "release": Case(6, Status.CANCELLED, ("cancelled",), manual=True, after="confirm", attempts=2),
    "refund": Case(6, after="confirm"),
    "transfer": Case(10, Status.REQUIRES_ACTION, ("waiting",), first="waiting"),
    "callback": Case(5, first="waiting", after="confirm"),
    "overdue": Case(6, Status.FAILED, ("cancelled",), first="waiting", after="confirm"),
}


def run_and_die(setting: Any, kill_at: int, life: Callable[[Any, int], None] = die) -> bool:
    """Whether the child was killed, and did not come to the end of its life before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.races.dying"])
    child = context.Process(target=life, args=(setting, kill_at))
    child.start()
    child.join(60)
    assert child.exitcode in (0, -9), child.exitcode
    return child.exitcode == -9


async def prepared(setting: Setting, case: Case) -> Setting:
    """An intent for the flow to work on; for an event, one whose confirm died in the call."""
    if setting.flow in CREATES:
        return setting
    manual = CaptureMethod.MANUAL if case.manual else CaptureMethod.AUTOMATIC
    request = NewPaymentIntent(
        amount=AMOUNT,
        currency="eur",
        capture_method=manual,
        payment_method_types=tuple(PaymentMethodType),
        customer=Payer(name="Ada"),
    )
    async with opened(setting, Steps(NEVER)) as ctx:
        intent = (await create_payment_intent(ctx, CALLER, request)).intent.id
        ready = msgspec.structs.replace(setting, intent=intent)
        if case.after is not None:
            await act(ctx, msgspec.structs.replace(ready, flow=case.after))
    if setting.flow == "callback":
        Books(Path(setting.folder)).paid_by_the_payer(intent)
    if setting.flow == "event":
        confirm = msgspec.structs.replace(ready, flow="confirm")
        assert await asyncio.to_thread(run_and_die, confirm, 4)
    return ready


async def the_order_is_taken(ctx: Context, intent: str) -> None:
    """By the one intent that there is; a process that died holds nothing."""
    with pytest.raises(Refusal) as refused:
        await create_payment_intent(ctx, CALLER, ORDER)
    assert refused.value.code is ErrorCode.REFERENCE_IN_USE
    assert refused.value.subject == await ctx.read.payment_intent("default", intent)
    claims = await ctx.read._pool.fetch("SELECT count(*) FROM reference_claim")
    assert claims[0]["count"] == 1


async def finished(setting: Setting, case: Case) -> None:
    """Somebody comes again, until it is done; then everything must be as it must."""
    async with opened(setting, Steps(NEVER)) as ctx:
        if Books(Path(setting.folder)).acknowledged():
            stored = await ctx.read._pool.fetch("SELECT id FROM provider_event")
            assert len(stored) == 1, "what was acknowledged is there"
        body = await act(ctx, setting)
        assert await act(ctx, setting) == body, "and once more: the same"
        intents = await ctx.read._pool.fetch("SELECT id, status FROM payment_intent")
        if setting.flow in CREATES:
            assert len(intents) == 1
            if setting.flow == "order":
                await the_order_is_taken(ctx, intents[0]["id"])
            return
        intent = await ctx.read.payment_intent("default", setting.intent)
        assert intent is not None
        attempts = await attempts_of(ctx, setting.intent)
        books = Books(Path(setting.folder))
        assert (intent.status, tuple(books.of(intent.id))) == (case.status, case.books)
        if setting.flow == "refund":
            assert books.refunds(str(intent.provider_reference)) == [REFUNDED], "once"
            assert (intent.amount_refunded, intent.amount_refund_pending) == (REFUNDED, 0)
        if setting.flow == "transfer":
            assert books.customers(str(intent.customer)) == 1
        else:
            assert all(attempt.state not in OPEN for attempt in attempts)
        assert len(attempts) == case.attempts
        attached = CardToken("tok_attached")
        assert intent.attached == (attached if setting.flow == "attach" else None)
        if setting.flow == "reviewed":
            assert [attempt.instrument for attempt in attempts] == [attached]
        unfinished = "SELECT count(*) FROM idempotency_key WHERE state <> 'finished'"
        if setting.flow != "event":  # whose confirm never came again
            assert [row["count"] for row in await ctx.read._pool.fetch(unfinished)] == [0]


@pytest.mark.parametrize("name", CASES)
async def test_killed_at_every_step(
    database: str, connect: Connect, tmp_path: Path, name: str
) -> None:
    case, flow = CASES[name], name.partition(",")[0]
    await (await connect()).execute("INSERT INTO merchant (id) VALUES ('default')")
    kms = FileKms.create(tmp_path / "kek")
    wrapped = generate_keyring(kms, INSTALLATION)
    killed = 0
    for kill_at in range(1, NEVER):
        setting = Setting(database, str(tmp_path), wrapped, flow, first=case.first)
        setting = await prepared(setting, case)
        died = await asyncio.to_thread(run_and_die, setting, kill_at)
        killed += died
        await finished(setting, case)
        if not died:
            break
        if flow in CREATES:
            cleaner = await connect()
            await cleaner.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
            await cleaner.execute("DELETE FROM payment_intent")
            await cleaner.execute("DELETE FROM idempotency_key")
            await cleaner.execute("ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER version_one")
        if flow in DELIVERIES:
            await _forget_events(await connect())
            Books(tmp_path).write("DELETE FROM acknowledged")
    assert killed >= case.fewest


async def test_a_held_delivery_ends_with_its_answer(
    database: str, connect: Connect, tmp_path: Path
) -> None:
    """What the case above kills at each step is the way without a job."""
    connection = await connect()
    await connection.execute("INSERT INTO merchant (id) VALUES ('default')")
    wrapped = generate_keyring(FileKms.create(tmp_path / "kek"), INSTALLATION)
    setting = await prepared(Setting(database, str(tmp_path), wrapped, "held"), CASES["held"])
    async with opened(setting, Steps(NEVER)) as ctx:
        await act(ctx, setting)
    assert await connection.fetchval("SELECT status FROM provider_event") == "processed"
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0


async def _forget_events(connection: Connection) -> None:
    """The next turn's event is another one, under the same name."""
    await connection.execute("ALTER TABLE provider_event DISABLE TRIGGER USER")
    await connection.execute("DELETE FROM provider_event")
