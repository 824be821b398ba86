"""The files of evidence: written and read chunk by chunk, each sealed for its place.

They do not go through the commit door: a file of megabytes would hold up the payments of its batch,
and its chunks are no fact by themselves. A file is one from the commit on that names it in its
dispute's record; until then, and when no record names it any more, its chunks may be deleted.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import NamedTuple

from paygate.domain.disputes.evidence_chunk import EvidenceChunk
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.database import reading
from paygate.storage.connections.pool import Pool
from paygate.storage.records import Records
from paygate.storage.unreadable import Tampered


class FilePlace(NamedTuple):
    """A file, and whose it is or was to be."""

    created_at: datetime
    merchant: str
    id: str
    dispute: str


class DisputeFiles:
    """Raises `Unavailable` when the database does not answer."""

    def __init__(self, pool: Pool, records: Records) -> None:
        self._pool = pool
        self._records = records

    async def write(self, chunks: Iterable[EvidenceChunk]) -> None:
        """Write a file's chunks, durably, one after the other."""
        for chunk in chunks:
            row = [column[0] for column in self._records.columns((chunk,))]
            with reading():
                await self._pool.execute(QUERIES["write_dispute_file_chunk"], *row)

    async def read(self, merchant: str, file_id: str, size_bytes: int) -> AsyncIterator[bytes]:
        """A file of so many bytes, chunk by chunk.

        Raises:
            Unreadable: a chunk is missing, or is not as we left it.
        """
        number = 0
        while size_bytes > 0:
            number += 1
            with reading():
                row = await self._pool.fetchrow(
                    QUERIES["dispute_file_chunk"], merchant, file_id, number
                )
            if row is None:
                raise Tampered("dispute_file", merchant, file_id, f"chunk {number} is not there")
            content = self._records.open(EvidenceChunk, tuple(row)).content
            size_bytes -= len(content)
            yield content

    async def delete(self, merchant: str, file_id: str) -> None:
        """Delete all of a file that is there."""
        with reading():
            await self._pool.execute(QUERIES["delete_dispute_file"], merchant, file_id)

    async def place(self, merchant: str, file_id: str) -> FilePlace | None:
        """Whose a file is; None when none of it is there."""
        with reading():
            row = await self._pool.fetchrow(QUERIES["dispute_file_place"], merchant, file_id)
        return None if row is None else FilePlace(*row)

    async def made_by(self, until: datetime, after: FilePlace, limit: int) -> tuple[FilePlace, ...]:
        """Files written after another one and up to a time, so many at most, the oldest first."""
        place = after.created_at, after.merchant, after.id
        with reading():
            rows = await self._pool.fetch(QUERIES["dispute_files_made_by"], *place, limit, until)
        return tuple(FilePlace(*row) for row in rows)
