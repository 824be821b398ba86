"""The life of one merchant's money: taken, given back, come back, disputed; on flows and the real
sandbox.

What must be true after every step is in `check`: the records, the ledger and the provider's own
books tell one story, but for what nobody has told us yet. `settle` has everything told. Another way
in which money moves is a step of its own that does something at the provider, and a rule in `check`
about what the provider's books then say.
"""

import asyncio
import itertools
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.payments.payment_intent import CaptureMethod, PaymentIntent, Status
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.domain.refunds.refund import IN_DOUBT, Refund, RefundState
from paygate.flows.payments.capture import capture_payment_intent
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.flows.provider_events.receive import receive_provider_event
from paygate.flows.reconciliation.run import reconcile_by_the_clock
from paygate.flows.refunds.approve import approve_refund, reject_refund
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from paygate.flows.refunds.resolve import expire_refund_approvals, resolve_refunds
from paygate.jobs.messages import ApplyProviderEvent
from paygate.providers.stripe.adapter import StripeProvider
from tests.api.test_provider_events import signed
from tests.flows.refunds.stories import check_books, person
from tests.flows.world import World
from tests.sandbox.caller import Caller as SandboxCaller
from tests.sandbox.caller import Json

WEBHOOK_SECRET: Final = "whsec_money"
AMOUNT: Final = 1000
ALONE: Final = 600
"""Above this a refund waits for a second person."""
_S = RefundState
TELLING: Final = ("refund.", "charge.refund")
"""How the types of events begin that tell of money on its way back."""
MAY_BE_THERE: Final = {
    _S.SUCCEEDED: {"succeeded", "failed"},
    _S.PENDING: {"pending", "succeeded", "failed"},
    _S.FAILED: {"failed"},
}
"""What the provider's books may say of a refund that stands so here, as news may be on its way."""
SETTLED: Final = {"succeeded": _S.SUCCEEDED, "pending": _S.PENDING, "failed": _S.FAILED}
REFUSED: Final = {ErrorCode.NOTHING_TO_REFUND, ErrorCode.AMOUNT_TOO_LARGE}
JUDGED_AFTER: Final = 6
"""Seconds after which the sandbox's banks have read what was submitted."""
_merchants = (f"money {n}" for n in itertools.count())


