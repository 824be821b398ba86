"""Read events: one, or a page of a list in the order in which they were committed."""

from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal, missing
from paygate.domain.event import Event
from paygate.domain.ids import PREFIXES, is_id
from paygate.flows.audit_list import audit_list
from paygate.flows.context import Context
from paygate.storage.change import Change
from paygate.storage.pages import Cut, Page, beyond_all
from paygate.storage.webhooks.reader import EventFilters


async def read_event(ctx: Context, caller: Caller, event_id: str) -> Event:
    """The event.

    Raises:
        Refusal: `resource_missing` for an id that is malformed, unknown or another merchant's.
    """
    found = None
    if is_id(PREFIXES["event"], event_id):
        found = await ctx.webhooks.event(caller.merchant, event_id)
    if found is None:
        raise missing("event")
    subject = Subject("event", found.id)
    await ctx.door.commit(Change(ctx.audit(caller, Action.EVENT_READ, subject)))
    return found


async def list_events(
    ctx: Context, caller: Caller, cut: Cut, filters: EventFilters, query: str
) -> Page[Event]:
    """The page as it stands. `query` is for the audit log.

    Raises:
        Refusal: the cursor is no event of this merchant's: it has no place in the order.
    """
    first = cut.bound == beyond_all("event")
    if not first and await ctx.webhooks.event(caller.merchant, cut.bound) is None:
        name = "ending_before" if cut.newer else "starting_after"
        raise Refusal(ErrorCode.PARAMETER_INVALID, f"{name} must be the id of an event", param=name)
    page = await ctx.webhooks.events(caller.merchant, cut, filters)
    ids = [event.id for event in page.items]
    await audit_list(ctx, caller, Action.EVENT_LIST, query, ids, page.unread)
    return page
