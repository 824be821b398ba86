"""The provider's own list of refunds, whoever made them, and what became of those that wait.

What was made or has moved without our hearing of it becomes true here, as by an event of it.
"""

from contextlib import aclosing
from datetime import datetime

from paygate.flows.provider.lists import pages_of_refunds
from paygate.flows.reconciliation.report import JOB, Report
from paygate.flows.refunds.find import apply_refund, ask_pending_refunds
from paygate.flows.sweep import Sweep


async def read_refunds(report: Report, since: datetime, until: datetime) -> int:
    """Apply what was made in a window, and ask after what waits; how many refunds were listed.

    Raises:
        ProviderSilent: the list could not be read to its end.
        Exception: a refund tripped it up; the others were applied.
    """
    ctx, listed = report.ctx, 0
    sweep = Sweep(ctx, JOB, report.run.id)
    async with aclosing(pages_of_refunds(ctx, since, until)) as pages:
        async for page in pages:
            listed += len(page)
            for answer in page[::-1]:
                with sweep:
                    await apply_refund(ctx, report.caller(), answer)
    await ask_pending_refunds(ctx, sweep)
    await sweep.end()
    return listed
