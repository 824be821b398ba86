"""The way of every request, from top to bottom: a request arrives, is routed, admitted, read and
answered; the response gets its headers and is sent.

Nothing is done for a stranger before their network's limit, nothing for a key before the key's own:
card data is looked for in bounded bytes, once the sender is known.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

import msgspec

from paygate.api.edge import actors, card_data
from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.bodies import Bodies, parse
from paygate.api.edge.browser_pages import HEADERS, HTML, NOTHING_HERE
from paygate.api.edge.card_data import (
    in_body,
    in_texts,
    take_from_envelope,
)
from paygate.api.edge.control_characters import refuse_in_envelope
from paygate.api.edge.cors import Cors
from paygate.api.edge.endpoint import BODY_LIMIT, ApiContext, Endpoint, Reply
from paygate.api.edge.errors import STATUS, docs_at, encode_error, headers_of, refusal_of
from paygate.api.edge.exchange import Exchange
from paygate.api.edge.forms import Form, boundary_of
from paygate.api.edge.headers import ALWAYS
from paygate.api.edge.idempotency import REPLAYED, canonical, idempotency_key, scope_of
from paygate.api.edge.query import parse_query
from paygate.api.edge.refusals import RefusalLog
from paygate.api.edge.router import Route, Router
from paygate.api.objects import encode
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.access.authenticate import CACHE_SECONDS, authorize
from paygate.flows.access.authenticate_client import authenticate_client
from paygate.flows.alerts.report_card_data import report_card_data
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.idempotency.keyed_door import KeyedRequest
from paygate.flows.idempotency.run_once import idempotently
from paygate.storage.change import OutcomeUnknown, StorageError
from paygate.storage.unreadable import Unreadable
from paygate.telemetry import log, timing
from paygate.telemetry.request_log import RequestLog

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

OURS: Final = frozenset({ErrorCode.INTERNAL_ERROR, ErrorCode.RECORD_UNREADABLE})
"""The codes of our own faults: no caller can mend them, so the log says more than the response."""
NO_CONTENT: Final = 204

_SINGLE: Final = (
    "authorization",
    "content-type",
    "idempotency-key",
    actors.HEADER,
    "paygate-client-secret",
    "paygate-session",
)


class Edge:
    """All HTTP requests of one process."""

    def __init__(
        self,
        api: ApiContext,
        endpoints: Iterable[Endpoint],
        trusted_proxies: TrustedProxies,
        cors: Cors,
        request_log: RequestLog | None = None,
    ) -> None:
        self._api = api
        self._router = Router(endpoints)
        self._trusted_proxies = trusted_proxies
        self._cors = cors
        self._request_log = request_log
        self.bodies = Bodies()
        self.refusals = RefusalLog(api.ctx)
        self._docs = docs_at(api.ctx.policy.public_url)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI request."""
        exchange = self._arrived(scope)
        reply = None
        try:
            reply = await self._reply(scope, exchange, receive)
            if exchange.refusal is not None:
                await self.refusals.write(exchange, exchange.refusal)
            headers = self._headers(scope, exchange, reply)
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            body = b"" if scope["method"] == "HEAD" else reply.body
            await send({"type": "http.response.body", "body": body})
        finally:
            self.bodies.release(exchange)
            if self._request_log is not None and reply is not None:
                self._request_log.write(
                    scope["method"],
                    exchange.route,
                    reply.status,
                    None if exchange.refusal is None else exchange.refusal.code,
                    exchange.timing.milliseconds(),
                    exchange.request_id,
                    None if exchange.caller is None else exchange.caller.actor.id,
                )

    def _arrived(self, scope: Any) -> Exchange:
        clock, ctx = timing.begin(), self._api.ctx
        lines = scope["headers"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in lines}
        exchange = Exchange(
            ctx.new_id("request"),
            headers,
            self._trusted_proxies.client_address(scope),
            clock,
            self._docs,
        )
        if len(headers) != len(lines):
            names = [name.decode("latin-1") for name, _ in lines]
            exchange.repeated = next((name for name in _SINGLE if names.count(name) > 1), None)
        exchange.target, exchange.query = scope["path"], scope["query_string"].decode("latin-1")
        return exchange

    async def _reply(self, scope: Any, exchange: Exchange, receive: Receive) -> Reply:
        method: str = scope["method"]
        if scope["scheme"] != "https" and not self._trusted_proxies.says_https(scope):
            # No redirect: it would teach clients to send their keys in clear first.
            return refuse(exchange, Refusal(ErrorCode.TLS_REQUIRED, "this API speaks TLS alone"))
        found = self._router.find(scope["raw_path"].decode("latin-1"))
        if found is None:
            return refuse(exchange, Refusal(ErrorCode.ROUTE_UNKNOWN, "no such path"))
        route, exchange.path = found
        exchange.route = route.path
        endpoint = route.endpoints.get(method)
        if endpoint is None:
            return _without_endpoint(method, route, exchange)
        try:
            return await self._respond_or_report(endpoint, exchange, receive)
        except asyncio.CancelledError:
            # The server stops and waits no longer. The flow goes on, so this is not "no".
            exchange.action = None
            return _refused(endpoint, exchange, OutcomeUnknown("the server is stopping"))
        except Unreadable as fault:
            nobody = Caller(Actor("job", name="api"), fault.merchant, exchange.request_id)
            await report_unreadable(self._api.ctx, exchange.caller or nobody, fault)
            return _refused(endpoint, exchange, fault)
        except Exception as error:  # noqa: BLE001 -- what is not known becomes internal_error
            return _refused(endpoint, exchange, error)

    async def _respond_or_report(
        self, endpoint: Endpoint, exchange: Exchange, receive: Receive
    ) -> Reply:
        """As `_respond`; the alert of card data is raised here, outside the request's own commits:
        its `Idempotency-Key` stays free.
        """
        try:
            return await self._respond(endpoint, exchange, receive)
        except Refusal as refusal:
            if refusal.code is ErrorCode.CARD_DATA_REFUSED:
                assert exchange.action is not None, "it is looked for behind an API key"
                await report_card_data(self._api.ctx, exchange.known_caller, exchange.action)
            raise

    async def _respond(self, endpoint: Endpoint, exchange: Exchange, receive: Receive) -> Reply:
        """The reply to a request that is not refused.

        The order is the order of what a stranger may learn: first who the caller is, then whether
        the role may act, then whether the request makes sense.

        Raises:
            Refusal: why not.
        """
        exchange.action = endpoint.action
        if endpoint.action is not None and not endpoint.raw:
            await self._admit(endpoint.action, exchange)
        refuse_in_envelope(exchange)
        body: Any = None
        if endpoint.raw:
            body = await self.bodies.read(exchange, receive, endpoint.body_limit)
        elif endpoint.body is not None:
            began = time.monotonic()
            body = await self._body(endpoint, endpoint.body, exchange, receive)
            if endpoint.action is not None and time.monotonic() - began > CACHE_SECONDS:
                # Half a minute is enough for a body, and too long for a key that was revoked.
                await _look_up(self._api, exchange)
        elif endpoint.query is not None:
            body = parse_query(endpoint.query, exchange.query)
        key = idempotency_key(exchange) if endpoint.takes_key else None
        if key is not None:
            return await self._respond_once(endpoint, exchange, body, key)
        value = await endpoint.handle(self._api, exchange, body)
        if isinstance(value, Reply):
            return value
        return Reply(endpoint.status, encode(endpoint.show(exchange, value)))

    async def _admit(self, action: Action, exchange: Exchange) -> None:
        """Find out who calls, and refuse whoever may not act."""
        api = self._api
        caller = await api.limits.authenticated(exchange, lambda: _look_up(api, exchange))
        spotted = take_from_envelope(exchange, numeric_references=api.ctx.policy.numeric_references)
        headers = exchange.headers
        if (said := headers.get(actors.HEADER)) is not None:
            actor = msgspec.structs.replace(caller.actor, name=actors.actor_name(said))
            exchange.caller = caller = msgspec.structs.replace(caller, actor=actor)
        authorize(caller, action)
        if exchange.client_side:
            await authenticate_client(
                api.ctx,
                caller,
                exchange.path["id"],
                client_secret=headers.get("paygate-client-secret"),
                session_id=headers.get("paygate-session"),
            )
        card_data.refuse(spotted)
        if said is not None and caller.actor.name is None:
            raise actors.no_name()

    async def _body(
        self,
        endpoint: Endpoint,
        shape: type[msgspec.Struct],
        exchange: Exchange,
        receive: Receive,
    ) -> Any:
        """The body as the call takes it: a `shape` of JSON, or a form where it takes one."""
        ctx = self._api.ctx
        if endpoint.form is not None and (boundary := boundary_of(exchange)) is not None:
            upload = None if endpoint.upload is None else endpoint.upload(self._api, exchange)
            form = await self.bodies.read_form(exchange, receive, endpoint.form, boundary, upload)
            card_data.refuse(in_texts(form.texts()))
            return form
        content = await self.bodies.read(exchange, receive, endpoint.body_limit)
        look = partial(in_body, content, numeric_references=ctx.policy.numeric_references)
        # A megabyte of numbers takes a second to look through, and payments do not wait for it.
        spotted = look() if len(content) <= BODY_LIMIT else await asyncio.to_thread(look)
        card_data.refuse(spotted)
        return parse(shape, exchange, content)

    async def _respond_once(
        self, endpoint: Endpoint, exchange: Exchange, body: Any, key: str
    ) -> Reply:
        """The reply under an `Idempotency-Key`: the stored response again, if there is one."""
        assert endpoint.action is not None, "what takes a key is behind an API key"
        response = await idempotently(
            self._api.ctx,
            KeyedRequest(
                exchange.known_caller,
                endpoint.action,
                scope_of(endpoint, exchange),
                key,
                canonical(body.parameters if isinstance(body, Form) else body),
            ),
            lambda ctx: endpoint.handle(self._api._replace(ctx=ctx), exchange, body),
            lambda value: encode(endpoint.show(exchange, value)),
        )
        if response.replayed:
            return Reply(200, response.body, REPLAYED)
        return Reply(endpoint.status, response.body)

    def _headers(self, scope: Any, exchange: Exchange, reply: Reply) -> list[tuple[bytes, bytes]]:
        headers = [
            *ALWAYS,
            *self._cors.headers(scope["method"], scope["path"], exchange.headers),
            (b"request-id", exchange.request_id.encode()),
        ]
        if reply.status != NO_CONTENT:
            headers.append((b"content-type", reply.media_type.encode()))
            headers.append((b"content-length", b"%d" % len(reply.body)))
        for name, value in reply.headers.items():
            headers.append((name.lower().encode(), value.encode()))
        if exchange.refusal is None:
            # The time that a refusal took could tell whether an object exists.
            headers.append((b"server-timing", exchange.timing.header().encode()))
        return headers


