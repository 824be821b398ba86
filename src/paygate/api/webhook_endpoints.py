"""`/webhook-endpoints`: where merchants are told of events, and what became of each delivery."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.roles import Action
from paygate.domain.payments.return_url import MAX_LENGTH
from paygate.domain.webhooks.delivery import Delivery, DeliveryStatus, Failure
from paygate.domain.webhooks.endpoint import WebhookEndpoint
from paygate.domain.webhooks.event_types import EVENT_TYPES
from paygate.flows.webhooks.create import create_webhook_endpoint
from paygate.flows.webhooks.delete import delete_webhook_endpoint
from paygate.flows.webhooks.read import (
    list_deliveries,
    list_webhook_endpoints,
    read_webhook_endpoint,
)
from paygate.flows.webhooks.resend import resend_delivery
from paygate.flows.webhooks.rotate_secret import rotate_webhook_secret
from paygate.flows.webhooks.update import EndpointChanges, update_webhook_endpoint

PATH = "/webhook-endpoints"

Url = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH)]
Events = Annotated[tuple[str, ...], Meta(min_length=1, max_length=len(EVENT_TYPES) + 1)]
Description = Annotated[str, Meta(min_length=1, max_length=500)]


class WebhookEndpointObject(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook endpoint."""

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    livemode: bool
    url: str
    events: tuple[str, ...]
    status: Literal["enabled", "disabled"]
    disabled_because: Literal["failing", "gone"] | None
    description: str | None
    failing_since: str | None
    secret_expires_at: str | None
    created_at: str


class SecretWebhookEndpointObject(WebhookEndpointObject, frozen=True, kw_only=True):
    """A webhook endpoint with the secret just made, which no other answer shows."""

    secret: str


