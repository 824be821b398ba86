"""An idempotency key changes nothing of what a request does: every flow that takes one is run with
a key and without, and both leave the same records and give the same answer.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from paygate.domain.access.api_key import ApiKey
from paygate.domain.access.roles import Action, Role
from paygate.domain.alert import Alert
from paygate.domain.customer import Customer, Payer
from paygate.domain.errors import Refusal
from paygate.domain.ledger import Transfer
from paygate.domain.payments.outcome import Answer, Cancelled, NotSent, Outcome, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.payments.payment_method import CardToken, PushTransfer
from paygate.flows.access.create_api_key import create_api_key
from paygate.flows.context import Context
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import idempotently
from paygate.flows.payments.attach import attach_payment_method
from paygate.flows.payments.cancel import cancel_payment_intent
from paygate.flows.payments.capture import capture_payment_intent
from paygate.flows.payments.confirm import Confirmation, confirm_payment_intent
from paygate.flows.payments.create import NewPaymentIntent, create_payment_intent
from paygate.storage.change import Change
from tests.domain.payments.test_confirmation import ENDS
from tests.flows.payments.test_holds import held, later, taken
from tests.flows.world import REQUEST, Looked, World, answer, encode

Run = Callable[[Context], Awaitable[Any]]
PUSH = Confirmation(instrument=PushTransfer("DE"))
ADA = Payer(email="ada@shop.example")


class Flow(NamedTuple):
    """A flow once its ground is prepared, and the action that it is."""

    action: Action
    run: Run


Prepare = Callable[[World], Awaitable[Flow]]


def confirming(said: Answer, request: Confirmation = REQUEST, **more: Any) -> Prepare:
    async def prepare(world: World) -> Flow:
        intent = await world.create(**more)
        world.provider.answers.append(said)
        return Flow(
            Action.INTENT_CONFIRM,
            lambda ctx: confirm_payment_intent(ctx, world.caller, intent.id, request),
        )

    return prepare


def of_outcome(outcome: Outcome) -> Prepare:
    return confirming(answer(outcome))


def ordering(order: str, said: Answer) -> Prepare:
    async def prepare(world: World) -> Flow:
        hold = await held(world)
        world.provider.answers.append(said)
        if order == "capture":
            return Flow(
                Action.INTENT_CAPTURE,
                lambda ctx: capture_payment_intent(ctx, world.caller, hold.id),
            )
        return Flow(
            Action.INTENT_CANCEL,
            lambda ctx: cancel_payment_intent(ctx, world.caller, hold.id),
        )

    return prepare


async def creating(world: World) -> Flow:
    request = NewPaymentIntent(amount=1999, currency="eur", customer=ADA)
    return Flow(Action.INTENT_CREATE, lambda ctx: create_payment_intent(ctx, world.caller, request))


def attaching(*said: Looked) -> Prepare:
    async def prepare(world: World) -> Flow:
        intent = await world.create()
        world.provider.methods.extend(said)
        return Flow(
            Action.INTENT_ATTACH,
            lambda ctx: attach_payment_method(ctx, world.caller, intent.id, CardToken("tok_1")),
        )

    return prepare


async def cancelling_at_once(world: World) -> Flow:
    intent = await world.create()
    return Flow(
        Action.INTENT_CANCEL,
        lambda ctx: cancel_payment_intent(ctx, world.caller, intent.id),
    )


async def making_a_key(world: World) -> Flow:
    return Flow(
        Action.API_KEY_CREATE,
        lambda ctx: create_api_key(ctx, world.caller, role=Role.SUPPORT, name="desk"),
    )


PAYER_REJECTED = Answer(Rejected("customer_refused", "deleted there"))
TRANSFER = {"payment_method_types": ("bank_transfer",), "customer": ADA}
FLOWS: dict[str, Prepare] = {
    "create": creating,
    "attach": attaching(),
    "attach refused": attaching(Rejected("payment_method_rejected", "no")),
    "attach with our key refused": attaching(Rejected("provider_configuration", "no")),
    "attach in doubt": attaching(Unknown("reset")),
    "cancel": cancelling_at_once,
    "api key": making_a_key,
    "a payer who is gone": confirming(PAYER_REJECTED, PUSH, **TRANSFER),
    "another amount": confirming(answer(taken(), amount=5)),
    "captured": ordering("capture", later(taken())),
    "capture in doubt": ordering("capture", Answer(Unknown("reset"))),
    "capture refused": ordering("capture", Answer(Rejected("order_refused", "no"))),
    "capture not sent": ordering("capture", Answer(NotSent("429"))),
    "released": ordering("cancel", later(Cancelled())),
    "release in doubt": ordering("cancel", Answer(Unknown("reset"))),
} | {f"confirm: {type(end[0]).__name__} {n}": of_outcome(end[0]) for n, end in enumerate(ENDS)}


async def newest(world: World) -> list[object]:
    """The newest intent and its attempts, without what is each run's own, and its payer."""
    intents = await world.all(PaymentIntent)
    if not intents:
        return []
    intent, attempts = await world.now(max(intents, key=lambda i: i.id))
    payers = [c for c in await world.all(Customer) if c.id == intent.customer]
    return [
        (intent.status, intent.pending_operation, intent.last_payment_error),
        (intent.amount_received, intent.version, intent.attached),
        [(a.number, a.state, a.version) for a in attempts],
        [(payer.provider_reference is None, payer.version) for payer in payers],
    ]


