"""`/events`: what happened, in the order in which it was committed."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from paygate.api.edge.endpoint import ApiContext, Endpoint
from paygate.api.edge.exchange import Exchange
from paygate.api.event_object import EventObject, event_object
from paygate.api.pages import ListObject, PageQuery, cut_of
from paygate.domain.access.roles import Action
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.webhooks.event_types import EVENT_TYPES
from paygate.flows.events.read import list_events, read_event
from paygate.storage.webhooks.reader import EventFilters

PATH = "/events"

Moment = Annotated[datetime, Meta(tz=True)]
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)


class EventList(ListObject[EventObject], frozen=True, kw_only=True):
    """A page of events. Whoever goes on with `ending_before` and the first of them misses none."""


class EventQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of `GET /events`. Times are ISO 8601 with an offset, and exclusive."""

    type: str | None = None
    subject: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(description="The id of the object that the events tell of."),
    ] = None
    created_after: Moment | None = None
    created_before: Moment | None = None


async def _list(api: ApiContext, exchange: Exchange, query: EventQuery) -> EventList:
    if query.type is not None and query.type not in EVENT_TYPES:
        raise Refusal(ErrorCode.PARAMETER_INVALID, "type must be a type of events", param="type")
    filters = EventFilters(
        type=query.type,
        subject=query.subject,
        created_after=_in_reach(query.created_after),
        created_before=_in_reach(query.created_before),
    )
    cut = cut_of(query, "event")
    page = await list_events(api.ctx, exchange.known_caller, cut, filters, exchange.query)
    data = tuple(event_object(event) for event in page.items)
    return EventList(data=data, has_more=page.has_more, url=PATH)


def _in_reach(at: datetime | None) -> datetime | None:
    """The time, or the nearest that the database can name: nothing was made beyond."""
    return None if at is None else min(max(at, _EARLIEST), _LATEST)


async def _read(api: ApiContext, exchange: Exchange, _: Any) -> EventObject:
    return event_object(await read_event(api.ctx, exchange.known_caller, exchange.path["id"]))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=PATH,
        summary="List events, the newest first, in the order of their commits.",
        action=Action.EVENT_LIST,
        query=EventQuery,
        response=EventList,
        handle=_list,
    ),
    Endpoint(
        method="GET",
        path="/events/{id}",
        summary="Read an event.",
        action=Action.EVENT_READ,
        response=EventObject,
        handle=_read,
    ),
)
