"""Rate limits, with counts in this process or in a store that nodes share.

Ordinary limits keep one caller from taking everybody's share; when the shared store does not
answer, ordinary limits let pass. Strict limits stand between a thief and a key or a card: this
process then counts for itself, so that strict limits are never absent.
"""

import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from paygate.api.edge.buckets import Bucket, RateLimited, Windows, make_buckets, network_of
from paygate.api.edge.exchange import Exchange
from paygate.domain.access.roles import Caller, Role
from paygate.domain.errors import CATALOGUE, ErrorType, Refusal
from paygate.settings import Settings

if TYPE_CHECKING:
    from paygate.storage.limits_store import LimitsStore

PROVEN_SECONDS: Final = 600.0
"""How long a proven key passes where guesses are refused, so that a merchant's forgotten server
with an old key does not shut out the others behind its address."""
KNOWN_AFTER: Final = 10
"""The tries after which a subject's own declines count as much as the expected ones."""
PROVEN_KEYS: Final = 10_000
"""The most proven keys remembered; then all are forgotten, and prove themselves again."""


class Limits:
    """The limits of one API process."""

    def __init__(self, settings: Settings, *, processes: int) -> None:
        """`processes` share the load of this node, so each has its part of what is counted here."""
        url = settings.limits_url
        self._store = None if url.startswith("memory:") else _open_store(url)
        self._on = settings.rate_limit is not None
        if settings.rate_limit is None:
            return
        buckets = make_buckets(
            settings.rate_limit,
            production=settings.environment == "production",
            processes=processes,
        )
        # Addresses are counted here: what shields the process must not call out for every stranger.
        self._addresses = _Ordinary(buckets.address, None)
        self._keys = _Ordinary(buckets.key, self._store)
        self._failures = _Strict(buckets.failures, self._store)
        self._key_declines = _Strict(buckets.key_declines, self._store)
        self._client_declines = _Strict(buckets.client_declines, self._store)
        self._proven: dict[int, float] = {}
        """When each key was proven, by the interpreter's keyed hash of the header, not by the key.
        """

    async def close(self) -> None:
        """Close the connections to the shared store."""
        if self._store is not None:
            await self._store.close()

    async def authenticated(
        self, exchange: Exchange, look_up: Callable[[], Awaitable[Caller]]
    ) -> Caller:
        """The caller that `look_up` proves, put into the exchange as soon as that is known.

        Raises:
            Refusal: `rate_limited`, for the address or for the key; or what `look_up` raised.
        """
        if not self._on:
            exchange.caller = await look_up()
            return exchange.caller
        network = network_of(exchange.address)
        await self._addresses.spend(network)
        proof, now = hash(exchange.headers.get("authorization")), time.monotonic()
        try:
            if now - self._proven.get(proof, -PROVEN_SECONDS) < PROVEN_SECONDS:
                caller = await look_up()
            else:
                caller = await self._first_look(network, proof, look_up)
        except Refusal:
            self._proven.pop(proof, None)
            raise
        self._proven[proof] = now
        exchange.caller = caller
        key = str(caller.actor.id)
        # A publishable key is everybody's: each network has its own part of it.
        await self._keys.spend(f"{key}@{network}" if _is_public(caller) else key)
        return caller

    async def visited(self, exchange: Exchange) -> None:
        """Count a request that no key stands behind. Raises `RateLimited` for the address."""
        if self._on:
            await self._addresses.spend(network_of(exchange.address))

    @asynccontextmanager
    async def card_tried(self, exchange: Exchange) -> AsyncIterator["Try"]:
        """Around a try of a card: after too many declines no other try is let in now."""
        caller = exchange.caller
        assert caller is not None, "cards are tried behind an API key"
        if not self._on:
            yield Try()
        elif _is_public(caller):
            subject = f"{caller.merchant}@{network_of(exchange.address)}"
            async with self._client_declines.watch(subject, exchange) as tried:
                yield tried
        else:
            async with self._key_declines.watch(str(caller.actor.id), exchange) as tried:
                yield tried

    async def _first_look(
        self, network: str, proof: int, look_up: Callable[[], Awaitable[Caller]]
    ) -> Caller:
        async with self._failures.watch(network, proof) as tried:
            try:
                caller = await look_up()
            except Refusal as refusal:
                tried.bad = CATALOGUE[refusal.code].type is ErrorType.AUTHENTICATION
                raise
        if len(self._proven) >= PROVEN_KEYS:
            self._proven.clear()
        return caller


