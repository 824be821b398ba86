"""The whole chain of the audit log, read from end to end in one snapshot, page by page."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final, NamedTuple

from paygate.domain.audit import AuditEntry
from paygate.domain.audit_chain import Entry, Head, Seal
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import own_connection, reading
from paygate.storage.connections.session import Connect, Connection
from paygate.storage.records import Records
from paygate.storage.unreadable import UNREAD, SealBroken, Unread

PAGE: Final = 1000
"""Seals at once, with their entries: some megabytes, and some thirty milliseconds."""
_SESSION: Final = "SET plan_cache_mode = force_custom_plan; SET jit = off"
_SEAL: Final = len(Seal._fields)


class Link(NamedTuple):
    """A seal with its entry as it is stored; None: there is none. `record` is what the entry says,
    or why it cannot be read.
    """

    seal: Seal
    entry: Entry | None
    record: AuditEntry | Unread | None


class ChainSession:
    """One reading. Raises `Unavailable` when the database does not answer."""

    def __init__(
        self,
        connection: Connection,
        records: Records,
        waiting: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`waiting` is put around each wait for the server."""
        self._connection = connection
        self._records = records
        self._waiting = waiting

    async def head(self) -> Head:
        """The head's row."""
        (row,) = await self._fetch("audit_head")
        return Head(row["number"], row["hash"])

    async def last(self) -> Seal | None:
        """The seal of the highest number."""
        rows = await self._fetch("audit_seal_last")
        return Seal(*rows[0]) if rows else None

    async def links(self, first: int) -> AsyncIterator[Sequence[Link]]:
        """All seals from a number on, with their entries."""
        while True:
            rows = [tuple(row) for row in await self._fetch("audit_seals_and_entries", first, PAGE)]
            if rows:
                yield [self._link(row) for row in rows]
                first = rows[-1][0] + 1
            if len(rows) < PAGE:
                return

    async def entries_of(self, merchant: str, action: str) -> list[AuditEntry]:
        """All entries of an action that can be read, the oldest first; those beside them are found
        by who goes through the links.
        """
        rows = await self._fetch("audit_entries_of_action", merchant, action)
        opened, _ = self._records.open_each(AuditEntry, map(tuple, rows))
        return opened

    async def unsealed(self, from_id: str) -> list[tuple[str, str]]:
        """Merchant and id of entries, some of them, that should have a seal and have none."""
        return [tuple(row) for row in await self._fetch("audit_entries_unsealed", from_id)]

    def _link(self, row: tuple[Any, ...]) -> Link:
        seal, stored = Seal(*row[:_SEAL]), row[_SEAL:]
        if stored[1] is None:
            return Link(seal, None, None)
        try:
            content = self._records.content(AuditEntry, stored)
        except SealBroken as fault:
            return Link(seal, None, fault)
        entry = Entry._make((*stored[:-1], content))
        try:
            return Link(seal, entry, self._records.read(AuditEntry, stored, content))
        except UNREAD as fault:
            return Link(seal, entry, fault)

    async def _fetch(self, query: str, *arguments: object) -> list[Any]:
        with reading(), self._waiting():
            return await self._connection.fetch(QUERIES[query], *arguments)


class AuditChain:
    """Where readings of the whole chain begin."""

    def __init__(self, connect: Connect, records: Records) -> None:
        self._connect = connect
        self._records = records

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ChainSession]:
        """A reading of one moment, whose connection ends with it."""
        async with own_connection(self._connect) as (connection, waiting):
            with reading(), waiting():
                await connection.execute(_SESSION)
                snapshot = connection.transaction(isolation="repeatable_read", readonly=True)
                await snapshot.start()
            yield ChainSession(connection, self._records, waiting)
