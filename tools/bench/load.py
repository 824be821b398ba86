"""A load generator that costs little: HTTP/1.1 over TLS, keep-alive, on the event loop itself."""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


class Response(msgspec.Struct, frozen=True):
    """One answer, and how long it took."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    def timing(self, part: str) -> float:
        """Milliseconds that the gateway says it spent on a part (Server-Timing)."""
        marker = f"{part};dur=".encode()
        start = self.head.index(marker) + len(marker)
        return float(self.head[start : start + 16].split(b",")[0].split(b"\r")[0])


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._answer: asyncio.Future[Response] | None = None
        self._sent = 0.0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no such base

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end]
        at = head.lower().index(_LENGTH) + len(_LENGTH)
        length = int(head[at : at + 12].split(b"\r")[0])
        if len(self._buffer) < end + len(_HEAD_END) + length:
            return
        body, self._buffer = self._buffer[end + len(_HEAD_END) :], b""
        answer, self._answer = self._answer, None
        assert answer is not None, "an answer to no request"
        seconds = time.perf_counter() - self._sent
        if not answer.done():
            answer.set_result(Response(int(head[9:12]), head, body, seconds))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    def send(self, request: bytes) -> asyncio.Future[Response]:
        """Send a whole request."""
        assert self._answer is None, "one request at a time"
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._sent = time.perf_counter()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class Client:
    """A pool of connections to one server."""

    def __init__(self, url: str, key: str, ca_file: str | None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._key = key
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self.connections: list[Connection] = []

    async def open(self, count: int) -> None:
        """Have `count` connections open: a server leaves those that were idle for long."""
        loop = asyncio.get_running_loop()
        self.connections = [each for each in self.connections if not each.lost]
        while len(self.connections) < count:
            _, connection = await loop.create_connection(
                Connection, self._host, self._port, ssl=self._tls
            )
            self.connections.append(connection)

    def close(self) -> None:
        """Close them all."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()

    def request(self, method: str, path: str, body: Any = None, headers: str = "") -> bytes:
        """A request's bytes. `headers` are whole lines."""
        data = (
            b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        )
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Authorization: Bearer {self._key}\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        ).encode() + data


async def flood(
    client: Client, requests: Iterator[bytes], check: Callable[[Response], None]
) -> tuple[int, float]:
    """Send every request, each connection as fast as it is answered: how many, and seconds."""
    done = 0

    async def drive(connection: Connection) -> None:
        nonlocal done
        for request in requests:
            check(await connection.send(request))
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(drive(connection) for connection in client.connections))
    return done, time.perf_counter() - started


async def pace(
    client: Client, requests: Iterator[bytes], per_second: float, check: Callable[[Response], None]
) -> list[Response]:
    """Send at a fixed rate, whatever the answers take; latency counts from the due time."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in client.connections:
        free.put_nowait(connection)
    answers: list[Response] = []
    tasks: set[asyncio.Task[None]] = set()
    started = time.perf_counter()

    async def one(request: bytes, due: float) -> None:
        connection = await free.get()
        response = await connection.send(request)
        free.put_nowait(connection)
        check(response)
        answers.append(msgspec.structs.replace(response, seconds=time.perf_counter() - due))

    for number, request in enumerate(requests):
        due = started + number / per_second
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        task = asyncio.create_task(one(request, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return answers
