"""Accepts connections and serves them until it is told to stop; then finishes what is under way."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from paygate.api.edge.errors import DOCS
from paygate.api.http.connections import Connection, Connections
from paygate.api.http.protocol import Deadlines, HttpConnection
from paygate.api.http.request import ASGI, App
from paygate.api.http.tls import Certificate
from paygate.telemetry import log

BACKLOG: Final = 2048
ACCEPTS: Final = 32
"""At once; then others have their turn."""
REST_SECONDS: Final = 0.5
"""How long nobody is accepted when the system has no room for another connection."""
POLL_SECONDS: Final = 0.01
"""While it stops."""


class Server:
    """One process's server."""

    def __init__(
        self,
        app: App,
        connections: Connections,
        deadlines: Deadlines,
        certificate: Certificate | None,
        *,
        drain_seconds: float = 10.0,
        docs: str = DOCS,
    ) -> None:
        """Without a certificate it speaks plain HTTP. `drain_seconds` is how long a stop waits;
        `docs` is where errors are explained.
        """
        self._loop = asyncio.get_running_loop()
        self._app = app
        self._connections = connections
        self._deadlines = deadlines
        self._certificate = certificate
        self._drain_seconds = drain_seconds
        self._docs = docs
        self._tasks: set[asyncio.Task[None]] = set()
        """The application's calls that are under way."""
        self._openings: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def serve(self, sockets: Sequence[socket.socket], stop: asyncio.Event) -> None:
        """Serve on bound sockets from the application's start until `stop`; closes them.

        Raises:
            Exception: what the application raised at its start or its end.
        """
        async with _lifespan(self._app):
            for sock in sockets:
                sock.setblocking(False)
                sock.listen(BACKLOG)
                self._listen(sock)
            watching = asyncio.create_task(_watch(self._certificate))
            try:
                await stop.wait()
            finally:
                watching.cancel()
                self._stopping = True
                for sock in sockets:
                    self._loop.remove_reader(sock)
                    # The parent holds it too, and nobody must queue where nobody is served.
                    with suppress(OSError):  # as on systems that close it alone
                        sock.shutdown(socket.SHUT_RDWR)
                    sock.close()
                await self._drain()

    def _listen(self, sock: socket.socket) -> None:
        if not self._stopping:
            self._loop.add_reader(sock, self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                accepted, peer = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # No file descriptors, no memory. The socket stays readable, so do not ask it.
                log.logger().error("connections_not_accepted", error=error)
                self._loop.remove_reader(sock)
                self._loop.call_later(REST_SECONDS, self._listen, sock)
                return
            self._admit(accepted, peer)

    def _admit(self, accepted: socket.socket, peer: Any) -> None:
        # A socket of both families spells an IPv4 client in IPv6.
        address = peer[0].removeprefix("::ffff:") if "." in peer[0] else peer[0]
        ends = {
            "client": (address, peer[1]),
            "server": accepted.getsockname()[:2],
            "scheme": "https" if self._certificate else "http",
        }
        connection = HttpConnection(
            self._app, self._connections, self._tasks, self._deadlines, ends, self._docs
        )
        if not self._connections.admit(connection, address):
            accepted.close()
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opening = connection.opening = asyncio.create_task(self._open(connection, accepted))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)

    async def _open(self, connection: HttpConnection, accepted: socket.socket) -> None:
        tls: dict[str, Any] = {}
        if self._certificate is not None:
            tls["ssl"] = self._certificate.context
            tls["ssl_handshake_timeout"] = self._deadlines.head
            tls["ssl_shutdown_timeout"] = self._deadlines.close
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted, **tls)
        except (OSError, asyncio.CancelledError):
            self._connections.remove(connection)
            accepted.close()

    async def _drain(self) -> None:
        """Wait for what is under way, and until it is sent; then end what is left."""
        for opening in self._openings:
            opening.cancel()
        busy = [connection for connection in self._connections if connection.retire()]
        if not await self._quiet(busy, self._drain_seconds):
            for task in self._tasks:
                task.cancel()
            await self._quiet(busy, self._deadlines.close)
        for connection in self._connections:
            connection.abort()

    async def _quiet(self, busy: list[Connection], seconds: float) -> bool:
        """Whether nothing is under way any more, within a time."""
        end = self._loop.time() + seconds
        while self._tasks or any(connection in self._connections for connection in busy):
            if self._loop.time() >= end:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True


async def _watch(certificate: Certificate | None) -> None:
    if certificate is not None:
        await certificate.watch()


@asynccontextmanager
async def _lifespan(app: App) -> AsyncIterator[None]:
    """Around the run: the application's own start and end (ASGI's lifespan)."""
    asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": ASGI}
    life = asyncio.ensure_future(app(scope, asked.get, messages.put))

    async def turn(name: str) -> None:
        asked.put_nowait({"type": f"lifespan.{name}"})
        message = asyncio.ensure_future(messages.get())
        await asyncio.wait({life, message}, return_when=asyncio.FIRST_COMPLETED)
        if message.cancel() or message.result()["type"] != f"lifespan.{name}.complete":
            await life  # raises why
            raise RuntimeError(f"the application's {name} failed")

    await turn("startup")
    try:
        yield
    finally:
        await turn("shutdown")
        await life
