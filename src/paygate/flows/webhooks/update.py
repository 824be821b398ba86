"""Change a webhook endpoint: where it is, what it asks for, whether it is sent anything."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from paygate.domain.access.roles import Action, Caller
from paygate.domain.webhooks.endpoint import EndpointStatus, WebhookEndpoint, changed
from paygate.flows.context import Context, Patience
from paygate.flows.webhooks.check import check_description, check_events, check_url
from paygate.flows.webhooks.read import endpoint_subject, find_webhook_endpoint
from paygate.storage.change import Change, Committed
from paygate.storage.webhooks.outbox import Target


class EndpointChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be another; what is unset stays as it is."""

    url: str | UnsetType = UNSET
    events: Sequence[str] | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    status: Literal["enabled", "disabled"] | UnsetType = UNSET


async def update_webhook_endpoint(
    ctx: Context, caller: Caller, endpoint_id: str, wanted: EndpointChanges
) -> WebhookEndpoint:
    """The endpoint as it then stands.

    One that is disabled is sent nothing from the commit on, and what waited for it has failed. One
    that is enabled again is sent what happens from then on; what it missed is sent when somebody
    asks for that.

    Raises:
        Refusal: not found, or as `create`.
    """
    changes = await _checked(ctx, wanted)
    patience = Patience("a webhook endpoint kept changing")
    while True:
        endpoint = await find_webhook_endpoint(ctx, caller.merchant, endpoint_id)
        after = changed(endpoint, ctx.now(), **changes)
        details = {name: str(value) for name, value in changes.items() if name == "status"}
        audit = ctx.audit(
            caller,
            Action.WEBHOOK_ENDPOINT_UPDATE,
            endpoint_subject(endpoint.id),
            details={"changed": ",".join(changes), **details},
        )
        change = Change(audit, advances=(after,), response=after)
        if isinstance(await ctx.door.commit(change), Committed):
            if after.url != endpoint.url or after.enabled is not endpoint.enabled:
                await ctx.outbox.resume(Target(after.merchant, after.id))
            return after
        await patience.pause()


async def _checked(ctx: Context, wanted: EndpointChanges) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if wanted.events is not UNSET:
        changes["events"] = check_events(wanted.events)
    if wanted.description is not UNSET:
        changes["description"] = check_description(wanted.description)
    if wanted.status is not UNSET:
        changes["status"] = EndpointStatus(wanted.status)
    if wanted.url is not UNSET:
        changes["url"] = await check_url(ctx, wanted.url)
    return changes
