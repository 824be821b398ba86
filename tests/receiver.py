"""A merchant's webhook receiver: keeps the very bytes that come, and answers as it is told."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import msgspec

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """An answer, as its bytes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Request(NamedTuple):
    """What came."""

    raw: bytes
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = msgspec.json.decode(self.body)
        return event


class Receiver:
    """Listens on this machine as long as the context lasts."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.answers: list[bytes] = []
        """What to answer next; `always` when used up."""
        self.always = OK
        self.hanging = asyncio.Event()
        """While it is clear, nothing is answered."""
        self.hanging.set()
        self.at_once = self.most_at_once = 0
        self.decide: Callable[[Receiver, Request], bytes | None] | None = None
        self.port = 0
        self._tls = tls
        self._came = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    def url(self, host: str = "127.0.0.1", path: str = "/hooks?token=s3cr3t") -> str:
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    async def wait_for(self, count: int, seconds: float = 60) -> list[Request]:
        """The requests, once there are so many."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")[1:-2]
                headers = {n.lower(): v.strip() for n, _, v in (s.partition(":") for s in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                await self._take(Request(head + body, headers, body), writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _take(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async with self._came:
                self.requests.append(request)
                self._came.notify_all()
            await self.hanging.wait()
            decided = None if self.decide is None else self.decide(self, request)
            writer.write(decided or (self.answers.pop(0) if self.answers else self.always))
            await writer.drain()
        finally:
            self.at_once -= 1
