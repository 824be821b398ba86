"""Whether the months of the tables that grow for ever are made far enough ahead. `paygate migrate`
makes them, with the rights of the tables' owner; a commit of a month that is not there is kept in
the default partition, and moved by the next `migrate`.
"""

from datetime import timedelta
from typing import Final

from paygate.domain.warning import Warned, WarningCode
from paygate.flows.context import Context
from paygate.telemetry import log

AHEAD: Final = timedelta(days=92)
"""Three months: time enough for somebody to read a warning. `migrate` makes two years."""


async def months_warning(ctx: Context) -> Warned | None:
    """What readiness says of months that run out; None when they are made."""
    lacking = await ctx.retention.months_not_made(ctx.now() + AHEAD)
    if not lacking:
        return None
    return Warned(
        WarningCode.MONTHS_RUN_OUT,
        f"the months of {', '.join(lacking)} are made for less than three months ahead:"
        " run `paygate migrate`",
    )


async def watch_months(ctx: Context) -> None:
    """Tell the log of months that run out."""
    if (warned := await months_warning(ctx)) is not None:
        log.logger().warning(warned.code, reason=warned.message)
