"""The life of one merchant's payments: what may be done to them, what may be answered, and what
must be true after every step, whatever came before.

The model is small: it knows what was committed, what clients were told, and the provider's books.
"""

import asyncio
import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from paygate.domain.access.roles import Action
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey, KeyState
from paygate.domain.payments.attempt import OPEN, Attempt, AttemptState, state_of
from paygate.domain.payments.outcome import Cancelled
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.payments.payment_method import CardToken
from paygate.domain.provider_event import ProviderEvent
from paygate.flows.context import Context
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.purge import purge_idempotency_keys
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.payments.attach import attach_payment_method
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.capture import capture_payment_intent
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.create import Created, NewPaymentIntent, create_payment_intent
from paygate.flows.payments.sweeps.close_overdue import close_overdue_attempts
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.flows.provider_events.apply import apply_provider_event
from paygate.flows.provider_events.receive import receive_provider_event
from paygate.jobs.messages import ApplyProviderEvent
from paygate.storage.change import OutcomeUnknown, Unavailable
from tests.flows.payments.expected import CUT_OFF, KEPT, Ask, Body, Model
from tests.flows.payments.stand_in_provider import LATER, Payment, StandInProvider, Will
from tests.flows.payments.watched import NAMED, Death, Log, WatchedDoor
from tests.flows.world import World, encode
from tests.storage.stored import TABLE_OF, select

_WAITING = frozenset({AttemptState.ACTION_REQUIRED, AttemptState.PENDING})
_merchants = (f"shop {n}" for n in itertools.count())

_JUDGED: tuple[type[Any], ...] = (PaymentIntent, Attempt, IdempotencyKey, Event)

CONFIRM = {"instrument": CardToken(NAMED.token), "return_url": "https://shop.example/done"}
REVIEWED = {"return_url": "https://shop.example/done"}
"""A confirm that is paid with what is attached."""
ATTACH = {"instrument": CardToken("tok_2")}
DETACH: Body = {"instrument": None}


@dataclass(frozen=True)
class Response:
    body: bytes
    replayed: bool


Result = Response | Refusal | str


class Shown(msgspec.Struct):
    """What the model looks at in an answer."""

    id: str
    status: Status


