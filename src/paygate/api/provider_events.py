"""`/webhooks`: the provider's door, whose key is its signature; and `/provider-events`: what came
through it, for the merchant of the provider's account.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from paygate.api.edge.bodies import about
from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.objects import time_text
from paygate.api.pages import ListObject, Moment, PageQuery, cut_of, in_reach
from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.audit import Subject
from paygate.domain.provider_event import EventStatus, ProviderEvent
from paygate.flows.provider_events.read import (
    Shown,
    list_provider_events,
    read_provider_event,
)
from paygate.flows.provider_events.receive import ACCOUNT, receive_provider_event
from paygate.flows.provider_events.replay import replay_provider_event
from paygate.storage.reader import EventFilters

PATH = "/provider-events"

EVENT_LIMIT: Final = 1024 * 1024
"""Far above any event of Stripe's; more is not one."""


class Received(msgspec.Struct, frozen=True):
    """The acknowledgement. It says nothing of what the event will do."""

    received: bool = True


class ProviderEventObject(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider told us. `created_at` is when it was received, `provider_created_at` when
    it happened.
    """

    object: Literal["provider_event"] = "provider_event"
    id: str
    livemode: bool
    provider_reference: str
    type: str
    status: EventStatus
    verdict: str | None
    subject: Subject | None
    attempts: int
    next_attempt_at: str | None
    last_error: str | None
    duplicates: int
    provider_created_at: str
    received_at: str
    processed_at: str | None
    created_at: str


class ReadProviderEventObject(ProviderEventObject, frozen=True, kw_only=True):
    """One event. `body` is as the provider sent it, for admins and auditors, else null; a text
    where it is no JSON.
    """

    body: Any


class ProviderEventList(ListObject[ProviderEventObject], frozen=True, kw_only=True):
    """A page of provider events."""


class ProviderEventQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /provider-events`. Times are ISO 8601 with an offset, and exclusive."""

    type: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255)] | None,
        about("The provider's name for what happened.", "payment_intent.succeeded"),
    ] = None
    status: EventStatus | None = None
    verdict: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        about("What became of it.", "no_handler"),
    ] = None
    subject: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        about("The id of our object that it is about.", "pi_01j8zq3v5kf7m2n4p6r8s0t1v3"),
    ] = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    provider_created_after: Moment | None = None
    provider_created_before: Moment | None = None

    def filters(self) -> EventFilters:
        """What the list shows."""
        return EventFilters(
            type=self.type,
            status=self.status,
            verdict=self.verdict,
            subject=self.subject,
            created_after=in_reach(self.created_after),
            created_before=in_reach(self.created_before),
            provider_created_after=in_reach(self.provider_created_after),
            provider_created_before=in_reach(self.provider_created_before),
        )


class ReplayProviderEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /provider-events/{id}/replay`: nothing, or an empty object."""


def provider_event_object(event: ProviderEvent, *, livemode: bool) -> ProviderEventObject:
    """The event as clients see it."""
    return ProviderEventObject(
        id=event.id,
        livemode=livemode,
        provider_reference=event.provider_reference,
        type=event.type,
        status=event.status,
        verdict=event.verdict,
        subject=event.subject,
        attempts=event.attempts,
        next_attempt_at=_time(event.next_attempt_at),
        last_error=event.last_error,
        duplicates=event.duplicates,
        provider_created_at=time_text(event.provider_created_at),
        received_at=time_text(event.received_at),
        processed_at=_time(event.processed_at),
        created_at=time_text(event.received_at),
    )


def read_provider_event_object(shown: Shown) -> ReadProviderEventObject:
    """One event as its reader may see it."""
    known = provider_event_object(shown.event, livemode=shown.livemode)
    body = None if shown.body is None else _body(shown.body)
    return ReadProviderEventObject(**msgspec.structs.asdict(known), body=body)


def provider_event_list(
    events: Iterable[ProviderEvent], livemode: bool, *, has_more: bool
) -> ProviderEventList:
    """A page of events as clients see it."""
    data = tuple(provider_event_object(event, livemode=livemode) for event in events)
    return ProviderEventList(data=data, has_more=has_more, url=PATH)


def _body(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace")


def _time(at: datetime | None) -> str | None:
    return None if at is None else time_text(at)


async def _receive(api: ApiContext, exchange: Exchange, body: bytes) -> Received:
    caller = Caller(
        Actor("provider", id=api.ctx.provider.name), ACCOUNT, exchange.request_id, exchange.address
    )
    await receive_provider_event(api.ctx, caller, body, exchange.headers)
    return Received()


def _endpoint(path: str) -> Endpoint:
    return Endpoint(
        method="POST",
        path=path,
        summary="Receive a signed provider event.",
        action=Action.PROVIDER_EVENT_RECEIVE,
        raw=True,
        body_limit=EVENT_LIMIT,
        response=Received,
        handle=_receive,
    )


async def _list(
    api: ApiContext, exchange: Exchange, query: ProviderEventQuery
) -> ProviderEventList:
    cut = cut_of(query, "provider_event")
    page = await list_provider_events(
        api.ctx, exchange.known_caller, cut, query.filters(), exchange.query
    )
    return provider_event_list(page.items, api.ctx.provider.livemode, has_more=page.has_more)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> ReadProviderEventObject:
    shown = await read_provider_event(api.ctx, exchange.known_caller, exchange.path["id"])
    return read_provider_event_object(shown)


async def _replay(api: ApiContext, exchange: Exchange, _: ReplayProviderEvent) -> Shown:
    return await replay_provider_event(api.ctx, exchange.known_caller, exchange.path["id"])


def _show(_: Exchange, shown: Shown) -> ProviderEventObject:
    return provider_event_object(shown.event, livemode=shown.livemode)


ENDPOINTS = (
    _endpoint("/webhooks"),
    _endpoint("/webhooks/stripe"),
    Endpoint(
        method="GET",
        path=PATH,
        summary="List what the provider told us, newest first.",
        action=Action.PROVIDER_EVENT_LIST,
        query=ProviderEventQuery,
        response=ProviderEventList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        summary="Read a provider event; admins and auditors with its body.",
        action=Action.PROVIDER_EVENT_READ,
        response=ReadProviderEventObject,
        handle=_read,
    ),
    Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/replay",
        summary="Have a dead letter, or an ignored event, applied once more.",
        action=Action.PROVIDER_EVENT_REPLAY,
        body=ReplayProviderEvent,
        response=ProviderEventObject,
        handle=_replay,
        show=_show,
    ),
)
