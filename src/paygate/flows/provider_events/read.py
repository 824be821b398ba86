"""Read provider events: a page of them, or one. They are the provider account's, whose merchant is
the default one.

A body is the provider's own words, payer's details among them: whoever may not read it is shown
the event without.
"""

from typing import NamedTuple

from paygate.domain.access.roles import Action, Caller, may
from paygate.domain.audit import Subject
from paygate.domain.errors import missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.provider_event import ProviderEvent
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.storage.change import Change
from paygate.storage.pages import Cut, Page
from paygate.storage.reader import EventFilters


class Shown(NamedTuple):
    """An event, the mode of the account that it came from, and its body where that may be shown and
    is kept still.
    """

    event: ProviderEvent
    livemode: bool
    body: bytes | None = None


async def list_provider_events(
    ctx: Context, caller: Caller, cut: Cut, filters: EventFilters, query: str
) -> Page[ProviderEvent]:
    """The page as it stands. `query` is for the audit log."""
    page = await ctx.read.provider_events(caller.merchant, cut, filters)
    ids = [event.id for event in page.items]
    await audit_list(ctx, caller, Action.PROVIDER_EVENT_LIST, query, ids, page.unread)
    return page


async def read_provider_event(ctx: Context, caller: Caller, event_id: str) -> Shown:
    """The event as it stands. Whoever runs commands here may see all of it.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown or not the caller's.
    """
    event = await find_provider_event(ctx, caller.merchant, event_id)
    role = caller.actor.role
    with_body = role is None or may(role, Action.PROVIDER_EVENT_READ_BODY)
    body = await ctx.read.provider_event_body(event) if with_body else None
    action = Action.PROVIDER_EVENT_READ_BODY if with_body else Action.PROVIDER_EVENT_READ
    await ctx.door.commit(Change(ctx.audit(caller, action, Subject("provider_event", event.id))))
    return Shown(event, ctx.provider.livemode, body)


async def find_provider_event(ctx: Context, merchant: str, event_id: str) -> ProviderEvent:
    """The event, for a flow that leaves an audit entry of its own.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown or not the merchant's.
    """
    if is_id(PREFIXES["provider_event"], event_id):
        event = await ctx.read.provider_event(merchant, event_id)
        if event is not None:
            return event
    raise missing("provider event")
