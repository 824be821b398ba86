"""What the tests of refunds have in common: a paid intent, refunds of it, and its books."""

from typing import Any

import msgspec

from paygate.domain.access.roles import Actor, Caller, Role
from paygate.domain.event import Event
from paygate.domain.ids import PREFIXES, make_id
from paygate.domain.ledger import Account, Transfer, check_intent
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.domain.refunds.outcome import RefundAnswer, Refunded, RefundFailed, RefundPending
from paygate.domain.refunds.refund import Refund, RefundStatus
from paygate.flows.refunds.create import NewRefund, refund_payment_intent
from tests.flows.world import APPROVED, INSTALLATION, World

GONE = RefundFailed("expired_or_canceled_card", "The payer's card has ended.")


async def paid(world: World) -> PaymentIntent:
    """An intent of 1999 that succeeded."""
    intent, _ = await world.confirming(APPROVED)
    return intent


async def refund(
    world: World, intent: PaymentIntent, amount: int | None = None, caller: Caller | None = None
) -> Refund:
    """A refund without an idempotency key."""
    new = NewRefund(amount)
    return await refund_payment_intent(world.ctx, caller or world.caller, intent.id, new)


def person(number: int, name: str | None, role: Role = Role.ADMIN) -> Caller:
    """Somebody with a key of their own, behind which a person stands."""
    key = make_id(PREFIXES["api_key"], number, bytes(10))
    return Caller(Actor("api_key", id=key, role=role, name=name), "default", request_id="req_p")


def use_limits(world: World, **limits: Any) -> None:
    """Settings of refunds, from now on."""
    world.use(policy=msgspec.structs.replace(world.ctx.policy, **limits))


async def check_books(world: World, intent: PaymentIntent) -> PaymentIntent:
    """The intent as it stands, its sums held against its refunds and its transfers."""
    now, _ = await world.now(intent)
    refunds = [r for r in await world.all(Refund) if r.intent == intent.id]
    assert now.amount_refunded == sum(r.amount for r in refunds if r.state == "succeeded")
    pending = [r for r in refunds if r.status is RefundStatus.PENDING]
    assert now.amount_refund_pending == sum(r.amount for r in pending)
    transfers = [t for t in await world.all(Transfer) if t.intent == intent.id]
    assert check_intent(now, transfers) == []
    provider = sum(t.moved(Account.PROVIDER) for t in transfers)
    disputes = now.withdrawn.get(now.currency, 0) + now.dispute_fees.get(now.currency, 0)
    assert provider == now.amount_received - now.amount_refunded - disputes
    return now


async def told(world: World) -> list[str]:
    """The types of the events that tell of refunds, and of intents that were refunded."""
    found: list[Event] = await world.all(Event)
    return [e.type for e in found if e.object == "refund" or e.type.endswith("refunded")]


async def shown(
    world: World, of: Refund, outcome: RefundFailed | RefundPending | Refunded
) -> RefundAnswer:
    """What an event says of a refund a minute later."""
    world.clock.forward(60)
    return RefundAnswer(
        outcome,
        provider_reference=of.provider_reference or f"their_{of.id}",
        payment_reference="ref_1",
        as_of=world.clock.time,
        amount=of.amount,
        currency=of.currency,
        refund=of.id,
        installation=INSTALLATION,
        merchant=of.merchant,
    )


def of_the_dashboard(world: World, amount: int | None = 1000, **more: Any) -> RefundAnswer:
    """A refund that somebody made at the provider."""
    known: dict[str, Any] = {
        "provider_reference": "re_dashboard",
        "payment_reference": "ref_1",
        "as_of": world.clock.time,
        "amount": amount,
        "currency": "eur",
    }
    return RefundAnswer(Refunded(), **(known | more))
