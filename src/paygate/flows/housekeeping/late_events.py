"""Delete what providers told of erased customers' payments after the erasure; go on with erasures
whose job was lost.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.flows.context import Context
from paygate.flows.customers.erase import delete_bodies_of_erased, erase_as_asked
from paygate.jobs.messages import EraseCustomer
from paygate.storage.change import Change

PAGE: Final = 200
LATE: Final = timedelta(days=7)
"""An event that ended before is gone already: this runs every hour, and a dead letter is tried by
the clock for three days."""
JOB: Final = "housekeeping"


async def go_on_erasing(ctx: Context, run_id: str) -> int:
    """How many bodies of provider events were deleted. An erasure that waits waits on."""
    deleted, after = 0, ("", "")
    while found := await ctx.erasure.customers(after, PAGE):
        for each in found:
            if each.erased_at is None:
                await erase_as_asked(ctx, EraseCustomer(each.merchant, each.id))
                continue
            count = await delete_bodies_of_erased(ctx, each.merchant, each.id, LATE)
            if count:
                job = Caller(Actor("job", name=JOB), each.merchant, run_id)
                details = {"bodies": str(count)}
                await ctx.door.commit(Change(ctx.audit(job, Action.EVENT_PRUNE, details=details)))
            deleted += count
        after = found[-1].merchant, found[-1].id
    return deleted
