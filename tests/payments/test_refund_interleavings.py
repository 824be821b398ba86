"""F22 for refunds: who asks, approves, rejects, expires and gives back elsewhere, all at once, with
turns drawn from a seed; the provider's books are the judge.
"""

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from paygate.domain.access.roles import Caller
from paygate.domain.disputes.outcome import DisputeAnswer
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import EventStatus
from paygate.domain.refunds.outcome import RefundAnswer, Refunded
from paygate.domain.refunds.refund import Refund, RefundState
from paygate.flows.disputes.find import apply_dispute
from paygate.flows.refunds.approve import approve_refund, reject_refund
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.refunds.resolve import expire_refund_approvals, resolve_refunds
from paygate.providers.absence import Absent
from paygate.providers.contract import RefundOrder
from tests.flows.disputes.stories import BANK, said
from tests.flows.payments.stand_in_provider import Will
from tests.flows.refunds.refunding_provider import CAME_BACK, Given, RefundingProvider
from tests.flows.refunds.stories import check_books, person
from tests.flows.world import INSTALLATION, World
from tests.payments.test_interleavings import Race
from tests.payments.turns import GatedProvider

WEEK = 7 * 24 * 3600
LIMIT = 500
LOST = {
    *(ErrorCode.STATE_CONFLICT, ErrorCode.PAYMENT_DISPUTED),
    *(ErrorCode.NOTHING_TO_REFUND, ErrorCode.AMOUNT_TOO_LARGE),
}
SEEDS = range(40)


class GatedRefunds(GatedProvider, RefundingProvider):
    """Refunds that are under way for as long as it takes."""

    async def refund(self, order: RefundOrder, *, timeout_seconds: float) -> RefundAnswer:
        await self._turns.gate()
        answer = await super().refund(order, timeout_seconds=timeout_seconds)
        await self._turns.gate()
        return answer

    async def retrieve_refund(
        self, provider_reference: str, *, timeout_seconds: float
    ) -> RefundAnswer | Absent:
        await self._turns.gate()
        return await super().retrieve_refund(provider_reference, timeout_seconds=timeout_seconds)


class RefundRace(Race):
    """One payment, and everybody who wants its money back."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(world, seed)
        self.books = GatedRefunds(world.clock, self.turns)
        self.provider = self.books
        policy = msgspec.structs.replace(self.ctx.policy, refund_approval_above={"eur": LIMIT})
        self.ctx = msgspec.structs.replace(self.ctx, provider=self.books, policy=policy)
        self.world = replace(self.world, ctx=self.ctx)

    def person(self, number: int) -> Caller:
        someone = person(number, f"p{number}@shop.example")
        return msgspec.structs.replace(someone, merchant=self.merchant)

    async def paid(self) -> PaymentIntent:
        return await self.confirm(await self.begin(Will.APPROVE))

    async def ask(self, intent: PaymentIntent, amount: int, who: int = 1) -> Refund:
        new = NewRefund(amount)
        return await refund_payment_intent(self.ctx, self.person(who), intent.id, new)

    async def approve(self, refund: Refund, who: int) -> Refund:
        return await approve_refund(self.ctx, self.person(who), refund.id)

    async def reject(self, refund: Refund, who: int) -> Refund:
        return await reject_refund(self.ctx, self.person(who), refund.id)

    async def nobody_approves(self) -> None:
        await expire_refund_approvals(self.ctx, "run_1")

    async def elsewhere(self, amount: int) -> None:
        """In the dashboard, which then tells of it."""
        await self.turns.gate()
        given = self.books.of_the_dashboard(self.payment, amount)
        if given is not None:
            await self.hear(given)

    async def dispute(self) -> None:
        """The payer's bank disputes the payment, which is heard of a little later."""
        await self.turns.gate()
        self.books.disputed.add(self.payment.reference)
        await self.turns.gate()
        shown = DisputeAnswer(
            outcome=said(self.world),
            provider_reference=f"du_{self.merchant}",
            payment_reference=self.payment.reference,
            as_of=self.world.clock(),
            livemode=False,
            installation=INSTALLATION,
        )
        await apply_dispute(self.ctx, BANK, shown)

    async def fail_late(self, which: int) -> None:
        """A bank sends the money back of a refund that had succeeded."""
        await self.turns.gate()
        done = [g for g in self.books.given if isinstance(g.outcome, Refunded)]
        if done:
            given = done[which % len(done)]
            given.facts.append((CAME_BACK, self.world.clock()))
            await self.hear(given)

    async def hear(self, given: Given) -> None:
        """An event of what the refund is now."""
        await self.turns.gate()
        exact = self.chance.random() < 0.7
        await self.world.receive(
            msgspec.json.encode(given.notice(len(given.facts) - 1, exact=exact))
        )
        for event in await self.events():
            if event.status is EventStatus.RECEIVED:
                await self.world.apply(event)

    async def run(self, racers: list[Coroutine[Any, Any, Any]]) -> list[Any]:
        self.chance.shuffle(racers)
        results = await self.turns.race(racers)
        wrong = [r for r in results if isinstance(r, BaseException)]
        assert [r for r in wrong if not isinstance(r, Refusal)] == []
        assert {r.code for r in wrong if isinstance(r, Refusal)} <= LOST, wrong
        return results

    async def agrees(self, intent: PaymentIntent) -> PaymentIntent:
        """What both books say once every event has come: each refund is there once, or nowhere."""
        self.world.clock.forward(31)
        await resolve_refunds(self.ctx, "run_1")
        for given in list(self.books.given):
            await self.hear(given)
        now = await check_books(self.world, intent)
        refunds = {r.id: r for r in await self.world.all(Refund) if r.intent == intent.id}
        by_reference = {r.provider_reference: r for r in refunds.values()}
        for given in self.books.given:
            ours = by_reference[given.reference]
            assert given.order is None or given.order.refund == ours.id
            assert (ours.amount, ours.external) == (given.amount, given.order is None)
            assert ours.state is (RefundState.SUCCEEDED if given.counts else RefundState.FAILED)
        there = {given.reference for given in self.books.given}
        for refund in refunds.values():
            if refund.provider_reference not in there:
                assert refund.state in {RefundState.FAILED, RefundState.AWAITING_APPROVAL}
        assert now.amount_received - now.amount_refunded == self.books.left_of(self.payment)
        assert (now.status is Status.REFUNDED) is (now.amount_refunded == now.amount_received)
        assert now.pending_operation is None
        return now