def _without_endpoint(method: str, route: Route, exchange: Exchange) -> Reply:
    """The reply to a method that a path has no endpoint for; a preflight's is in its headers."""
    allow = {"Allow": route.allow}
    if method == "OPTIONS":
        return Reply(NO_CONTENT, b"", allow)
    refusal = Refusal(ErrorCode.METHOD_NOT_ALLOWED, "this path does not take this method")
    return refuse(exchange, refusal)._replace(headers=allow)


def _refused(endpoint: Endpoint, exchange: Exchange, error: Exception) -> Reply:
    reply = refuse(exchange, error)
    if not endpoint.browser:
        return reply
    return Reply(reply.status, NOTHING_HERE, {**reply.headers, **HEADERS}, HTML)


def refuse(exchange: Exchange, error: Exception) -> Reply:
    """The reply to a request that failed with `error`."""
    exchange.refusal = refusal = refusal_of(error)
    if refusal.code in OURS or isinstance(error, StorageError):
        log.logger().error("request_failed", request_id=exchange.request_id, error=error)
    body = encode_error(
        refusal, exchange.request_id, docs=exchange.docs, client_side=exchange.client_side
    )
    return Reply(STATUS[refusal.code], body, headers_of(refusal))


async def _look_up(api: ApiContext, exchange: Exchange) -> Caller:
    """The caller whose key the request has; of two keys, or two names, neither counts."""
    if exchange.repeated is not None:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID,
            f"the header {exchange.repeated} must be sent once",
            param=exchange.repeated,
        )
    return await api.authenticator.caller(
        exchange.headers.get("authorization"),
        request_id=exchange.request_id,
        address=exchange.address,
    )
