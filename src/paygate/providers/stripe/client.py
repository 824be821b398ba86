"""The wire to Stripe: its SDK builds the requests, a bounded transport of ours carries them.

Every call ends in a fact. `Reply`: Stripe answered clearly, a clear no included. `NotBegun`:
certainly nothing began there. `Silent`: everything else, and it may have happened. Nothing of
the SDK or of aiohttp is raised out of here, and no message repeats what was sent or received.
This file must never know what a payment is.
"""

import asyncio
import logging
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from random import SystemRandom
from typing import Any, ClassVar, Final, Literal

import aiohttp
import msgspec
import stripe

from paygate.crypto.secret import Secret
from paygate.providers.clock_skew import ProviderClock
from paygate.providers.contract import ClockSkew
from paygate.providers.stripe import fields
from paygate.providers.stripe.translate import API_VERSION

_TRIES: Final = 4
"""With the pauses below a caller who is refused at every try learns it after two seconds."""
_FIRST_PAUSE_SECONDS: Final = 0.25
_MAX_PAUSE_SECONDS: Final = 2.0
"""A longer `Retry-After` is handed to the caller instead of being waited for."""
_MAX_RETRY_AFTER_SECONDS: Final = 3_600
_WORTHWHILE_SECONDS: Final = 2.0
"""What a try after the first must have left before the deadline. A card payment takes a second
or two; a try cut short would turn the certain no that we have into an unknown."""

