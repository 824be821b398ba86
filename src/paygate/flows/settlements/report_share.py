"""Read a share of a report's lines into the settlements of their payouts, page by page.

Several readers have shares of their own, in processes of their own, and none waits for another:
which lines are there already their ids tell, and the numbers of their pages are in lanes. So a
reader that was killed is followed by one that reads all of its share once more.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import msgspec

from paygate.domain.access.roles import Action, Caller
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.report_import import (
    MOST_REFUSED_NAMED,
    RefusedLine,
    SettlementImport,
)
from paygate.domain.settlements.reports.layout import BadLine, Cells, Layout, Refused
from paygate.domain.settlements.reports.rows import Share
from paygate.domain.settlements.settlement import Settlement, Source
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.read_lines import (
    Bringer,
    Lane,
    SettlementClosed,
    read_page,
    settlement_subject,
)
from paygate.flows.settlements.take import settlement_event
from paygate.storage.change import Change, StorageError
from paygate.storage.settlements.pages import LINES_A_PAGE

PAGES_AT_ONCE: Final = 3
"""Of one reader: while the database writes one, the next is matched."""
MOST_IN_HAND: Final = 20_000
"""Lines of pages that are not full: some thirty megabytes."""
MOST_PAYOUTS: Final = 10_000
"""Of one report: one a day makes twenty-seven years."""
CLOSED: Final = "its payout's settlement is closed, and does not have this line"
NOT_ASCRIBED: Final = ""

Heard = Callable[[int], None]
"""Called with the lines that were read since it was last called."""


class TooManyPayouts(Exception):
    """The report has lines of more payouts than one may have."""


class PayoutRead(msgspec.Struct):
    """What a reader has read of one payout."""

    settlement: str
    own: dict[str, int] = {}
    """What the payout's own row takes from the balance, by the provider's id of that row."""
    refused: int = 0
    held: int = 0
    """Lines that name a record of ours which cannot be read."""


class ShareRead(msgspec.Struct):
    """What a reader has read."""

    lines: int = 0
    new: int = 0
    refused: list[RefusedLine] = []
    refused_count: int = 0
    refused_of: dict[str, int] = {}
    """Refused lines by the payout that they name; of those that name none, by `NOT_ASCRIBED`."""
    payouts: dict[str, PayoutRead] = {}
    """By the provider's id of the payout."""


class ShareReader:
    """Reads one share."""

    def __init__(
        self,
        ctx: Context,
        caller: Caller,
        done: SettlementImport,
        layout: Layout,
        share: Share,
        heard: Heard,
    ) -> None:
        self._ctx = ctx
        self._done = done
        self._caller = caller
        self._layout = layout
        self._heard = heard
        self._read = ShareRead()
        self._pages: dict[str, list[tuple[int, Line]]] = defaultdict(list)
        self._in_hand = 0
        self._likely_new = True
        self._settlements: dict[str, asyncio.Task[Settlement]] = {}
        lanes = range(share.place * PAGES_AT_ONCE, (share.place + 1) * PAGES_AT_ONCE)
        self._lanes = asyncio.Queue[Lane]()
        for place in lanes:
            self._lanes.put_nowait(Lane(place, share.of * PAGES_AT_ONCE))

    async def read(self, lines: AsyncIterator[Sequence[Cells | Refused]]) -> ShareRead:
        """Read all lines, and write them.

        Raises:
            ReportUnreadable, TooManyPayouts: the report cannot be read. Of what was written nothing
                is taken back: its lines are there, and its settlements wait.
        """
        try:
            async with asyncio.TaskGroup() as group:
                async for some in lines:
                    for each in some:
                        self._take(each)
                        if self._full is not None:
                            await self._write(group, self._full)
                    self._read.lines += len(some)
                    self._heard(len(some))
                for payout in list(self._pages):
                    await self._write(group, payout)
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        return self._read

    _full: str | None = None
    """The payout whose page is to be written next."""

    def _take(self, each: Cells | Refused) -> None:
        if isinstance(each, Refused):
            self._refuse(each.line, each.message, NOT_ASCRIBED)
            return
        try:
            line = self._layout.read(each.cells)
        except BadLine as bad:
            self._refuse(each.line, str(bad), self._layout.payout_of(each.cells))
            return
        payout = line.payout_reference or NOT_ASCRIBED
        page = self._pages[payout]
        page.append((each.line, line))
        self._in_hand += 1
        if len(page) == LINES_A_PAGE:
            self._full = payout
        elif self._in_hand > MOST_IN_HAND:
            self._full = max(self._pages, key=lambda each: len(self._pages[each]))

    def _refuse(self, line: int, message: str, payout: str) -> None:
        read = self._read
        read.refused_count += 1
        read.refused_of[payout] = read.refused_of.get(payout, 0) + 1
        if len(read.refused) < MOST_REFUSED_NAMED:
            read.refused.append(RefusedLine(line, message))

    async def _write(self, group: asyncio.TaskGroup, payout: str) -> None:
        """Begin to write a payout's page, as soon as a lane is free."""
        page = self._pages.pop(payout)
        self._full = None
        self._in_hand -= len(page)
        lane = await self._lanes.get()
        group.create_task(self._written(payout, page, lane))

    async def _written(self, payout: str, page: Sequence[tuple[int, Line]], lane: Lane) -> None:
        try:
            settlement = await self._settlement(payout, page[0][1].currency)
            told = self._read.payouts.setdefault(payout, PayoutRead(settlement.id))
            told.own |= {
                line.provider_reference: line.net
                for _, line in page
                if line.category is LineCategory.PAYOUT and line.source_reference in (payout, None)
            }
            lines = [line for _, line in page]
            try:
                bringer = Bringer(self._done.id, lane)
                done = await read_page(
                    self._ctx, self._caller, settlement, lines, bringer, likely_new=self._likely_new
                )
            except SettlementClosed as closed:
                late = {line.provider_reference for line in closed.lines}
                for number, line in page:
                    if line.provider_reference in late:
                        self._refuse(number, CLOSED, payout)
            else:
                self._likely_new = done.new == len(lines)
                self._read.new += done.new
                told.held += done.held
        finally:
            self._lanes.put_nowait(lane)

    async def _settlement(self, payout: str, currency: str) -> Settlement:
        if payout not in self._settlements:
            if len(self._settlements) == MOST_PAYOUTS:
                raise TooManyPayouts
            finding = settlement_of(self._ctx, self._caller, payout, currency)
            self._settlements[payout] = asyncio.create_task(finding)
        return await self._settlements[payout]


async def settlement_of(ctx: Context, caller: Caller, payout: str, currency: str) -> Settlement:
    """The settlement of a payout that a report tells of, made when nobody has told of it before.

    Raises:
        StorageError: others kept changing it.
    """
    patience = Patience("a settlement kept changing", end=StorageError, seconds=CONCLUDING_SECONDS)
    while True:
        standing = await ctx.settlements.of_payout(payout)
        if standing is not None:
            return standing
        now = ctx.now()
        settlement = Settlement(
            id=ctx.new_id("settlement", now),
            merchant=ACCOUNT,
            livemode=ctx.provider.livemode,
            provider_reference=payout,
            source=Source.REPORT,
            currency=currency,
            created_at=now,
            updated_at=now,
        )
        audit = ctx.audit(
            caller,
            Action.SETTLEMENT_TAKE,
            settlement_subject(settlement),
            details={"source": settlement.source},
        )
        told = settlement_event(ctx, caller, settlement, "settlement.created")
        await ctx.door.commit(Change(audit, creates=(settlement, told)))
        await patience.pause()
