"""The wire to Stripe: what its calls look like, and what its answers are worth.

Every call ends in a fact. `Reply`: Stripe answered clearly, a clear no included. `NotBegun`:
certainly nothing began there. `Silent`: everything else, and it may have happened. Nothing of
HTTP is raised out of here, and no message repeats what was sent or received.
This file must never know what a payment is.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from random import SystemRandom
from typing import Any, Final, Literal

import msgspec

from paygate.crypto.secret import Secret
from paygate.providers.clock_skew import ProviderClock
from paygate.providers.contract import CallWatch, ClockSkew
from paygate.providers.stripe import fields, form
from paygate.providers.stripe.decoding import decoded
from paygate.providers.stripe.multipart import Multipart
from paygate.providers.stripe.translate import API_VERSION
from paygate.providers.stripe.transport import (
    Broken,
    NotConnected,
    Received,
    Request,
    Transport,
    Unreadable,
)

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

_CONFLICT, _TOO_MANY, _BAD_REQUEST, _SERVER_ERROR = 409, 429, 400, 500
_FAILED_DEPENDENCY: Final = 424
_LOCKED: Final = "lock_timeout"
"""Another request holds the object; said as 429, though no rate is too high
(https://docs.stripe.com/rate-limits#object-lock-timeouts)."""

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
    after_silence: bool = False
    """An earlier try of the same call is in doubt: Stripe was at work on its key, or it was a proxy
    that limited our rate and had sent it.
    """


class NotBegun(msgspec.Struct, frozen=True):
    """Certainly nothing began there by this call; an earlier one is another matter."""

    message: str
    asked_to_wait_seconds: int = 0
    answered: bool = False
    """Somebody said so of this try or of one before it, Stripe or a proxy on the way."""
    again: bool = True
    """Stripe did not say that to ask again is of no use."""
    limited: bool = False
    """It is our rate that was too much, and not the one object that is busy just now."""


class Silent(msgspec.Struct, frozen=True):
    """It may have happened."""

    message: str
    key_in_use: bool = False
    """Stripe is at work on an earlier call under the same key: to ask again is harmless."""
    remembered: bool = False
    """It is what Stripe answered under the key before, and will for as long as it knows the key."""


Fact = Reply | NotBegun | Silent


class StripeWire:
    """Calls to one Stripe account. Safe for concurrent use within one event loop."""

    def __init__(
        self,
        api_base: str,
        api_key: Secret,
        *,
        watch: CallWatch | None = None,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """`watch` is told of every call that is made."""
        self._transport = Transport(
            api_base,
            {
                "Authorization": f"Bearer {api_key.reveal()}",
                "Stripe-Version": API_VERSION,
                "User-Agent": "paygate",
            },
        )
        self._stripes_clock = ProviderClock()
        self._jitter = jitter
        self._watch = watch

    async def call(
        self,
        method: Literal["get", "post"],
        path: str,
        params: Mapping[str, Any],
        *,
        timeout_seconds: float,
        idempotency_key: str | None = None,
    ) -> Fact:
        """One call, as `_tried` tries it."""
        request = _request(method, path, params, idempotency_key)
        return await self._tried(request, timeout_seconds)

    async def upload(
        self, path: str, form: Multipart, *, timeout_seconds: float, idempotency_key: str
    ) -> Fact:
        """One call that brings a file, tried again as any POST is."""
        headers = {"Content-Type": form.content_type, "Idempotency-Key": idempotency_key}
        return await self._tried(Request("POST", path, headers, form.body), timeout_seconds)

    async def _tried(self, request: Request, timeout_seconds: float) -> Fact:
        """A call, tried again while that is certain to be harmless and the deadline allows.

        A POST is tried again only when it certainly did not begin, or when Stripe is at work on
        its key; a GET also after silence. What one try left in doubt, no later one that did not
        begin makes certain. A connection that closes instead of answering may have been idle for
        too long, and then nothing was taken: to send again is the flow's to decide, which writes
        down what it sends.
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
            latest = await self._try(request, deadline)
            if isinstance(latest, Reply) and _may_have_begun(fact):
                return msgspec.structs.replace(latest, after_silence=True)
            if isinstance(fact, NotBegun) and isinstance(latest, NotBegun):
                latest = msgspec.structs.replace(latest, answered=fact.answered or latest.answered)
            if not (isinstance(fact, Silent) and isinstance(latest, NotBegun)):
                fact = latest
            if isinstance(fact, Reply) or (
                isinstance(fact, Silent) and request.method == "POST" and not fact.key_in_use
            ):
                return fact
        return fact

    def skew(self, now: datetime) -> ClockSkew | None:
        """Stripe's clock against the one that shows `now`."""
        return self._stripes_clock.skew(now, _steady())

    async def close(self) -> None:
        await self._transport.close()

    def _pause(self, fact: Fact, tries_made: int) -> float | None:
        """Seconds to wait before the next try; None when it is the caller who should wait."""
        if tries_made == 0:
            return 0.0
        asked = fact.asked_to_wait_seconds if isinstance(fact, NotBegun) else 0
        if asked > _MAX_PAUSE_SECONDS or (isinstance(fact, NotBegun) and not fact.again):
            return None
        doubled: float = _FIRST_PAUSE_SECONDS * 2 ** (tries_made - 1)
        return max(asked, doubled * (1 + self._jitter()) / 2)

    async def _try(self, request: Request, deadline: float) -> Fact:
        if self._watch is None:
            return await self._send(request, deadline)
        self._watch.called()
        fact = await self._send(request, deadline)
        if isinstance(fact, NotBegun) and fact.limited:
            self._watch.limited()
        return fact

    async def _send(self, request: Request, deadline: float) -> Fact:
        sent = _steady()
        try:
            async with asyncio.timeout_at(deadline):
                seconds = deadline - asyncio.get_running_loop().time()
                received = await self._transport.send(request, seconds=seconds)
        except TimeoutError:
            return Silent("the provider did not answer before the deadline")
        except NotConnected as error:
            return NotBegun(str(error))
        except Broken as error:
            return Silent(str(error))
        except Unreadable as error:
            # Whoever says 429 says that the request was not taken, be it a proxy on the way.
            return _fact(_TOO_MANY, None, {}) if error.status == _TOO_MANY else Silent(str(error))
        except Exception:  # noqa: BLE001 -- it may be sent by now, whatever a hostile answer broke
            return Silent("the provider's answer could not be read")
        return self._heard(received, sent)

    def _heard(self, received: Received, sent: float) -> Fact:
        """The fact that an answer is; its date tells of Stripe's clock, if the answer is Stripe's
        and fresh.
        """
        try:
            body = decoded(received.body)
        except ValueError:
            body = None
        fact = _fact(received.status, body, received.headers)
        if isinstance(fact, Reply) and fact.as_of is not None and "Age" not in received.headers:
            self._stripes_clock.dated(fact.as_of, sent=sent, received=_steady())
        return fact


def _request(
    method: Literal["get", "post"],
    path: str,
    params: Mapping[str, Any],
    idempotency_key: str | None,
) -> Request:
    """A call's bytes, the same for each of its tries."""
    encoded = form.encode(params)
    if method == "get":
        return Request("GET", f"{path}?{encoded}" if encoded else path, {})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if idempotency_key is not None:
        headers["Idempotency-Key"] = idempotency_key
    return Request("POST", path, headers, encoded.encode())


def _fact(status: int, body: object, headers: Mapping[str, str]) -> Fact:
    """What an HTTP answer is worth (https://docs.stripe.com/error-low-level)."""
    code = _error_code(body)
    again = headers.get("Stripe-Should-Retry") != "false"
    if status == _TOO_MANY or (status == _BAD_REQUEST and code == "rate_limit"):
        wait = _retry_after(headers)
        if code == _LOCKED:
            said = "the provider is at work on the same payment"
            return NotBegun(said, wait, answered=True, again=again)
        limits = "the provider limits our rate"
        return NotBegun(limits, wait, answered=True, again=again, limited=True)
    if status == _CONFLICT and code == "idempotency_key_in_use":
        busy = "the provider is at work on an earlier call of the same attempt"
        return Silent(busy, key_in_use=again)
    if not isinstance(body, dict):
        return Silent("the provider's answer could not be read")
    replayed = headers.get("Idempotent-Replayed") == "true"
    if status >= _SERVER_ERROR or status in {_CONFLICT, _FAILED_DEPENDENCY}:
        said = f"the provider answered HTTP {status}{_request_id(headers)}"
        return Silent(said, remembered=replayed)
    if 300 <= status < _BAD_REQUEST:  # noqa: PLR2004 -- the redirects of HTTP
        return Silent("the provider answered with a redirect")
    if status >= _BAD_REQUEST and not _is_stripes_error(body, headers):
        return Silent(f"somebody on the way to the provider answered HTTP {status}")
    return Reply(status, body, _as_of(headers.get("Date")), replayed)


def _may_have_begun(fact: Fact) -> bool:
    """Whether a later try that is refused for itself alone leaves this one in doubt."""
    return isinstance(fact, Silent) or (isinstance(fact, NotBegun) and fact.answered)


def _is_stripes_error(body: dict[str, Any], headers: Mapping[str, str]) -> bool:
    """Whether Stripe itself refuses: proxies say 401, 403 and 407 too, some of them in JSON.

    Stripe gives every answer an id (https://docs.stripe.com/api/request_ids) and every error one
    of its types. A refusal without them ends nothing.
    """
    return _request_id(headers) != "" and fields.mapping(body, "error").get("type") in _ERROR_TYPES


def _request_id(headers: Mapping[str, str]) -> str:
    """The id that Stripe's support asks for, in brackets; nothing if the answer has none."""
    found = headers.get("Request-Id", "")
    return f" ({found})" if _REQUEST_ID.fullmatch(found) else ""


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
