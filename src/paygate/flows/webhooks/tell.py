"""Make events into deliveries: in the order of their commits, to each endpoint that wants them.

A body is made once, here, and sent as it is each time. Nobody else waits for this: an event stays
in its place until it is told of. A node that is older than what wrote an event or an endpoint
leaves that merchant's events to newer ones. Where an endpoint or an event cannot be read, its
deliveries are made blindly, by name: what is in the records is looked at when they are sent.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import Final, NamedTuple

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.event import Event
from paygate.domain.webhooks.delivery import Delivery, Failure, WebhookBody, begun
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.webhooks.create import MOST
from paygate.storage.change import Outdated
from paygate.storage.pages import Cut, newest
from paygate.storage.unreadable import Unread, Unreadable
from paygate.storage.webhooks.outbox import Untold

PAGE: Final = 200
"""Events of a merchant at once: a merchant with many more waits no longer than one with few."""

BodyOf = Callable[[Event], bytes]
"""How an event looks on the wire."""


class _Endpoints(NamedTuple):
    """A merchant's endpoints, and why others of them cannot be read."""

    items: Sequence[WebhookEndpoint]
    unread: Sequence[Unread]


async def tell_events(ctx: Context, run: str, body_of: BodyOf) -> int:
    """How many events were made into deliveries, by this node; `run` names it in the audit log."""
    told = 0
    for untold in await ctx.outbox.untold(PAGE):
        endpoints = await _endpoints(ctx, untold.merchant)
        unread = (*untold.unread, *endpoints.unread)
        for fault in unread:
            caller = Caller(Actor("job", name="tell-events"), untold.merchant, run)
            await report_unreadable(ctx, caller, fault)
        if any(isinstance(fault, Outdated) for fault in unread):
            continue
        bodies, deliveries = _made(ctx, untold, endpoints, body_of)
        if await ctx.outbox.tell(untold, bodies, deliveries):
            told += len(untold.events) + len(untold.unread)
    return told


async def _endpoints(ctx: Context, merchant: str) -> _Endpoints:
    """All of the merchant's: two requests at once may have made one more than `MOST`."""
    found, unread = list[WebhookEndpoint](), list[Unread]()
    cut = newest("webhook_endpoint", MOST)
    while True:
        page = await ctx.webhooks.webhook_endpoints(merchant, cut)
        found += page.items
        unread += page.unread
        if not page.has_more:
            # A row that cannot be read beside the next page's would be met by both.
            return _Endpoints(found, list({str(fault): fault for fault in unread}.values()))
        cut = Cut(MOST, found[-1].id)


def _made(
    ctx: Context, untold: Untold, endpoints: _Endpoints, body_of: BodyOf
) -> tuple[list[WebhookBody], list[Delivery]]:
    """Bodies and deliveries; the body of an event that cannot be read is made when it can.

    They are due at once by the database's clock, though this machine's is ahead of it.
    """
    now = min(ctx.now(), untold.read_at)
    deliveries = [
        *_seen(ctx, untold.events, endpoints.items, now),
        *_blind(ctx, untold, endpoints, now),
    ]
    wanted = {delivery.event for delivery in deliveries}
    bodies = [
        WebhookBody(id=event.id, merchant=event.merchant, body=body_of(event), created_at=now)
        for event in untold.events
        if event.id in wanted
    ]
    return bodies, deliveries


def _seen(
    ctx: Context, events: Sequence[Event], endpoints: Sequence[WebhookEndpoint], now: datetime
) -> Iterator[Delivery]:
    """Deliveries to endpoints that are disabled have failed at once, so that it can be seen what
    was missed.
    """
    for event, endpoint in product(events, endpoints):
        if endpoint.wants(event.type):
            yield begun(
                delivery_id=ctx.new_id("delivery", now),
                merchant=event.merchant,
                endpoint=endpoint.id,
                event=event.id,
                at=now,
                failure=_missed(endpoint),
            )


def _blind(
    ctx: Context, untold: Untold, endpoints: _Endpoints, now: datetime
) -> Iterator[Delivery]:
    """All events for each endpoint that cannot be read, and each event that cannot be read for all
    endpoints.
    """
    unread_events = _names(untold.unread)
    every_event = [*(event.id for event in untold.events), *unread_events]
    pairs: list[tuple[str, str, Failure | None]] = [
        (event, endpoint.id, _missed(endpoint))
        for event, endpoint in product(unread_events, endpoints.items)
    ]
    pairs += [(*pair, None) for pair in product(every_event, _names(endpoints.unread))]
    for event, endpoint, failure in pairs:
        yield begun(
            delivery_id=ctx.new_id("delivery", now),
            merchant=untold.merchant,
            endpoint=endpoint,
            event=event,
            at=now,
            failure=failure,
            blindly=True,
        )


def _missed(endpoint: WebhookEndpoint) -> Failure | None:
    return None if endpoint.enabled else Failure.ENDPOINT_DISABLED


def _names(unread: Sequence[Unread]) -> list[str]:
    return [fault.id for fault in unread if isinstance(fault, Unreadable)]
