"""The hottest endpoints as plain ASGI, around the framework: same endpoints, same `respond`.

Litestar's routing, request and response cost more than all that create does (measured:
docs/decisions/0005). What this does not match goes to Litestar, which has every route.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from paygate.api.endpoint import Desk, Endpoint, respond
from paygate.api.exchange import Exchange, read_body

Serve = Callable[[Any, Any, Any], Awaitable[None]]

_ID: Final = "{id}"
_ID_SEGMENT: Final = 2
"""In `/payment-intents/{id}/confirm`, split at the slashes."""


class Shortcut:
    """Finds and serves the hot endpoints."""

    def __init__(self, endpoints: Iterable[Endpoint], desk: Callable[[], Desk]) -> None:
        self._endpoints: dict[tuple[str, str], Endpoint] = {
            (e.method, e.path): e for e in endpoints if e.hot
        }
        self._desk = desk

    def match(self, method: str, path: str, exchange: Exchange) -> Endpoint | None:
        """The hot endpoint of a request, if it is one; the exchange gets the path's id."""
        if (found := self._endpoints.get((method, path))) is not None:
            return found
        segments = path.split("/")
        if len(segments) <= _ID_SEGMENT:
            return None
        name, segments[_ID_SEGMENT] = segments[_ID_SEGMENT], _ID
        if (found := self._endpoints.get((method, "/".join(segments)))) is not None:
            exchange.path = {"id": name}
        return found

    async def serve(self, endpoint: Endpoint, exchange: Exchange, receive: Any, send: Any) -> None:
        """Answer the request."""

        async def read(limit: int) -> bytes:
            return await read_body(receive, limit)

        reply = await respond(self._desk(), endpoint, exchange, read)
        headers = [
            (b"content-type", reply.media_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in reply.headers.items()),
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
