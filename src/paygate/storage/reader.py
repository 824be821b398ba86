"""What flows read: a typed function for every named block of `queries/`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

import asyncpg
import msgspec

from paygate.domain.access.api_key import ApiKey
from paygate.domain.alert import Alert, AlertNotice, AlertStatus, Occurrence
from paygate.domain.customer import Customer
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.ids import PREFIXES, RANDOM_BYTES, make_id
from paygate.domain.ledger import Transfer
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import PaymentIntent, Status
from paygate.domain.provider_account import ProviderAccount
from paygate.domain.provider_event import ProviderEvent
from paygate.storage.blocks import QUERIES
from paygate.storage.change import Outdated
from paygate.storage.connections.database import answering
from paygate.storage.connections.pool import Pool
from paygate.storage.look_ups import LookUps, Row
from paygate.storage.pages import Cut, Page, Place, Stretch, beyond_all
from paygate.storage.records import Records
from paygate.storage.schema.versions import WRITER, too_old
from paygate.storage.unreadable import UNREAD, Unread
from paygate.telemetry import timing

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_READINGS: Final = 10
"""Beyond so many for one page something larger is wrong than a record: a key is missing, say."""
_BEYOND_INTENTS: Final = beyond_all("payment_intent")

R = TypeVar("R", bound=msgspec.Struct)


class IntentFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which payment intents a list shows; None lets all pass. Times are exclusive."""

    status: Status | None = None
    reference: str | None = None
    customer: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class WaitingEvent(NamedTuple):
    """A provider event that was received and not applied; nothing of it is opened."""

    updated_at: datetime
    merchant: str
    id: str


