"""`/payment-intents/{id}/3ds-callback`: where a payer's browser comes back to from a challenge.

Its query is ours (`state`) and the provider's (its own secret among it): it is read here, and
goes no further.
"""

from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from paygate.api.edge.browser_pages import HEADERS, HTML
from paygate.api.edge.endpoint import ApiContext, Endpoint, Reply
from paygate.api.edge.exchange import Exchange
from paygate.crypto.callback_states import MAX_LENGTH
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.payments.complete_authentication import complete_authentication
from paygate.storage.installation import DEFAULT_MERCHANT

PARAMETERS: Final = 20
"""Stripe adds three."""
_LOOKING_AHEAD: Final = ("purpose", "sec-purpose", "x-purpose", "x-moz")
"""Headers of a browser that loads a page in case it is wanted."""


class CallbackQuery(msgspec.Struct, frozen=True):
    """The part of the query that is ours; what the provider adds is not looked at."""

    state: Annotated[str, Meta(max_length=MAX_LENGTH)]


async def _complete(api: ApiContext, exchange: Exchange, _: Any) -> Reply:
    await api.limits.visited(exchange)
    if any(exchange.headers.get(name) for name in _LOOKING_AHEAD):
        raise Refusal(ErrorCode.PARAMETER_INVALID, "a look ahead does nothing")
    # Whose payment it is, the state says; until then this is somebody at the front door.
    caller = Caller(Actor("client"), DEFAULT_MERCHANT, exchange.request_id, exchange.address)
    location = await complete_authentication(
        api.ctx, caller, exchange.path["id"], _state(exchange.query)
    )
    return Reply(303, b"", {**HEADERS, "Location": location}, HTML)


def _state(query: str) -> str | None:
    """The one state that the address has; two contradict each other."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS)
    except ValueError:
        return None
    states = [value for name, value in pairs if name == "state"]
    return states[0] if len(states) == 1 else None


def _endpoint(method: Literal["GET", "POST"]) -> Endpoint:
    return Endpoint(
        method=method,
        path="/payment-intents/{id}/3ds-callback",
        summary="A payer comes back from a challenge, and is sent on to the merchant's return_url.",
        action=Action.INTENT_AUTHENTICATE,
        raw=True,
        browser=True,
        query=CallbackQuery,
        status=303,
        handle=_complete,
    )


ENDPOINTS = (_endpoint("GET"), _endpoint("POST"))
