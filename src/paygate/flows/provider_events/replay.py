"""Have an event applied once more, because a person says so: a dead letter whose cause was mended,
or one that was ignored.
"""

from paygate.domain import provider_event
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.provider_event import REPLAYABLE
from paygate.flows.context import Context, Patience
from paygate.flows.provider_events.read import Shown, find_provider_event
from paygate.jobs.messages import ApplyProviderEvent, Job
from paygate.storage.change import Change, Committed


async def replay_provider_event(ctx: Context, caller: Caller, event_id: str) -> Shown:
    """The event as it waits to be applied, with all its tries before it, and its job enqueued.

    Raises:
        Refusal: `resource_missing`, or `event_not_replayable` when it waits already, was applied,
            or its body is not kept any more.
    """
    patience = Patience("an event kept changing while it was replayed")
    while True:
        event = await find_provider_event(ctx, caller.merchant, event_id)
        if event.status not in REPLAYABLE:
            raise Refusal(
                ErrorCode.EVENT_NOT_REPLAYABLE,
                f"the event is {event.status}: only a dead letter or an ignored one is replayed",
            )
        if await ctx.read.provider_event_body(event) is None:
            raise Refusal(
                ErrorCode.EVENT_NOT_REPLAYABLE,
                "the event's body is not kept any more (PAYGATE_RETENTION_EVENTS)",
            )
        after = provider_event.replayed(event, ctx.now())
        shown = Shown(after, ctx.provider.livemode)
        change = Change(
            ctx.audit(caller, Action.PROVIDER_EVENT_REPLAY, Subject("provider_event", after.id)),
            advances=(after,),
            jobs=(Job(ApplyProviderEvent(after.merchant, after.id)),),
            response=shown,
        )
        if isinstance(await ctx.door.commit(change), Committed):
            return shown
        await patience.pause()
