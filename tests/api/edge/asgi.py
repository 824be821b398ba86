"""The edge as the server calls it, in this process: requests that no client library would send."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from paygate.api.docs import DOCUMENTS
from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.cors import Cors
from paygate.api.edge.edge import Edge
from paygate.api.edge.endpoint import ApiContext
from paygate.api.edge.limits import Limits
from paygate.api.routes import ENDPOINTS
from paygate.domain.access.roles import Role
from paygate.flows.access.authenticate import Authenticator
from paygate.flows.access.create_api_key import create_api_key
from paygate.flows.provider.watch import ProviderLook
from paygate.settings import load
from paygate.telemetry.request_log import RequestLog
from tests.flows.world import World
from tests.gateway import Response

Headers = dict[str, str | bytes]
NOBODY = TrustedProxies(())


class Door:
    """One API process, without the server before it."""

    def __init__(
        self,
        world: World,
        request_log: RequestLog | None = None,
        proxies: TrustedProxies = NOBODY,
        **settings: str,
    ) -> None:
        limits = Limits(load({"PAYGATE_RATE_LIMIT": "off"} | settings), processes=1)
        ctx = world.ctx
        api = ApiContext(ctx, Authenticator(ctx), limits, ProviderLook(ctx))
        self.world = world
        self.edge = Edge(api, (*ENDPOINTS, *DOCUMENTS), proxies, Cors(()), request_log)

    async def key(self, role: Role = Role.OPERATOR) -> str:
        """A new API key, as a header has it."""
        _, secret = await create_api_key(self.world.ctx, self.world.caller, role=role, name="a key")
        return f"Bearer {secret.reveal()}"

    async def call(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        headers: Headers | None = None,
        address: str = "192.0.2.1",
        scheme: str = "https",
    ) -> Response:
        """One request, its body in one piece."""
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        return await self.serve(
            method, target, messages, headers=headers, address=address, scheme=scheme
        )

    async def serve(
        self,
        method: str,
        target: str,
        messages: Sequence[Any],
        *,
        headers: Headers | None = None,
        address: str = "192.0.2.1",
        scheme: str = "https",
        more: asyncio.Event | None = None,
    ) -> Response:
        """One request, message by message; behind the last of them the client waits for `more`, and
        then is gone.
        """
        path, _, query = target.partition("?")
        coming, sent = iter(messages), []

        async def receive() -> Any:
            if (message := next(coming, None)) is not None:
                return message
            if more is not None:
                await more.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        given = {"Content-Type": "application/json"} | (headers or {})
        scope = {
            "type": "http",
            "scheme": scheme,
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), _bytes(value)) for name, value in given.items()],
            "client": (address, 50_000),
        }
        await self.edge(scope, receive, send)
        start, end = sent
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return Response(start["status"], found, end["body"])


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


@asynccontextmanager
async def door_of(world: World, **settings: str) -> AsyncIterator[Door]:
    """A door that is closed in the end, as the server does: what was counted is written down."""
    door = Door(world, None, NOBODY, **settings)
    async with door.edge.refusals.counted():
        yield door
