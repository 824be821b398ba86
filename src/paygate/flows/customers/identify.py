"""Find or make the customer that a new payment intent names, in the intent's own commit."""

import msgspec

from paygate.domain.access.roles import Caller
from paygate.domain.customer import Customer, Payer, with_details
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.context import Context
from paygate.flows.customers.read import find_customer
from paygate.jobs.messages import Job, UpdateProviderCustomer


class Identified(msgspec.Struct, frozen=True):
    """The customer's id, and what the commit must write of it."""

    id: str | None = None
    creates: tuple[Customer, ...] = ()
    advances: tuple[Customer, ...] = ()
    jobs: tuple[Job, ...] = ()


async def identify_customer(ctx: Context, caller: Caller, details: Payer | None) -> Identified:
    """The customer whom the request names as its payer, if it names one.

    Raises:
        Refusal: `resource_missing` for an id that is unknown; `parameter_missing` without any
            detail; `customer_erased`.
    """
    if details is None:
        return Identified()
    now = ctx.now()
    if details.id is None:
        if details.email is None and details.name is None:
            raise Refusal(
                ErrorCode.PARAMETER_MISSING,
                "customer needs an id, or an email or a name for a new one",
                param="customer",
            )
        new = Customer(
            id=ctx.new_id("customer", now),
            merchant=caller.merchant,
            livemode=ctx.provider.livemode,
            email=details.email,
            name=details.name,
            created_at=now,
            updated_at=now,
        )
        return Identified(new.id, creates=(new,))
    known = await find_customer(ctx, caller.merchant, details.id, param="customer.id")
    if known.erasure_began_at is not None:
        raise Refusal(
            ErrorCode.CUSTOMER_ERASED,
            "this customer was erased: whoever pays again is a new customer",
            param="customer.id",
        )
    after = with_details(known, now, email=details.email, name=details.name)
    if (after.email, after.name) == (known.email, known.name):
        return Identified(known.id)
    behind = (Job(UpdateProviderCustomer(after.merchant, after.id)),)
    return Identified(known.id, advances=(after,), jobs=behind if after.provider_is_behind else ())
