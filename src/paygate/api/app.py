"""The ASGI application: the edge, and the parts behind it for as long as the server runs."""

import gc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from paygate.api.docs import DOCUMENTS
from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.cors import Cors
from paygate.api.edge.edge import Edge, Receive, Send
from paygate.api.edge.endpoint import ApiContext
from paygate.api.edge.limits import Limits
from paygate.api.routes import ENDPOINTS
from paygate.flows.access.authenticate import Authenticator
from paygate.flows.context import Context
from paygate.flows.provider.watch import ProviderLook
from paygate.telemetry.request_log import RequestLog

COLLECT_AFTER: Final = (10_000, 20, 20)
"""Objects, and collections of the generation before: a request leaves some hundred objects that the
collector watches and no circles, so by the interpreter's own numbers it would look several times a
request for what is not there.
"""


class Api:
    """It opens its parts when the server starts, and closes them when it stops."""

    def __init__(
        self,
        open_context: Callable[[], AbstractAsyncContextManager[Context]],
        limits: Limits,
        trusted_proxies: TrustedProxies,
        cors: Cors,
        request_log: RequestLog | None = None,
    ) -> None:
        self._open_context = open_context
        self._limits = limits
        self._trusted_proxies = trusted_proxies
        self._cors = cors
        self._request_log = request_log
        self._edge: Edge | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection: a request, or the server's life."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert self._edge is not None, "requests come after the start"
        await self._edge(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """From `startup` to `shutdown` (the ASGI specification, lifespan). What goes wrong goes up:
        the server logs it, and does not start.
        """
        await receive()
        async with self._open_context() as ctx:
            api = ApiContext(ctx, Authenticator(ctx), self._limits, ProviderLook(ctx))
            self._edge = edge = Edge(
                api,
                (*ENDPOINTS, *DOCUMENTS),
                self._trusted_proxies,
                self._cors,
                self._request_log,
            )
            # What was loaded stays for good: the collector need not walk it again and again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECT_AFTER)
            try:
                async with edge.refusals.counted():
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
            finally:
                await self._limits.close()
                if self._request_log is not None:
                    self._request_log.flush()
        await send({"type": "lifespan.shutdown.complete"})
