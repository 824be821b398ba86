"""HTTP to the provider, by aiohttp: kept connections, and answers bounded before they are read.

A request ends in an answer or in one exception, which says how far the request came. No exception
repeats what was sent or received. A POST is sent once; aiohttp sends a GET a second time when its
connection breaks. This file must never know what is asked for.
"""

import ssl
from collections.abc import Mapping
from typing import Final, Literal

import aiohttp
import msgspec
from aiohttp.connector import Connection
from yarl import URL

_CONNECT_SECONDS: Final = 10.0
"""For a place in the pool, DNS, TCP and TLS. It ends before the caller's deadline does, so that a
dead route is known to be one."""
_SHARE_TO_CONNECT: Final = 0.9
_KEPT_SECONDS: Final = 15.0
"""How long a connection is kept idle. A POST that crosses the other end's closing may have been
taken, so we close first: servers and the networks between keep a connection for a minute or so."""
_MAX_CONNECTIONS: Final = 256
"""80 calls a second (`PAYGATE_PROVIDER_RATE`) at three seconds each."""
_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""A full page of 100 payments with full metadata and their charges is under 8 MiB."""
_MAX_LINE_BYTES: Final = 8_190
_MAX_HEADERS: Final = 100


class Request(msgspec.Struct, frozen=True):
    """What is sent; `target` is a path, and a query that is encoded already."""

    method: Literal["GET", "POST"]
    target: str
    headers: Mapping[str, str]
    body: bytes | None = None


class Received(msgspec.Struct, frozen=True):
    """A whole answer. Headers are found whatever the case of their names."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NotConnected(Exception):
    pass


class Broken(Exception):
    pass


class Unreadable(Exception):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(f"{message} (HTTP {status})")
        self.status = status


class _Connector(aiohttp.TCPConnector):
    """Kept connections on which nothing came that nobody asked for.

    aiohttp would take such bytes for the answer to the next request: a proxy's word about an idle
    connection, say, or an answer that was meant for another.
    """

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 -- aiohttp's name
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            assert connection.protocol is not None
            if not connection.protocol.should_close:
                return connection
            connection.close()


class Transport:
    """Connections to the provider at `base`. Safe for concurrent use within one event loop.

    The environment's proxies are not taken, redirects are not followed, cookies are not kept.
    Whom the machine trusts is trusted, or what SSL_CERT_FILE names.
    """

    def __init__(self, base: str, headers: Mapping[str, str]) -> None:
        self._base = base
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        # Made before there are calls to hold up: reading the authorities takes a tenth of a second.
        self._tls = ssl.create_default_context() if base.startswith("https:") else True
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, *, seconds: float) -> Received:
        """Send a request and read its answer; the caller ends both when `seconds` have passed.

        Raises:
            NotConnected: there was no connection, so nothing was sent.
            Broken: the request may have been sent, and no whole answer came.
            Unreadable: the answer is too long, or of another kind than JSON in clear.
        """
        session = self._session or self._open()
        try:
            async with session.request(
                request.method,
                URL(self._base + request.target, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=_limits(seconds),
            ) as response:
                return Received(response.status, response.headers, await _read(response))
        except aiohttp.ConnectionTimeoutError:
            raise NotConnected("no connection to the provider in time") from None
        except aiohttp.ClientConnectorCertificateError:
            raise NotConnected("the provider's certificate is not trusted") from None
        except aiohttp.ClientConnectorError:
            raise NotConnected("the provider cannot be reached") from None
        except aiohttp.ClientError:
            raise Broken("the connection to the provider broke") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        """Open the session at the first call, because it belongs to the running loop."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                ssl=self._tls,
                limit=_MAX_CONNECTIONS,
                keepalive_timeout=_KEPT_SECONDS,
            ),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            max_headers=_MAX_HEADERS,
        )
        return self._session


def _limits(seconds: float) -> aiohttp.ClientTimeout:
    connect = min(_CONNECT_SECONDS, seconds * _SHARE_TO_CONNECT)
    # Above the threshold aiohttp would round up to a whole second, and past the deadline.
    return aiohttp.ClientTimeout(total=None, connect=connect, ceil_threshold=_CONNECT_SECONDS)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, if it is JSON in clear of bearable length. The head is looked at first: an error
    page of a proxy is not worth reading.
    """
    kind, _, _ = response.headers.get("Content-Type", "").partition(";")
    if kind.strip().lower() != "application/json":
        raise Unreadable("the answer is not JSON", response.status)
    if (response.content_length or 0) > _MAX_BODY_BYTES:
        raise Unreadable("the answer is too long", response.status)
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > _MAX_BODY_BYTES:
            raise Unreadable("the answer is too long", response.status)
        parts.append(part)
    return b"".join(parts)
