"""Imports of settlement reports, and the files that wait to be read: sealed chunk by chunk, beside
the commit door as evidence is. A file is deleted when its import has come to its end.
"""

from collections.abc import Sequence
from datetime import datetime

from paygate.domain.settlements.report_import import FileChunk, SettlementImport
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.reading import Reading
from paygate.storage.unreadable import Tampered


class SettlementImports(Reading):
    """Raises as `Reading` does."""

    async def settlement_import(self, merchant: str, import_id: str) -> SettlementImport | None:
        """The import, or None."""
        return await self._one(SettlementImport, "settlement_import", merchant, import_id)

    async def of_content(self, merchant: str, content_hash: bytes) -> SettlementImport | None:
        """The import of this content, or None."""
        rows = await self._fetch_all("settlement_import_of_content", merchant, content_hash)
        return self._open(SettlementImport, rows[0]) if rows else None

    async def write_chunk(self, chunk: FileChunk) -> None:
        """Write a chunk of a file, durably."""
        row = [column[0] for column in self._records.columns((chunk,))]
        with reading():
            await self._pool.execute(QUERIES["write_settlement_file_chunk"], *row)

    async def chunks(self, merchant: str, import_id: str) -> int:
        """How many chunks of a file there are."""
        (row,) = await self._fetch_all("settlement_file_chunks", merchant, import_id)
        count: int = row["chunks"]
        return count

    async def chunk(self, merchant: str, import_id: str, number: int) -> bytes:
        """What is in a chunk, the first of which is 1.

        Raises:
            Unreadable: it is missing, or is not as we left it.
        """
        rows = await self._fetch_all("settlement_file_chunk", merchant, import_id, number)
        if not rows:
            why = f"chunk {number} is not there"
            raise Tampered("settlement_file", merchant, import_id, why)
        return self._open(FileChunk, rows[0]).content

    async def delete_file(self, merchant: str, import_id: str) -> None:
        """Delete all of a file that is there."""
        with reading():
            await self._pool.execute(QUERIES["delete_settlement_file"], merchant, import_id)

    async def files_left(self, merchant: str, until: datetime, limit: int) -> Sequence[str]:
        """Files written before then that no import is reading, by their imports' ids."""
        rows = await self._search("settlement_files_left", merchant, until, limit)
        return [row["id"] for row in rows]
