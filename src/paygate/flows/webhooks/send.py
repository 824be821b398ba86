"""Send a delivery once: signed now, with every secret that is live now, the body as it is kept."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from standardwebhooks import Webhook

from paygate.domain.event import Event
from paygate.domain.webhooks.delivery import DeliveryAttempt, Failure, WebhookBody
from paygate.domain.webhooks.endpoint import EndpointStatus, WebhookEndpoint
from paygate.domain.webhooks.retry_after import parse_retry_after
from paygate.egress.client import Responded
from paygate.flows.context import Context
from paygate.flows.webhooks.tell import BodyOf
from paygate.storage.unreadable import UNREAD
from paygate.storage.webhooks.outbox import Parcel

GONE: Final = 410
"""The receiver says that there will never be one again (RFC 9110, 15.5.11)."""


class Sent(NamedTuple):
    """What became of it. Without an attempt nothing was sent, and `over` says why."""

    endpoint: WebhookEndpoint | None
    attempt: DeliveryAttempt | None
    over: Failure | None = None
    wait: timedelta | None = None
    """How long the receiver wants to be left alone."""


async def send_delivery(
    ctx: Context, parcel: Parcel, endpoint: WebhookEndpoint | None, body_of: BodyOf
) -> Sent:
    """Send it to its endpoint as that stands now, unless it is disabled or deleted, did not ask for
    it, or the body is gone.

    Raises:
        Unreadable, Outdated: the body; of a delivery that was made blindly, the event too.
    """
    if (over := over_for(endpoint)) is not None:
        return Sent(endpoint, None, over)
    assert endpoint is not None, "one that is not there is over"
    kept = parcel.body
    if parcel.delivery.blindly:
        event = await ctx.webhooks.event(parcel.delivery.merchant, parcel.delivery.event)
        if event is not None and not endpoint.wants(event.type):
            return Sent(endpoint, None, Failure.NOT_ASKED_FOR)
        if event is not None and kept is None:
            kept = await _late_body(ctx, event, body_of)
    if isinstance(kept, UNREAD):
        raise kept
    if kept is None:
        return Sent(endpoint, None, Failure.GAVE_UP)
    at = ctx.now()
    keys = [secret.key for secret in endpoint.live_secrets(at)]
    headers = signed_headers(kept.id, kept.body, keys, at)
    outcome = await ctx.egress.post(endpoint.url, kept.body, headers)
    duration_ms = max(0, (ctx.now() - at) // timedelta(milliseconds=1))
    if not isinstance(outcome, Responded):
        return Sent(endpoint, DeliveryAttempt(at=at, duration_ms=duration_ms, error=outcome))
    attempt = DeliveryAttempt(at=at, duration_ms=duration_ms, status_code=outcome.status)
    return Sent(
        endpoint,
        attempt,
        Failure.ENDPOINT_DISABLED if outcome.status == GONE else None,
        None if attempt.delivered else parse_retry_after(outcome.retry_after, ctx.now()),
    )


async def _late_body(ctx: Context, event: Event, body_of: BodyOf) -> WebhookBody | None:
    """The body of an event that could not be read when it was to be told of."""
    body = WebhookBody(
        id=event.id, merchant=event.merchant, body=body_of(event), created_at=ctx.now()
    )
    await ctx.outbox.keep_body(body)
    return await ctx.webhooks.webhook_body(event.merchant, event.id)


def over_for(endpoint: WebhookEndpoint | None) -> Failure | None:
    """Why nothing is sent to an endpoint; None when something is."""
    if endpoint is None or endpoint.status is EndpointStatus.DELETED:
        return Failure.ENDPOINT_DELETED
    return None if endpoint.enabled else Failure.ENDPOINT_DISABLED


def signed_headers(
    event_id: str, body: bytes, keys: Sequence[bytes], at: datetime
) -> Mapping[str, str]:
    """All headers that are ours to choose, with a signature by each key
    (https://www.standardwebhooks.com).
    """
    # A body is JSON in UTF-8; the library signs the text whose bytes these are.
    text = body.decode()
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(event_id, at, text) for key in keys),
    }
