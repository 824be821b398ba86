"""A piece of an evidence file, as it is kept: sealed by itself, so that a file is read and written
without ever being whole in one statement.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from paygate.domain.record import Recorded

CHUNK_BYTES: Final = 256 * 1024
"""Little beside a batch of payments, and twenty for the largest file."""


class EvidenceChunk(Recorded, frozen=True, kw_only=True):
    """One of a file's chunks. `id` is the file's, `version` counts the chunks from 1: a chunk that
    was sealed as one of them opens as no other.
    """

    id: str
    merchant: str
    version: int
    dispute: str
    created_at: datetime
    content: bytes


def chunks_of(
    content: bytes, file_id: str, merchant: str, dispute: str, at: datetime
) -> Iterator[EvidenceChunk]:
    """A file's chunks, in their order."""
    for number, start in enumerate(range(0, len(content), CHUNK_BYTES), start=1):
        yield EvidenceChunk(
            id=file_id,
            merchant=merchant,
            version=number,
            dispute=dispute,
            created_at=at,
            content=content[start : start + CHUNK_BYTES],
        )