class DeletedWebhookEndpointObject(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a webhook endpoint."""

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    livemode: bool
    deleted: Literal[True] = True
    created_at: str


class DeliveryAttemptObject(msgspec.Struct, frozen=True):
    """One attempt to deliver."""

    at: str
    status_code: int | None
    error: str | None
    duration_ms: int


class DeliveryObject(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to an endpoint. `failure` says why it is tried no more."""

    object: Literal["delivery"] = "delivery"
    id: str
    event: str
    endpoint: str
    status: DeliveryStatus
    failure: Failure | None
    attempts: tuple[DeliveryAttemptObject, ...]
    next_attempt_at: str | None
    created_at: str


class WebhookEndpointList(ListObject[WebhookEndpointObject], frozen=True, kw_only=True):
    """A page of webhook endpoints."""


class DeliveryList(ListObject[DeliveryObject], frozen=True, kw_only=True):
    """A page of deliveries."""


class DeliveryQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /webhook-endpoints/{id}/deliveries`."""

    status: DeliveryStatus | None = None


class CreateWebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /webhook-endpoints`."""

    url: Annotated[Url, about("Where events are sent: https.", "https://shop.example/hooks")]
    events: Annotated[
        Events, about('Types of events; "*" for all, later ones too.', ["payment_intent.succeeded"])
    ] = ("*",)
    description: Annotated[Description | None, about("For people.", "the shop's back end")] = None


class UpdateWebhookEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /webhook-endpoints/{id}`: what is left out stays as it is."""

    url: Annotated[
        Url | UnsetType, about("Where events are sent from now on.", "https://shop.example/hooks")
    ] = UNSET
    events: Annotated[Events | UnsetType, about("All that it asks for.", ["*"])] = UNSET
    description: Annotated[
        Description | UnsetType | None, about("For people; null: none.", "the shop's back end")
    ] = UNSET
    status: Annotated[
        Literal["enabled", "disabled"] | UnsetType,
        about("Whether it is sent anything. What it missed is sent when asked for.", "enabled"),
    ] = UNSET


class RotateWebhookSecret(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /webhook-endpoints/{id}/rotate-secret`."""

    overlap: Annotated[
        str, about("For how long the older secrets sign beside the new one: 0s to 7d.", "1h")
    ] = "24h"


class ResendDelivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /webhook-endpoints/{id}/deliveries/{delivery}/resend`: nothing, or an empty
    object.
    """


def webhook_endpoint_object(endpoint: WebhookEndpoint, now: datetime) -> WebhookEndpointObject:
    """The endpoint as clients see it."""
    return WebhookEndpointObject(**_shown(endpoint, now))


def delivery_object(delivery: Delivery) -> DeliveryObject:
    """The delivery as clients see it."""
    return DeliveryObject(
        id=delivery.id,
        event=delivery.event,
        endpoint=delivery.endpoint,
        status=delivery.status,
        failure=delivery.failure,
        attempts=tuple(
            DeliveryAttemptObject(time_text(a.at), a.status_code, a.error, a.duration_ms)
            for a in delivery.attempts
        ),
        next_attempt_at=_time(delivery.next_attempt_at),
        created_at=time_text(delivery.created_at),
    )


def _shown(endpoint: WebhookEndpoint, now: datetime) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "livemode": endpoint.livemode,
        "url": endpoint.url,
        "events": endpoint.events,
        "status": str(endpoint.status),
        "disabled_because": endpoint.disabled_because and str(endpoint.disabled_because),
        "description": endpoint.description,
        "failing_since": _time(endpoint.failing_since),
        "secret_expires_at": _time(endpoint.secret_expires_at(now)),
        "created_at": time_text(endpoint.created_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


async def _create(
    api: ApiContext, exchange: Exchange, body: CreateWebhookEndpoint
) -> WebhookEndpoint:
    caller = exchange.known_caller
    return await create_webhook_endpoint(
        api.ctx, caller, url=body.url, events=body.events, description=body.description
    )


async def _list(api: ApiContext, exchange: Exchange, query: PageQuery) -> WebhookEndpointList:
    cut, now = cut_of(query, "webhook_endpoint"), api.ctx.now()
    page = await list_webhook_endpoints(api.ctx, exchange.known_caller, cut, exchange.query)
    data = tuple(webhook_endpoint_object(endpoint, now) for endpoint in page.items)
    return WebhookEndpointList(data=data, has_more=page.has_more, url=PATH)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> WebhookEndpointObject:
    found = await read_webhook_endpoint(api.ctx, exchange.known_caller, exchange.path["id"])
    return webhook_endpoint_object(found, api.ctx.now())


async def _update(
    api: ApiContext, exchange: Exchange, body: UpdateWebhookEndpoint
) -> WebhookEndpoint:
    changes = EndpointChanges(**msgspec.structs.asdict(body))
    caller, endpoint_id = exchange.known_caller, exchange.path["id"]
    return await update_webhook_endpoint(api.ctx, caller, endpoint_id, changes)


async def _delete(api: ApiContext, exchange: Exchange, _: Any) -> DeletedWebhookEndpointObject:
    left = await delete_webhook_endpoint(api.ctx, exchange.known_caller, exchange.path["id"])
    return DeletedWebhookEndpointObject(
        id=left.id, livemode=left.livemode, created_at=time_text(left.created_at)
    )


async def _rotate(
    api: ApiContext, exchange: Exchange, body: RotateWebhookSecret
) -> WebhookEndpoint:
    caller, endpoint_id = exchange.known_caller, exchange.path["id"]
    return await rotate_webhook_secret(api.ctx, caller, endpoint_id, overlap=body.overlap)


async def _deliveries(api: ApiContext, exchange: Exchange, query: DeliveryQuery) -> DeliveryList:
    caller, endpoint_id = exchange.known_caller, exchange.path["id"]
    cut = cut_of(query, "delivery")
    page = await list_deliveries(api.ctx, caller, endpoint_id, cut, query.status, exchange.query)
    data = tuple(delivery_object(delivery) for delivery in page.items)
    url = f"{PATH}/{endpoint_id}/deliveries"
    return DeliveryList(data=data, has_more=page.has_more, url=url)


async def _resend(api: ApiContext, exchange: Exchange, _: ResendDelivery) -> Delivery:
    path = exchange.path
    return await resend_delivery(api.ctx, exchange.known_caller, path["id"], path["delivery"])


def _show(_: Exchange, changed: WebhookEndpoint) -> WebhookEndpointObject:
    return webhook_endpoint_object(changed, changed.updated_at)


def _show_secret(_: Exchange, made: WebhookEndpoint) -> SecretWebhookEndpointObject:
    shown = _shown(made, made.updated_at)
    return SecretWebhookEndpointObject(**shown, secret=made.secrets[0].text)


def _show_delivery(_: Exchange, delivery: Delivery) -> DeliveryObject:
    return delivery_object(delivery)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=PATH,
        summary="Create a webhook endpoint. The answer has its secret.",
        action=Action.WEBHOOK_ENDPOINT_CREATE,
        body=CreateWebhookEndpoint,
        response=SecretWebhookEndpointObject,
        status=201,
        handle=_create,
        show=_show_secret,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        summary="List the merchant's webhook endpoints.",
        action=Action.WEBHOOK_ENDPOINT_LIST,
        query=PageQuery,
        response=WebhookEndpointList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        summary="Read a webhook endpoint.",
        action=Action.WEBHOOK_ENDPOINT_READ,
        response=WebhookEndpointObject,
        handle=_read,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}",
        summary="Change a webhook endpoint, disable it, or enable it again.",
        action=Action.WEBHOOK_ENDPOINT_UPDATE,
        body=UpdateWebhookEndpoint,
        response=WebhookEndpointObject,
        handle=_update,
        show=_show,
    ),
    Endpoint(
        method="DELETE",
        path=f"{PATH}/{{id}}",
        summary="Delete a webhook endpoint. Its deliveries can still be listed.",
        action=Action.WEBHOOK_ENDPOINT_DELETE,
        response=DeletedWebhookEndpointObject,
        handle=_delete,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/rotate-secret",
        summary="Make a new secret; the older ones sign beside it for `overlap` (0s to 7d).",
        action=Action.WEBHOOK_ENDPOINT_ROTATE,
        body=RotateWebhookSecret,
        response=SecretWebhookEndpointObject,
        handle=_rotate,
        show=_show_secret,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}/deliveries",
        summary="List what was sent to a webhook endpoint, and what became of it.",
        action=Action.DELIVERY_LIST,
        query=DeliveryQuery,
        response=DeliveryList,
        handle=_deliveries,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/deliveries/{{delivery}}/resend",
        summary="Send a delivery again, at once.",
        action=Action.DELIVERY_RESEND,
        body=ResendDelivery,
        response=DeliveryObject,
        handle=_resend,
        show=_show_delivery,
    ),
)
