"""A payment method is attached by its token, looked at, and paid with."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from paygate.domain.access.roles import Action
from paygate.domain.alert import Alert, AlertType
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.payments.outcome import (
    ActionRequired,
    BankTransfer,
    Card,
    NotSent,
    Outcome,
    RedirectToUrl,
    Rejected,
    Unknown,
)
from paygate.domain.payments.payment_intent import PaymentIntent, PaymentMethodType, Status
from paygate.domain.payments.payment_method import (
    CardToken,
    DirectDebit,
    Instrument,
    Mandate,
    PushTransfer,
)
from paygate.flows.context import CommitDoor
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import StoredResponse, idempotently
from paygate.flows.payments.attach import attach_payment_method
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.flows.payments.sweeps.expire import expire_payment_intents
from paygate.storage.change import Change, Conflict, Reason, Verdict
from tests.domain.payments.test_confirmation import ENDS
from tests.flows.world import APPROVED, CARD, CARDLESS, REQUEST, Looked, World, answer, encode
from tests.making import START

REVIEWED = Confirmation(return_url="https://shop.example/done")
REJECTED = Rejected("payment_method_rejected", "no such token")
SILENT: tuple[Looked, ...] = (Unknown("timeout"), NotSent("429", 7), Unknown("HTTP 500"))
DEBIT = DirectDebit(
    token="tok_bank",
    mandate=Mandate(accepted_at=START, ip_address="192.0.2.1", user_agent="Browser/1"),
)
EITHER = tuple(PaymentMethodType)


async def attach(
    world: World,
    intent: PaymentIntent,
    token: str | None = "tok_a",
    method: Instrument | None = None,
) -> PaymentIntent:
    named = method or (None if token is None else CardToken(token))
    return await attach_payment_method(world.ctx, world.caller, intent.id, named)


async def pay(
    world: World, intent: PaymentIntent, request: Confirmation = REVIEWED
) -> PaymentIntent:
    return await confirm_payment_intent(world.ctx, world.caller, intent.id, request)


async def refused(work: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        await work
    return refusal.value


async def once(
    world: World, action: Action, flow: Callable[[Any], Awaitable[Any]]
) -> StoredResponse:
    """The flow under one idempotency key, however often it is called."""
    world.requests += 1
    caller = msgspec.structs.replace(world.caller, request_id=f"req_{world.requests}")
    request = KeyedRequest(caller, action, "sk POST /attach", "k", b"{}")
    return await idempotently(world.ctx, request, flow, lambda value: encode(_intent(value)))


def _intent(value: Any) -> Any:
    return getattr(value, "intent", value)


async def test_the_method_is_shown_and_a_confirm_pays_with_it(world: World) -> None:
    intent = await world.create()
    attached = await attach(world, intent)
    assert (attached.status, attached.version) == (Status.CREATED, 2)
    assert (attached.payment_method, attached.attached) == (CARD, CardToken("tok_a"))
    assert (await world.now(intent))[0] == attached
    assert await world.event_types(intent) == ["payment_intent.created"]
    (entry,) = [e for e in await world.audited() if e.action is Action.INTENT_ATTACH]
    assert entry.subject is not None
    assert (entry.subject.id, entry.actor) == (intent.id, world.caller.actor)
    world.provider.answers.append(answer(CARDLESS))
    paid = await pay(world, intent)
    assert (paid.status, paid.payment_method, paid.attached) == (Status.SUCCEEDED, CARD, None)
    assert [order.instrument for order in world.provider.orders] == [CardToken("tok_a")]


async def test_again_replaces_and_null_detaches(world: World) -> None:
    intent = await world.create()
    await attach(world, intent)
    other = Card("amex", "8431", 1, 2031)
    world.provider.methods.append(other)
    replaced = await attach(world, intent, "tok_b")
    assert (replaced.payment_method, replaced.attached) == (other, CardToken("tok_b"))
    detached = await attach(world, intent, None)
    assert (detached.payment_method, detached.attached) == (None, None)
    assert detached.version == 4
    assert world.provider.asked == [CardToken("tok_a"), CardToken("tok_b")]
    refusal = await refused(pay(world, intent))
    assert (refusal.code, refusal.param) == (ErrorCode.PARAMETER_MISSING, "payment_method")


async def test_a_dead_token_changes_nothing(world: World) -> None:
    intent = await attach(world, await world.create())
    world.provider.methods.append(REJECTED)
    refusal = await refused(attach(world, intent, "tok_dead"))
    assert refusal.code is ErrorCode.PAYMENT_METHOD_REJECTED
    assert refusal.param == "payment_method.token"
    assert (await world.now(intent))[0] == intent


@pytest.mark.parametrize("silence", SILENT)
async def test_a_silent_provider_attaches_nothing_and_the_key_stays_free(
    world: World, silence: Looked
) -> None:
    intent = await world.create()
    card = CardToken("tok_a")

    async def flow(ctx: Any) -> PaymentIntent:
        return await attach_payment_method(ctx, world.caller, intent.id, card)

    world.provider.methods.append(silence)
    refusal = await refused(once(world, Action.INTENT_ATTACH, flow))
    assert refusal.code is ErrorCode.PROVIDER_UNAVAILABLE
    assert refusal.retry_after_seconds == (7 if isinstance(silence, NotSent) else 1)
    assert (await world.now(intent))[0] == intent
    assert await world.all(IdempotencyKey) == []
    first, again = [await once(world, Action.INTENT_ATTACH, flow) for _ in range(2)]
    assert (again.body, first.replayed, again.replayed) == (first.body, False, True)
    assert len(world.provider.asked) == 2
    assert (await world.now(intent))[0].attached == CardToken("tok_a")


async def test_our_key_refused_is_no_fault_of_the_token_and_somebody_hears_of_it(
    world: World,
) -> None:
    intent = await world.create()
    card = CardToken("tok_a")
    world.provider.methods += [Rejected("provider_configuration", "the key is refused")] * 2
    for _ in range(2):
        work = once(
            world,
            Action.INTENT_ATTACH,
            lambda ctx: attach_payment_method(ctx, world.caller, intent.id, card),
        )
        assert (await refused(work)).code is ErrorCode.PROVIDER_UNAVAILABLE
    (alert,) = await world.all(Alert)
    assert (alert.problem.type, alert.count) == (AlertType.PROVIDER_MISCONFIGURED, 2)
    assert await world.all(IdempotencyKey) == [], "a refusal keeps no key"
    assert (await world.now(intent))[0] == intent


async def test_a_debit_is_attached_with_its_mandate(world: World) -> None:
    intent = await world.create(payment_method_types=EITHER)
    shown = BankTransfer("debit", "AT", "3201")
    world.provider.methods.append(shown)
    assert (await attach(world, intent, method=DEBIT)).payment_method == shown
    world.provider.answers.append(answer(CARDLESS))
    await pay(world, intent, Confirmation())
    (order,) = world.provider.orders
    assert isinstance(order.instrument, DirectDebit)
    assert order.instrument.mandate.user_agent == "Browser/1"


async def test_a_push_has_no_token_and_is_named_at_confirm(world: World) -> None:
    intent = await world.create(payment_method_types=EITHER)
    refusal = await refused(attach(world, intent, method=PushTransfer("DE")))
    assert (refusal.code, refusal.param) == (ErrorCode.PARAMETER_INVALID, "payment_method.flow")
    assert world.provider.asked == []


async def test_a_type_that_is_not_allowed_is_not_asked_about(world: World) -> None:
    refusal = await refused(attach(world, await world.create(), method=DEBIT))
    assert refusal.code is ErrorCode.PAYMENT_METHOD_TYPE_NOT_ALLOWED
    assert world.provider.asked == []


@pytest.mark.parametrize("outcome", [end[0] for end in ENDS if not isinstance(end[0], NotSent)])
async def test_what_is_confirmed_keeps_its_method(world: World, outcome: Outcome) -> None:
    intent, _ = await world.confirming(outcome)
    refusal = await refused(attach(world, intent))
    assert (refusal.code, refusal.subject) == (ErrorCode.STATE_CONFLICT, intent)
    assert world.provider.asked == []


async def test_another_intents_id_is_missing(world: World) -> None:
    intent = msgspec.structs.replace(await world.create(), id="pi_" + "0" * 26)
    assert (await refused(attach(world, intent))).code is ErrorCode.RESOURCE_MISSING


async def test_a_cancelled_intent_forgets_the_token(world: World) -> None:
    intent = await attach(world, await world.create())
    after = await cancel_payment_intent(world.ctx, world.caller, intent.id)
    assert (after.status, after.attached) == (Status.CANCELLED, None)


async def test_a_card_still_needs_its_return_url(world: World) -> None:
    intent = await attach(world, await world.create())
    refusal = await refused(pay(world, intent, Confirmation()))
    assert (refusal.code, refusal.param) == (ErrorCode.PARAMETER_MISSING, "return_url")


async def test_a_confirm_may_name_another_method_and_nothing_is_shown_of_the_first(
    world: World,
) -> None:
    intent = await attach(world, await world.create())
    world.provider.answers.append(answer(CARDLESS))
    paid = await pay(world, intent, REQUEST)
    assert world.provider.orders[0].instrument == CardToken("tok_1")
    assert (paid.status, paid.payment_method) == (Status.SUCCEEDED, None)


async def test_a_challenge_shows_the_card_that_was_attached(world: World) -> None:
    intent = await attach(world, await world.create())
    world.provider.answers.append(answer(ActionRequired(RedirectToUrl("https://bank.example"))))
    paying = await pay(world, intent)
    assert (paying.status, paying.payment_method) == (Status.REQUIRES_ACTION, CARD)


async def _confirm(world: World, intent: PaymentIntent) -> object:
    world.provider.answers.append(answer(APPROVED))
    return await pay(world, intent, REQUEST)


async def _cancel(world: World, intent: PaymentIntent) -> object:
    return await cancel_payment_intent(world.ctx, world.caller, intent.id)


async def _attach(world: World, intent: PaymentIntent) -> object:
    return await attach(world, intent, "tok_other")


async def _detach(world: World, intent: PaymentIntent) -> object:
    return await attach(world, intent, None)


async def _expire(world: World, intent: PaymentIntent) -> object:
    world.clock.forward(world.ctx.policy.intent_ttl.total_seconds() + 1)
    return await expire_payment_intents(world.ctx, "run_1")


RIVALS = {
    "confirm": _confirm,
    "cancel": _cancel,
    "attach": _attach,
    "detach": _detach,
    "expire": _expire,
}


@pytest.mark.parametrize("rival", RIVALS)
async def test_whoever_comes_while_the_provider_is_asked_wins(world: World, rival: str) -> None:
    intent = await world.create()

    async def overtake() -> None:
        world.provider.asking = None
        await RIVALS[rival](world, intent)

    world.provider.asking = overtake
    refusal = await refused(attach(world, intent, "tok_slow"))
    assert refusal.code is ErrorCode.STATE_CONFLICT
    now, _ = await world.now(intent)
    assert refusal.subject == now
    assert now.version > intent.version
    assert now.attached != CardToken("tok_slow")


class Overtaken:
    """A door before whose next commit somebody else does something."""

    def __init__(self, door: CommitDoor, rival: Callable[[], Awaitable[object]]) -> None:
        self.door = door
        self.rival: Callable[[], Awaitable[object]] | None = rival

    async def commit(self, change: Change) -> Verdict:
        if (rival := self.rival) is not None:
            self.rival = None
            await rival()
        return await self.door.commit(change)


@pytest.mark.parametrize("loser", ["confirm", "confirm what is attached", "cancel"])
async def test_who_decided_by_another_method_than_the_one_attached_meanwhile_loses(
    world: World, loser: str
) -> None:
    """The payer has looked at one card, and is not charged on another."""
    intent = await attach(world, await world.create())
    door = world.ctx.door
    work: dict[str, Callable[[], Awaitable[object]]] = {
        "confirm": lambda: pay(world, intent, REQUEST),
        "confirm what is attached": lambda: pay(world, intent),
        "cancel": lambda: _cancel(world, intent),
    }
    world.use(door=Overtaken(door, lambda: attach(world, intent, "tok_b")))
    refusal = await refused(work[loser]())
    assert refusal.code is ErrorCode.STATE_CONFLICT
    assert world.provider.orders == []
    now, attempts = await world.now(intent)
    assert (now.status, now.attached, attempts) == (Status.CREATED, CardToken("tok_b"), [])
    assert refusal.subject == now
    world.provider.answers.append(answer(APPROVED))
    await work[loser]()
    assert (await world.now(intent))[0].status in {Status.SUCCEEDED, Status.CANCELLED}


class Busy:
    """A door whose next commit meets a row that another transaction holds, and leaves as it was."""

    def __init__(self, door: CommitDoor) -> None:
        self.door = door
        self.free = False

    async def commit(self, change: Change) -> Verdict:
        if self.free:
            return await self.door.commit(change)
        self.free = True
        return Conflict(Reason.STALE, "payment_intent")


async def test_an_attach_that_met_nobody_in_the_end_is_done(world: World) -> None:
    intent = await world.create()
    world.use(door=Busy(world.ctx.door))
    assert (await attach(world, intent)).version == 2
    assert len(world.provider.asked) == 1


async def test_an_expired_intent_forgets_the_token(world: World) -> None:
    intent = await attach(world, await world.create())
    await _expire(world, intent)
    now, _ = await world.now(intent)
    assert (now.status, now.attached) == (Status.CANCELLED, None)


NEW = NewPaymentIntent(amount=1999, currency="eur", instrument=CardToken("tok_a"))


async def test_a_method_may_come_with_create(world: World) -> None:
    intent = (await create_payment_intent(world.ctx, world.caller, NEW)).intent
    assert (intent.version, intent.payment_method, intent.attached) == (1, CARD, CardToken("tok_a"))
    assert (await world.now(intent))[0] == intent
    world.provider.answers.append(answer(APPROVED))
    assert (await pay(world, intent)).status is Status.SUCCEEDED


@pytest.mark.parametrize("said", [REJECTED, *SILENT])
async def test_a_create_whose_method_is_not_shown_makes_nothing(world: World, said: Looked) -> None:
    async def flow(ctx: Any) -> object:
        return await create_payment_intent(ctx, world.caller, NEW)

    world.provider.methods.append(said)
    code = (await refused(once(world, Action.INTENT_CREATE, flow))).code
    rejected = ErrorCode.PAYMENT_METHOD_REJECTED
    assert code is (rejected if said == REJECTED else ErrorCode.PROVIDER_UNAVAILABLE)
    assert await world.all(PaymentIntent) == await world.all(IdempotencyKey) == []
    first, again = [await once(world, Action.INTENT_CREATE, flow) for _ in range(2)]
    assert first.body == again.body
    assert len(await world.all(PaymentIntent)) == 1


async def test_a_push_does_not_come_with_create(world: World) -> None:
    request = NewPaymentIntent(
        amount=1999,
        currency="eur",
        payment_method_types=EITHER,
        instrument=PushTransfer("DE"),
    )
    refusal = await refused(create_payment_intent(world.ctx, world.caller, request))
    assert refusal.param == "payment_method.flow"
    assert await world.all(PaymentIntent) == []