class MoneyLife:
    """One example: a merchant of its own, on the world and the sandbox that all share."""

    def __init__(self, world: World, provider: StripeProvider, stripe: SandboxCaller) -> None:
        self.stripe = stripe
        self.merchant = next(_merchants)
        policy = msgspec.structs.replace(world.ctx.policy, refund_approval_above={"eur": ALONE})
        self.ctx = msgspec.structs.replace(
            world.ctx, provider=provider, policy=policy, now=self.now
        )
        self.world = world
        self.ahead = timedelta(0)
        self.intents: list[str] = []
        self.unheard: list[Json] = []
        """Events that the provider has made, and that have not come here, the oldest first."""
        self.heard: set[str] = set()
        """The refunds at the provider that we were told of."""
        self.seen: set[str] = set()
        """The events that are not of this life, or were made unheard or heard before."""

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def begin(self) -> None:
        """Start where the provider's clock stands: the lives before have moved it."""
        sql = "INSERT INTO merchant (id) VALUES ($1)"
        await self.world.connection.execute(sql, self.merchant)
        clock = await self.stripe.control("GET", "clock")
        self.ahead = timedelta(seconds=clock["advanced_seconds"])
        listed = await self.stripe.get("/v1/events", limit=100)
        self.seen = {event["id"] for event in listed["data"]}

    def who(self, number: int) -> Caller:
        someone = person(number, f"p{number}@shop.example")
        return msgspec.structs.replace(someone, merchant=self.merchant)

    # -- what there is ---------------------------------------------------------------------

    async def intent(self, number: int) -> PaymentIntent:
        """One of the payments, the newest first."""
        intent_id = self.intents[-1 - number % len(self.intents)]
        found = await self.ctx.read.payment_intent(self.merchant, intent_id)
        assert found is not None
        return found

    async def waiting(self) -> list[Refund]:
        """What a second person must decide on."""
        found: list[Refund] = await self.world.all(Refund)
        waiting = [r for r in found if r.state is _S.AWAITING_APPROVAL]
        return [r for r in waiting if r.merchant == self.merchant]

    # -- steps -----------------------------------------------------------------------------

    async def take(self, token: str, *, manual: bool) -> None:
        """Take the money of a card; of a hold, a part of it."""
        method = CaptureMethod.MANUAL if manual else CaptureMethod.AUTOMATIC
        new = NewPaymentIntent(amount=AMOUNT, currency="eur", capture_method=method)
        caller = self.who(1)
        intent = (await create_payment_intent(self.ctx, caller, new)).intent
        how = Confirmation(instrument=CardToken(token), return_url="https://shop.example/done")
        await confirm_payment_intent(self.ctx, caller, intent.id, how)
        if manual:
            await capture_payment_intent(self.ctx, caller, intent.id, amount=AMOUNT - 300)
        self.intents.append(intent.id)

    async def refund(self, number: int, amount: int | None, fault: str | None = None) -> None:
        """Give back; what is refused was more than there is, or certainly not sent."""
        intent = await self.intent(number)
        if fault is not None:
            await self.stripe.fault("refund", fault)
        said = await _said(self._ask(intent, amount))
        if isinstance(said, Refusal) and said.code is not ErrorCode.PROVIDER_UNAVAILABLE:
            if said.code is ErrorCode.PAYMENT_DISPUTED:
                assert intent.disputes_blocking, "no dispute that we know of blocks it"
                return
            assert said.code in REFUSED, said
            left = intent.amount_refundable
            assert left == 0 or (amount or 0) > left, "there was enough"
        if fault is not None:
            await self.stripe.control("DELETE", "faults")

    async def refund_at_once(self, number: int, amounts: tuple[int, ...]) -> None:
        intent = await self.intent(number)
        asked = (self._ask(intent, amount) for amount in amounts)
        for said in await asyncio.gather(*(_said(each) for each in asked)):
            refused = REFUSED | {ErrorCode.PAYMENT_DISPUTED}
            assert isinstance(said, Refund) or said.code in refused, said

    async def _ask(self, intent: PaymentIntent, amount: int | None) -> Refund:
        return await refund_payment_intent(self.ctx, self.who(1), intent.id, NewRefund(amount))

    async def decide(self, number: int, *, approve: bool) -> None:
        """A second person's word; too late when the money went back otherwise meanwhile."""
        waiting = await self.waiting()
        if not waiting:
            return
        flow = approve_refund if approve else reject_refund
        refund = waiting[number % len(waiting)]
        said = await _said(flow(self.ctx, self.who(2), refund.id))
        if isinstance(said, Refusal):
            known = REFUSED | {ErrorCode.STATE_CONFLICT, ErrorCode.PAYMENT_DISPUTED}
            assert said.code in known, said
        else:
            assert said.state is not _S.AWAITING_APPROVAL

    async def refund_in_dashboard(self, number: int, amount: int) -> None:
        """As much as the provider lets somebody give there."""
        intent = await self.intent(number)
        form = {"payment_intent": intent.provider_reference, "amount": amount}
        answer = await self.stripe.call("POST", "/v1/refunds", form)
        assert answer.status in {200, 400}, answer

    async def dispute(self, number: int, kind: str, amount: int | None, fee: int) -> None:
        """The payer's bank asks, or takes back, as much as there is to ask for."""
        intent = await self.intent(number)
        books = await self.stripe.control("GET", "ledger")
        (charge,) = [
            c
            for c in books["charges"]
            if c["payment_intent"] == intent.provider_reference and c["captured"]
        ]
        left = charge["amount_captured"] - charge["amount_refunded"]
        if left and (amount is None or amount <= charge["amount_captured"]):
            fees = {"countered_fee": fee} if kind == "chargeback" else {}
            order = {"charge": charge["id"], "kind": kind, "amount": amount, **fees}
            await self.stripe.control("POST", "disputes", order)

    async def answer(self, number: int, word: str) -> None:
        """Somebody answers a bank in the dashboard, in words that decide what it says."""
        open_ = [d for d in await self._disputes_there() if d["status"].endswith("needs_response")]
        if not open_:
            return
        dispute = open_[number % len(open_)]["id"]
        form = {"evidence": {"uncategorized_text": word}}
        answer = await self.stripe.call("POST", f"/v1/disputes/{dispute}", form)
        assert answer.status == 200, answer
        await self.go_by(JUDGED_AFTER)

    async def _disputes_there(self) -> list[Json]:
        """What the provider has of disputes of this life's payments."""
        books = await self.stripe.control("GET", "ledger")
        ours = [await self.intent(number) for number in range(len(self.intents))]
        paid = {intent.provider_reference for intent in ours}
        charges = {c["id"] for c in books["charges"] if c["payment_intent"] in paid}
        return [d for d in books["disputes"] if d["charge"] in charges]

    async def go_by(self, seconds: int) -> None:
        """Time passes on both sides: refunds that take their time come to their end."""
        await self.stripe.advance(seconds)
        self.ahead += timedelta(seconds=seconds)

    async def sweep(self) -> None:
        """What the jobs do, once every call must be over."""
        await self.go_by(31)
        await resolve_refunds(self.ctx, "run_1")
        await expire_refund_approvals(self.ctx, "run_1")

    async def hear(self, number: int, *, times: int) -> None:
        """An event comes, out of its turn, once or more; `times` 0 is one that never will."""
        await self._look_for_events()
        if not self.unheard:
            return
        event = self.unheard.pop(number % len(self.unheard))
        for _ in range(times):
            await self._deliver(event)

    async def _look_for_events(self) -> None:
        listed = await self.stripe.get("/v1/events", limit=100)
        new = [event for event in reversed(listed["data"]) if event["id"] not in self.seen]
        self.seen |= {event["id"] for event in new}
        self.unheard += [event for event in new if event["type"].startswith(TELLING)]

    async def _deliver(self, event: Json) -> None:
        body = msgspec.json.encode(event)
        headers = {"stripe-signature": signed(WEBHOOK_SECRET, body, self.now().timestamp())}
        caller = Caller(Actor("provider", id="stripe"), "default", "req_event")
        await receive_provider_event(self.ctx, caller, body, headers)
        kept: list[ProviderEvent] = await self.world.all(ProviderEvent)
        for each in kept:
            if each.status is EventStatus.RECEIVED:
                message = ApplyProviderEvent(each.merchant, each.id)
                while wait := await apply_provider_event(self.ctx, message):
                    self.ahead += wait
        told = event["data"]["object"]
        if told["object"] in {"refund", "dispute"}:
            self.heard.add(told["id"])

    async def settle(self) -> None:
        """Everything is told: what was in doubt is looked up, and a round reads the rest."""
        await self.sweep()
        await self.go_by(601)  # what two looks so far apart do not find was never made
        await self.sweep()
        await reconcile_by_the_clock(self.ctx, "run_1")
        await self.check(told=True)

    # -- invariants ------------------------------------------------------------------------

    async def check(self, *, told: bool = False) -> None:
        """Records, ledger and the provider's books agree; to the last word once all was told."""
        books = await self.stripe.control("GET", "ledger")
        charges = {c["payment_intent"]: c for c in books["charges"] if c["captured"]}
        refunds: list[Refund] = await self.world.all(Refund)
        for intent_id in self.intents:
            before = await self.ctx.read.payment_intent(self.merchant, intent_id)
            assert before is not None
            intent = await check_books(self.world, before)
            ours = [r for r in refunds if r.intent == intent.id]
            reference = intent.provider_reference
            theirs = [r for r in books["refunds"] if r["payment_intent"] == reference]
            _check_provider(intent, charges[reference], theirs)
            self._check_each(ours, theirs, told=told)
            self._check_sums(intent, theirs, told=told)
            disputed = [d for d in books["disputes"] if d["charge"] == charges[reference]["id"]]
            await self._check_disputes(intent, disputed, told=told)

    async def _check_disputes(
        self, intent: PaymentIntent, theirs: list[Json], *, told: bool
    ) -> None:
        """Each row of the provider's once, and none that it has not."""
        there = {d["id"]: d for d in theirs}
        found: list[Dispute] = await self.world.all(Dispute)
        ours = [d for d in found if d.intent == intent.id]
        for dispute in ours:
            shown = there.pop(dispute.provider_reference)
            rows = {row["id"]: row["net"] for row in shown["rows"]}
            booked = {row.provider_reference: row.amount - row.fee for row in dispute.rows}
            assert booked.items() <= rows.items()
            assert len(booked) == len(dispute.rows)
            assert not told or (dispute.status, booked) == (shown["status"], rows)
        assert not self.heard & set(there), "told of it, and it is not here"
        assert not (told and there)
        gone = intent.amount_refunded + intent.amount_refund_pending + intent.amount_disputed
        assert intent.amount_refundable == max(0, intent.amount_received - gone)
        if any(d.status in {"needs_response", "under_review"} for d in ours):
            assert intent.disputes_blocking

    def _check_each(self, ours: list[Refund], theirs: list[Json], *, told: bool) -> None:
        there = {r["id"]: r for r in theirs}
        for refund in ours:
            made = [r for r in theirs if r["idempotency_key"] == refund.id]
            assert len(made) <= 1, "given back twice"
            if refund.provider_reference is None:
                assert refund.state in IN_DOUBT | {_S.AWAITING_APPROVAL, _S.FAILED}
                assert refund.state in IN_DOUBT or made == [], "made, and we do not know"
                # Of one that it never made, the provider may repeat a fault for a day.
                assert not told or made == [], "made, and nobody finds out"
                continue
            shown = there[refund.provider_reference]
            assert shown["amount"] == refund.amount
            assert shown["idempotency_key"] == (None if refund.external else refund.id)
            assert shown["status"] in MAY_BE_THERE[refund.state]
            assert not told or refund.state is SETTLED[shown["status"]]
        known = {r.provider_reference for r in ours}
        keys = {r.id for r in ours}
        strange = [r["id"] for r in theirs if r["id"] not in known]
        strange = [r for r in strange if there[r]["idempotency_key"] not in keys]
        assert not self.heard & set(strange), "told of it, and it is not here"
        assert not (told and strange)

    def _check_sums(self, intent: PaymentIntent, theirs: list[Json], *, told: bool) -> None:
        """What can be refunded here is there, unless somebody gave it back elsewhere unheard."""
        gone = sum(r["amount"] for r in theirs if r["status"] != "failed")
        left = intent.amount_received - gone
        elsewhere = sum(
            r["amount"]
            for r in theirs
            if r["status"] != "failed"
            and r["idempotency_key"] is None
            and r["id"] not in self.heard
        )
        assert intent.amount_refundable <= left + elsewhere
        if told:
            pending = sum(r["amount"] for r in theirs if r["status"] == "pending")
            assert intent.amount_refunded == gone - pending
            assert intent.status is (
                Status.REFUNDED
                if intent.amount_refunded == intent.amount_received
                else Status.SUCCEEDED
            )


def _check_provider(intent: PaymentIntent, charge: Json, theirs: list[Json]) -> None:
    """The judge itself: never more than it took, and we know what that was."""
    gone = _sum([r for r in theirs if r["status"] != "failed"])
    assert charge["amount_refunded"] == gone <= charge["amount_captured"]
    assert charge["amount_captured"] == intent.amount_received


def _sum(refunds: list[Json]) -> int:
    return sum(refund["amount"] for refund in refunds)


async def _said(asked: Awaitable[Refund]) -> Refund | Refusal:
    """The refund, or why it was refused."""
    try:
        return await asked
    except Refusal as refusal:
        return refusal
