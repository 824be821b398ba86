"""`/webhooks`: the provider's door. Its signature is its key."""

from typing import Final

import msgspec

from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.flows.provider_events.receive import ACCOUNT, receive_provider_event

EVENT_LIMIT: Final = 1024 * 1024
"""Far above any event of Stripe's; more is not one."""


class Received(msgspec.Struct, frozen=True):
    """The acknowledgement. It says nothing of what the event will do."""

    received: bool = True


async def _receive(api: ApiContext, exchange: Exchange, body: bytes) -> Received:
    caller = Caller(
        Actor("provider", id=api.ctx.provider.name), ACCOUNT, exchange.request_id, exchange.address
    )
    await receive_provider_event(api.ctx, caller, body, exchange.headers)
    return Received()


def _endpoint(path: str) -> Endpoint:
    return Endpoint(
        method="POST",
        path=path,
        summary="Receive a signed provider event.",
        action=Action.PROVIDER_EVENT_RECEIVE,
        raw=True,
        body_limit=EVENT_LIMIT,
        response=Received,
        handle=_receive,
    )


ENDPOINTS = (_endpoint("/webhooks"), _endpoint("/webhooks/stripe"))
