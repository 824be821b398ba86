"""The provider's own list of events, through the same inbox as its deliveries: what was never
delivered is received now, and what was is known by its id.
"""

import asyncio
from contextlib import aclosing
from datetime import datetime

from paygate.flows.provider.lists import pages_of_events
from paygate.flows.provider_events.receive import receive_listed_events
from paygate.flows.reconciliation.read_payments import TRY_AGAIN_SECONDS
from paygate.flows.reconciliation.report import Report
from paygate.providers.contract import ProviderSilent


async def read_events(report: Report, since: datetime, until: datetime) -> int:
    """Receive what was made in a window; how many events the provider listed.

    Raises:
        ProviderSilent: the list could not be read to its end, again and again.
        Refusal: one of them is being stored by somebody else just now.
    """
    for pause in (*TRY_AGAIN_SECONDS, None):
        try:
            return await _read_once(report, since, until)
        except ProviderSilent:
            if pause is None:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("the last try returns or raises")


async def _read_once(report: Report, since: datetime, until: datetime) -> int:
    listed = 0
    async with aclosing(pages_of_events(report.ctx, since, until)) as pages:
        async for page in pages:
            listed += len(page)
            if not report.dry:
                # The oldest first, as they were delivered.
                await receive_listed_events(report.ctx, report.caller(), page[::-1])
    return listed