async def newest(race: RefundRace, refund: Refund) -> Refund:
    found = await race.ctx.refunds.refund(refund.merchant, refund.id)
    assert found is not None
    return found


async def test_approvals_race_each_other_and_the_end_of_their_time(world: World) -> None:
    """Two approve, one rejects, the seventh day ends: one of them decides, and it is sent once."""
    ends = set()
    for seed in SEEDS:
        race = RefundRace(world, seed)
        intent = await race.paid()
        waits = await race.ask(intent, 900)
        world.clock.forward(WEEK - 2)
        racers = [race.approve(waits, 2), race.approve(waits, 3), race.nobody_approves()]
        results = await race.run([*racers, race.reject(waits, 4)])
        await race.nobody_approves()  # the run before may have been too early
        after = await newest(race, waits)
        decided = after.failure is None or after.failure.code == "rejected"
        assert sum(isinstance(r, Refund) for r in results) == decided, seed
        assert len(race.books.asked) == (after.state is RefundState.SUCCEEDED), seed
        await race.agrees(intent)
        ends.add("approved" if after.failure is None else after.failure.code)
    assert ends == {"approved", "rejected", "approval_expired"}


@pytest.mark.parametrize("elsewhere", [1999, 1200])
async def test_an_approval_races_the_dashboard(world: World, elsewhere: int) -> None:
    """Whoever is second finds that less is left: at the provider, or here (R30)."""
    ends = set()
    for seed in SEEDS:
        race = RefundRace(world, seed)
        intent = await race.paid()
        waits = await race.ask(intent, 900)
        await race.run([race.approve(waits, 2), race.approve(waits, 3), race.elsewhere(elsewhere)])
        after = await newest(race, waits)
        now = await race.agrees(intent)
        assert now.amount_refunded == (900 if after.state is RefundState.SUCCEEDED else elsewhere)
        assert now.amount_refund_pending == 0
        ends.add("approved" if after.failure is None else after.failure.code)
    theirs = "charge_already_refunded" if elsewhere == 1999 else "amount_too_large"
    assert ends == {"approved", "nothing_to_refund", theirs}


async def test_refunds_race_a_dispute(world: World) -> None:
    """Sent before the provider knows of it, refused by the provider, or refused here: never sent
    once it is heard of, and what was given back stands beside it.
    """
    ends = set()
    for seed in SEEDS:
        race = RefundRace(world, seed)
        intent = await race.paid()
        waits = await race.ask(intent, 900)
        await race.run([race.approve(waits, 2), race.ask(intent, 300), race.dispute()])
        after = await newest(race, waits)
        await race.agrees(intent)
        ends.add("approved" if after.failure is None else after.failure.code)
        sent = len(race.books.asked)
        with pytest.raises(Refusal) as refused:
            await race.ask(intent, 100)
        assert (refused.value.code, len(race.books.asked)) == (ErrorCode.PAYMENT_DISPUTED, sent)
    assert ends == {"approved", "payment_disputed", "charge_disputed"}


async def test_everything_at_once(world: World) -> None:
    """Parts that together exceed what was taken, a dashboard that gives too, money that comes back
    while others are sent: the sums hold at every seed.
    """
    refunded, given = set(), set()
    for seed in SEEDS[:10]:
        race = RefundRace(world, seed)
        intent = await race.paid()
        waits = await race.ask(intent, 700)
        racers: list[Coroutine[Any, Any, Any]]
        racers = [race.ask(intent, amount) for amount in (200, 300, 1999)]
        racers += [race.approve(waits, 2), race.elsewhere(600), race.elsewhere(500)]
        racers += [race.fail_late(seed), race.fail_late(seed + 1)]
        await race.run(racers)
        now = await race.agrees(intent)
        assert now.amount_refunded <= now.amount_received
        refunded.add(now.amount_refunded)
        given.add(len(race.books.given))
    assert len(refunded) > 3, "the seeds differ"
    assert max(given) > 3
