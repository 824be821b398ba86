"""The outbox: events become deliveries, deliveries are leased, sent and written down.

It does not go through the commit door. That a merchant is told of a payment is no new fact about
it, the delivery itself is the record of what was sent when, and what is leased here is nobody's
state but the row's. What people do to endpoints and deliveries is committed by the door, audited.

A lease is on the row, by the database's clock, under the random name of one run of a
worker. What a run does not write down in time is another's to send again.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from paygate.domain.event import Event
from paygate.domain.webhooks.delivery import Delivery, WebhookBody
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.records import Records
from paygate.storage.tables import DELIVERY, WEBHOOK_BODY
from paygate.storage.unreadable import UNREAD, Unread

LEASE: Final = timedelta(seconds=60)
"""Several times what an attempt and writing it down take."""
_WIDTH: Final = len(DELIVERY.columns)

R = TypeVar("R", bound=msgspec.Struct)


class Spot(NamedTuple):
    """How far a merchant's events were told: in the order of commits, the last one of all those."""

    written_in: int
    event: str


class Untold(NamedTuple):
    """The next events of a merchant, and why others among them cannot be read; `read_at` is by the
    database's clock.
    """

    merchant: str
    read_at: datetime
    since: Spot
    until: Spot
    events: Sequence[Event]
    unread: Sequence[Unread]


class Written(NamedTuple):
    """How far the database was written, by whomever. `whole`: no transaction before that is open.

    When it was whole and all events were told, there are no others until it stands elsewhere.
    """

    until: str
    whole: bool


class Target(NamedTuple):
    """An endpoint, by name."""

    merchant: str
    endpoint: str


class Parcel(NamedTuple):
    """A delivery, and the body to be sent: None when there is none, or why it could not be read."""

    delivery: Delivery
    body: WebhookBody | Unread | None


class Leased(NamedTuple):
    """What a run has to send, and why other rows could not be read; `leased_at` is by the
    database's clock, None when there was nothing.
    """

    parcels: Sequence[Parcel]
    unread: Sequence[Unread]
    leased_at: datetime | None


class Outbox:
    """Raises `Unavailable` when the database does not answer."""

    def __init__(self, pool: Pool, records: Records) -> None:
        self._pool = pool
        self._records = records
        self._written: tuple[Written | None, float] = (None, 0.0)
        """The newest answer, and when it was asked for, by the loop's clock."""

    async def anybody(self) -> bool:
        """Whether any merchant has, or ever had, an endpoint."""
        return bool((await self._fetch("anybody_to_tell"))[0][0])

    async def written(self, within_seconds: float = 0.0) -> Written:
        """How far the database is written: an answer out of the server's memory, which a look into
        every month's events is not. One that somebody in this process had within so many seconds
        will do.
        """
        time = asyncio.get_running_loop().time
        found, asked_at = self._written
        if found is None or time() - asked_at >= within_seconds:
            asked_at = time()
            (row,) = await self._fetch("written_until")
            found = Written(row["until"], row["whole"])
            self._written = found, asked_at
        return found

    async def untold(self, limit: int) -> list[Untold]:
        """The next events of every merchant that has endpoints, so many of each at most, and none
        that an event could still come before.
        """
        await self._fetch("pass_nobodys_events")
        found: dict[str, list[Any]] = {}
        for row in await self._fetch("events_to_tell", limit):
            found.setdefault(row["merchant"], []).append(row)
        return [self._untold(merchant, rows) for merchant, rows in found.items()]

    async def tell(
        self, untold: Untold, bodies: Sequence[WebhookBody], deliveries: Sequence[Delivery]
    ) -> bool:
        """Make events into deliveries, all of them or none: False when another node has."""
        rows = await self._fetch(
            "tell_events",
            untold.merchant,
            *untold.since,
            *untold.until,
            *self._columns(bodies, len(WEBHOOK_BODY.columns)),
            *self._columns(deliveries, len(DELIVERY.columns)),
        )
        return bool(rows[0]["moved"])

    async def keep_body(self, body: WebhookBody) -> None:
        """Keep the body of an event, unless another node has."""
        await self._fetch("keep_webhook_body", *self._records.columns([body]))

    async def due(self) -> list[Target]:
        """The endpoints that are to be sent something now."""
        return [Target(*row) for row in await self._fetch("endpoints_due")]

    async def ended(self) -> list[Target]:
        """The endpoints that are disabled or deleted, and have deliveries that wait still."""
        return [Target(*row) for row in await self._fetch("endpoints_ended")]

    async def lease(
        self, run: str, places: Sequence[tuple[Target, int]], *, all_: bool = False
    ) -> Leased:
        """Up to so many deliveries for each of these endpoints, with their bodies, which are now
        the run's for `LEASE`: those that are due, or all that wait.
        """
        rows = await self._fetch(
            "lease_deliveries",
            [target.merchant for target, _ in places],
            [target.endpoint for target, _ in places],
            [count for _, count in places],
            LEASE,
            run,
            all_,
        )
        parcels: list[Parcel] = []
        unread: list[Unread] = []
        for *columns, _ in rows:
            row = tuple(columns)
            delivery = self._opened(Delivery, row[:_WIDTH])
            if isinstance(delivery, UNREAD):
                unread.append(delivery)
            elif delivery is not None:
                parcels.append(Parcel(delivery, self._opened(WebhookBody, row[_WIDTH:])))
        return Leased(parcels, unread, rows[-1]["leased_at"] if rows else None)

    async def clock(self) -> datetime:
        """The database's clock, which says what is due and whose a lease is."""
        now: datetime = (await self._fetch("clock"))[0][0]
        return now

    async def write(self, run: str, deliveries: Sequence[Delivery]) -> set[str]:
        """Write down deliveries that the run has leased, each one version on; the ids of those
        that were still the run's.
        """
        columns = self._records.columns(deliveries)
        return {row["id"] for row in await self._fetch("write_deliveries", run, *columns)}

    async def pause(self, target: Target, length: timedelta, failures: int) -> None:
        """Send nothing to an endpoint for so long, on any node."""
        await self._fetch("pause_endpoint", *target, length, failures)

    async def resume(self, target: Target) -> None:
        """End an endpoint's pause."""
        await self._fetch("resume_endpoint", *target)

    async def pauses(self) -> dict[Target, int]:
        """How often each endpoint that was paused had failed in a row."""
        rows = await self._fetch("pauses")
        return {Target(row["merchant"], row["endpoint"]): row["failures"] for row in rows}

    def _opened(self, record: type[R], row: tuple[Any, ...]) -> R | Unread | None:
        """The record in a row, None of a row of nulls, or why it was not read."""
        if row[0] is None:
            return None
        try:
            return self._records.open(record, row)
        except UNREAD as fault:
            return fault

    def _untold(self, merchant: str, rows: Sequence[Any]) -> Untold:
        first, last = rows[0], rows[-1]
        # Beside the event's own columns: when and from where it was read, and its own place.
        events, unread = self._records.open_each(Event, [tuple(row)[4:] for row in rows])
        return Untold(
            merchant,
            first["read_at"],
            Spot(first["from_written_in"], first["from_event"]),
            Spot(last["to_written_in"], last["id"]),
            events,
            unread,
        )

    def _columns(self, records: Sequence[Any], width: int) -> list[list[Any]]:
        return self._records.columns(records) if records else [[] for _ in range(width)]

    async def _fetch(self, query: str, *arguments: object) -> list[Any]:
        with reading():
            return await self._pool.fetch(QUERIES[query], *arguments)
