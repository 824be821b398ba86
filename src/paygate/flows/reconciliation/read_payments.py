"""What the provider lists of a time, held against what we recorded: each page of its list in one
look at our side. What it lists and we never recorded is an orphan if it bears our mark.
"""

import asyncio
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final

from paygate.domain.payments.attempt import Operation
from paygate.domain.payments.outcome import Answer, Approved
from paygate.domain.reconciliation.run import Place, Stage
from paygate.flows.alerts.report_unreadable import report_unreadable
from paygate.flows.provider.lists import FIRST_WINDOW, next_length, pages_created
from paygate.flows.reconciliation.examine import (
    examine_listed,
    examine_stranger,
    examine_unrecorded,
)
from paygate.flows.reconciliation.report import Report
from paygate.flows.sweep import Crew, Faults
from paygate.providers.contract import ProviderSilent

AT_ONCE: Final = 25
"""Payments in hand that differ: each is a call or two."""
TRY_AGAIN_SECONDS: Final = (1.0, 5.0)
"""A window that broke off is read again from its beginning: what was seen of it is in step by now,
and an outage of a moment ends no round."""
LAG: Final = timedelta(minutes=10)
"""How late an object may appear in the provider's lists after its own time: twice the longest that
is tried here. The end of what is known is so far before the end of what was read."""
_SECOND: Final = timedelta(seconds=1)
_LOOKED_AT: Final = 20
"""Payments of ours that are looked at to tell whether an empty list is to be believed."""


class OpenSeen:
    """Which open payments the list has shown in this round: they need not be asked for again."""

    MOST: Final = 100_000
    """Some ten megabytes; beyond it a payment costs its call."""

    def __init__(self) -> None:
        self._references: set[str] = set()

    def add(self, reference: str) -> None:
        if len(self._references) < self.MOST:
            self._references.add(reference)

    def __contains__(self, reference: object) -> bool:
        return reference in self._references


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


async def read_window(report: Report, since: datetime, until: datetime, seen: OpenSeen) -> int:
    """Compare what was made in a window; how many payments the provider listed.

    Raises:
        ProviderSilent: the list could not be read to its end, again and again.
        Exception: a payment tripped it up; the others were examined.
    """
    for pause in (*TRY_AGAIN_SECONDS, None):
        try:
            return await _read_once(report, since, until, seen)
        except ProviderSilent:
            if pause is None:
                raise
            await asyncio.sleep(pause)
    raise AssertionError("the last try returns or raises")


async def _read_once(report: Report, since: datetime, until: datetime, seen: OpenSeen) -> int:
    listed, faults = 0, Faults()
    async with aclosing(pages_created(report.ctx, since, until)) as pages:
        async for page in pages:
            listed += len(page)
            await _compare_page(report, page, seen, faults)
    faults.tell()
    return listed


async def _compare_page(report: Report, page: list[Answer], seen: OpenSeen, faults: Faults) -> None:
    ctx = report.ctx
    by_reference = {a.provider_reference: a for a in page if a.provider_reference is not None}
    resting, unread = await ctx.reconciliations.resting_on(by_reference)
    for fault in unread:
        await report_unreadable(ctx, report.caller(), fault)
    async with Crew(AT_ONCE, faults) as crew:
        for reference, answer in by_reference.items():
            intent = resting.get(reference)
            if intent is not None:
                seen.add(reference) if intent.final_at is None else None
                await crew.take(examine_listed(report, intent, answer))
            elif answer.installation == ctx.installation:
                await crew.take(examine_unrecorded(report, answer))
            elif ctx.policy.exclusive_account and isinstance(answer.outcome, Approved):
                await crew.take(examine_stranger(report, answer))
            else:
                report.met(foreign=1)


async def lists_too_little(report: Report) -> bool:
    """Whether the provider must have had a payment of ours to list in the round's window: one whose
    confirm was sent within it, by the provider's clock, and got an id.
    """
    ctx, run = report.ctx, report.run
    assert run.since is not None and run.until is not None, "the window is set"  # noqa: PT018
    until = run.until - LAG
    for intent in await ctx.reconciliations.made_between(run.since, until, _LOOKED_AT):
        attempt = await ctx.read.attempt(intent.merchant, str(intent.attempt))
        if attempt is None or attempt.operation is not Operation.CONFIRM:
            continue
        sent = attempt.first_sent_as_of
        if sent is not None and run.since <= sent <= until:
            return True
    return False
