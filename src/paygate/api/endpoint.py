"""An endpoint is a value: its route, who may call it, what it takes, what it answers.

The router, the OpenAPI document, the docs page and the tests' walk over roles all read the
same list, so none of them can forget a route.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import msgspec

from paygate.api.errors import STATUS, encode_error, headers_of, parse_body, refusal_of
from paygate.api.exchange import BODY_LIMIT, Exchange
from paygate.api.objects import encode
from paygate.domain.access import Action
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.authenticate import Authenticator, authorize
from paygate.flows.context import Context
from paygate.storage.change import OutcomeUnknown, StorageError
from paygate.telemetry import log

JSON: Final = "application/json"
ACTOR_LENGTH: Final = 100


@dataclass(frozen=True, slots=True)
class Desk:
    """What handlers work with: the flows' context, and who is who."""

    ctx: Context
    authenticator: Authenticator


Handler = Callable[[Desk, Exchange, Any], Awaitable[msgspec.Struct]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`path` as OpenAPI writes it. Without an `action` it is open to all, and audited by none."""

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handle: Handler
    answer: type[msgspec.Struct]
    action: Action | None = None
    body: type[msgspec.Struct] | None = None
    raw: bool = False
    """Takes the bytes as they came and proves its caller itself (a signature, not a key)."""
    status: int = 200
    body_limit: int = BODY_LIMIT
    hot: bool = False
    """Served before the router (`api.shortcut`): the framework is most of its cost."""


class Reply(NamedTuple):
    """An HTTP answer before it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str]


async def respond(
    desk: Desk, endpoint: Endpoint, exchange: Exchange, read: Callable[[int], Awaitable[bytes]]
) -> Reply:
    """The reply to a request, whatever happens on the way."""
    try:
        return Reply(endpoint.status, await answer(desk, endpoint, exchange, read), {})
    except asyncio.CancelledError:
        # The server stops and waits no longer. What was begun goes on, so the answer is not "no".
        exchange.action = None
        return refuse(exchange, OutcomeUnknown("the server is stopping"))
    except Exception as error:  # noqa: BLE001 -- what is not known becomes internal_error
        return refuse(exchange, error)


def refuse(exchange: Exchange, error: Exception) -> Reply:
    """The reply to a request that failed with `error`; the edge audits it."""
    exchange.refusal = refusal = refusal_of(error)
    if refusal.code is ErrorCode.INTERNAL_ERROR or isinstance(error, StorageError):
        log.logger().error("request_failed", request_id=exchange.request_id, error=error)
    body = encode_error(refusal, exchange.request_id)
    return Reply(STATUS[refusal.code], body, headers_of(refusal))


async def answer(
    desk: Desk, endpoint: Endpoint, exchange: Exchange, read: Callable[[int], Awaitable[bytes]]
) -> bytes:
    """The body of a successful answer.

    The order is the order of what a stranger may learn: first who they are, then whether they
    may, then whether what they sent makes sense.

    Raises:
        Refusal: why not.
    """
    exchange.action = endpoint.action
    if endpoint.action is not None and not endpoint.raw:
        caller = await desk.authenticator.caller(
            exchange.headers.get("authorization"),
            on_behalf_of=exchange.headers.get("paygate-actor"),
            request_id=exchange.request_id,
            address=exchange.address,
        )
        exchange.caller = caller
        authorize(caller, endpoint.action)
        _check_actor(caller.actor.name)
    body: Any = None
    if endpoint.raw:
        body = await read(endpoint.body_limit)
    elif endpoint.body is not None:
        _check_content_type(exchange)
        body = _decode(endpoint.body, await read(endpoint.body_limit))
    return encode(await endpoint.handle(desk, exchange, body))


def _check_actor(name: str | None) -> None:
    """`Paygate-Actor`: who at the merchant is behind the request, for the audit log."""
    if name is not None and not (1 <= len(name) <= ACTOR_LENGTH and name.isprintable()):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            f"Paygate-Actor must be 1 to {ACTOR_LENGTH} printable characters",
            param="Paygate-Actor",
        )


def _check_content_type(exchange: Exchange) -> None:
    kind, _, parameters = exchange.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower()
    if kind.strip().lower() != JSON or charset not in {"", "charset=utf-8", 'charset="utf-8"'}:
        raise Refusal(
            ErrorCode.CONTENT_TYPE_UNSUPPORTED, "send the body as application/json in UTF-8"
        )


_decoders: dict[type, Callable[[bytes], Any]] = {}


def _decode(kind: type[msgspec.Struct], body: bytes) -> Any:
    """Strictly: a string or a float is no integer, and an unknown field is refused."""
    decode = _decoders.get(kind)
    if decode is None:
        decode = _decoders[kind] = msgspec.json.Decoder(kind).decode
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise parse_body(error) from None
