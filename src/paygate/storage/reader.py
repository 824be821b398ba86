"""What flows read: a typed function for every named block of `queries/`."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Final, TypeVar

import asyncpg
import msgspec

from paygate.domain.alert import Alert, AlertStatus
from paygate.domain.api_key import ApiKey
from paygate.domain.attempt import Attempt
from paygate.domain.customer import Customer
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id
from paygate.domain.ledger import Transfer
from paygate.domain.payment_intent import PaymentIntent, Status
from paygate.domain.provider_event import ProviderEvent
from paygate.storage.change import Outdated
from paygate.storage.database import Pool, answering
from paygate.storage.pages import Cut, Page, beyond_all
from paygate.storage.records import Records
from paygate.storage.schema import WRITER, too_old
from paygate.storage.tables import PAYMENT_INTENT
from paygate.telemetry import log

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEYOND_INTENTS: Final = beyond_all("payment_intent")

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


class IntentFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which payment intents a list shows; None lets all pass. Times are exclusive."""

    status: Status | None = None
    reference: str | None = None
    customer: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class Reader:
    """Opens what it reads.

    Raises `SealError` or `Tampered` when a row is not as we left it, `Outdated` when a newer
    version wrote it, `Unavailable` when the database does not answer.
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

    async def attempts_in_doubt(
        self, before: datetime, after: Attempt | None, limit: int
    ) -> list[Attempt]:
        """Attempts first sent before a time that nobody knows the end of, the oldest first; those
        that come after one.
        """
        last = (
            (_LONG_AGO, "", "")
            if after is None
            else (after.first_sent_at, after.merchant, after.id)
        )
        rows = await self._search("attempts_in_doubt", before, *last, limit)
        return self._ours(Attempt, rows)

    async def attempts_never_sent(self, before: datetime, limit: int) -> list[Attempt]:
        """Confirms that were not sent, of intents that have been waiting since before a time."""
        rows = await self._search("attempts_never_sent", before, limit)
        return self._ours(Attempt, rows)

    async def attempts_to_close(self, at: datetime, limit: int) -> list[Attempt]:
        """Open attempts whose time is over, the longest overdue first."""
        rows = await self._search("attempts_to_close", at, limit)
        return self._ours(Attempt, rows)

    async def provider_event(self, merchant: str, event_id: str) -> ProviderEvent | None:
        """The provider event, or None."""
        return await self._one(ProviderEvent, "provider_event", merchant, event_id)

    async def api_key(self, key_id: str) -> ApiKey | None:
        """The key with this id, whoever's it is, or None."""
        return await self._one(ApiKey, "api_key", key_id)

    async def payment_intents(
        self, merchant: str, cut: Cut, filters: IntentFilters
    ) -> Page[PaymentIntent]:
        """A page of the merchant's intents that pass the filters."""
        after, before = filters.created_after, filters.created_before
        reference = filters.reference
        return await self._page(
            PaymentIntent,
            "payment_intents_older",
            "payment_intents_newer",
            cut,
            merchant,
            # An id begins with its record's time, so the times bound the scan.
            _first_id("payment_intent", after) if after else "",
            _first_id("payment_intent", before, later=1) if before else _BEYOND_INTENTS,
            filters.status,
            None if reference is None else self._records.reference_indexes(merchant, reference),
            filters.customer,
            after,
            before,
        )

    async def payment_intents_overdue(self, before: datetime, limit: int) -> list[PaymentIntent]:
        """Intents of any merchant that are `created` since before a time, the oldest first."""
        bound = _first_id("payment_intent", before, later=1)
        rows = await self._search("payment_intents_overdue", bound, before, limit)
        return self._ours(PaymentIntent, rows)

    async def idempotency_keys_unfinished(
        self, before: datetime, limit: int
    ) -> list[IdempotencyKey]:
        """Keys made before a time whose request never came to its end, the oldest first."""
        rows = await self._search("idempotency_keys_unfinished", before, limit)
        return self._ours(IdempotencyKey, rows)

    async def transfers_after(self, merchant: str, transfer_id: str, limit: int) -> list[Transfer]:
        """The next transfers of all merchants, in the order of merchant and id."""
        rows = await self._search("ledger_transfers", merchant, transfer_id, limit)
        return [self._open(Transfer, row) for row in rows]

    async def payment_intents_after(
        self, merchant: str, intent_id: str, limit: int
    ) -> list[PaymentIntent]:
        """The next intents of all merchants, in the order of merchant and id."""
        rows = await self._search("payment_intents_after", merchant, intent_id, limit)
        return [self._open(PaymentIntent, row) for row in rows]

    async def payment_intents_held_after(
        self, merchant: str, intent_id: str, limit: int
    ) -> list[PaymentIntent]:
        """The next intents whose money is held, in the order of merchant and id."""
        rows = await self._search("payment_intents_held_after", merchant, intent_id, limit)
        return self._ours(PaymentIntent, rows)

    async def alert(self, merchant: str, alert_id: str) -> Alert | None:
        """The alert, or None."""
        return await self._one(Alert, "alert", merchant, alert_id)

    async def alerts(self, merchant: str, cut: Cut, status: AlertStatus | None) -> Page[Alert]:
        """A page of the merchant's alerts, all or those of one status."""
        return await self._page(Alert, "alerts_older", "alerts_newer", cut, merchant, status)

    async def alert_standing(self, merchant: str, name: str) -> Alert | None:
        """The alert that stands under this name, or None."""
        return await self._one(Alert, "alert_standing", merchant, name)

    async def customer(self, merchant: str, customer_id: str) -> Customer | None:
        """The customer, or None."""
        return await self._one(Customer, "customer", merchant, customer_id)

    async def api_keys(self, merchant: str, cut: Cut) -> Page[ApiKey]:
        """A page of the merchant's keys."""
        return await self._page(ApiKey, "api_keys_older", "api_keys_newer", cut, merchant)

    async def api_key_uses(self, key_ids: Sequence[str]) -> Mapping[str, datetime]:
        """When these keys were last used; those that never were are left out."""
        rows = await self._fetch_all("api_key_uses", key_ids)
        return {row["key"]: row["last_used_at"] for row in rows}

    async def ready(self) -> None:
        """Raises when the database does not answer, or takes no writes of this version."""
        row = await self._fetch("ready")
        assert row is not None, "a function answers"
        if row[0] > WRITER:
            raise Outdated(too_old(row[0]))

    async def _one(self, record: type[R], query: str, *arguments: str) -> R | None:
        row = await self._fetch(query, *arguments)
        return None if row is None else self._open(record, row)

    async def _page(
        self, record: type[R], older: str, newer: str, cut: Cut, merchant: str, *filters: object
    ) -> Page[R]:
        """Both blocks take merchant, bound and limit, and the filters after them."""
        query = newer if cut.newer else older
        # One more than is wanted tells whether there are more.
        rows = await self._search(query, merchant, cut.bound, cut.limit + 1, *filters)
        items = [self._open(record, row) for row in rows[: cut.limit]]
        if cut.newer:
            items.reverse()
        return Page(tuple(items), len(rows) > cut.limit)

    async def _fetch(self, query: str, *arguments: object) -> asyncpg.Record | None:
        with answering():
            return await self._pool.fetchrow(QUERIES[query], *arguments)

    async def _fetch_all(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with answering():
            return await self._pool.fetch(QUERIES[query], *arguments)

    async def _search(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with answering():
            return await self._searches.fetch(QUERIES[query], *arguments)

    def _open(self, record: type[R], row: asyncpg.Record) -> R:
        return self._records.open(record, tuple(row))

    def _ours(self, record: type[R], rows: Sequence[asyncpg.Record]) -> list[R]:
        """What a sweep may work on: records of a newer version are left to a node of that one."""
        opened = []
        for row in rows:
            try:
                opened.append(self._open(record, row))
            except Outdated as error:
                log.logger().warning("left_to_newer_version", error=error)
        return opened


def _first_id(kind: str, at: datetime, *, later: int = 0) -> str:
    """Not above any id of this kind made at `at`, or so many milliseconds later."""
    return make_id(PREFIXES[kind], int(at.timestamp() * 1000) + later, bytes(RANDOM_BYTES))