class Life(Model):
    """One example: a merchant of its own, on the world that all share."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.merchant = next(_merchants)
        self.log = Log(self.merchant)
        self.provider = StandInProvider(world.clock)
        self.intents: list[str] = []
        self.asks: list[Ask] = []
        self.numbers = itertools.count()
        self.ctx = msgspec.structs.replace(world.ctx, provider=self.provider)

    # -- what there is ---------------------------------------------------------------------

    def choose(self, number: int) -> str:
        """One of the intents, those first that are still to be confirmed."""
        ids = sorted(self.intents, key=lambda i: self.intent(i).status is not Status.CREATED)
        return ids[number % len(ids)]

    def choose_held(self, number: int) -> str:
        """One of the intents, those first whose money is held."""
        ids = sorted(
            self.intents, key=lambda i: self.intent(i).status is not Status.REQUIRES_CAPTURE
        )
        return ids[number % len(ids)]

    def key_of(self, ask: Ask) -> IdempotencyKey | None:
        """The row that stands for a request's key: the one that it or a twin of it claimed."""
        found = [
            k
            for k in self.log.all(IdempotencyKey)
            if ask.key is not None and k.claim in ask.requests
        ]
        assert len(found) <= 1
        return found[0] if found else None

    # -- steps -----------------------------------------------------------------------------

    def ask(self, action: Action, path: str, body: Body, *, keyed: bool = True) -> Ask:
        # The same keys are used on every path: they must not meet.
        number = sum((a.action, a.path) == (action, path) for a in self.asks)
        key = f"k{number}" if keyed else None
        ask = Ask(action, path, body, key)
        self.asks.append(ask)
        return ask

    async def send(self, ask: Ask, death: Death | None = None) -> None:
        """Send a request, and hold its answer against what may be answered."""
        key = self.key_of(ask)
        before = dict(self.log.records)
        calls = len(self.provider.calls)
        expected = self.expected(ask, key)
        result = await self.raw(ask, death)
        if isinstance(result, Response):
            self.answered(ask, result, key)
        elif isinstance(result, Refusal) and (
            result.code is not ErrorCode.PROVIDER_UNAVAILABLE or ask.action is Action.INTENT_ATTACH
        ):
            assert self.log.records == before, "what is refused changes nothing"
        elif isinstance(result, Refusal) and (now := self.key_of(ask)) is not None:
            assert now.state is KeyState.WORKING, "a refusal is no answer to be kept"
        if key is not None and key.state is KeyState.FINISHED:
            assert len(self.provider.calls) == calls
        if death is None:
            assert self.heard(result) == expected, (ask, key)

    def heard(self, result: Result) -> object:
        """A result as `expected` has it."""
        if isinstance(result, Refusal):
            return result.code
        if isinstance(result, str):
            return result
        if result.replayed:
            return result.body
        return msgspec.json.decode(result.body, type=Shown).status

    def answered(self, ask: Ask, response: Response, key: IdempotencyKey | None) -> None:
        """I4 and I10: what is acknowledged is durable, and said again byte for byte."""
        shown = msgspec.json.decode(response.body, type=Shown)
        if shown.id not in self.intents:
            self.intents.append(shown.id)
        if ask.key is None:
            return
        now = self.key_of(ask)
        assert now is not None
        assert (now.state, now.body) == (KeyState.FINISHED, response.body)
        assert response.replayed is (key is not None and key.state is KeyState.FINISHED)
        if response.replayed and ask.final_body is not None:
            assert response.body == ask.final_body, "the same bytes while the key is kept"
        ask.final_body = response.body

    async def raw(
        self, ask: Ask, death: Death | None = None, *, frozen: bool = False, **other: Any
    ) -> Result:
        """Send a request through a process of its own; audited, whatever is acknowledged."""
        request_id = f"{self.merchant} req {next(self.numbers)}"
        caller = msgspec.structs.replace(
            self.world.caller, merchant=self.merchant, request_id=request_id
        )
        policy = self.ctx.policy
        if frozen or death is not None:
            policy = msgspec.structs.replace(policy, lock_ttl=timedelta(milliseconds=1))
        ctx = msgspec.structs.replace(
            self.ctx, door=WatchedDoor(self.ctx.door, self.log, death), policy=policy
        )
        body = {**ask.body, **other}
        if not other:
            ask.requests.add(request_id)

        async def flow(ctx: Context) -> Any:
            if ask.action is Action.INTENT_CREATE:
                return await create_payment_intent(ctx, caller, NewPaymentIntent(**body))
            if ask.action is Action.INTENT_ATTACH:
                return await attach_payment_method(ctx, caller, ask.path, **body)
            if ask.action is Action.INTENT_CONFIRM:
                confirmation = Confirmation(**body)
                return await confirm_payment_intent(ctx, caller, ask.path, confirmation)
            if ask.action is Action.INTENT_CAPTURE:
                return await capture_payment_intent(ctx, caller, ask.path, **body)
            return await cancel_payment_intent(ctx, caller, ask.path, **body)

        try:
            if ask.key is None:
                result = Response(_render(await flow(ctx)), replayed=False)
            else:
                scope = f"sk POST {ask.action} {ask.path}"
                request = KeyedRequest(caller, ask.action, scope, ask.key, encode(body))
                result = Response(*await idempotently(ctx, request, flow, _render))
        except Refusal as refusal:
            return refusal
        except (ConnectionAbortedError, OutcomeUnknown, Unavailable):
            return CUT_OFF
        assert request_id in self.log.audits.values(), "what is acknowledged is audited"
        return result

    async def other(self, ask: Ask) -> None:
        if ask.key is None or self.key_of(ask) is None:
            return
        before = dict(self.log.records), len(self.provider.calls)
        changes: dict[Action, dict[str, Any]] = {
            Action.INTENT_CREATE: {"amount": 2000},
            Action.INTENT_ATTACH: {"instrument": CardToken("tok_3")},
            Action.INTENT_CONFIRM: {"return_url": "https://shop.example/elsewhere"},
            Action.INTENT_CAPTURE: {"amount": 1},
            Action.INTENT_CANCEL: {"reason": "another"},
        }
        result = await self.raw(ask, **changes[ask.action])
        assert isinstance(result, Refusal), result
        assert result.code is ErrorCode.IDEMPOTENCY_KEY_REUSED
        assert (dict(self.log.records), len(self.provider.calls)) == before

    async def order(self, body: Body) -> None:
        """Two tabs, one of them clicked twice, and somebody without a key."""
        taken = self.of_reference(body["reference"])
        tab = self.ask(Action.INTENT_CREATE, "", body)
        two = self.ask(Action.INTENT_CREATE, "", body)
        loose = self.ask(Action.INTENT_CREATE, "", body, keyed=False)
        asks = (tab, tab, two, loose)
        results = await asyncio.gather(*map(self.raw, asks))
        won = {r.body for r in results if isinstance(r, Response)}
        assert len(won) == (not taken), "one order, one payment"
        for ask, result in zip(asks, results, strict=True):
            if isinstance(result, Response):
                ask.final_body = result.body if ask.key is not None else None
            else:
                assert self.heard(result) is ErrorCode.REFERENCE_IN_USE
        self.intents += [msgspec.json.decode(body, type=Shown).id for body in won]

    async def race(self, intent_id: str) -> None:
        was = self.intent(intent_id)
        one = self.ask(Action.INTENT_CONFIRM, intent_id, CONFIRM)
        two = self.ask(Action.INTENT_CONFIRM, intent_id, CONFIRM)
        three = self.ask(Action.INTENT_CANCEL, intent_id, {"reason": "raced"}, keyed=False)
        four = self.ask(Action.INTENT_ATTACH, intent_id, ATTACH, keyed=False)
        first, twin, second, *_ = await asyncio.gather(
            *(self.raw(ask) for ask in (one, one, two, three, four)), self.expire()
        )
        # A cancel may come after a confirm that left something to cancel.
        winners = [r for r in (second,) if isinstance(r, Response)]
        confirmed = [r for r in (first, twin) if isinstance(r, Response)]
        assert len({r.body for r in confirmed}) <= 1
        assert len(winners) + bool(confirmed) <= 1, "one confirm at most"
        if was.status is not Status.CREATED:
            assert not winners
            assert not confirmed
        for ask, results in ((one, confirmed), (two, winners)):
            if results and (key := self.key_of(ask)) is not None:
                assert key.body == results[0].body
                ask.final_body = key.body

    async def freeze(self, intent_id: str) -> None:
        """F05 and F06: a holder stands still in the call, another takes over, then both go on."""
        ask = self.ask(Action.INTENT_CONFIRM, intent_id, CONFIRM)
        calls = len(self.provider.calls)
        thaw = self.provider.freezes = asyncio.Event()
        first = asyncio.create_task(self.raw(ask, frozen=True))
        while not first.done() and len(self.provider.calls) == calls:
            await asyncio.sleep(0.001)
        self.provider.freezes = None
        results = [] if first.done() else [await self.raw(ask)]
        thaw.set()
        results.append(await first)
        bodies = {r.body for r in results if isinstance(r, Response)}
        assert len(bodies) <= 1
        for body in bodies:
            key = self.key_of(ask)
            assert key is not None
            assert key.body == body
            ask.final_body = body

    async def deliver(self, payment: Payment, fact: int, *, exact: bool) -> None:
        attempt = self.log.records[Attempt, payment.order.attempt]
        latest = not exact or fact == len(payment.facts) - 1
        ctx = msgspec.structs.replace(self.ctx, door=WatchedDoor(self.ctx.door, self.log))
        known = len(self.log.received)
        before = self.payment_records()
        caller = msgspec.structs.replace(self.world.caller, request_id="req_event")
        body = encode(payment.notice(fact, exact=exact))
        await receive_provider_event(ctx, caller, body, {})
        for event in self.log.received[known:]:
            await self.apply(ctx, event)
            if latest and attempt.state in OPEN:
                now = self.log.records[Attempt, attempt.id]
                assert now.state is state_of(payment.outcome)
                given_up = now.given_up and isinstance(payment.outcome, Cancelled)
                end = Status.FAILED if given_up else payment.status
                assert self.intent(attempt.intent).status is end
            before = self.payment_records()
            await self.apply(ctx, event)
        assert self.payment_records() == before, "an event is applied once"

    async def apply(self, ctx: Context, event: ProviderEvent) -> None:
        while wait := await apply_provider_event(ctx, ApplyProviderEvent(event.merchant, event.id)):
            self.world.clock.forward(wait.total_seconds())  # as its job comes back

    def payment_records(self) -> dict[tuple[type, str], Any]:
        return {p: r for p, r in self.log.records.items() if p[0] is not IdempotencyKey}

    async def expire(self) -> None:
        ctx = msgspec.structs.replace(self.ctx, door=WatchedDoor(self.ctx.door, self.log))
        await expire_payment_intents(ctx, "run_1")
        await close_overdue_attempts(ctx, "run_1")

    async def run_late(self) -> None:
        """An hour later nobody waits for a payer: what is due is closed, or put off."""
        self.world.clock.forward(3601)
        now = self.world.clock()
        waiting = [a for a in self.log.all(Attempt) if a.state in _WAITING]
        due = [a for a in waiting if a.close_at is not None and a.close_at <= now]
        await self.expire()
        for attempt in due:
            after = self.log.records[Attempt, attempt.id]
            if after.state in _WAITING:
                assert after.close_at > now, "put off"
            unanswered = attempt.state is AttemptState.ACTION_REQUIRED and not attempt.cancelling
            assert not unanswered or after.given_up, "nobody wanted it closed but us"

    async def purge(self) -> None:
        ctx = msgspec.structs.replace(self.ctx, door=WatchedDoor(self.ctx.door, self.log))
        await purge_idempotency_keys(ctx, "run_1")
        limit = self.world.clock() - KEPT
        for key in self.log.all(IdempotencyKey):
            if key.state is KeyState.FINISHED and key.created_at < limit:
                del self.log.records[IdempotencyKey, key.id]

    # -- invariants ------------------------------------------------------------------------

    async def check(self) -> None:
        """The log of commits is what the database holds, and the provider's books allow it."""
        for kind in _JUDGED:
            query = f"{select(TABLE_OF[kind])} WHERE merchant = $1"
            rows = await self.world.connection.fetch(query, self.merchant)
            found = [self.world.records.open(kind, tuple(row)) for row in rows]
            assert {r.id: r for r in found} == {r.id: r for r in self.log.all(kind)}
        audits = "SELECT count(*) FROM audit_entry WHERE id = ANY ($1)"
        audited = await self.world.connection.fetchval(audits, list(self.log.audits))
        assert audited == len(self.log.audits), "every commit has its audit entry"
        self._check_money()
        self._check_answers()

    def _check_money(self) -> None:
        for attempt in self.log.all(Attempt):
            if attempt.given_up and attempt.state is AttemptState.CANCELLED:
                error = self.intent(attempt.intent).last_payment_error
                assert error is not None
                assert error.code == "authentication_abandoned"
        for intent in self.log.all(PaymentIntent):
            charges = [p for p in self.payments(intent.id) if p.charged]
            assert len(charges) <= 1, "charged twice"
            if intent.status in (Status.CANCELLED, Status.FAILED, Status.CREATED):
                assert charges == [], f"charged, and {intent.status}"
            if intent.status in (Status.SUCCEEDED, Status.REQUIRES_CAPTURE):
                assert len(charges) == 1, f"{intent.status}, and not charged"

    def _check_answers(self) -> None:
        limit = self.world.clock() - KEPT
        for ask in self.asks:
            key = self.key_of(ask)
            if key is not None and key.state is KeyState.WORKING:
                one_commit = (Action.INTENT_CREATE, Action.INTENT_ATTACH)
                assert ask.action not in one_commit, "which claims and finishes it"
            if ask.final_body is not None and key is not None and key.created_at >= limit:
                assert key.body == ask.final_body

    async def end(self) -> None:
        """All who were cut off come again, all events arrive: then both books say the same."""
        self.provider.will = Will.APPROVE
        for ask in self.asks:
            key = self.key_of(ask)
            if key is not None and key.state is KeyState.WORKING:
                await self.send(ask)
                assert self.key_of(ask) != key
        for payment in self.payments():
            if payment.waits:
                payment.facts.append((LATER[0], self.world.clock()))
            await self.deliver(payment, len(payment.facts) - 1, exact=True)
        self.world.clock.forward(25 * 3600)
        await self.expire()
        await self.purge()
        await self.check()
        assert self.log.all(IdempotencyKey) == []
        charged = {p.order.intent for p in self.payments() if p.charged}
        paid = {Status.SUCCEEDED, Status.REQUIRES_CAPTURE}
        intents = self.log.all(PaymentIntent)
        assert {i.id for i in intents if i.status in paid} == charged
        assert all(i.status is not Status.CREATED for i in intents)


def _render(value: PaymentIntent | Created) -> bytes:
    return encode(value.intent if isinstance(value, Created) else value)
