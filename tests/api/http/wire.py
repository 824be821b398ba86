"""A server in a thread of its own, with a small application, and sockets that speak to it raw."""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvloop

from paygate.api.edge.addresses import TrustedProxies
from paygate.api.edge.headers import ALWAYS
from paygate.api.http.connections import Connections
from paygate.api.http.protocol import Deadlines
from paygate.api.http.server import Server
from paygate.api.http.tls import Certificate

SECONDS = 10.0
"""How long a test waits for what must come."""
HOST = b"Host: pay.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
HOLD = GET.replace(b" / ", b" /hold ")
QUICK = Deadlines(head=0.3, body=0.3, idle=0.3, unread=0.3, linger=0.3, close=0.3)
SLOW = Deadlines(head=60, body=60, idle=60, unread=60, linger=0.05, close=0.3)
"""None of these ends a test."""


@dataclass
class Application:
    """Answers what it was asked; `/hold` when it is told to, `/large` at length."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.ended = True
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.seen.append(scope)
        path = scope["path"]
        if path == "/hold":
            await self.go.wait()
        if path == "/fault":
            raise RuntimeError
        if path == "/silent":
            return
        body = b"" if path in {"/early", "/hold"} else await self._read(receive)
        if path == "/large":
            body = b"x" * 2**20
        headers = [(b"content-length", b"%d" % len(body)), (b"x-path", scope["raw_path"])]
        headers.append((b"x-method", scope["method"].encode()))
        if path == "/split":
            headers.append((b"x-bad", b"a\r\nx-evil: b"))
        if path == "/endless":
            headers = []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _read(self, receive: Any) -> bytes:
        parts = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.bodies.append(b"GONE")
                return b""
            parts.append(message["body"])
            if not message["more_body"]:
                self.bodies.append(b"".join(parts))
                return self.bodies[-1]


class Served:
    """A running server, and how to reach it."""

    def __init__(
        self, port: int, app: Any, connections: Connections, tls: ssl.SSLContext | None
    ) -> None:
        self.port = port
        self.app = app
        self.connections = connections
        self._tls = tls
        self.loop: Any = None
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """A connection without TLS, from an address of this machine."""
        return open_tcp(self.port, source)

    def open(self) -> socket.socket:
        """A connection as the server expects it."""
        plain = self.connect()
        return self._tls.wrap_socket(plain, server_hostname="localhost") if self._tls else plain

    def ask(self, request: bytes) -> bytes:
        """All that comes back for these bytes, until the server ends the connection."""
        with self.open() as sock:
            sock.sendall(request)
            return until_end(sock)

    def begin_stop(self) -> None:
        """Tell it to stop, and return when it has heard that."""
        heard = threading.Event()
        self.loop.call_soon_threadsafe(self._stop.set)
        # After the server has run: it was waiting.
        self.loop.call_soon_threadsafe(lambda: self.loop.call_soon(heard.set))
        assert heard.wait(SECONDS)

    def stop(self) -> None:
        """Stop it, and wait until it has."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._stop.set)
        self.wait()

    def wait(self) -> None:
        """Wait until it has stopped by itself."""
        assert self._thread is not None
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


@contextmanager
def serving(
    app: Any = None,
    deadlines: Deadlines = SLOW,
    *,
    most: int = 1000,
    per_address: int = 1000,
    exempt: TrustedProxies | None = None,
    certificate: Certificate | None = None,
    trusted: ssl.SSLContext | None = None,
    drain_seconds: float = SECONDS,
    sock: socket.socket | None = None,
) -> Iterator[Served]:
    """A server, for as long as the block runs; on any port, or on a socket that it closes."""
    app = app or Application()
    connections = Connections(most, per_address, exempt or TrustedProxies(()))
    sock = sock or socket.create_server(("127.0.0.1", 0))
    served = Served(sock.getsockname()[1], app, connections, trusted)
    started = threading.Event()
    failed: list[BaseException] = []

    async def run() -> None:
        served.loop = asyncio.get_running_loop()
        server = Server(app, connections, deadlines, certificate, drain_seconds=drain_seconds)
        started.set()
        await server.serve([sock], served._stop)

    def main() -> None:
        try:
            uvloop.run(run())
        except BaseException as error:  # noqa: BLE001 -- raised again in the test
            failed.append(error)
            started.set()

    served._thread = threading.Thread(target=main, daemon=True)
    served._thread.start()
    assert started.wait(SECONDS)
    try:
        yield served
    finally:
        served.stop()
        sock.close()
    if failed:
        raise failed[0]


def open_tcp(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection to a port, from an address of this machine."""
    return socket.create_connection(
        ("127.0.0.1", port), timeout=SECONDS, source_address=(source, 0)
    )


def until(look: Callable[[], Any], *, seconds: float = SECONDS) -> None:
    """Wait until `look()` gives something true."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


def send_on(sock: socket.socket, data: bytes) -> None:
    """Send the same again and again, until it cannot be sent. Raises `OSError`."""
    while True:
        sock.sendall(data)


def until_end(sock: socket.socket) -> bytes:
    """What a peer sends until it ends the connection, with or without good manners."""
    received = bytearray()
    try:
        while data := sock.recv(65536):
            received += data
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        pass
    return bytes(received)


def answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The next answer on a connection: its status, headers and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = sock.recv(1)
        assert data, received
        received += data
    status, headers, _ = parse(received)
    body = b""
    while left := int(headers.get("content-length", "0")) - len(body):
        data = sock.recv(left)
        assert data
        body += data
    return status, headers, body


def parse(received: bytes) -> tuple[int, dict[str, str], bytes]:
    """The first answer in these bytes, and what follows its head."""
    head, _, rest = received.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    version, status, _ = lines[0].split(" ", 2)
    assert version == "HTTP/1.1", received
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return int(status), headers, rest


def is_refused(received: bytes, status: int, code: str) -> None:
    """That this is one answer in the shape of all errors, and the last on its connection."""
    found, headers, body = parse(received)
    assert found == status, received
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/json"
    assert {name.encode(): value.encode() for name, value in headers.items()}.items() >= set(ALWAYS)
    assert int(headers["content-length"]) == len(body)
    error = json.loads(body)["error"]
    assert error["code"] == code
    assert error["request_id"] == headers["request-id"]
    assert set(error) == {"type", "code", "message", "param", "doc_url", "request_id", "retriable"}