async def counted(world: World) -> Counter[str]:
    """How many records of each kind there are, and what alerts have counted."""
    kinds = (PaymentIntent, Transfer, ApiKey, Customer)
    found = Counter({kind.__name__: len(await world.all(kind)) for kind in kinds})
    for alert in await world.all(Alert):
        found[alert.problem.type] += alert.count
    return found


@pytest.mark.parametrize("name", FLOWS)
async def test_a_flow_does_the_same_with_a_key_and_without(world: World, name: str) -> None:
    outcomes = []
    for key in (None, "k"):
        world.clock.forward(1)  # an id begins with the time
        flow = await FLOWS[name](world)
        before = await counted(world)
        shown = await outcome_of(world, flow, key)
        outcomes.append((shown, await newest(world), await counted(world) - before))
    assert outcomes[0] == outcomes[1]


async def outcome_of(world: World, flow: Flow, key: str | None) -> str:
    """The code of its refusal, or how its answer is shaped."""
    caller = msgspec.structs.replace(world.caller, request_id=f"req_{key}")
    try:
        if key is None:
            value = await flow.run(world.ctx)
            return type(value).__name__
        shown: list[str] = []

        def render(value: Any) -> bytes:
            shown.append(type(value).__name__)
            return encode({"shown": type(value).__name__})

        request = KeyedRequest(caller, flow.action, "sk POST /x", key, b"{}")
        first = await idempotently(world.ctx, request, flow.run, render)
        again = await idempotently(world.ctx, request, flow.run, render)
        assert (again.body, again.replayed) == (first.body, True)
        return shown[0]
    except Refusal as refusal:
        return str(refusal.code)


async def test_what_is_committed_behind_the_answer_is_written_without_the_key(world: World) -> None:
    """The answer is given, and the key is nobody's any more."""

    async def flow(ctx: Context) -> str:
        for response in ("the answer", None):
            audit = ctx.audit(world.caller, Action.INTENT_READ)
            await ctx.door.commit(Change(audit, response=response))
        return "the answer"

    request = KeyedRequest(world.caller, Action.INTENT_READ, "sk POST /x", "k", b"{}")
    for replayed in (False, True):
        answered = await idempotently(world.ctx, request, flow, encode)
        assert (answered.body, answered.replayed) == (b'"the answer"', replayed)
    read = [e for e in await world.audited() if "idempotency" not in e.details]
    assert len(read) == 2
