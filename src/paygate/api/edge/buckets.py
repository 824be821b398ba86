"""The limits on how often, and how they are counted inside one process.

Counting is a sliding window: the running window's count, and the part of the window before that
still reaches into the last `seconds`. The shared store (`storage/limits_store.py`) counts
the same way.
"""

import math
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from paygate.domain.errors import ErrorCode, Refusal
from paygate.setting_kinds import Rate

BURST: Final = 3
"""How many times the rate may come at once. The window is as much longer, so the mean holds."""
KEYS_OF_AN_ADDRESS: Final = 4
"""A merchant's server uses a few keys at full rate: its own, the operators', the console's."""
DECLINES_PART: Final = 10
"""The divisor of a secret key's rate for declines: a tenth of what the key may send may be declined
- with a create for each confirm one card in five at full rate, which no honest shop sees."""
MINUTE: Final = 60
SUBJECTS: Final = 100_000
"""Subjects remembered per bucket, about 20 MB. Beyond, the subjects of old windows are forgotten,
or all: an attacker with that many networks is not stopped by counting them."""
NETWORK_BITS: Final = 64
"""One IPv6 subscriber has a /64 at least, and could use every address in it."""


HONEST_DECLINES: Final = 0.2
"""The part of a key's confirms under way that is expected to be declined: no honest shop has more.
So a minute's declines leave room for half a minute of confirms at full rate, and no provider is
waited for longer."""
STRANGERS_DECLINES: Final = 0.5
"""The same part behind one client network: a few payers, or one thief with a list of cards."""


class Bucket(NamedTuple):
    """About `quota` in any `seconds`; `share` of them in one process that counts alone. `likely` is
    the part of what is under way that is expected to go badly, as long as nothing worse is known.
    """

    name: str
    quota: int
    seconds: int
    share: int
    likely: float = 1.0


class Buckets(NamedTuple):
    """Every limit there is (docs/rate-limits.md)."""

    key: Bucket
    address: Bucket
    failures: Bucket
    key_declines: Bucket
    client_declines: Bucket


def make_buckets(rate: Rate, *, production: bool, processes: int) -> Buckets:
    """The limits for this rate a key. In development the strict ones let a test suite through."""

    def bucket(name: str, quota: int, seconds: int, likely: float = 1.0) -> Bucket:
        return Bucket(name, quota, seconds, max(1, quota // processes), likely)

    burst, window = BURST * rate.amount, BURST * rate.seconds
    declines = max(1, rate.amount * MINUTE // (rate.seconds * DECLINES_PART))
    return Buckets(
        key=bucket("key", burst, window),
        address=bucket("address", burst * KEYS_OF_AN_ADDRESS, window),
        failures=bucket("failed-authentication", 20 if production else 600, MINUTE),
        key_declines=bucket("declines", declines, MINUTE, HONEST_DECLINES),
        client_declines=bucket(
            "client-declines", 10 if production else 600, MINUTE, STRANGERS_DECLINES
        ),
    )


class RateLimited(Refusal):
    """A refusal for too many requests. The limit, and when there is room again, go along as
    headers.
    """

    def __init__(self, bucket: Bucket, wait_seconds: float) -> None:
        retry_after = max(1, math.ceil(wait_seconds))
        super().__init__(
            ErrorCode.RATE_LIMITED,
            f"more than {bucket.quota} in {bucket.seconds} seconds ({bucket.name})",
            retry_after_seconds=retry_after,
        )
        self.headers = {
            "Retry-After": str(retry_after),
            # draft-ietf-httpapi-ratelimit-headers, 3 and 4: structured fields.
            "RateLimit-Policy": f'"{bucket.name}";q={bucket.quota};w={bucket.seconds}',
            "RateLimit": f'"{bucket.name}";r=0;t={retry_after}',
        }


class Windows:
    """The counts of one bucket in this process, by subject: about `limit` in any `seconds`."""

    def __init__(
        self, limit: int, seconds: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._counts: dict[str, tuple[int, int, int]] = {}
        """The running window's number, its count, and the count of the one before it."""

    def hit(self, subject: str) -> bool:
        """Count one more and return True, if there is room; a refused request does not count."""
        number, before, now, rest = self._look(subject)
        if int(before * rest) + now >= self._limit:
            return False
        if now == 0 and len(self._counts) >= SUBJECTS:
            self._forget(number)
        self._counts[subject] = (number, now + 1, before)
        return True

    def left(self, subject: str) -> int:
        """How many more requests of the subject there is room for."""
        return max(0, self._limit - self.count(subject))

    def count(self, subject: str) -> int:
        """How many requests of the subject came in the last `seconds`."""
        _, before, now, rest = self._look(subject)
        return int(before * rest) + now

    def wait_seconds(self, subject: str) -> float:
        """How long until there is room for one more request."""
        _, before, now, rest = self._look(subject)
        if int(before * rest) + now < self._limit:
            return 0.0
        # The window before fades until it leaves room; a full one must end first.
        faded = (self._limit - now) / before if now < self._limit else 0.0
        return max(0.0, rest - faded) * self._seconds

    def _look(self, subject: str) -> tuple[int, int, int, float]:
        """The window's number, the count before it, its own, and the part of it still to come."""
        windows = self._clock() / self._seconds
        number = int(windows)
        known, now, before = self._counts.get(subject, (number, 0, 0))
        if known != number:
            before, now = (now if known == number - 1 else 0), 0
        return number, before, now, 1 - (windows - number)

    def _forget(self, number: int) -> None:
        self._counts = {s: c for s, c in self._counts.items() if c[0] >= number - 1}
        if len(self._counts) >= SUBJECTS:
            self._counts = {}


@lru_cache(maxsize=10_000)
def network_of(address: str | None) -> str:
    """The network that an address stands for: itself, or its /64."""
    if address is None or ":" not in address:
        return address or "unknown"
    parsed = ip_address(address)
    assert isinstance(parsed, IPv6Address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> NETWORK_BITS << NETWORK_BITS)}/{NETWORK_BITS}"