_RANDOM: Final = SystemRandom()
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's monotonic clock stands still while the machine sleeps; macOS's does not."""

_CONNECT_SECONDS: Final = 10.0
"""For a place in the pool, DNS, TCP and TLS. Shorter than the usual deadline, so that a dead
route is known to be `NotBegun` instead of `Silent`."""
_MAX_CONNECTIONS: Final = 256
"""80 calls a second (`PAYGATE_PROVIDER_RATE`) at three seconds each."""
_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
"""A full page of 100 payments with full metadata and their charges is under 8 MiB."""

_CONFLICT, _TOO_MANY, _BAD_REQUEST, _SERVER_ERROR = 409, 429, 400, 500
_FAILED_DEPENDENCY: Final = 424

_REQUEST_ID: Final = re.compile(r"req_[A-Za-z0-9_]{1,64}")
_ERROR_TYPES: Final = frozenset(
    {"api_error", "card_error", "idempotency_error", "invalid_request_error"}
)
"""All that there are (https://docs.stripe.com/api/errors)."""


class Reply(msgspec.Struct, frozen=True):
    """Stripe's clear answer: a JSON object, with the status and Stripe's own clock."""

    status: int
    body: dict[str, Any]
    as_of: datetime | None
    replayed: bool = False
    """It is the answer that an earlier call under the same key got: what it shows may be old."""


class NotBegun(msgspec.Struct, frozen=True):
    """Certainly nothing began there by this call; an earlier one is another matter."""

    message: str
    asked_to_wait_seconds: int = 0
    answered: bool = False
    """Somebody said so, Stripe or a proxy on the way."""


class Silent(msgspec.Struct, frozen=True):
    """It may have happened."""

    message: str
    key_in_use: bool = False
    """Stripe is at work on an earlier call under the same key: to ask again is harmless."""
    remembered: bool = False
    """It is what Stripe answered under the key before, and will for as long as it knows the key."""


Fact = Reply | NotBegun | Silent


class _NotStripes(Exception):
    """The answer is too long, or not JSON."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Transport(stripe.HTTPClient):
    """The SDK's transport, on a session of our own.

    The SDK's `AIOHTTPClient` reads bodies of any length, follows redirects with the API key in
    hand, drops the response object before the body is read (so a cancelled read keeps its
    connection), and reports a refused connection and a lost answer as the same error.
    """

    name: ClassVar[str] = "aiohttp"

    def __init__(self) -> None:
        super().__init__()
        self._session: aiohttp.ClientSession | None = None

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        session = self._session or self._open()
        async with session.request(
            method, url, headers=headers, data=post_data, allow_redirects=False
        ) as response:
            # Looked at before the body: an error page of a proxy is not worth reading.
            if not response.headers.get("Content-Type", "").startswith("application/json"):
                raise _NotStripes("the answer is not JSON", response.status)
            return await _read(response), response.status, response.headers

    async def close_async(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        """Open the session at the first call, because it belongs to the running loop."""
        trusted = ssl.create_default_context(cafile=stripe.ca_bundle_path)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trusted, limit=_MAX_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=_CONNECT_SECONDS, sock_connect=_CONNECT_SECONDS
            ),
        )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > _MAX_BODY_BYTES:
            raise _NotStripes("the answer is too long", response.status)
        parts.append(part)
    return b"".join(parts)


class StripeWire:
    """Calls to one Stripe account. Safe for concurrent use within one event loop."""

    def __init__(
        self,
        api_base: str,
        api_key: Secret,
        *,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        _hush_the_sdk()
        self._transport = _Transport()
        self._stripes_clock = ProviderClock()
        self._jitter = jitter
        self._client = stripe.StripeClient(
            api_key.reveal(),
            stripe_version=API_VERSION,
            base_addresses={"api": api_base},
            max_network_retries=0,
            http_client=self._transport,
        )

    async def call(
        self,
        method: Literal["get", "post"],
        path: str,
        params: Mapping[str, Any],
        *,
        timeout_seconds: float,
        idempotency_key: str | None = None,
    ) -> Fact:
        """One call, tried again while that is certain to be harmless and the deadline allows.

        A POST is tried again only when it certainly did not begin, or when Stripe is at work on
        its key; a GET also after silence. What one try left in doubt, no later one that did not
        begin makes certain.
        """
        loop = asyncio.get_running_loop()
        deadline, began = loop.time() + timeout_seconds, _steady()
        fact: Fact = NotBegun("the deadline had passed before the call")
        latest = fact
        for number in range(_TRIES):
            pause = self._pause(latest, number)
            needed = _WORTHWHILE_SECONDS if number else 0.0
            if pause is None or loop.time() + pause + needed >= deadline:
                return fact
            await asyncio.sleep(pause)
            # The process may have stood still in the pause, or the whole machine.
            if loop.time() >= deadline or _steady() - began >= timeout_seconds:
                return fact
            latest = await self._try(method, path, params, idempotency_key, deadline)
            if not (isinstance(fact, Silent) and isinstance(latest, NotBegun)):
                fact = latest
            if isinstance(fact, Reply) or (
                isinstance(fact, Silent) and method == "post" and not fact.key_in_use
            ):
                return fact
        return fact

    def skew(self, now: datetime) -> ClockSkew | None:
        """Stripe's clock against the one that shows `now`."""
        return self._stripes_clock.skew(now, _steady())

    async def close(self) -> None:
        await self._transport.close_async()

    def _pause(self, fact: Fact, tries_made: int) -> float | None:
        """Seconds to wait before the next try; None when it is the caller who should wait."""
        if tries_made == 0:
            return 0.0
        asked = fact.asked_to_wait_seconds if isinstance(fact, NotBegun) else 0
        if asked > _MAX_PAUSE_SECONDS:
            return None
        doubled: float = _FIRST_PAUSE_SECONDS * 2 ** (tries_made - 1)
        return max(asked, doubled * (1 + self._jitter()) / 2)

    async def _try(
        self,
        method: Literal["get", "post"],
        path: str,
        params: Mapping[str, Any],
        idempotency_key: str | None,
        deadline: float,
    ) -> Fact:
        sent = _steady()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.raw_request_async(
                    method, path, idempotency_key=idempotency_key, **params
                )
        except TimeoutError as error:
            if isinstance(error, aiohttp.ConnectionTimeoutError):
                return NotBegun("no connection to the provider in time")
            return Silent("the provider did not answer before the deadline")
        except stripe.StripeError as error:
            return self._heard(error.http_status, error.json_body, error.headers or {}, sent)
        except aiohttp.ClientConnectorError:
            return NotBegun("the provider cannot be reached")
        except _NotStripes as error:
            # Whoever says 429 says that the request was not taken, be it a proxy on the way.
            return _fact(error.status if error.status == _TOO_MANY else None, None, {})
        except aiohttp.ClientError:
            return Silent("the connection to the provider broke")
        except Exception:  # noqa: BLE001 -- the SDK trips over hostile shapes in many ways
            return Silent("the provider's answer could not be read")
        return self._heard(response.code, response.data, response.headers, sent)

    def _heard(
        self, status: int | None, body: object, headers: Mapping[str, str], sent: float
    ) -> Fact:
        """The fact that an answer is; its date tells of Stripe's clock, if the answer is Stripe's
        and fresh.
        """
        fact = _fact(status, body, headers)
        if isinstance(fact, Reply) and fact.as_of is not None and "Age" not in headers:
            self._stripes_clock.dated(fact.as_of, sent=sent, received=_steady())
        return fact


def _fact(status: int | None, body: object, headers: Mapping[str, str]) -> Fact:
    """What an HTTP answer is worth (https://docs.stripe.com/error-low-level)."""
    code = _error_code(body)
    if status == _TOO_MANY or (status == _BAD_REQUEST and code == "rate_limit"):
        return NotBegun("the provider limits our rate", _retry_after(headers), answered=True)
    if status == _CONFLICT and code == "idempotency_key_in_use":
        busy = "the provider is at work on an earlier call of the same attempt"
        return Silent(busy, key_in_use=True)
    if status is None or not isinstance(body, dict):
        return Silent("the provider's answer could not be read")
    replayed = headers.get("Idempotent-Replayed") == "true"
    if status >= _SERVER_ERROR or status in {_CONFLICT, _FAILED_DEPENDENCY}:
        return Silent(f"the provider answered HTTP {status}", remembered=replayed)
    if 300 <= status < _BAD_REQUEST:  # noqa: PLR2004 -- the redirects of HTTP
        return Silent("the provider answered with a redirect")
    if status >= _BAD_REQUEST and not _is_stripes_refusal(body, headers):
        return Silent(f"somebody on the way to the provider answered HTTP {status}")
    return Reply(status, body, _as_of(headers.get("Date")), replayed)


def _is_stripes_refusal(body: dict[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether Stripe itself refuses: proxies say 401, 403 and 407 too, some of them in JSON.

    Stripe gives every answer an id (https://docs.stripe.com/api/request_ids) and every error one
    of its types. A refusal without them ends nothing.
    """
    stripes = _REQUEST_ID.fullmatch(headers.get("Request-Id", "")) is not None
    return stripes and fields.mapping(body, "error").get("type") in _ERROR_TYPES


def _error_code(body: object) -> str | None:
    return fields.code(fields.mapping(body, "error").get("code"))


def _steady() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(_STEADY)


def _retry_after(headers: Mapping[str, str]) -> int:
    text = headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit() and len(text) <= len("9999")):
        return 0
    return min(int(text), _MAX_RETRY_AFTER_SECONDS)


@lru_cache(maxsize=16)  # answers of one second share their Date
def _as_of(date: str | None) -> datetime | None:
    if date is None:
        return None
    try:
        read = parsedate_to_datetime(date)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _hush_the_sdk() -> None:
    """Keep what is sent and received out of logs, and the host's name out of Stripe's.

    The SDK writes every request's parameters (the token among them) and every body to its
    logger, and to standard error when STRIPE_LOG says so. Its telemetry is a process-wide
    switch, there is no other: it would name the platform and leave an id in the home directory.
    """
    if os.environ.get("STRIPE_LOG"):
        raise ValueError("STRIPE_LOG makes Stripe's library print payment data: unset it")
    logging.getLogger("stripe").setLevel(logging.CRITICAL)
    stripe.enable_telemetry = False
