"""The HTTP application: Litestar routes, the edge around them, the parts for as long as it runs."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.handlers import HTTPRouteHandler
from litestar.types import Receive, Scope, Send

from paygate.api.addresses import TrustedProxies
from paygate.api.cors import Cors
from paygate.api.docs import docs_page, openapi_json
from paygate.api.edge import Edge
from paygate.api.endpoint import Desk, Endpoint, Reply, refuse, respond
from paygate.api.exchange import exchange_of, read_body
from paygate.api.limits import Limits
from paygate.api.routes import ENDPOINTS
from paygate.api.shortcut import Shortcut
from paygate.flows.authenticate import Authenticator
from paygate.flows.context import Context
from paygate.flows.watch_provider import ProviderLook

AnyRequest = Request[Any, Any, Any]


class Api:
    """The ASGI application. It opens its parts when the server starts, and closes them after."""

    def __init__(
        self,
        open_context: Callable[[], AbstractAsyncContextManager[Context]],
        limits: Limits,
        trusted_proxies: TrustedProxies,
        cors: Cors,
    ) -> None:
        self._open_context = open_context
        self._limits = limits
        self._desk: Desk | None = None
        routes = [self._handler(endpoint) for endpoint in ENDPOINTS]
        self._litestar = Litestar(
            [*routes, openapi_json, docs_page],
            lifespan=[self._lifespan],
            exception_handlers={Exception: _answer_error},
            openapi_config=None,
            logging_config=None,
        )
        self._edge = Edge(
            self._litestar, Shortcut(ENDPOINTS, self.desk), self.desk, trusted_proxies, cors
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        await self._edge(scope, receive, send)

    def desk(self) -> Desk:
        """What handlers work with, while the server runs."""
        assert self._desk is not None, "requests come after the start"
        return self._desk

    @asynccontextmanager
    async def _lifespan(self, _: Litestar) -> AsyncIterator[None]:
        async with self._open_context() as ctx:
            self._desk = Desk(ctx, Authenticator(ctx), self._limits, ProviderLook(ctx))
            # What was loaded stays for good: the collector need not walk it again and again.
            gc.collect()
            gc.freeze()
            try:
                yield
            finally:
                await self._limits.close()

    def _handler(self, endpoint: Endpoint) -> HTTPRouteHandler:
        async def handle(request: AnyRequest) -> Response[bytes]:
            exchange = exchange_of(request.scope)
            exchange.path = request.path_params

            async def read(limit: int) -> bytes:
                return await read_body(request.receive, limit)

            return _response(await respond(self.desk(), endpoint, exchange, read))

        path = endpoint.path.replace("{id}", "{id:str}")
        return HTTPRouteHandler(path, http_method=endpoint.method, opt={"endpoint": endpoint})(
            handle
        )


def _answer_error(request: AnyRequest, error: Exception) -> Response[bytes]:
    """What Litestar itself refuses: no such path, no such method."""
    return _response(refuse(exchange_of(request.scope), error))


def _response(reply: Reply) -> Response[bytes]:
    return Response(
        reply.body,
        status_code=reply.status,
        media_type=reply.media_type,
        headers=dict(reply.headers),
    )
