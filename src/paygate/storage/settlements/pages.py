"""The lines of settlements, sealed in pages of many, each beside the rows in clear that say which
line is on which page, and what of ours it settles.

Pages do not go through the commit door: thousands of lines would hold up the payments of their
batch, and they are no fact by themselves. They are one from the commit on that concludes their
settlement. A page is written whole or not at all, and only while its settlement is `waiting`: what
was summed is not added to. A line is written once, whoever brings it.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Final, NamedTuple

import asyncpg

from paygate.domain.settlements.line import LinePage, SettlementLine
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.records import Records
from paygate.storage.unreadable import Tampered

LINES_A_PAGE: Final = 1000
"""Half a megabyte sealed: some milliseconds to open, and a thousandth of the look-ups."""
_PAGES_AT_ONCE: Final = 4


class Written(StrEnum):
    """What became of a page. But for `WRITTEN`, nothing of it was written."""

    WRITTEN = "written"
    TAKEN = "taken"
    """Its number, or a line of it, is there: count, leave out what is known, write again."""
    NOT_WAITING = "not_waiting"
    """The settlement is concluded or closed."""


class Spot(NamedTuple):
    """Where a line stands: its settlement, the page's number, and from 0 its place on the page."""

    id: str
    settlement: str
    page: int
    place: int


class Count(NamedTuple):
    """How many pages a settlement has, and the number of the last."""

    pages: int
    last: int


def _joined(texts: Iterable[str]) -> str:
    """Texts without spaces, as one that the server cuts: an array of thousands costs the driver
    more.
    """
    return " ".join(texts)


class SettlementPages:
    """Raises `Unavailable` when the database does not answer; reads raise `Unreadable` and
    `Outdated` for a page that cannot be opened, since a sum that leaves lines out is wrong.
    """

    def __init__(self, pool: Pool, searches: Pool, records: Records) -> None:
        self._pool = pool
        self._searches = searches
        self._records = records

    async def write(self, page: LinePage) -> Written:
        """Write a page and the rows of its lines, in one statement."""
        row = [column[0] for column in self._records.columns((page,))]
        lines = (
            _joined([line.id for line in page.lines]),
            _joined([line.fact or "" for line in page.lines]),
            _joined(["1" if line.suspect else "0" for line in page.lines]),
        )
        with reading():
            try:
                written = await self._searches.fetch(QUERIES["write_settlement_page"], *row, *lines)
            except asyncpg.UniqueViolationError:
                return Written.TAKEN
        return Written.WRITTEN if written else Written.NOT_WAITING

    async def last(self, merchant: str, settlement_id: str) -> int:
        """The highest number of its pages, those that were withdrawn too; 0 without any."""
        ((last,),) = await self._fetch("settlement_page_last", merchant, settlement_id)
        return int(last)

    async def withdraw(self, merchant: str, settlement_id: str, pages: Sequence[int]) -> None:
        """Have pages of a settlement that is `waiting` stand for nothing from now on: nobody finds
        their lines any more. Of one that is not waiting, nothing is withdrawn.
        """
        with reading():
            await self._searches.execute(
                QUERIES["withdraw_settlement_pages"], merchant, settlement_id, list(pages)
            )

    async def count(self, merchant: str, settlement_id: str) -> Count:
        """How many pages there are of a settlement."""
        rows = await self._fetch("settlement_pages_counted", merchant, settlement_id)
        return Count(*rows[0])

    async def known(self, merchant: str, line_ids: Sequence[str]) -> Mapping[str, str]:
        """The settlements of those of these lines that are written, by the line's id."""
        rows = await self._fetch("settlement_lines_known", merchant, line_ids)
        return {row["id"]: row["settlement"] for row in rows}

    async def placed(self, merchant: str, line_ids: Sequence[str]) -> Mapping[str, Spot | None]:
        """Where those of these lines stand that are written, by the line's id; None of one that was
        withdrawn.
        """
        rows = await self._fetch("settlement_lines_placed", merchant, line_ids)
        return {row["id"]: None if row["withdrawn"] else Spot(*row[:4]) for row in rows}

    async def lines_of(self, merchant: str, facts: Collection[str]) -> Mapping[str, list[str]]:
        """The ids of the lines of these payments, refunds and disputes, in all settlements; those
        that have none are left out.
        """
        if not facts:
            return {}
        found: dict[str, list[str]] = {}
        for row in await self._fetch("settlement_lines_of", merchant, list(facts)):
            found.setdefault(row["fact"], []).append(row["id"])
        return found

    async def several(self, merchant: str, facts: Collection[str]) -> frozenset[str]:
        """Which of these payments, refunds and disputes have more than one line."""
        if not facts:
            return frozenset()
        rows = await self._fetch("facts_with_several_lines", merchant, _joined(facts))
        return frozenset(row["fact"] for row in rows)

    async def every(
        self, merchant: str, settlement_id: str, after: int = 0, *, withdrawn: bool = False
    ) -> AsyncIterator[LinePage]:
        """The pages of a settlement, in the order of their numbers, from behind one; those that
        were withdrawn too, where they are asked for.
        """
        while True:
            rows = await self._search(
                "settlement_pages_after", merchant, settlement_id, after, _PAGES_AT_ONCE, withdrawn
            )
            for row in rows:
                page = self._open(row)
                after = page.version
                yield page
            if len(rows) < _PAGES_AT_ONCE:
                return

    async def line(self, merchant: str, line_id: str) -> tuple[Spot, SettlementLine] | None:
        """A line as it was matched when it was read, or None."""
        rows = await self._fetch("settlement_line", merchant, line_id)
        if not rows:
            return None
        spot = Spot(*rows[0])
        async for line in self.at(merchant, [spot]):
            return spot, line
        return None

    async def of_facts(self, merchant: str, facts: Collection[str]) -> list[Spot]:
        """Where all lines of these payments, refunds and disputes stand, in all settlements; those
        too that a person has matched to them.
        """
        if not facts:
            return []
        rows = await self._search("settlement_lines_of_facts", merchant, list(facts))
        return [Spot(*row) for row in rows]

    async def of_nothing(self, merchant: str, settlement: str) -> list[Spot]:
        """Where the lines of a settlement stand that were read as nothing that we have."""
        rows = await self._search("settlement_lines_of_nothing", merchant, settlement)
        return [Spot(*row) for row in rows]

    async def at(self, merchant: str, spots: Sequence[Spot]) -> AsyncIterator[SettlementLine]:
        """The lines that stand there, in their order; each run of one page opens it once.

        Raises:
            Tampered: another line stands there, or none.
        """
        for (settlement, number), there in groupby(spots, key=lambda spot: spot[1:3]):
            rows = await self._fetch("settlement_page", merchant, settlement, number)
            lines = self._open(rows[0]).lines if rows else ()
            for spot in there:
                if spot.place >= len(lines) or lines[spot.place].id != spot.id:
                    why = f"line {spot.id} is not on page {number}"
                    raise Tampered("settlement_page", merchant, settlement, why)
                yield lines[spot.place]

    def _open(self, row: asyncpg.Record) -> LinePage:
        return self._records.open(LinePage, tuple(row))

    async def _fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with reading():
            return await self._pool.fetch(QUERIES[query], *arguments)

    async def _search(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with reading():
            return await self._searches.fetch(QUERIES[query], *arguments)
