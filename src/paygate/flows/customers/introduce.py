"""Make a payer known to the provider, once: a push transfer goes to an account of their own there.

The provider's customer is made under a key of ours, and its id is kept with our customer before the
payer pays anything, so that every later payment names the same customer. Changed details are sent
to the provider before the next payment, and by a job. A payer whom the merchant did not name is
known by the intent.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, assert_never

import msgspec

from paygate.domain import customer as customers
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.audit import Subject
from paygate.domain.customer import Customer
from paygate.domain.payments.outcome import NotSent, Rejected, Unknown
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context, Patience
from paygate.jobs.messages import UpdateProviderCustomer
from paygate.providers.absence import Absent
from paygate.providers.contract import CustomerMade, CustomerOrder, KeySpent
from paygate.storage.change import Change, Committed

KEYS: Final = 4
"""Keys that are tried for one customer, in the same order each time. The provider remembers a fault
of its own under a key for a day; the first good key leads to the same customer again.
"""

Said = TypeVar("Said")


async def introduce_customer(
    ctx: Context, caller: Caller, intent: PaymentIntent, *, timeout_seconds: float
) -> str | NotSent | Rejected:
    """The provider's id of the intent's payer. A provider that is silent means `NotSent`, for
    nothing is paid without that id.
    """
    if intent.customer is None:
        order = CustomerOrder(key=intent.id, customer=intent.id, merchant=intent.merchant)
        return _reference(await _make(ctx, order, timeout_seconds))
    changing = "the customer kept changing while it was made known to the provider"
    patience = Patience(changing, seconds=timeout_seconds)
    while True:
        customer = await ctx.read.customer(intent.merchant, intent.customer)
        assert customer is not None, "customers are never deleted"
        if customer.provider_reference is not None and not customer.provider_is_behind:
            return customer.provider_reference
        outcome = await _tell(ctx, customer, timeout_seconds)
        if isinstance(outcome, NotSent | Rejected):
            return outcome
        kept = await _keep(ctx, caller, outcome)
        if not kept and not await patience.lasts():
            return NotSent(changing)


async def update_provider_customer(ctx: Context, message: UpdateProviderCustomer) -> bool:
    """Send the provider the newest details of a customer that it knows. Returns whether the job is
    done. A customer whom the provider does not know is introduced by their next payment.
    """
    caller = Caller(
        Actor("job", name="update-provider-customer"), message.merchant, message.customer
    )
    timeout_seconds = ctx.policy.provider_timeout_seconds
    patience = Patience("a customer kept changing while it was told", seconds=timeout_seconds)
    while True:
        customer = await ctx.read.customer(message.merchant, message.customer)
        assert customer is not None, "customers are never deleted"
        if not customer.provider_is_behind:
            return True
        outcome = await _tell(ctx, customer, timeout_seconds)
        if isinstance(outcome, Rejected):
            return True  # the payer's next payment fails by it, and says so
        if isinstance(outcome, NotSent):
            return False
        kept = await _keep(ctx, caller, outcome)
        if not kept and not await patience.lasts():
            return False


async def forget_customer(ctx: Context, caller: Caller, intent: PaymentIntent) -> None:
    """Forget the provider's id of a payer who was deleted there: the next payment introduces the
    payer anew.
    """
    if intent.customer is None:
        return
    customer = await ctx.read.customer(intent.merchant, intent.customer)
    assert customer is not None, "customers are never deleted"
    # While details wait to be sent, the provider rejected these details, or sending them will show
    # that the customer is gone. Should the customer change now, the next payment comes here again.
    if customer.provider_reference is not None and not customer.provider_is_behind:
        await _keep(ctx, caller, customers.forgotten(customer, ctx.now()))


async def _tell(
    ctx: Context, customer: Customer, timeout_seconds: float
) -> Customer | NotSent | Rejected:
    """The customer once the provider knows these details, or knows nobody of that id any more."""
    # A key goes with one version: the provider rejects its second use with other details.
    order = CustomerOrder(
        key=f"{customer.id}-{customer.version}",
        customer=customer.id,
        merchant=customer.merchant,
        email=customer.email,
        name=customer.name,
    )
    reference = customer.provider_reference
    said: CustomerMade | Absent | NotSent | Rejected | Unknown
    if reference is None:
        said = await _make(ctx, order, timeout_seconds)
    else:
        said = await _change(ctx, reference, order, timeout_seconds)
    if isinstance(said, Absent):
        return customers.forgotten(customer, ctx.now())
    made = _reference(said)
    return customers.introduced(customer, made, ctx.now()) if isinstance(made, str) else made


async def _make(
    ctx: Context, order: CustomerOrder, timeout_seconds: float
) -> CustomerMade | NotSent | Rejected | Unknown:
    return await _under_a_good_key(
        order, lambda keyed: ctx.provider.make_customer(keyed, timeout_seconds=timeout_seconds)
    )


async def _change(
    ctx: Context, reference: str, order: CustomerOrder, timeout_seconds: float
) -> CustomerMade | Absent | NotSent | Rejected | Unknown:
    return await _under_a_good_key(
        order,
        lambda keyed: ctx.provider.change_customer(
            reference, keyed, timeout_seconds=timeout_seconds
        ),
    )


async def _under_a_good_key(
    order: CustomerOrder, ask: Callable[[CustomerOrder], Awaitable[Said | KeySpent]]
) -> Said | NotSent:
    for number in range(1, KEYS + 1):
        key = order.key if number == 1 else f"{order.key}-{number}"
        said = await ask(msgspec.structs.replace(order, key=key))
        if not isinstance(said, KeySpent):
            return said
    return NotSent("the provider remembers something else under each key for the payer")


def _reference(
    said: CustomerMade | NotSent | Rejected | Unknown,
) -> str | NotSent | Rejected:
    match said:
        case CustomerMade():
            return said.provider_reference
        case Unknown():
            return NotSent(said.message)
        case NotSent() | Rejected():
            return said
        case _:
            assert_never(said)


async def _keep(ctx: Context, caller: Caller, after: Customer) -> bool:
    """Commit the customer; False when another commit was first, which then stands."""
    audit = ctx.audit(caller, Action.CUSTOMER_INTRODUCE, Subject("customer", after.id))
    return isinstance(await ctx.door.commit(Change(audit, advances=(after,))), Committed)
