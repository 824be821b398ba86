"""An endpoint is a value: its route, who may call it, what it takes, what it answers.

The router, the OpenAPI document, the docs page and the tests' walk over roles all read the
same list, so none of them can forget a route.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import msgspec

from paygate.api.browser_pages import HEADERS, HTML, NOTHING_HERE
from paygate.api.card_data import in_body, refuse_card_data, take_from_envelope
from paygate.api.errors import STATUS, encode_error, headers_of, parse_body, refusal_of
from paygate.api.exchange import BODY_LIMIT, Exchange
from paygate.api.idempotency import REPLAYED, idempotency_key, scope, spell, spell_in_full
from paygate.api.limits import Limits
from paygate.api.objects import encode
from paygate.api.query import parse_query
from paygate.domain.access import Action, Actor, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.authenticate import Authenticator, authorize
from paygate.flows.authenticate_client import authenticate_client
from paygate.flows.context import Context
from paygate.flows.idempotency import idempotently
from paygate.flows.keyed_door import KeyedRequest
from paygate.flows.report_unreadable import report_unreadable
from paygate.flows.watch_provider import ProviderLook
from paygate.storage.change import OutcomeUnknown, StorageError
from paygate.storage.unreadable import Unreadable
from paygate.telemetry import log

JSON: Final = "application/json"
ACTOR_LENGTH: Final = 100
OURS: Final = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.RECORD_UNREADABLE})
"""Nobody who asked can mend it, so that the log must say more than the answer does."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What handlers work with: the flows' context, who is who, and who may ask now."""

    ctx: Context
    authenticator: Authenticator
    limits: Limits
    provider_look: ProviderLook


Handler = Callable[[Desk, Exchange, Any], Awaitable[Any]]
Show = Callable[[Exchange, Any], msgspec.Struct]


def _as_it_is(_: Exchange, value: msgspec.Struct) -> msgspec.Struct:
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`path` as OpenAPI writes it. Without an `action` it is open to all, and audited by none.

    `handle` asks a flow, `show` puts what it answers on the wire; a raw one may answer a `Reply`.
    """

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handle: Handler
    answer: type[msgspec.Struct] | None = None
    """None: no JSON."""
    show: Show = _as_it_is
    public_answer: type[msgspec.Struct] | None = None
    """What a payer's browser gets instead, where it may ask at all."""
    action: Action | None = None
    body: type[msgspec.Struct] | None = None
    """A body without required fields may be left out: it is then an empty object."""
    query: type[msgspec.Struct] | None = None
    """What the handler is given where there is no body."""
    raw: bool = False
    """Takes the bytes as they came and proves its caller itself (a signature, not a key)."""
    browser: bool = False
    """A person looks at it: where it is refused, it answers a page that says nothing."""
    status: int = 200
    body_limit: int = BODY_LIMIT
    hot: bool = False
    """Served before the router (`api.shortcut`): the framework is most of its cost."""

    @property
    def takes_key(self) -> bool:
        """Whether it changes something for an API key, and so takes an `Idempotency-Key`."""
        return self.method == "POST" and self.action is not None and not self.raw