class Reader:
    """Opens what it reads.

    Raises `Unreadable` when a row is not as we left it, `Outdated` when it is for a later version,
    `Unavailable` when the database does not answer. Lists and stretches go on beside such rows, and
    tell of them.
    """

    def __init__(self, pool: Pool, searches: Pool, records: Records) -> None:
        self._pool = pool
        self._searches = searches
        self._records = records
        self._look_ups: dict[str, LookUps] = {}

    async def payment_intent(self, merchant: str, intent_id: str) -> PaymentIntent | None:
        """The intent, or None when this merchant has none of that id."""
        return await self._one(PaymentIntent, "payment_intent", merchant, intent_id)

    async def payment_intent_by_provider_reference(self, reference: str) -> PaymentIntent | None:
        """The intent that rests on the payment to which the provider gave this id, or None."""
        for index in self._records.payment_indexes(reference):
            found = await self._one(PaymentIntent, "payment_intent_by_provider_reference", index)
            if found is not None:
                return found
        return None

    async def attempt(self, merchant: str, attempt_id: str) -> Attempt | None:
        """The attempt, or None."""
        return await self._one(Attempt, "attempt", merchant, attempt_id)

    async def attempt_with_intent(
        self, merchant: str, attempt_id: str
    ) -> tuple[PaymentIntent, Attempt] | None:
        """An attempt's intent and the attempt, of one moment, or None."""
        row = await self._look_up("attempt_with_intent", merchant, attempt_id)
        return None if row is None else self._records.open_both(PaymentIntent, Attempt, row)

    async def attempts_in_doubt(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Attempt]:
        """Attempts first sent before a time that nobody knows the end of, the oldest first."""
        order = ("first_sent_at", "merchant", "id")
        return await self._stretch(Attempt, "attempts_in_doubt", order, after, limit, before)

    async def attempts_never_sent(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Attempt]:
        """Confirms that were not sent, of intents that have been waiting since before a time."""
        order = ("merchant", "intent")
        return await self._stretch(Attempt, "attempts_never_sent", order, after, limit, before)

    async def attempts_to_close(
        self, at: datetime, after: Place | None, limit: int
    ) -> Stretch[Attempt]:
        """Open attempts whose time is over, the longest overdue first."""
        order = ("close_at", "merchant", "id")
        return await self._stretch(Attempt, "attempts_to_close", order, after, limit, at)

    async def provider_event(self, merchant: str, event_id: str) -> ProviderEvent | None:
        """The provider event, or None."""
        return await self._one(ProviderEvent, "provider_event", merchant, event_id)

    async def provider_event_by_provider_reference(
        self, merchant: str, provider_reference: str
    ) -> ProviderEvent | None:
        """The event that was stored under the provider's id, or None."""
        indexes = self._records.provider_reference_indexes(merchant, provider_reference)
        row = await self._fetch("provider_event_by_provider_reference", merchant, indexes)
        return None if row is None else self._open(ProviderEvent, row)

    async def provider_events_waiting(
        self, before: datetime, after: WaitingEvent | None, limit: int
    ) -> list[WaitingEvent]:
        """The next events that were received and not touched since before a time, the oldest first;
        by name, so that one which cannot be opened does not hide the others.
        """
        last = after or WaitingEvent(_LONG_AGO, "", "")
        rows = await self._search("provider_events_waiting", before, *last, limit)
        return [WaitingEvent(row["updated_at"], row["merchant"], row["id"]) for row in rows]

    async def jobs_waiting(self, before: datetime) -> Mapping[str, int]:
        """How many jobs of each kind are in the queue since before a time."""
        rows = await self._search("jobs_waiting", before)
        return {row["entrypoint"]: row["waiting"] for row in rows}

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

    async def payment_intents_overdue(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[PaymentIntent]:
        """Intents that are `created` since before a time, in the order of merchant and id."""
        order = ("merchant", "id")
        bound = _first_id("payment_intent", before, later=1)
        return await self._stretch(
            PaymentIntent, "payment_intents_overdue", order, after, limit, bound, before
        )

    async def payment_intents_held(self, after: Place | None, limit: int) -> Stretch[PaymentIntent]:
        """Intents whose money is held, in the order of merchant and id."""
        order = ("merchant", "id")
        return await self._stretch(PaymentIntent, "payment_intents_held", order, after, limit)

    async def idempotency_keys_unfinished(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[IdempotencyKey]:
        """Keys made before a time whose request never came to its end, the oldest first."""
        order = ("created_at", "merchant", "id")
        return await self._stretch(
            IdempotencyKey, "idempotency_keys_unfinished", order, after, limit, before
        )

    async def alerts_standing(self, after: Place | None, limit: int) -> Stretch[Alert]:
        """Alerts that are not closed, in the order of merchant and id."""
        order = ("merchant", "id")
        return await self._stretch(Alert, "alerts_standing", order, after, limit)

    async def alerts_to_send(
        self, channel: str, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Alert]:
        """Open alerts that a channel has not taken as they now are, in the order of merchant and
        id; those that it took after `before` wait.
        """
        order = ("merchant", "id")
        return await self._stretch(Alert, "alerts_to_send", order, after, limit, channel, before)

    async def alert_notice(self, merchant: str, notice_id: str) -> AlertNotice | None:
        """The notice that a channel took an alert, or None."""
        return await self._one(AlertNotice, "alert_notice", merchant, notice_id)

    async def occurrences_waiting(
        self, before: datetime, after: Place | None, limit: int
    ) -> Stretch[Occurrence]:
        """Occurrences from before a time that no alert has counted, the oldest first."""
        order = ("at", "merchant", "id")
        return await self._stretch(Occurrence, "occurrences_waiting", order, after, limit, before)

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

    async def alert(self, merchant: str, alert_id: str) -> Alert | None:
        """The alert, or None."""
        return await self._one(Alert, "alert", merchant, alert_id)

    async def alerts(self, merchant: str, cut: Cut, status: AlertStatus | None) -> Page[Alert]:
        """A page of the merchant's alerts, all or those of one status."""
        return await self._page(Alert, "alerts_older", "alerts_newer", cut, merchant, status)

    async def alert_standing(self, merchant: str, name: str) -> Alert | None:
        """The alert that stands under this name, or None."""
        return await self._one(Alert, "alert_standing", merchant, name)

    async def occurrence(self, merchant: str, occurrence_id: str) -> Occurrence | None:
        """The occurrence of an alert, or None."""
        return await self._one(Occurrence, "alert_occurrence", merchant, occurrence_id)

    async def provider_account(self, merchant: str, provider: str) -> ProviderAccount | None:
        """The account that is pinned for a provider, or None."""
        return await self._one(ProviderAccount, "provider_account", merchant, provider)

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

    async def opens(self, table: str, merchant: str, record_id: str) -> bool:
        """Whether a record that could not be read can be read now, or is not there any more."""
        stored = self._records.named(table)
        if stored is None:
            return False
        every = f"SELECT {', '.join(stored.names)} FROM {stored.name}"  # noqa: S608 -- as declared
        with answering():
            row = await self._pool.fetchrow(
                f"{every} WHERE merchant = $1 AND id = $2", merchant, record_id
            )
        try:
            if row is not None:
                self._open(stored.record, row)
        except UNREAD:
            return False
        return True

    async def transfer(self, merchant: str, transfer_id: str) -> Transfer | None:
        """The transfer, or None."""
        return await self._one(Transfer, "ledger_transfer", merchant, transfer_id)

    async def idempotency_key(self, merchant: str, key_id: str) -> IdempotencyKey | None:
        """The idempotency key, or None."""
        return await self._one(IdempotencyKey, "idempotency_key", merchant, key_id)

    async def ready(self) -> None:
        """Raises when the database does not answer, or takes no writes of this version."""
        row = await self._fetch("ready")
        assert row is not None, "a function answers"
        if row[0] > WRITER:
            raise Outdated(too_old(row[0]))

    async def _one(self, record: type[R], query: str, *key: str | bytes) -> R | None:
        row = await self._look_up(query, *key)
        return None if row is None else self._records.open(record, row)

    async def _look_up(self, query: str, *key: str | bytes) -> Row | None:
        if query not in self._look_ups:
            kind = "bytea" if isinstance(key[0], bytes) else "text"
            self._look_ups[query] = LookUps(self._pool, QUERIES[query], kind)
        with timing.spent(timing.Part.DATABASE):
            return await self._look_ups[query].find(*key)

    async def _page(
        self, record: type[R], older: str, newer: str, cut: Cut, merchant: str, *filters: object
    ) -> Page[R]:
        """Both blocks take merchant, bound and limit, and the filters after them.

        Rows that cannot be read count for nothing: the page is filled with what follows them.
        """
        query, bound = newer if cut.newer else older, cut.bound
        items: list[R] = []
        unread: list[Unread] = []
        for _ in range(_READINGS):
            # One more than is wanted tells whether there are more.
            wanted = cut.limit + 1 - len(items)
            rows = await self._search(query, merchant, bound, wanted, *filters)
            opened, faults = self._records.open_each(record, map(tuple, rows))
            items += opened
            unread += faults
            if len(items) > cut.limit or len(rows) < wanted:
                shown = items[: cut.limit]
                if cut.newer:
                    shown.reverse()
                return Page(tuple(shown), len(items) > cut.limit, tuple(unread))
            bound = rows[-1]["id"]
        raise unread[0]

    async def _stretch(
        self,
        record: type[R],
        query: str,
        order: tuple[str, ...],
        after: Place | None,
        limit: int,
        *filters: object,
    ) -> Stretch[R]:
        """The block takes the place after which to begin, the limit, and the filters after them;
        `order` names the columns of the place.
        """
        place = after or tuple(_LONG_AGO if name.endswith("at") else "" for name in order)
        rows = await self._search(query, *place, limit, *filters)
        records, unread = self._records.open_each(record, map(tuple, rows))
        last = tuple(rows[-1][name] for name in order) if len(rows) == limit else None
        return Stretch(tuple(records), tuple(unread), last)

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


def _first_id(kind: str, at: datetime, *, later: int = 0) -> str:
    """Not above any id of this kind made at `at`, or so many milliseconds later."""
    return make_id(PREFIXES[kind], int(at.timestamp() * 1000) + later, bytes(RANDOM_BYTES))
