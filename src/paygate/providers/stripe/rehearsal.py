"""Have the sandbox send an event, to rehearse what it does. Stripe itself has no such call.

The sandbox's side door is beside Stripe's paths, on the same address. It asks for no key, so none
is sent: whatever else stands there learns nothing.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from paygate.providers.event_endpoints import EventEndpointsError
from paygate.providers.stripe.decoding import decoded
from paygate.providers.stripe.transport import (
    Broken,
    NotConnected,
    Received,
    Request,
    Transport,
    Unreadable,
)

_EVENTS: Final = "/_sandbox/events"
_SECONDS: Final = 10.0
_STRIPE: Final = "stripe.com"
_CREATED, _BAD, _NOT_FOUND = 201, 400, 404


class Sent(NamedTuple):
    """The event's id at the sandbox, and how many endpoints it goes to."""

    provider_reference: str
    endpoints: int


class SandboxEvents:
    """The events that the sandbox can send. Every call raises EventEndpointsError when what stands
    there is no sandbox, or refuses.
    """

    def __init__(self, api_base: str) -> None:
        """Raises ValueError for Stripe's own address."""
        host = urlsplit(api_base).hostname or ""
        if host == _STRIPE or host.endswith(f".{_STRIPE}"):
            raise ValueError(
                "events are rehearsed with the sandbox, and the provider here is Stripe"
            )
        self._transport = Transport(api_base.rstrip("/"), {"User-Agent": "paygate"})

    async def types(self) -> list[str]:
        """The events that can be sent, by the provider's names."""
        answer = await self._call(Request("GET", _EVENTS, {}))
        types = _body(answer).get("types")
        if not isinstance(types, list) or not all(isinstance(each, str) for each in types):
            raise EventEndpointsError("the provider is no sandbox that can send events")
        return types

    async def send(self, kind: str, payment: str | None) -> Sent:
        """Send an event, about a payment of the sandbox's by its id there or about none that there
        is.
        """
        order = msgspec.json.encode({"type": kind, "payment_intent": payment})
        headers = {"Content-Type": "application/json"}
        answer = await self._call(Request("POST", _EVENTS, headers, order))
        if answer.status == _NOT_FOUND and payment is not None:
            raise EventEndpointsError("the sandbox has no such payment")
        if answer.status == _BAD:
            raise EventEndpointsError("the sandbox cannot send such an event")
        body = _body(answer)
        reference, endpoints = body.get("id"), body.get("endpoints")
        if (
            answer.status != _CREATED
            or not isinstance(reference, str)
            or not isinstance(endpoints, int)
        ):
            raise EventEndpointsError("the provider is no sandbox that can send events")
        return Sent(reference, endpoints)

    async def close(self) -> None:
        """Release the connections."""
        await self._transport.close()

    async def _call(self, request: Request) -> Received:
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._transport.send(request, seconds=_SECONDS)
        except TimeoutError:
            raise EventEndpointsError("the sandbox does not answer") from None
        except (Broken, NotConnected) as error:
            raise EventEndpointsError(str(error)) from None
        except Unreadable:
            raise EventEndpointsError("the provider is no sandbox that can send events") from None


def _body(answer: Received) -> Mapping[str, Any]:
    try:
        body = decoded(answer.body)
    except ValueError:
        return {}
    return body if isinstance(body, Mapping) else {}
