"""A server that speaks just enough HTTP to misbehave in every way a network can.

It answers by a script, one behaviour for each request, and keeps what it was sent.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

DATE = "Tue, 24 Nov 2026 03:42:00 GMT"


class Request(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode() or self.query, keep_blank_values=True))


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """A well-formed answer: JSON, unless `body` is bytes already."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {
        "Content-Type": "application/json",
        "Content-Length": str(len(payload)),
        "Date": DATE,
        "Request-Id": "req_1",
    } | dict(headers or {})
    head = "".join(f"{key}: {value}\r\n" for key, value in lines.items() if value)
    return raw(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + payload)


def error(status: int, headers: Mapping[str, str] | None = None, **fields: Any) -> Behaviour:
    return answer({"error": fields}, status, headers)


def raw(data: bytes, *, then_close: bool = False) -> Behaviour:
    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_close:
            writer.close()

    return behave


async def reset(_: Request, writer: asyncio.StreamWriter) -> None:
    """The request is read; then the connection is torn down by RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def hang(_: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.get_running_loop().create_future()


def hang_within(body: Any) -> Behaviour:
    """Half of an answer, then nothing."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await _half(body)(request, writer)
        await hang(request, writer)

    return behave


def reset_within(body: Any) -> Behaviour:
    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await _half(body)(request, writer)
        await asyncio.sleep(0.05)  # so that the half is on its way before the RST overtakes it
        await reset(request, writer)

    return behave


def end_within(body: Any) -> Behaviour:
    """Half of an answer, then an orderly end."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await _half(body)(request, writer)
        writer.close()

    return behave


def end_idle(body: Any) -> Behaviour:
    """A whole answer; then the connection ends, without a word of it in the answer."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await answer(body)(request, writer)
        writer.write_eof()

    return behave


def _half(body: Any) -> Behaviour:
    payload = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}"
    return raw(f"{head}\r\n\r\n".encode() + payload[: len(payload) // 2])


class StripeServer:
    """`script` is used up request by request, then `otherwise` answers."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.requests: list[Request] = []
        self.script: deque[Behaviour] = deque()
        self.otherwise: Behaviour = error(500, type="api_error")
        self.url = ""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"

    def refuse(self) -> None:
        """Take no more connections."""
        assert self._server is not None
        self._server.close()

    async def stop(self) -> None:
        """Close the listener and every connection."""
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def connections_made(self) -> int:
        return len(self._connections)

    @property
    def connections_open(self) -> int:
        return sum(not task.done() for task in self._connections)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                request = await _read(reader)
                self.requests.append(request)
                behave = self.script.popleft() if self.script else self.otherwise
                await behave(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, body)
