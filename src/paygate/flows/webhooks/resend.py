"""Send again what was sent, or failed: one delivery, or all of an endpoint's since a time."""

import asyncio
from datetime import datetime
from itertools import compress
from typing import Final, NamedTuple

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal, missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.webhooks.delivery import Delivery, resent
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.context import Context, Patience
from paygate.flows.webhooks.read import find_webhook_endpoint
from paygate.storage.change import Change, Committed
from paygate.storage.pages import Place
from paygate.storage.unreadable import UNREAD
from paygate.storage.webhooks.outbox import Target

PAGE: Final = 100


class Resent(NamedTuple):
    """How many deliveries are due again, and of how many the body is not kept any more."""

    resent: int
    not_kept: int


async def resend_delivery(
    ctx: Context, caller: Caller, endpoint_id: str, delivery_id: str
) -> Delivery:
    """The delivery, due at once and for three days, whatever became of it.

    Raises:
        Refusal: not found; `state_conflict` when the endpoint is disabled or deleted, or the body
            of the event is not kept any more.
    """
    endpoint = await _endpoint(ctx, caller, endpoint_id)
    patience = Patience("a delivery kept changing")
    while True:
        found = None
        if is_id(PREFIXES["delivery"], delivery_id):
            found = await ctx.webhooks.delivery(caller.merchant, delivery_id)
        if found is None or found.endpoint != endpoint.id:
            raise missing("delivery")
        if not await _can_be_sent(ctx, found):
            raise Refusal(ErrorCode.STATE_CONFLICT, "what this delivery sent is not kept any more")
        after = await _resend(ctx, caller, found, await _now(ctx))
        if after is not None:
            await ctx.outbox.resume(Target(endpoint.merchant, endpoint.id))
            return after
        await patience.pause()


async def resend_since(
    ctx: Context, caller: Caller, endpoint_id: str, since: datetime, *, delivered_too: bool = False
) -> Resent:
    """What was done. Of deliveries that were made since a time, those that failed are due again;
    those that wait are left alone. Of what cannot be read people are told.

    Raises:
        Refusal: not found, or `state_conflict` when the endpoint is disabled or deleted.
    """
    endpoint = await _endpoint(ctx, caller, endpoint_id)
    count = not_kept = 0
    last: Place | None = None
    while True:
        page = await ctx.webhooks.deliveries_since(endpoint, last, PAGE, since, all_=delivered_too)
        for fault in page.unread:
            await report_unreadable(ctx, caller, fault)
        can_be = await asyncio.gather(*(_can_be_sent(ctx, each) for each in page.records))
        those = list(compress(page.records, can_be))
        now = await _now(ctx)
        done = await asyncio.gather(*(_resend(ctx, caller, delivery, now) for delivery in those))
        count += sum(after is not None for after in done)
        not_kept += len(page.records) - len(those)
        last = page.last
        if last is None:
            break
    await ctx.outbox.resume(Target(endpoint.merchant, endpoint.id))
    return Resent(count, not_kept)


async def _can_be_sent(ctx: Context, delivery: Delivery) -> bool:
    """Whether its body is kept, or may be made still: one that cannot be read is waited for."""
    try:
        body = await ctx.webhooks.webhook_body(delivery.merchant, delivery.event)
    except UNREAD:
        return True
    return body is not None or delivery.blindly


async def _endpoint(ctx: Context, caller: Caller, endpoint_id: str) -> WebhookEndpoint:
    endpoint = await find_webhook_endpoint(ctx, caller.merchant, endpoint_id, deleted_too=True)
    if not endpoint.enabled:
        raise Refusal(
            ErrorCode.STATE_CONFLICT, f"the webhook endpoint is {endpoint.status}: nothing is sent"
        )
    return endpoint


async def _now(ctx: Context) -> datetime:
    """When what is sent again is due: at once by the database's clock, though this machine's is
    ahead of it.
    """
    return min(ctx.now(), await ctx.outbox.clock())


async def _resend(
    ctx: Context, caller: Caller, delivery: Delivery, now: datetime
) -> Delivery | None:
    """None when it has moved on meanwhile."""
    after = resent(delivery, now)
    audit = ctx.audit(caller, Action.DELIVERY_RESEND, Subject("delivery", delivery.id))
    change = Change(audit, advances=(after,), response=after)
    return after if isinstance(await ctx.door.commit(change), Committed) else None
