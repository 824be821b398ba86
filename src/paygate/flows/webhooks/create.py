"""Create a webhook endpoint. Its secret is in the answer, and sealed in the record."""

from collections.abc import Sequence
from typing import Final

from paygate.domain.access.roles import Action, Caller
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.webhooks.endpoint import (
    SECRET_BYTES,
    EndpointStatus,
    SigningSecret,
    WebhookEndpoint,
)
from paygate.flows.context import Context
from paygate.flows.webhooks.check import check_description, check_events, check_url
from paygate.flows.webhooks.read import endpoint_subject
from paygate.storage.change import Change, Committed
from paygate.storage.pages import newest

MOST: Final = 100
"""Endpoints of a merchant: every event is looked at for each of them."""


async def create_webhook_endpoint(
    ctx: Context,
    caller: Caller,
    *,
    url: str,
    events: Sequence[str],
    description: str | None = None,
) -> WebhookEndpoint:
    """An endpoint of the caller's merchant, enabled: it is sent what happens from now on.

    Raises:
        Refusal: the URL, its host, the events or the description; `state_conflict` when there are
            `MOST` endpoints already.
    """
    wanted = check_events(events)
    check_description(description)
    await check_url(ctx, url)
    standing = await ctx.webhooks.webhook_endpoints(
        caller.merchant, newest("webhook_endpoint", MOST)
    )
    if len(standing.items) >= MOST:
        raise Refusal(
            ErrorCode.STATE_CONFLICT, f"there are {MOST} webhook endpoints already: delete one"
        )
    now = ctx.now()
    endpoint = WebhookEndpoint(
        id=ctx.new_id("webhook_endpoint", now),
        merchant=caller.merchant,
        livemode=ctx.provider.livemode,
        url=url,
        events=wanted,
        status=EndpointStatus.ENABLED,
        secrets=(SigningSecret(ctx.random_bytes(SECRET_BYTES)),),
        description=description,
        created_at=now,
        updated_at=now,
    )
    audit = ctx.audit(caller, Action.WEBHOOK_ENDPOINT_CREATE, endpoint_subject(endpoint.id))
    verdict = await ctx.door.commit(Change(audit, creates=(endpoint,), response=endpoint))
    assert isinstance(verdict, Committed), "a change without guards is never refused"
    return endpoint
