"""What is known of a customer by others than their own record: found, overwritten, deleted.

Not through the commit door where the door has no way: merchants' events are append-only, and what a
merchant was sent or a provider's event looked like is no fact. The schema lets through what is
about a customer whose erasure has begun, and nothing else (migration 0031).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from paygate.domain.disputes.dispute import OPEN as OPEN_DISPUTES
from paygate.domain.disputes.dispute import Dispute
from paygate.domain.event import Event
from paygate.domain.idempotency import IdempotencyKey
from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.payment_intent import FINAL
from paygate.domain.refunds.refund import RefundState
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.reading import LONG_AGO, Reading
from paygate.storage.unreadable import UNREAD, Unread

_ENDED_REFUNDS: Final = (RefundState.SUCCEEDED, RefundState.FAILED)


class OpenObject(NamedTuple):
    """A payment, refund or dispute that has not come to its end."""

    object: str
    id: str


class SealedEvent(NamedTuple):
    """A merchant's event, and the bytes that it is sealed in."""

    event: Event
    sealed: bytes


class ErasingCustomer(NamedTuple):
    """A customer whose erasure has begun; nothing of it is opened."""

    merchant: str
    id: str
    erased_at: datetime | None


class Erasure(Reading):
    """Raises `Unavailable` when the database does not answer; rows that cannot be read are told of
    beside the others.
    """

    async def open_objects(self, merchant: str, customer: str, limit: int) -> list[OpenObject]:
        """Up to `limit` payments, refunds and disputes of the customer that are open."""
        rows = await self._fetch_all(
            "open_of_customer",
            merchant,
            customer,
            limit,
            list(FINAL),
            list(_ENDED_REFUNDS),
            list(OPEN_DISPUTES),
        )
        return [OpenObject(*row) for row in rows]

    async def payments(self, merchant: str, customer: str, after: str, limit: int) -> list[str]:
        """The ids of the customer's payments, in order, those after an id."""
        rows = await self._fetch_all("payments_of_customer", merchant, customer, after, limit)
        return [row["id"] for row in rows]

    async def objects(self, merchant: str, payments: Sequence[str]) -> list[str]:
        """The ids of the payments, and of their refunds and disputes."""
        rows = await self._fetch_all("objects_of_payments", merchant, list(payments))
        return [row["id"] for row in rows]

    async def attempts(
        self, merchant: str, payments: Sequence[str]
    ) -> tuple[list[Attempt], list[Unread]]:
        """All attempts of the payments."""
        rows = await self._search("attempts_of_payments", merchant, list(payments))
        return self._records.open_each(Attempt, map(tuple, rows))

    async def disputes(
        self, merchant: str, payments: Sequence[str]
    ) -> tuple[list[Dispute], list[Unread]]:
        """All disputes of the payments."""
        rows = await self._search("disputes_of_payments", merchant, list(payments))
        return self._records.open_each(Dispute, map(tuple, rows))

    async def events(
        self, merchant: str, objects: Sequence[str]
    ) -> tuple[list[SealedEvent], list[Unread]]:
        """The merchant's events about objects."""
        rows = await self._search("events_of_objects", merchant, list(objects))
        events: list[SealedEvent] = []
        unread: list[Unread] = []
        for row in rows:
            try:
                events.append(SealedEvent(self._records.open(Event, tuple(row)), row["sealed"]))
            except UNREAD as fault:
                unread.append(fault)
        return events, unread

    async def overwrite_event(self, before: SealedEvent, after: Event) -> bool:
        """Seal the event anew; False when its row is not the one that was read."""
        sealed = self._records.columns((after,))[-1][0]
        key = (after.merchant, after.id, after.created_at)
        with reading():
            rows = await self._pool.fetch(QUERIES["overwrite_event"], *key, sealed, before.sealed)
        return bool(rows)

    async def delete_webhook_body(self, merchant: str, event: str) -> bool:
        """Delete what was sent for an event, unless a delivery of it waits; whether one does."""
        row = await self._fetch("delete_webhook_body_of", merchant, event)
        assert row is not None, "a question has an answer"
        waits: bool = row["waits"]
        return waits

    async def waiting_events(self, account: str, objects: Sequence[str]) -> int:
        """How many provider events about objects are to be applied still."""
        row = await self._fetch("events_of_objects_that_wait", account, list(objects))
        assert row is not None, "a count is there"
        waiting: int = row["waiting"]
        return waiting

    async def delete_bodies(
        self, account: str, objects: Sequence[str], limit: int, since: datetime = LONG_AGO
    ) -> int:
        """Delete the bodies of up to `limit` provider events about objects, which were received
        since a time and do not wait; how many there were.
        """
        rows = await self._search("delete_bodies_of_objects", account, list(objects), since, limit)
        return len(rows)

    async def responses(
        self, merchant: str, customer: str, after: str, limit: int
    ) -> tuple[list[IdempotencyKey], list[Unread], str | None]:
        """Finished idempotency keys about the customer's objects, those after an id, and where to
        go on. Of keys that show nothing of what they are about, those of erased customers.
        """
        rows = await self._search("responses_about_customer", merchant, customer, after, limit)
        found, unread = self._records.open_each(IdempotencyKey, map(tuple, rows))
        silent = {row["id"] for row in rows if row["about"] is None}
        keys = [key for key in found if key.id not in silent or await self._is_of_erased(key)]
        return keys, unread, rows[-1]["id"] if len(rows) == limit else None

    async def _is_of_erased(self, key: IdempotencyKey) -> bool:
        if key.about_id is None:
            return False
        row = await self._fetch("is_of_erased_customer", key.merchant, key.about_id)
        assert row is not None, "a question has an answer"
        erased: bool = row["erased"]
        return erased

    async def customers(self, after: tuple[str, str], limit: int) -> list[ErasingCustomer]:
        """Customers whose erasure has begun, those after a merchant and an id."""
        rows = await self._search("customers_erasing", *after, limit)
        return [ErasingCustomer(*row) for row in rows]
