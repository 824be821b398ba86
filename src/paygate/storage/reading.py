"""How records are read: one by its key, a page of a list, a stretch of a sweep."""

from datetime import UTC, datetime
from typing import Final, TypeVar

import asyncpg
import msgspec

from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.look_ups import LookUps, Row
from paygate.storage.pages import Cut, Page, Place, Stretch
from paygate.storage.records import Records
from paygate.storage.unreadable import Unread
from paygate.telemetry import timing

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_READINGS: Final = 10
"""Beyond so many for one page something larger is wrong than a record: a key is missing, say."""

R = TypeVar("R", bound=msgspec.Struct)


class Reading:
    """Opens what it reads.

    Raises `Unreadable` when a row is not as we left it, `Outdated` when it is for a later version,
    `Unavailable` when the database does not answer. Lists and stretches go on beside such rows, and
    tell of them.
    """

    def __init__(self, pool: Pool, searches: Pool, records: Records) -> None:
        self._pool = pool
        self._searches = searches
        self._records = records
        self._look_ups: dict[str, LookUps] = {}

    async def _one(self, record: type[R], query: str, *key: str | bytes) -> R | None:
        row = await self._look_up(query, *key)
        return None if row is None else self._records.open(record, row)

    async def _look_up(self, query: str, *key: str | bytes) -> Row | None:
        if query not in self._look_ups:
            kind = "bytea" if isinstance(key[0], bytes) else "text"
            self._look_ups[query] = LookUps(self._pool, QUERIES[query], kind)
        with timing.spent(timing.Part.DATABASE):
            return await self._look_ups[query].find(*key)

    async def _page(
        self, record: type[R], older: str, newer: str, cut: Cut, merchant: str, *filters: object
    ) -> Page[R]:
        """Both blocks take merchant, bound and limit, and the filters after them.

        Rows that cannot be read count for nothing: the page is filled with what follows them.
        """
        query, bound = newer if cut.newer else older, cut.bound
        items: list[R] = []
        unread: list[Unread] = []
        for _ in range(_READINGS):
            # One more than is wanted tells whether there are more.
            wanted = cut.limit + 1 - len(items)
            rows = await self._search(query, merchant, bound, wanted, *filters)
            opened, faults = self._records.open_each(record, map(tuple, rows))
            items += opened
            unread += faults
            if len(items) > cut.limit or len(rows) < wanted:
                shown = items[: cut.limit]
                if cut.newer:
                    shown.reverse()
                return Page(tuple(shown), len(items) > cut.limit, tuple(unread))
            bound = rows[-1]["id"]
        raise unread[0]

    async def _stretch(
        self,
        record: type[R],
        query: str,
        order: tuple[str, ...],
        after: Place | None,
        limit: int,
        *filters: object,
    ) -> Stretch[R]:
        """The block takes the place after which to begin, the limit, and the filters after them;
        `order` names the columns of the place.
        """
        place = after or tuple(LONG_AGO if name.endswith("at") else "" for name in order)
        rows = await self._search(query, *place, limit, *filters)
        records, unread = self._records.open_each(record, map(tuple, rows))
        last = tuple(rows[-1][name] for name in order) if len(rows) == limit else None
        return Stretch(tuple(records), tuple(unread), last)

    async def _fetch(self, query: str, *arguments: object) -> asyncpg.Record | None:
        with reading():
            return await self._pool.fetchrow(QUERIES[query], *arguments)

    async def _fetch_all(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with reading():
            return await self._pool.fetch(QUERIES[query], *arguments)

    async def _search(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        with reading():
            return await self._searches.fetch(QUERIES[query], *arguments)

    def _open(self, record: type[R], row: asyncpg.Record) -> R:
        return self._records.open(record, tuple(row))
