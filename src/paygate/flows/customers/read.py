"""Read a customer. A read leaves its audit entry before anything is shown."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.customer import Customer
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.flows.context import Context
from paygate.storage.change import Change


async def read_customer(ctx: Context, caller: Caller, customer_id: str) -> Customer:
    """The customer as it stands.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown or another merchant's.
    """
    customer = await find_customer(ctx, caller.merchant, customer_id, param="id")
    audit = ctx.audit(caller, Action.CUSTOMER_READ, Subject("customer", customer.id))
    await ctx.door.commit(Change(audit))
    return customer


async def find_customer(ctx: Context, merchant: str, customer_id: str, *, param: str) -> Customer:
    """The customer, for a flow that leaves an audit entry of its own."""
    if is_id(PREFIXES["customer"], customer_id):
        customer = await ctx.read.customer(merchant, customer_id)
        if customer is not None:
            return customer
    raise missing("customer", param=param)
