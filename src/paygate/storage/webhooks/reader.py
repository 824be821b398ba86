"""What flows read of events, webhook endpoints and deliveries.

Events are listed in the order in which they were committed, and only those that no event can come
before any more: whoever goes on from the last one that they saw misses none.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from paygate.domain.event import Event
from paygate.domain.ids import milliseconds_of
from paygate.domain.webhooks.delivery import Delivery, DeliveryStatus, WebhookBody
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.storage.pages import Cut, Page, Place, Stretch
from paygate.storage.reader import Reader
from paygate.storage.reading import LONG_AGO

_APART: Final = timedelta(hours=1)
"""Between the time in an event's id and its own, at most: the one is drawn when its commit is made,
the other when it was decided, or when the object was last written by a clock that is ahead."""
_ALL_MONTHS: Final = (LONG_AGO, datetime(9999, 1, 1, tzinfo=UTC))


class EventFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a list shows; None lets all pass. Times are exclusive."""

    type: str | None = None
    subject: str | None = None
    """The id of the object that they tell of."""
    created_after: datetime | None = None
    created_before: datetime | None = None


class WebhookReader(Reader):
    """Raises as `Reader` does."""

    async def event(self, merchant: str, event_id: str) -> Event | None:
        """The event, or None. An id tells its month, or two at the turn of one; an event is looked
        for in all of them when a clock was wrong, or there is no such event.
        """
        for since, until in (*months_of_id(event_id), _ALL_MONTHS):
            row = await self._fetch("event", merchant, event_id, since, until)
            if row is not None:
                return self._open(Event, row)
        return None

    async def events(self, merchant: str, cut: Cut, filters: EventFilters) -> Page[Event]:
        """A page of the merchant's events that pass the filters, in the order of their commits."""
        return await self._page(
            Event,
            "events_older",
            "events_newer",
            cut,
            merchant,
            filters.type,
            filters.subject,
            filters.created_after,
            filters.created_before,
        )

    async def webhook_endpoint(self, merchant: str, endpoint_id: str) -> WebhookEndpoint | None:
        """The endpoint, a deleted one too, or None."""
        return await self._one(WebhookEndpoint, "webhook_endpoint", merchant, endpoint_id)

    async def webhook_endpoints(self, merchant: str, cut: Cut) -> Page[WebhookEndpoint]:
        """A page of the merchant's endpoints that are not deleted."""
        return await self._page(
            WebhookEndpoint, "webhook_endpoints_older", "webhook_endpoints_newer", cut, merchant
        )

    async def webhook_endpoints_enabled(
        self, after: Place | None, limit: int
    ) -> Stretch[WebhookEndpoint]:
        """Endpoints that are sent something, in the order of merchant and id."""
        order = ("merchant", "id")
        return await self._stretch(
            WebhookEndpoint, "webhook_endpoints_enabled", order, after, limit
        )

    async def delivery(self, merchant: str, delivery_id: str) -> Delivery | None:
        """The delivery, or None."""
        return await self._one(Delivery, "delivery", merchant, delivery_id)

    async def deliveries(
        self, merchant: str, cut: Cut, endpoint_id: str, status: DeliveryStatus | None
    ) -> Page[Delivery]:
        """A page of the deliveries to an endpoint, all or those of one status."""
        return await self._page(
            Delivery,
            "deliveries_older",
            "deliveries_newer",
            cut,
            merchant,
            endpoint_id,
            status,
        )

    async def deliveries_since(
        self,
        endpoint: WebhookEndpoint,
        after: Place | None,
        limit: int,
        since: datetime,
        *,
        all_: bool,
    ) -> Stretch[Delivery]:
        """The next deliveries to an endpoint that were made since a time and are over: those that
        failed, or all.
        """
        of = (endpoint.merchant, endpoint.id, since, all_)
        return await self._stretch(Delivery, "deliveries_since", ("id",), after, limit, *of)

    async def webhook_body(self, merchant: str, event_id: str) -> WebhookBody | None:
        """The body that is sent for an event, or None."""
        return await self._one(WebhookBody, "webhook_body", merchant, event_id)


def months_of_id(event_id: str) -> Iterator[tuple[datetime, datetime]]:
    """From when to when an event of this id was made; nothing for an id of no possible time."""
    since = timedelta(milliseconds=milliseconds_of(event_id))
    if _APART < since < _ALL_MONTHS[1] - LONG_AGO - _APART:
        yield LONG_AGO + since - _APART, LONG_AGO + since + _APART
