"""`/customers`: the wire's side of the customer flows."""

from typing import Any

from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import CustomerObject, customer_object
from paygate.domain.access.roles import Action
from paygate.flows.customers.erase import erase_customer
from paygate.flows.customers.read import read_customer


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> CustomerObject:
    customer = await read_customer(api.ctx, exchange.known_caller, exchange.path["id"])
    return customer_object(customer)


async def _erase(api: ApiContext, exchange: Exchange, _: Any) -> CustomerObject:
    customer = await erase_customer(api.ctx, exchange.known_caller, exchange.path["id"])
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
    Endpoint(
        method="DELETE",
        path="/customers/{id}",
        summary="Erase a customer: what is kept of the person goes; `erased_at` says that it did.",
        action=Action.CUSTOMER_ERASE,
        response=CustomerObject,
        handle=_erase,
    ),
)
