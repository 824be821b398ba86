"""Read one of the provider's lists, window by window of time. What a page shows is each list's own
(`read_payments.py` and its neighbours).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from paygate.domain.reconciliation.finding import Finding
from paygate.domain.reconciliation.run import Place, Stage
from paygate.flows.context import Context
from paygate.flows.provider.lists import FIRST_WINDOW, next_length
from paygate.flows.reconciliation.report import Report
from paygate.providers.absence import ProviderSilent

TRY_AGAIN_SECONDS: Final = (1.0, 5.0)
"""A window that broke off is read again from its beginning: what was seen of it is in step by now,
and an outage of a moment ends no round."""
_SECOND: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class ProviderList:
    """One of the provider's lists. Its stage names its cursor too."""

    stage: Stage
    pages: Callable[[Context, datetime, datetime], AsyncGenerator[list[Any], None]]
    """The pages of a window."""
    compare: Callable[[Report, list[Any]], Awaitable[None]]
    """Hold a page against our records. An object that trips it up is held (`hold.py`)."""
    ask: Callable[[Report, Finding], Awaitable[None]]
    """Examine one object that was held, as it stands by now."""
    shows_confirms: bool = False
    """Whether it must show something of each time in which payments of ours were confirmed."""


class Windows:
    """The way through a time, window by window: how long the next one is follows the traffic."""

    def __init__(self, since: datetime, until: datetime, place: Place) -> None:
        """From `since` on, or from where the round stands in it."""
        self._since = since
        self.until = until
        self.at = place.at or since
        seconds = place.length_seconds
        self._length = FIRST_WINDOW if seconds is None else timedelta(seconds=seconds)

    def next(self) -> tuple[datetime, datetime] | None:
        """The next window, both ends inclusive; None when all was read."""
        if self.at > self.until:
            return None
        return self.at, min(self.at + self._length, self.until)

    def read(self, end: datetime, listed: int) -> None:
        """The window up to `end` had so many objects."""
        self._length = next_length(self._length, listed)
        self.at = end + _SECOND

    def place(self, stage: Stage, listed: int) -> Place:
        """Where the round goes on, when so much was listed before."""
        seconds = int(self._length.total_seconds())
        return Place(stage, at=self.at, length_seconds=seconds, listed=listed)

    @property
    def share(self) -> float:
        """How much of the time was read."""
        whole = self.until - self._since
        return min((self.at - self._since) / whole, 1.0) if whole > timedelta(0) else 1.0


async def read_window(report: Report, of: ProviderList, since: datetime, until: datetime) -> int:
    """Compare what was made in a window; how many objects the provider listed.

    Raises:
        ProviderSilent: the list could not be read to its end, again and again.
    """
    for pause in (*TRY_AGAIN_SECONDS, None):
        compared = report.compared
        try:
            return await _read_once(report, of, since, until)
        except ProviderSilent:
            if pause is None:
                raise
            report.back_to(compared)
            await asyncio.sleep(pause)
    raise AssertionError("the last try returns or raises")


async def _read_once(report: Report, of: ProviderList, since: datetime, until: datetime) -> int:
    listed = 0
    async with aclosing(of.pages(report.ctx, since, until)) as pages:
        async for page in pages:
            listed += len(page)
            await of.compare(report, page)
    return listed