class Try:
    """A try that a strict limit watches; its caller says how the try went. A try may be neither
    good nor bad: a refusal, or an outcome not known yet, tells nothing of the next try.
    """

    __slots__ = ("bad", "good")

    def __init__(self) -> None:
        self.bad = False
        self.good = False


def _open_store(url: str) -> "LimitsStore":
    # A tenth of a second of imports, for the few who share their counts.
    from paygate.storage.limits_store import LimitsStore  # noqa: PLC0415

    return LimitsStore(url)


class _Ordinary:
    """A limit that counts every request, and is open while the shared store is away."""

    def __init__(self, bucket: Bucket, store: "LimitsStore | None") -> None:
        self._bucket = bucket
        self._store = store
        self._windows = Windows(bucket.share, bucket.seconds)

    async def spend(self, subject: str) -> None:
        """Count one more request. Raises `RateLimited` when there is no room."""
        if self._store is None:
            if not self._windows.hit(subject):
                raise RateLimited(self._bucket, self._windows.wait_seconds(subject))
        elif await self._store.hit(self._bucket, subject) is False:
            room = await self._store.room(self._bucket, subject)
            raise RateLimited(self._bucket, room.wait_seconds if room else 0)


class _Strict:
    """A limit that counts bad tries only, and counts here while the shared store is away.

    Of the tries under way, the part counts that can be expected to go badly. Where that part is
    all, many tries at once pass no more than the same tries in turn. Where the part is less, slow
    good tries refuse nobody, and many at once pass as many times over - once, for then more is
    known.
    """

    def __init__(self, bucket: Bucket, store: "LimitsStore | None") -> None:
        self._bucket = bucket
        self._store = store
        self._windows = Windows(bucket.share, bucket.seconds)
        self._bad = Windows(sys.maxsize, bucket.seconds)
        self._good = Windows(sys.maxsize, bucket.seconds)
        self._under_way: dict[str, Counter[object]] = {}

    @asynccontextmanager
    async def watch(self, subject: str, what: object) -> AsyncIterator[Try]:
        """Around one try; several tries of the same thing at once count as one.

        Raises:
            RateLimited: there is no room for another.
        """
        under_way = self._under_way.setdefault(subject, Counter())
        under_way[what] += 1
        tried = Try()
        try:
            left, wait_seconds = await self._room(subject)
            if len(under_way) * self._expected(subject) > left:
                raise RateLimited(self._bucket, wait_seconds)
            yield tried
        finally:
            try:
                if tried.good:
                    self._good.hit(subject)
                if tried.bad:
                    self._bad.hit(subject)
                    await self._hit(subject)
            finally:
                under_way[what] -= 1
                if not under_way[what]:
                    del under_way[what]
                if not under_way:
                    del self._under_way[subject]

    def _expected(self, subject: str) -> float:
        """The part of a subject's tries that goes badly: as seen here lately, never less than
        likely.
        """
        likely, bad = self._bucket.likely, self._bad.count(subject)
        seen = bad + self._good.count(subject)
        return max(likely, (bad + likely * KNOWN_AFTER) / (seen + KNOWN_AFTER))

    async def _room(self, subject: str) -> tuple[int, float]:
        room = await self._store.room(self._bucket, subject) if self._store else None
        if room is None:
            return self._windows.left(subject), self._windows.wait_seconds(subject)
        return room

    async def _hit(self, subject: str) -> None:
        if self._store is None or await self._store.hit(self._bucket, subject) is None:
            self._windows.hit(subject)


def _is_public(caller: Caller) -> bool:
    return caller.actor.role is Role.PUBLISHABLE
