"""Make events into deliveries: in the order of their commits, to each endpoint that wants them.

A body is made once, here, and sent as it is each time. Nobody else waits for this: an event stays
in its place until it is told of. A node that is older than what wrote an event or an endpoint
leaves that merchant's events to newer ones.
"""

from collections.abc import Callable, Sequence
from typing import Final

from paygate.domain.access.roles import Actor, Caller
from paygate.domain.event import Event
from paygate.domain.webhooks.delivery import Delivery, Failure, WebhookBody, begun
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context
from paygate.flows.webhooks.create import MOST
from paygate.storage.change import Outdated
from paygate.storage.pages import newest
from paygate.storage.webhooks.outbox import Untold

PAGE: Final = 200
"""Events of a merchant at once: a merchant with many more waits no longer than one with few."""

BodyOf = Callable[[Event], bytes]
"""How an event looks on the wire."""


async def tell_events(ctx: Context, run: str, body_of: BodyOf) -> int:
    """How many events were made into deliveries, by this node; `run` names it in the audit log."""
    told = 0
    for untold in await ctx.outbox.untold(PAGE):
        page = await ctx.webhooks.webhook_endpoints(
            untold.merchant, newest("webhook_endpoint", MOST)
        )
        unread = (*untold.unread, *page.unread)
        for fault in unread:
            caller = Caller(Actor("job", name="tell-events"), untold.merchant, run)
            await report_unreadable(ctx, caller, fault)
        if any(isinstance(fault, Outdated) for fault in unread):
            continue
        bodies, deliveries = _made(ctx, untold, page.items, body_of)
        if await ctx.outbox.tell(untold, bodies, deliveries):
            told += len(untold.events)
    return told


def _made(
    ctx: Context, untold: Untold, endpoints: Sequence[WebhookEndpoint], body_of: BodyOf
) -> tuple[list[WebhookBody], list[Delivery]]:
    """Deliveries to endpoints that are disabled have failed at once, so that it can be seen what
    was missed.
    """
    now = ctx.now()
    bodies: list[WebhookBody] = []
    deliveries: list[Delivery] = []
    for event in untold.events:
        wanting = [endpoint for endpoint in endpoints if endpoint.wants(event.type)]
        if wanting:
            bodies.append(
                WebhookBody(
                    id=event.id, merchant=event.merchant, body=body_of(event), created_at=now
                )
            )
        deliveries += (
            begun(
                delivery_id=ctx.new_id("delivery", now),
                merchant=event.merchant,
                endpoint=endpoint.id,
                event=event.id,
                at=now,
                failure=None if endpoint.enabled else Failure.ENDPOINT_DISABLED,
            )
            for endpoint in wanting
        )
    return bodies, deliveries
