"""Make a payer known to the provider, once: a push transfer goes to an account of their own there.

The provider's customer is made under a key of ours, and its id is kept with our customer before
anything is paid to it, so that every later payment names the same one. A payer whom the merchant
did not name is known by the intent.
"""

from typing import Final, assert_never

import msgspec

from paygate.domain.access import Action, Caller
from paygate.domain.attempt import Attempt
from paygate.domain.audit import Subject
from paygate.domain.customer import Customer
from paygate.domain.outcome import NotSent, Rejected, Unknown
from paygate.domain.payment_intent import PaymentIntent
from paygate.flows.context import TRIES, Context, pause
from paygate.providers.contract import CustomerMade, CustomerOrder, KeySpent
from paygate.storage.change import Change, Committed

TRIES_UNDER_ONE_KEY: Final = 3


async def introduce_customer(
    ctx: Context, caller: Caller, intent: PaymentIntent, attempt: Attempt, *, timeout_seconds: float
) -> str | NotSent | Rejected:
    """The provider's id of the intent's payer; without it nothing is paid, so that is what a silent
    provider means: not sent.
    """
    if intent.customer is None:
        key = _key(intent.id, attempt)
        order = CustomerOrder(key=key, customer=intent.id, merchant=intent.merchant)
        return await _make(ctx, order, timeout_seconds)
    for _ in range(TRIES):
        customer = await ctx.read.customer(intent.merchant, intent.customer)
        assert customer is not None, "customers are never deleted"
        if customer.provider_reference is not None:
            return customer.provider_reference
        made = await _make(ctx, _order(customer, attempt), timeout_seconds)
        if not isinstance(made, str):
            return made
        if await _keep(ctx, caller, customer, made):
            return made
        await pause()
    return NotSent("the customer kept changing while it was made known to the provider")


def _key(name: str, attempt: Attempt) -> str:
    """The same for every payment, until a fault that the provider remembers with it stands in the
    way: it keeps its own 500 for a day.
    """
    return name if attempt.number <= TRIES_UNDER_ONE_KEY else f"{name}-{attempt.number}"


def _order(customer: Customer, attempt: Attempt) -> CustomerOrder:
    # A key goes with one version: the provider refuses its second use with other details.
    return CustomerOrder(
        key=_key(f"{customer.id}-{customer.version}", attempt),
        customer=customer.id,
        merchant=customer.merchant,
        email=customer.email,
        name=customer.name,
    )


async def forget_customer(ctx: Context, caller: Caller, intent: PaymentIntent) -> None:
    """The provider does not take its own id of the payer any more (it was deleted there): the next
    payment makes them known anew.
    """
    if intent.customer is None:
        return
    customer = await ctx.read.customer(intent.merchant, intent.customer)
    assert customer is not None, "customers are never deleted"
    if customer.provider_reference is not None:
        # Should it change just now, the next payment fails like this one, and comes here again.
        await _keep(ctx, caller, customer, None)


async def _make(
    ctx: Context, order: CustomerOrder, timeout_seconds: float
) -> str | NotSent | Rejected:
    made = await ctx.provider.make_customer(order, timeout_seconds=timeout_seconds)
    match made:
        case CustomerMade():
            return made.provider_reference
        case Unknown() | KeySpent():
            return NotSent(made.message)
        case NotSent() | Rejected():
            return made
        case _:
            assert_never(made)


async def _keep(ctx: Context, caller: Caller, customer: Customer, reference: str | None) -> bool:
    """Whether it is written down; another may have been first, and that one stands."""
    known = msgspec.structs.replace(
        customer,
        provider_reference=reference,
        version=customer.version + 1,
        updated_at=max(ctx.now(), customer.updated_at),
    )
    audit = ctx.audit(caller, Action.CUSTOMER_INTRODUCE, Subject("customer", customer.id))
    return isinstance(await ctx.door.commit(Change(audit, advances=(known,))), Committed)
