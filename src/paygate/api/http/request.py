"""One request as the application sees it (ASGI): its scope, its body, its answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, Protocol

from paygate.telemetry import log

App = Callable[[Any, Any, Any], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_BODILESS: Final = frozenset({204, 304})
LEFTOVER_BYTES: Final = 256 * 1024
"""Of a body that nobody wants: so much is dropped so that the connection can be kept."""


class Connection(Protocol):
    """What a request needs of the connection that it came on."""

    congested: asyncio.Event | None

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read_on(self) -> None:
        """There is room for more of the body."""

    def served(self, request: "HttpRequest") -> None:
        """The application is done."""


class HttpRequest:
    """A request, from the end of its head to the end of the application's call."""

    __slots__ = (
        "_body",
        "_complete",
        "_connection",
        "_continues",
        "_delivered",
        "_head",
        "_left",
        "_lost",
        "_to_come",
        "_wake",
        "ahead",
        "keep_alive",
        "responded",
        "scope",
        "started",
    )

    def __init__(self, connection: Connection, scope: dict[str, Any], *, keep_alive: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        """Whether the connection outlives the answer."""
        self._continues = scope["http_version"] == "1.1" and _expects_word(scope["headers"])
        """The client waits for our word before it sends the body."""
        self._body: list[bytes] = []
        self._to_come = _length(scope["headers"]) or 0
        """Bytes of the body that the head promises and that did not come yet; 0 where it does not
        say."""
        self.ahead = 0
        """Bytes of the body that came and that nobody has taken yet."""
        self._complete = self._delivered = self._lost = False
        self._wake: asyncio.Future[None] | None = None
        self._head = b""
        """Of the answer, sent in one record of TLS with the first bytes of its body."""
        self._left: int | None = None
        """Bytes of the answer's body to come; None: until the connection ends."""
        self.started = self.responded = False

    # The connection calls these.

    def take(self, body: bytes) -> None:
        """Keep a part of the body, if somebody may still want it."""
        self.ahead += len(body)
        self._to_come -= len(body)
        if not self.responded:
            self._body.append(body)
            self._awake()

    def complete(self) -> None:
        """The body is here."""
        self._complete = True
        self._awake()

    def lose(self) -> None:
        """Nobody waits for the answer any more."""
        self._lost = True
        self._awake()

    async def run(self, app: App) -> None:
        """Call the application. Whatever becomes of it, the connection is told of the end."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001 -- it is ours, and others must be served
            log.logger().error("request_failed", error=error)
        else:
            if not (self.responded or self._lost):
                log.logger().error("request_failed", reason="the application did not answer")
        finally:
            self._connection.served(self)

    # The application calls these.

    async def receive(self) -> dict[str, Any]:
        """The next part of the body, or word that the client is gone."""
        if self._continues and not self._complete:
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._continues = False
        while not (self._lost or self._body) and (self._delivered or not self._complete):
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        if self._lost:
            return {"type": "http.disconnect"}
        body, self._body, self.ahead = b"".join(self._body), [], 0
        self._delivered = self._complete
        if not self._complete:
            self._connection.read_on()
        return {"type": "http.request", "body": body, "more_body": not self._delivered}

    async def send(self, message: dict[str, Any]) -> None:
        """Send a part of the answer; returns when there is room for the next."""
        if self._lost:
            return
        if message["type"] == "http.response.start":
            self._head = self._make_head(message["status"], message.get("headers", ()))
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self.scope["method"] != "HEAD":
            if self._left is not None:
                self._left -= len(body)
                if self._left < 0 or (self._left and not more):
                    raise ValueError("the body of the answer is not as long as was said")
            self._head += body
        self._connection.write(self._head)
        self._head, self.started, self.responded = b"", True, not more
        if self._connection.congested is not None:
            await self._connection.congested.wait()

    def _make_head(self, status: int, headers: Headers) -> bytes:
        self._left = 0 if status in _BODILESS else _length(headers)
        # Without a length the answer ends where the connection does. And where the client still
        # waits for our word, nobody knows whether its body will come.
        if self._left is None or self._continues or self.ahead + self._to_come > LEFTOVER_BYTES:
            self.keep_alive = False
        return render_head(status, headers, keep_alive=self.keep_alive)

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def render_head(status: int, headers: Headers, *, keep_alive: bool) -> bytes:
    """The head of an answer.

    Raises:
        ValueError: a header would be more than one line.
    """
    parts = [_STATUS_LINES[status], b"date: ", _date(int(time.time())), b"\r\n"]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    head = b"".join(parts)
    lines = len(headers) + (3 if keep_alive else 4)
    if head.count(b"\r") != lines or head.count(b"\n") != lines or b"\0" in head:
        raise ValueError("a header of the answer is more than a line")
    return head


def _length(headers: Headers) -> int | None:
    return next((int(value) for name, value in headers if name == b"content-length"), None)


def _expects_word(headers: Headers) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
