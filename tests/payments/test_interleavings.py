"""F09 and F23 as flows: days that pass tick by tick, and races whose turns are drawn from a seed.

The provider here keeps books, forgets its keys after a day, and would charge again for one that it
has forgotten.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ledger import Transfer
from paygate.domain.payments.correction import Correction
from paygate.domain.payments.outcome import ActionRequired, Answer, Approved, Cancelled
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.payments.attempt.begin import KEYS_MARGIN
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.complete_authentication import complete_authentication
from paygate.flows.payments.confirm import confirm_payment_intent
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.flows.payments.sweeps.resolve import resolve_attempts
from paygate.providers.absence import ProviderSilent
from tests.flows.payments.stand_in_provider import OUTCOMES, Payment, StandInProvider, Will
from tests.flows.world import REQUEST, World
from tests.payments.turns import GatedDoor, GatedProvider, Turns

TICK_SECONDS = 15 * 60
DAY = timedelta(days=1)
PAID = {Status.SUCCEEDED, Status.REQUIRES_CAPTURE}
LOST_A_RACE = {
    ErrorCode.INTENT_ALREADY_CONFIRMED,
    ErrorCode.STATE_CONFLICT,
    ErrorCode.OPERATION_PENDING,
}


class SilentList(StandInProvider):
    """Its list of payments cannot be read for a while."""

    silent = True

    async def list_created(
        self, since: datetime, until: datetime, *, timeout_seconds: float
    ) -> AsyncIterator[Answer]:
        if self.silent:
            raise ProviderSilent
        for payment in self.payments:
            yield payment.answer()


@pytest.mark.parametrize("will", [Will.LOSE_REPLY, Will.LOSE_ORDER])
@pytest.mark.parametrize("window", [timedelta(minutes=2), 2 * DAY])
async def test_f09_three_days_of_not_knowing(world: World, will: Will, window: timedelta) -> None:
    """Never sent once its key may be forgotten, however long the window is set; then looked up."""
    provider = SilentList(world.clock)
    provider.will = will
    policy = msgspec.structs.replace(world.ctx.policy, resend_window=window)
    world.use(provider=provider, policy=policy)
    start = world.clock()
    intent = await world.confirm(await world.create())
    assert intent.status is Status.PROCESSING
    sent = 1
    for _ in range(3 * 24 * 4):
        world.clock.forward(TICK_SECONDS)
        await resolve_attempts(world.ctx, "run_1")
        if len(provider.calls) > sent:
            sent = len(provider.calls)
            assert world.clock() < start + min(window, provider.keys_kept - KEYS_MARGIN)
        assert (await world.now(intent))[0].status is Status.PROCESSING
    assert sent == (1 if window < DAY else 92), "at each tick of the first 23 hours, or never"
    assert len(provider.payments) == (1 if will is Will.LOSE_REPLY else 0)
    # Long after the window the list is what tells, and two misses are an end.
    provider.silent = False
    world.use(policy=msgspec.structs.replace(policy, resend_window=timedelta(minutes=2)))
    for _ in range(2):
        await resolve_attempts(world.ctx, "run_1")
        world.clock.forward(TICK_SECONDS)
    after, _ = await world.now(intent)
    assert after.status is (Status.SUCCEEDED if provider.payments else Status.FAILED)
    assert len(provider.calls) == sent


class Race:
    """One intent of a shop of its own, and everybody who wants something else of it."""

    def __init__(self, world: World, seed: int) -> None:
        self.merchant = f"shop-{seed}"
        self.chance = random.Random(seed)
        self.turns = Turns(self.chance, world.clock)
        self.provider = GatedProvider(world.clock, self.turns)
        policy = msgspec.structs.replace(world.ctx.policy, public_url="https://pay.example")
        door = GatedDoor(world.ctx.door, self.turns)
        self.ctx = msgspec.structs.replace(
            world.ctx, door=door, provider=self.provider, policy=policy
        )
        caller = msgspec.structs.replace(world.caller, merchant=self.merchant)
        self.world = replace(world, ctx=self.ctx, caller=caller)

    async def begin(self, will: Will) -> PaymentIntent:
        """An intent to race for, of a payment that the provider takes so."""
        sql = "INSERT INTO merchant (id) VALUES ($1)"
        await self.world.connection.execute(sql, self.merchant)
        self.provider.will = will
        return await self.world.create()

    async def events(self) -> list[ProviderEvent]:
        """What the provider told of this race."""
        found: list[ProviderEvent] = await self.world.all(ProviderEvent)
        return [e for e in found if e.provider_reference.startswith(f"evt_{self.merchant}_")]

    @property
    def payment(self) -> Payment:
        (payment,) = self.provider.payments
        return payment

    async def confirm(self, intent: PaymentIntent) -> PaymentIntent:
        return await confirm_payment_intent(self.ctx, self.world.caller, intent.id, REQUEST)

    async def cancel(self, intent: PaymentIntent) -> PaymentIntent:
        return await cancel_payment_intent(self.ctx, self.world.caller, intent.id, reason="by hand")

    async def expire(self) -> None:
        await expire_payment_intents(self.ctx, "run_1")

    async def give_up(self) -> None:
        """Nobody waits for the payer any longer."""
        await close_overdue_attempts(self.ctx, "run_1")

    async def tell(self) -> None:
        """An event of what the payment is now, which may be another when it is applied."""
        if self.provider.payments:
            fact = len(self.payment.facts) - 1
            await self.turns.gate()
            body = msgspec.json.encode(self.payment.notice(fact, exact=self.chance.random() < 0.7))
            await self.world.receive(body)
            for event in await self.events():
                await self.world.apply(event)

    async def become(self, outcome: Any) -> None:
        """The payer or the provider decides, unless something else was decided before."""
        if self.payment.waits:
            self.payment.facts.append((outcome, self.world.clock()))

    async def come_back(self, intent: PaymentIntent, outcome: Any) -> str:
        """The payer answers the challenge, and follows the provider's redirect."""
        await self.become(outcome)
        await self.turns.gate()
        url = urlsplit(str(self.payment.order.return_url))
        caller = Caller(Actor("client"), "default", "req_back", "192.0.2.1")
        state = parse_qs(url.query)["state"][0]
        return await complete_authentication(self.ctx, caller, intent.id, state)

    async def run(self, racers: list[Coroutine[Any, Any, Any]]) -> list[Any]:
        self.chance.shuffle(racers)
        results = await self.turns.race(racers)
        wrong = [r for r in results if isinstance(r, BaseException)]
        refused = [r.code for r in wrong if isinstance(r, Refusal)]
        assert len(refused) == len(wrong), wrong
        assert set(refused) <= LOST_A_RACE
        return results

    async def is_legal(self, intent: PaymentIntent) -> PaymentIntent:
        """What both books say once every event has come: one end, told without a gap, paid once."""
        self.world.clock.forward(1)
        await self.tell()
        after, attempts = await self.world.now(intent)
        assert len(self.provider.payments) <= 1
        assert len(attempts) <= 2
        charged = [p for p in self.provider.payments if p.charged]
        assert len(charged) == (after.status in PAID), (after, self.provider.payments)
        assert after.pending_operation is None
        transfers = [t for t in await self.world.all(Transfer) if t.intent == intent.id]
        assert len(transfers) == (after.status is Status.SUCCEEDED)
        event_types = await self.world.event_types(intent)
        assert event_types[-1] == f"payment_intent.{after.status}"
        assert len(event_types) == len(set(event_types)), "each step is told once"
        assert await self.world.all(Correction) == [], "nothing was concluded that was not so"
        events = await self.events()
        assert {e.status for e in events} <= {EventStatus.PROCESSED, EventStatus.STALE}, events
        return after


