"""TLS before what speaks none here: the provider's stand-in, and the embedded PostgreSQL.

Each front takes TLS alone, by a certificate of a given authority, and carries what it hears.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self
from urllib.parse import parse_qs, urlsplit

import trustme

from paygate_sandbox.server import Sandbox

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LIVE_KEY = "sk_live_production"
TEST_KEY = LIVE_KEY.replace("live", "test")
_CHANGED = (
    (b"Bearer sk_live_", b"Bearer sk_test_"),
    (b'"livemode":false', b'"livemode": true'),
    (b'"livemode": false', b'"livemode":  true'),
)
"""Each as long as what it stands for, so that no length changes."""
_CHUNK = 65536
_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""(https://www.postgresql.org/docs/current/protocol-message-formats.html)"""


class Front:
    """Listens on this machine as long as the context lasts."""

    def __init__(
        self,
        authority: trustme.CA,
        inner: Callable[[], Awaitable[Streams]],
        *,
        host: str,
        asks_first: bool = False,
    ) -> None:
        """`inner` opens a connection to what is behind; `asks_first` is PostgreSQL's way."""
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(self._tls)
        self._inner = inner
        self._asks_first = asks_first
        self._carried: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        begins = None if self._asks_first else self._tls
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0, ssl=begins)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # transports end in the next turn of the loop

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            if self._asks_first:
                if await reader.readexactly(len(_SSL_REQUEST)) != _SSL_REQUEST:
                    writer.close()  # in clear, as a server with `hostssl` alone takes nobody
                    return
                writer.write(b"S")
                await writer.start_tls(self._tls)
            inner = await self._inner()
            self._writers.add(inner[1])
            for source, target in ((reader, inner[1]), (inner[0], writer)):
                task = asyncio.create_task(_pump(source, target))
                self._carried.add(task)
                task.add_done_callback(self._carried.discard)


def before_postgres(authority: trustme.CA, dsn: str) -> Front:
    """PostgreSQL over TLS alone, by the name `localhost`."""
    query = parse_qs(urlsplit(dsn).query)
    path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    return Front(
        authority, lambda: asyncio.open_unix_connection(path), host="localhost", asks_first=True
    )


def before_provider(authority: trustme.CA, sandbox: Sandbox) -> Front:
    """The provider in live mode: the sandbox knows test mode alone, so the mode is changed on the
    way, in the key and in what is answered, and nothing else.
    """
    inner = urlsplit(sandbox.parts.base_url)
    return Front(
        authority, lambda: asyncio.open_connection(inner.hostname, inner.port), host="127.0.0.1"
    )


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await source.read(_CHUNK):
            for before, after in _CHANGED:
                chunk = chunk.replace(before, after)
            target.write(chunk)
            await target.drain()
    with suppress(OSError, RuntimeError):
        target.close()
