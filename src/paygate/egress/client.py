"""Requests to addresses that merchants and operators chose: the one client for all of them.

An address is judged when it is connected to, as what the resolver said and never as text, and that
very address is connected to; SNI, certificate and Host are of the name. Redirects are not followed,
proxies of the environment not taken. Of an answer only the status, `Retry-After` and a length are
known: what it says is read up to a bound, and dropped.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from paygate.domain.addresses import Reach

CONNECT_SECONDS: Final = 5.0
"""For the name, TCP and TLS: a lost first packet is sent again after one second."""
SECONDS: Final = 15.0
"""For all of a request, unless it is told otherwise."""
ANSWER_BYTES: Final = 64 * 1024
"""So much of an answer is read, so that its connection can be used again; more of it is cut off."""
_LINE_BYTES: Final = 8_190
_HEADERS: Final = 100
_KEPT_SECONDS: Final = 15.0
"""How long an idle connection is kept: we close first."""
CONNECTIONS: Final = 512
RESOLVING: Final = 32
"""Names looked up at once. One that is not answered holds its place for as long as the system's
resolver tries."""


class Fault(StrEnum):
    """Why there was no answer, no more exactly than its sender needs: what is not told cannot be
    read off a network that is not theirs.
    """

    ADDRESS_FORBIDDEN = "address_forbidden"
    UNREACHABLE = "unreachable"
    """No such name, nobody there, or nobody who answers in time."""
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    BROKEN = "broken"
    """The connection ended, or what came was no HTTP."""


class Responded(msgspec.Struct, frozen=True):
    """There was an answer; `retry_after` as it came."""

    status: int
    retry_after: str | None = None


class Forbidden(Exception):
    """A connection to this address is not allowed."""


class Unresolved(Exception):
    """The name has no address, or none was told in time."""


class Egress:
    """Safe for concurrent use within one event loop."""

    def __init__(self, reach: Reach, *, user_agent: str) -> None:
        self._reach = reach
        self._always = {
            "Accept": "*/*",
            # What is packed is never unpacked: 100 KB could become 100 MB.
            "Accept-Encoding": "identity",
            "User-Agent": user_agent,
        }
        self._resolver = _Resolver(reach)
        self._session: aiohttp.ClientSession | None = None

    async def check(self, url: str) -> None:
        """See that connections to a URL are allowed, as its name resolves now; nothing is sent.

        Raises:
            Forbidden, Unresolved
        """
        parts = URL(url, encoded=True)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._resolver.resolve(parts.raw_host or "", parts.port or 0)
        except (OSError, TimeoutError):
            raise Unresolved from None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, seconds: float = SECONDS
    ) -> Responded | Fault:
        """Send a body once; whatever comes of it is told within `seconds`."""
        session = self._session or self._open()
        try:
            async with asyncio.timeout(seconds):
                response = await session.post(
                    URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                )
        except (Forbidden, aiohttp.InvalidURL):  # such as 127.1, which is loopback to some
            return Fault.ADDRESS_FORBIDDEN
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
            return Fault.TLS_FAILED
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError):
            return Fault.UNREACHABLE
        except TimeoutError:
            return Fault.TIMED_OUT
        except (aiohttp.ClientError, ValueError, OSError):
            return Fault.BROKEN
        responded = Responded(response.status, response.headers.get("Retry-After"))
        await _drop(response, seconds)
        return responded

    async def close(self) -> None:
        """End what is under way."""
        self._resolver.stop()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        """Open the session at the first request, because it belongs to the running loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=ssl.create_default_context(),
                resolver=self._resolver,
                use_dns_cache=False,
                socket_factory=self._socket,
                limit=CONNECTIONS,
                keepalive_timeout=_KEPT_SECONDS,
            ),
            headers=self._always,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=CONNECT_SECONDS, ceil_threshold=CONNECT_SECONDS
            ),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=_HEADERS,
        )
        return self._session

    def _socket(self, info: Any) -> socket.socket:
        """The socket of a connection, whose address is judged here once more: it may have come
        from no resolver, being written as one in the URL.
        """
        family, kind, protocol, _, address = info
        _judge(self._reach, str(address[0]))
        return socket.socket(family, kind, protocol)


class _Resolver(AbstractResolver):
    """The system's resolver, on threads of our own. A name of which any address is forbidden has
    none that is allowed.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._threads = ThreadPoolExecutor(RESOLVING, thread_name_prefix="egress-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a name, literal addresses among names. Raises Forbidden, OSError."""
        look = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look)
        except (UnicodeError, RuntimeError):  # no name, or we are closing
            raise OSError("this is no name") from None
        for *_, address in found:
            _judge(self._reach, str(address[0]))
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=its_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for its_family, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Of a session; the threads stay for the next."""

    def stop(self) -> None:
        """Look up no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _judge(reach: Reach, address: str) -> None:
    """Raises Forbidden when the address is out of reach."""
    if not reach.allows(ip_address(address)):
        raise Forbidden


async def _drop(response: aiohttp.ClientResponse, seconds: float) -> None:
    """Read the rest of an answer, so that its connection can be used again. One that is too long or
    takes too long costs its connection, and changes nothing of what is known.
    """
    try:
        async with asyncio.timeout(min(seconds, CONNECT_SECONDS)):
            left = ANSWER_BYTES
            async for part in response.content.iter_any():
                left -= len(part)
                if left < 0:
                    break
            else:
                response.release()
                return
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    response.close()