def end_of(payment: Payment | None) -> Status:
    match None if payment is None else payment.outcome:
        case None | Cancelled():
            return Status.CANCELLED
        case Approved(captured=True):
            return Status.SUCCEEDED
        case Approved():
            return Status.REQUIRES_CAPTURE
        case ActionRequired():
            return Status.REQUIRES_ACTION
        case _:
            return Status.FAILED


@pytest.mark.parametrize("will", [Will.APPROVE, Will.HOLD, Will.ASK_PAYER])
async def test_f23_cancel_races_confirm(world: World, will: Will) -> None:
    """And the expiry, and an event; both winners are seen over the seeds."""
    ends = set()
    for seed in range(40):
        race = Race(world, seed)
        intent = await race.begin(will)
        world.clock.forward(25 * 3600)
        await race.run([race.confirm(intent), race.cancel(intent), race.expire(), race.tell()])
        after = await race.is_legal(intent)
        assert after.status is end_of(race.payment if race.provider.payments else None), seed
        ends.add(after.status)
    won = {Will.APPROVE: Status.SUCCEEDED, Will.HOLD: Status.REQUIRES_CAPTURE}
    assert {Status.CANCELLED, won.get(will, Status.REQUIRES_ACTION)} <= ends


@pytest.mark.parametrize("will", [Will.APPROVE, Will.HOLD, Will.DECLINE])
async def test_f23_the_payers_return_races_the_end(world: World, will: Will) -> None:
    """The challenge runs out there or here, the shop cancels, the payer comes back twice."""
    ends = set()
    for seed in range(40):
        race = Race(world, seed)
        racers: list[Coroutine[Any, Any, Any]]
        intent = await race.confirm(await race.begin(Will.ASK_PAYER))
        assert intent.status is Status.REQUIRES_ACTION
        outcome = OUTCOMES[will]
        racers = [race.come_back(intent, outcome) for _ in range(2)]
        racers += [race.become(Cancelled("abandoned")), race.tell(), race.tell()]
        if seed % 2:  # it would end every hold
            racers.append(race.cancel(intent))
        if seed % 3 == 0:
            world.clock.forward(3601)
            racers.append(race.give_up())
        await race.run(racers)
        after = await race.is_legal(intent)
        (attempt, *_) = (await world.now(intent))[1]
        abandoned = attempt.given_up and isinstance(race.payment.outcome, Cancelled)
        end = Status.FAILED if abandoned else end_of(race.payment)
        assert after.status is end, seed
        ends.add("abandoned" if abandoned else after.status)
    won = {Will.APPROVE: Status.SUCCEEDED, Will.HOLD: Status.REQUIRES_CAPTURE}
    assert {Status.CANCELLED, won.get(will, Status.FAILED), "abandoned"} <= ends


async def test_a_seed_is_one_interleaving(world: World) -> None:
    """The same seed gives the same order of turns: what fails can be run again."""
    orders: list[list[str]] = []
    for _ in range(2):
        turns = Turns(random.Random(7), world.clock)
        seen: list[str] = []

        async def racer(name: str, turns: Turns = turns, seen: list[str] = seen) -> None:
            for _ in range(3):
                seen.append(name)
                await turns.gate()

        async with asyncio.timeout(60):
            await turns.race([racer(name) for name in "abc"])
        orders.append(seen)
    assert orders[0] == orders[1]
    assert orders[0] != sorted(orders[0])
