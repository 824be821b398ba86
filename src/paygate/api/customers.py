"""`/customers`: the wire's side of the customer flows."""

from typing import Any

from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import CustomerObject, customer_object
from paygate.domain.access.roles import Action
from paygate.flows.customers.read import read_customer


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> CustomerObject:
    customer = await read_customer(api.ctx, exchange.known_caller, exchange.path["id"])
    return customer_object(customer)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/customers/{id}",
        summary="Read a customer.",
        action=Action.CUSTOMER_READ,
        response=CustomerObject,
        handle=_read,
    ),
)
