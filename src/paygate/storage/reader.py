"""What flows read: a typed function for every named block of `queries/`."""

import re
from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Final, TypeVar

import asyncpg
import msgspec

from paygate.domain.alert import Alert
from paygate.domain.api_key import ApiKey
from paygate.domain.attempt import Attempt
from paygate.domain.customer import Customer
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id
from paygate.domain.payment_intent import PaymentIntent
from paygate.domain.provider_event import ProviderEvent
from paygate.storage.change import Unavailable
from paygate.storage.committer import DRIVER_FAULTS
from paygate.storage.database import Pool
from paygate.storage.records import Records
from paygate.storage.tables import PAYMENT_INTENT
from paygate.telemetry import timing

R = TypeVar("R", bound=msgspec.Struct)

_NAMED: Final = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


def load_queries() -> dict[str, str]:
    """Every block of every file in `queries/`, by name."""
    blocks: dict[str, str] = {}
    for entry in sorted((files("paygate.storage") / "queries").iterdir(), key=lambda e: e.name):
        if not entry.name.endswith(".sql"):
            continue
        for name, sql in _NAMED.findall(entry.read_text(encoding="utf-8")):
            assert name not in blocks, f"two queries are called {name}"
            blocks[name] = sql.strip()
    return blocks


QUERIES: Final = load_queries()


class Reader:
    """Opens what it reads.

    Raises `SealError` or `Tampered` when a row is not as we left it, `Unavailable` when the
    database does not answer.
    """

    def __init__(self, pool: Pool, searches: Pool, records: Records) -> None:
        self._pool = pool
        self._searches = searches
        self._records = records

    async def payment_intent(self, merchant: str, intent_id: str) -> PaymentIntent | None:
        """The intent, or None when this merchant has none of that id."""
        return await self._one(PaymentIntent, "payment_intent", merchant, intent_id)

    async def attempt(self, merchant: str, attempt_id: str) -> Attempt | None:
        """The attempt, or None."""
        return await self._one(Attempt, "attempt", merchant, attempt_id)

    async def attempt_with_intent(
        self, merchant: str, attempt_id: str
    ) -> tuple[PaymentIntent, Attempt] | None:
        """An attempt's intent and the attempt, of one moment, or None."""
        row = await self._fetch("attempt_with_intent", merchant, attempt_id)
        if row is None:
            return None
        values = tuple(row)
        width = len(PAYMENT_INTENT.columns)
        return (
            self._records.open(PaymentIntent, values[:width]),
            self._records.open(Attempt, values[width:]),
        )

    async def provider_event(self, merchant: str, event_id: str) -> ProviderEvent | None:
        """The provider event, or None."""
        return await self._one(ProviderEvent, "provider_event", merchant, event_id)

    async def api_key(self, key_id: str) -> ApiKey | None:
        """The key with this id, whoever's it is, or None."""
        return await self._one(ApiKey, "api_key", key_id)

    async def idempotency_key(
        self, merchant: str, ids: Sequence[str]
    ) -> tuple[IdempotencyKey, float] | None:
        """The key under any of these ids, and for how many seconds its lease still runs."""
        row = await self._fetch("idempotency_key", merchant, ids)
        if row is None:
            return None
        *values, lease_left = row
        return self._records.open(IdempotencyKey, values), lease_left or 0.0

    async def payment_intents_overdue(self, before: datetime, limit: int) -> list[PaymentIntent]:
        """Intents of any merchant that are `created` since before a time, the oldest first."""
        bound = make_id(PREFIXES["payment_intent"], _milliseconds(before) + 1, bytes(RANDOM_BYTES))
        rows = await self._search("payment_intents_overdue", bound, before, limit)
        return [self._open(PaymentIntent, row) for row in rows]

    async def idempotency_keys_unfinished(
        self, before: datetime, limit: int
    ) -> list[IdempotencyKey]:
        """Keys made before a time whose request never came to its end, the oldest first."""
        rows = await self._search("idempotency_keys_unfinished", before, limit)
        return [self._open(IdempotencyKey, row) for row in rows]

    async def alert(self, merchant: str, alert_id: str) -> Alert | None:
        """The alert, or None."""
        return await self._one(Alert, "alert", merchant, alert_id)

    async def alert_standing(self, merchant: str, name: str) -> Alert | None:
        """The alert that stands under this name, or None."""
        return await self._one(Alert, "alert_standing", merchant, name)

    async def customer(self, merchant: str, customer_id: str) -> Customer | None:
        """The customer, or None."""
        return await self._one(Customer, "customer", merchant, customer_id)

    async def ready(self) -> None:
        """Raises when the database does not answer."""
        await self._fetch("ready")

    async def _one(self, record: type[R], query: str, *arguments: str) -> R | None:
        row = await self._fetch(query, *arguments)
        return None if row is None else self._open(record, row)

    async def _fetch(self, query: str, *arguments: object) -> asyncpg.Record | None:
        try:
            with timing.spent(timing.Part.DATABASE):
                return await self._pool.fetchrow(QUERIES[query], *arguments)
        except (OSError, *DRIVER_FAULTS) as error:
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from error

    async def _search(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            with timing.spent(timing.Part.DATABASE):
                return await self._searches.fetch(QUERIES[query], *arguments)
        except (OSError, *DRIVER_FAULTS) as error:
            raise Unavailable(f"the database does not answer: {type(error).__name__}") from error

    def _open(self, record: type[R], row: asyncpg.Record) -> R:
        return self._records.open(record, tuple(row))


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
