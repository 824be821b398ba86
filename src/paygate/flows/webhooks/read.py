"""Read webhook endpoints and their deliveries. A read leaves its audit entry before it is shown."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.webhooks.delivery import Delivery, DeliveryStatus
from paygate.domain.webhooks.endpoint import EndpointStatus, WebhookEndpoint
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.storage.change import Change
from paygate.storage.pages import Cut, Page


async def read_webhook_endpoint(ctx: Context, caller: Caller, endpoint_id: str) -> WebhookEndpoint:
    """The endpoint as it stands.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown, deleted or another's.
    """
    found = await find_webhook_endpoint(ctx, caller.merchant, endpoint_id)
    subject = endpoint_subject(found.id)
    await ctx.door.commit(Change(ctx.audit(caller, Action.WEBHOOK_ENDPOINT_READ, subject)))
    return found


async def list_webhook_endpoints(
    ctx: Context, caller: Caller, cut: Cut, query: str
) -> Page[WebhookEndpoint]:
    """The page as it stands, without those that are deleted. `query` is for the audit log."""
    page = await ctx.webhooks.webhook_endpoints(caller.merchant, cut)
    ids = [endpoint.id for endpoint in page.items]
    await audit_list(ctx, caller, Action.WEBHOOK_ENDPOINT_LIST, query, ids, page.unread)
    return page


async def list_deliveries(
    ctx: Context,
    caller: Caller,
    endpoint_id: str,
    cut: Cut,
    status: DeliveryStatus | None,
    query: str,
) -> Page[Delivery]:
    """The page as it stands; the history of an endpoint that is deleted is there to be read.

    Raises:
        Refusal: `resource_missing`.
    """
    endpoint = await find_webhook_endpoint(ctx, caller.merchant, endpoint_id, deleted_too=True)
    page = await ctx.webhooks.deliveries(caller.merchant, cut, endpoint.id, status)
    ids = [delivery.id for delivery in page.items]
    await audit_list(ctx, caller, Action.DELIVERY_LIST, query, ids, page.unread)
    return page


async def find_webhook_endpoint(
    ctx: Context, merchant: str, endpoint_id: str, *, deleted_too: bool = False
) -> WebhookEndpoint:
    """The endpoint, for a flow that leaves an audit entry of its own."""
    if is_id(PREFIXES["webhook_endpoint"], endpoint_id):
        found = await ctx.webhooks.webhook_endpoint(merchant, endpoint_id)
        if found is not None and (deleted_too or found.status is not EndpointStatus.DELETED):
            return found
    raise missing("webhook endpoint")


def endpoint_subject(endpoint_id: str) -> Subject:
    """A webhook endpoint, as the audit log names it."""
    return Subject("webhook_endpoint", endpoint_id)
