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

from paygate.domain.access.roles import Caller
from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.report_import import (
    HOLDING,
    MOST_REFUSED_NAMED,
    LineRefusal,
    RefusedLine,
    SettlementImport,
)
from paygate.domain.settlements.reports.layout import BadLine, Cells, Layout, Refused
from paygate.domain.settlements.reports.rows import Share
from paygate.domain.settlements.totals import MOST_BROUGHT, TOO_MUCH, moved_by
from paygate.flows.context import Context
from paygate.flows.settlements.read_lines import (
    Bringer,
    Lane,
    SettlementClosed,
    read_page,
)
from paygate.flows.settlements.reported_payout import ReportedPayout, reported_payout, returned_in
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
    taken: int = 0
    """Lines that are new, or known and the same."""
    held: int = 0
    """Lines that name a record of ours which cannot be read."""
    came_back: set[str] = set()
    """The payouts that lines say came back to the balance, by the provider's ids."""


class ShareRead(msgspec.Struct):
    """What a reader has read."""

    lines: int = 0
    new: int = 0
    masked: int = 0
    """Cells in which card data was masked as they were read."""
    refused: list[RefusedLine] = []
    refused_count: int = 0
    refused_of: dict[str, int] = {}
    """Refused lines that keep their payout from balancing (`HOLDING`), by the payout that they
    name; of those that name none, by `NOT_ASCRIBED`."""
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
        self._moved: dict[str, int] = defaultdict(int)
        """What lines of a payout move, those that were refused for it too."""
        self._in_hand = 0
        self._likely_new = True
        self._payouts: dict[str, asyncio.Task[ReportedPayout]] = {}
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
        self._read.masked += _masked_in(line, each.cells)
        payout = line.payout_reference or NOT_ASCRIBED
        self._moved[payout] += moved_by(line)
        if self._moved[payout] > MOST_BROUGHT:
            self._refuse(each.line, TOO_MUCH, payout, LineRefusal.TOO_MUCH)
            return
        page = self._pages[payout]
        page.append((each.line, line))
        self._in_hand += 1
        if len(page) == LINES_A_PAGE:
            self._full = payout
        elif self._in_hand > MOST_IN_HAND:
            self._full = max(self._pages, key=lambda each: len(self._pages[each]))

    def _refuse(
        self, line: int, message: str, payout: str, code: LineRefusal = LineRefusal.UNREADABLE
    ) -> None:
        read = self._read
        read.refused_count += 1
        if code in HOLDING:
            read.refused_of[payout] = read.refused_of.get(payout, 0) + 1
        if len(read.refused) < MOST_REFUSED_NAMED:
            read.refused.append(RefusedLine(line, message, code))

    async def _write(self, group: asyncio.TaskGroup, payout: str) -> None:
        """Begin to write a payout's page, as soon as a lane is free."""
        page = self._pages.pop(payout)
        self._full = None
        self._in_hand -= len(page)
        lane = await self._lanes.get()
        group.create_task(self._written(payout, page, lane))

    async def _written(self, payout: str, page: Sequence[tuple[int, Line]], lane: Lane) -> None:
        try:
            of = await self._payout(payout, page[0][1].currency)
            told = self._read.payouts.setdefault(payout, PayoutRead(of.settlement.id))
            lines = [line for _, line in page]
            bringer = Bringer(self._done.id, lane, of.adds)
            new_first = self._likely_new
            try:
                read = await read_page(
                    self._ctx, self._caller, of.settlement, lines, bringer, likely_new=new_first
                )
            except SettlementClosed as closed:
                late = {line.provider_reference for line in closed.lines}
                for number, line in page:
                    if line.provider_reference in late:
                        self._refuse(number, CLOSED, payout, LineRefusal.CLOSED)
                read = closed.read
            for each in read.not_taken:
                self._refuse(page[each.place][0], each.message, payout, each.code)
            not_taken = {each.place for each in read.not_taken}
            told.own |= {
                line.provider_reference: line.net
                for place, line in enumerate(lines)
                if place not in not_taken and _is_own_row(line, payout)
            }
            told.came_back |= returned_in(
                line for place, line in enumerate(lines) if place not in not_taken
            )
            self._likely_new = read.new == len(lines)
            self._read.new += read.new
            told.taken += read.new + read.known
            told.held += read.held
        finally:
            self._lanes.put_nowait(lane)

    async def _payout(self, payout: str, currency: str) -> ReportedPayout:
        if payout not in self._payouts:
            if len(self._payouts) == MOST_PAYOUTS:
                raise TooManyPayouts
            finding = reported_payout(self._ctx, self._caller, self._done, payout, currency)
            self._payouts[payout] = asyncio.create_task(finding)
        return await self._payouts[payout]


def _masked_in(line: Line, cells: Sequence[str]) -> int:
    """How many of its texts are not as their cells were."""
    texts = (
        *(line.source_reference, line.payment_reference, line.connected_account, line.attempt),
        *(line.installation, line.merchant, line.intent),
    )
    return sum(1 for text in texts if text is not None and text not in cells)


def _is_own_row(line: Line, payout: str) -> bool:
    return line.category is LineCategory.PAYOUT and line.source_reference in (payout, None)