class Reply(NamedTuple):
    """An HTTP answer before it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    media_type: str = JSON


async def respond(
    desk: Desk, endpoint: Endpoint, exchange: Exchange, read: Callable[[int], Awaitable[bytes]]
) -> Reply:
    """The reply to a request, whatever happens on the way."""
    try:
        return await answer(desk, endpoint, exchange, read)
    except asyncio.CancelledError:
        # The server stops and waits no longer. What was begun goes on, so the answer is not "no".
        exchange.action = None
        return _refused(endpoint, exchange, OutcomeUnknown("the server is stopping"))
    except Unreadable as fault:
        nobody = Caller(Actor("job", name="api"), fault.merchant, exchange.request_id)
        await report_unreadable(desk.ctx, exchange.caller or nobody, fault)
        return _refused(endpoint, exchange, fault)
    except Exception as error:  # noqa: BLE001 -- what is not known becomes internal_error
        return _refused(endpoint, exchange, error)


def _refused(endpoint: Endpoint, exchange: Exchange, error: Exception) -> Reply:
    reply = refuse(exchange, error)
    if not endpoint.browser:
        return reply
    return Reply(reply.status, NOTHING_HERE, {**reply.headers, **HEADERS}, HTML)


def refuse(exchange: Exchange, error: Exception) -> Reply:
    """The reply to a request that failed with `error`; the edge audits it."""
    exchange.refusal = refusal = refusal_of(error)
    if refusal.code in OURS or isinstance(error, StorageError):
        log.logger().error("request_failed", request_id=exchange.request_id, error=error)
    body = encode_error(refusal, exchange.request_id, client_side=exchange.client_side)
    return Reply(STATUS[refusal.code], body, headers_of(refusal))


async def answer(
    desk: Desk, endpoint: Endpoint, exchange: Exchange, read: Callable[[int], Awaitable[bytes]]
) -> Reply:
    """The reply to a request that is not refused.

    The order is the order of what a stranger may learn: first who they are, then whether they
    may, then whether what they sent makes sense.

    Raises:
        Refusal: why not.
    """
    exchange.action = endpoint.action
    if endpoint.action is not None and not endpoint.raw:
        await _admit(desk, endpoint.action, exchange)
    body: Any = None
    if endpoint.raw:
        body = await read(endpoint.body_limit)
    elif endpoint.body is not None:
        body = await _body(desk.ctx, endpoint.body, exchange, await read(endpoint.body_limit))
    elif endpoint.query is not None:
        body = parse_query(endpoint.query, exchange.query)

    def render(value: Any) -> bytes:
        return encode(endpoint.show(exchange, value))

    key = idempotency_key(exchange) if endpoint.takes_key else None
    if key is None:
        value = await endpoint.handle(desk, exchange, body)
        if isinstance(value, Reply):
            return value
        return Reply(endpoint.status, render(value), {})
    assert endpoint.action is not None, "what takes a key is behind an API key"
    answered = await idempotently(
        desk.ctx,
        KeyedRequest(
            exchange.known_caller,
            endpoint.action,
            scope(exchange),
            key,
            spell(body),
            lambda: spell_in_full(body),
        ),
        lambda ctx: endpoint.handle(dataclasses.replace(desk, ctx=ctx), exchange, body),
        render,
    )
    if answered.replayed:
        return Reply(200, answered.body, REPLAYED)
    return Reply(endpoint.status, answered.body, {})


@cache
def requires(body: type[msgspec.Struct]) -> bool:
    """Whether a body has fields that must be there."""
    return any(field.required for field in msgspec.structs.fields(body))


async def _body(
    ctx: Context, shape: type[msgspec.Struct], exchange: Exchange, content: bytes
) -> Any:
    spotted = in_body(content, numeric_references=ctx.policy.numeric_references)
    if spotted is not None:
        await refuse_card_data(ctx, exchange, spotted)
    if not content and not requires(shape):
        content = b"{}"
    else:
        _check_content_type(exchange)
    return _decode(shape, content)


async def _admit(desk: Desk, action: Action, exchange: Exchange) -> None:
    """Who calls, and whether they may."""
    spotted = take_from_envelope(exchange, numeric_references=desk.ctx.policy.numeric_references)
    headers = exchange.headers
    if exchange.repeated is not None:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            f"the header {exchange.repeated} must be sent once",
            param=exchange.repeated,
        )
    caller = await desk.limits.authenticated(exchange, lambda: _look_up(desk, exchange))
    authorize(caller, action)
    if exchange.client_side:
        await authenticate_client(
            desk.ctx,
            caller,
            exchange.path["id"],
            client_secret=headers.get("paygate-client-secret"),
            session_id=headers.get("paygate-session"),
        )
    if spotted is not None:
        await refuse_card_data(desk.ctx, exchange, spotted)
    _check_actor(caller.actor.name)


def _look_up(desk: Desk, exchange: Exchange) -> Awaitable[Caller]:
    return desk.authenticator.caller(
        exchange.headers.get("authorization"),
        on_behalf_of=exchange.headers.get("paygate-actor"),
        request_id=exchange.request_id,
        address=exchange.address,
    )


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
