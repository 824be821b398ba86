"""A bulk of payments, in the gateway and in the sandbox alike.

The real flows make them and the real door commits them, so whatever a payment leaves is there: all
triggers hold, every record opens, and the two sides agree. The sandbox's rules are asked in this
process, and its store is written in bulk; so a million takes minutes.
"""

import asyncio
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvloop

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.payments.outcome import Answer, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.payments.payment_method import CardToken
from paygate.flows.context import CommitDoor, Context
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.providers.contract import ConfirmOrder, Provider
from paygate.providers.stripe import orders, translate
from paygate.settings import load
from paygate.storage.change import Change, Committed, Overloaded, Verdict
from paygate.storage.reader import Reader
from paygate.wiring.service import open_context
from paygate_sandbox.bulk import Bulk

AT_ONCE: Final = 256
"""Payments under way: what fills a batch of the committer."""
SPREAD: Final = timedelta(hours=12)
"""Over how long payments were made, evenly; the last one just now. Less than an intent may wait for
its confirm, for the worker's sweeps go on meanwhile."""
DOUBTFUL_SINCE: Final = timedelta(minutes=5)
"""How old those in doubt are: the sweep only looks them up, as after a long outage."""
ANSWER_BYTES: Final = 1000
"""About what a create answers, which its idempotency key keeps."""
REQUEST: Final = Confirmation(
    instrument=CardToken("pm_card_visa"), return_url="https://shop.example/done"
)


class Seeded(msgspec.Struct, frozen=True):
    """How much to seed: payments that succeeded, and those in doubt, of which every second one was
    charged.
    """

    payments: int
    in_doubt: int = 0
    merchant: str = "default"


@dataclass(slots=True)
class _Standing:
    """An intent as it was last committed."""

    intent: PaymentIntent | None = None


class _Door:
    """The real door; what passes is kept at hand, and a create leaves its idempotency key."""

    def __init__(self, door: CommitDoor, standing: _Standing, ctx: Context) -> None:
        self._door = door
        self._standing = standing
        self._ctx = ctx

    async def commit(self, change: Change) -> Verdict:
        if change.audit.action is Action.INTENT_CREATE:
            key = _key(self._ctx, change)
            change = msgspec.structs.replace(change, creates=(*change.creates, key))
        verdict = await self._door.commit(change)
        if not isinstance(verdict, Committed):
            self._standing.intent = None  # a sweep was quicker: read what it made of it
            return verdict
        for record in (*change.creates, *change.advances):
            if isinstance(record, PaymentIntent):
                self._standing.intent = record
        return verdict


class _Reader(Reader):
    """What was just committed is not read again."""

    def __init__(self, real: Reader, standing: _Standing) -> None:
        self.__dict__.update(real.__dict__)
        self._standing = standing

    async def payment_intent(self, merchant: str, intent_id: str) -> PaymentIntent | None:
        intent = self._standing.intent
        if intent is not None and (intent.merchant, intent.id) == (merchant, intent_id):
            return intent
        return await super().payment_intent(merchant, intent_id)


class _Bank:
    """The provider, with the sandbox's rules in this process."""

    def __init__(self, real: Provider, bulk: Bulk, installation: str) -> None:
        self._real = real
        self._bulk = bulk
        self._installation = installation
        self.at = datetime.now(UTC)
        self.loses: str | None = None
        """What becomes of the next order, when no reply comes: the `order`, or the `reply`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def confirm(self, order: ConfirmOrder, *, timeout_seconds: float) -> Answer:
        """Does what the provider does within its timeout."""
        assert timeout_seconds > 0
        if self.loses == "order":
            return Answer(Unknown("no reply"))
        body = self._bulk.pay(
            orders.confirm(order, self._installation),
            key=order.attempt,
            at=int(self.at.timestamp()),
        )
        if self.loses == "reply":
            return Answer(Unknown("no reply"))
        return translate.payment(body, livemode=False, as_of=self.at.replace(microsecond=0))


class _Payer:
    """Makes payments, one after the other."""

    def __init__(self, ctx: Context, bulk: Bulk, merchant: str) -> None:
        self._standing = _Standing()
        self._bank = _Bank(ctx.provider, bulk, ctx.installation)
        self._ctx = msgspec.structs.replace(
            ctx,
            door=_Door(ctx.door, self._standing, ctx),
            read=_Reader(ctx.read, self._standing),
            provider=cast(Provider, self._bank),
            now=lambda: self._bank.at,
        )
        self._caller = Caller(Actor("job", name="seed"), merchant, ctx.new_id("run"))

    async def pay(self, number: int, at: datetime, loses: str | None) -> None:
        """One payment, as if it were `at`."""
        self._bank.at, self._bank.loses = at, loses
        request = NewPaymentIntent(
            amount=100 + number % 9_900, currency="eur", reference=f"seed-{number}"
        )
        created = await _patiently(self._ctx, self._caller, request)
        await confirm_payment_intent(self._ctx, self._caller, created.id, REQUEST)


async def seed(ctx: Context, store: Path, seeded: Seeded, *, part: int = 0, parts: int = 1) -> None:
    """Seed this part's share; `store` is where the sandbox keeps its books."""
    end = ctx.now()
    work = itertools.islice(_work(seeded, end), part, None, parts)
    with Bulk(store, part) as bulk:

        async def payer() -> None:
            paying = _Payer(ctx, bulk, seeded.merchant)
            for number, at, loses in work:
                await paying.pay(number, at, loses)

        await asyncio.gather(*(payer() for _ in range(AT_ONCE)))


def seed_in_processes(data: Path, seeded: Seeded) -> None:
    """Seed the gateway that `paygate up` runs in a data directory, with every core.

    Raises:
        RuntimeError: a part failed; its error is on standard error.
    """
    parts = os.cpu_count() or 1
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_seed_part, args=(data, seeded, part, parts)) for part in range(parts)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("seeding failed")


def _seed_part(data: Path, seeded: Seeded, part: int, parts: int) -> None:
    async def go() -> None:
        async with open_context(load({}, data=data), name="seed") as ctx:
            await seed(ctx, data / "sandbox", seeded, part=part, parts=parts)

    uvloop.run(go())


def _work(seeded: Seeded, end: datetime) -> Iterator[tuple[int, datetime, str | None]]:
    """Each payment's number, its time, and what is lost of it."""
    for number in range(seeded.payments):
        yield number, _whole_ms(end - SPREAD + SPREAD * ((number + 1) / seeded.payments)), None
    for number in range(seeded.in_doubt):
        at = end - DOUBTFUL_SINCE
        yield seeded.payments + number, at, "reply" if number % 2 else "order"


async def _patiently(ctx: Context, caller: Caller, request: NewPaymentIntent) -> PaymentIntent:
    """The intent created, once the committer's queue has room."""
    while True:
        try:
            return (await create_payment_intent(ctx, caller, request)).intent
        except Overloaded:
            await asyncio.sleep(0.05)


def _key(ctx: Context, change: Change) -> IdempotencyKey:
    at, claim = change.audit.at, change.audit.request_id or change.audit.id
    return IdempotencyKey(
        id=ctx.random_bytes(16).hex(),
        merchant=change.audit.merchant,
        state=KeyState.FINISHED,
        fingerprint=ctx.random_bytes(16),
        claim=claim,
        holder=claim,
        created_at=at,
        updated_at=at,
        body=bytes(ANSWER_BYTES),
    )


def _whole_ms(at: datetime) -> datetime:
    """What is stored is what the wire shows."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
