"""Delete a webhook endpoint: nothing is sent to it any more, and its history stays readable."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.webhooks.endpoint import WebhookEndpoint, deleted
from paygate.flows.context import Context, Patience
from paygate.flows.webhooks.read import endpoint_subject, find_webhook_endpoint
from paygate.storage.change import Change, Committed


async def delete_webhook_endpoint(
    ctx: Context, caller: Caller, endpoint_id: str
) -> WebhookEndpoint:
    """What is left of it.

    Raises:
        Refusal: `resource_missing`, for one that is deleted already too.
    """
    patience = Patience("a webhook endpoint kept changing")
    while True:
        endpoint = await find_webhook_endpoint(ctx, caller.merchant, endpoint_id)
        after = deleted(endpoint, ctx.now())
        audit = ctx.audit(caller, Action.WEBHOOK_ENDPOINT_DELETE, endpoint_subject(endpoint.id))
        change = Change(audit, advances=(after,), response=after)
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()
