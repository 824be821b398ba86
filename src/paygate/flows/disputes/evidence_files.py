"""Deletes files that are evidence no more, and those that never came to be."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from paygate.domain.disputes.dispute import Dispute, EvidenceFile
from paygate.flows.context import Context
from paygate.flows.sweep import Crew, Faults
from paygate.jobs.messages import DeleteEvidenceFile
from paygate.storage.dispute_files import FilePlace
from paygate.storage.unreadable import Tampered

_NOBODYS_AFTER: Final = timedelta(hours=1)
"""Its request has ended long ago, whatever became of it."""
_FIRST: Final = FilePlace(datetime(1970, 1, 1, tzinfo=UTC), "", "", "")
"""Before every file."""
PAGE: Final = 200
AT_ONCE: Final = 20
"""Look-ups of disputes, which are made together: ten thousand files take a few seconds an hour."""


async def read_evidence_file(ctx: Context, dispute: Dispute, file: EvidenceFile) -> bytes:
    """The content of a file, as it was staged.

    Raises:
        Unreadable: it is not.
    """
    chunks = ctx.dispute_files.read(dispute.merchant, file.id, file.size_bytes)
    content = b"".join([chunk async for chunk in chunks])
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise Tampered("dispute_file", dispute.merchant, file.id, "it is not what was staged")
    return content


async def delete_evidence_file(ctx: Context, message: DeleteEvidenceFile) -> None:
    """Delete a file, unless its dispute names it."""
    place = await ctx.dispute_files.place(message.merchant, message.file)
    if place is not None:
        await _delete_unnamed(ctx, place)


async def sweep_evidence_files(ctx: Context) -> int:
    """Delete files whose request died before it named them, however long ago: the worker may have
    been away, or their dispute unreadable. How many those were.
    """
    faults, after, deleted = Faults(), _FIRST, list[str]()

    async def one(place: FilePlace) -> None:
        if await _delete_unnamed(ctx, place):
            deleted.append(place.id)

    while found := await ctx.dispute_files.made_by(ctx.now() - _NOBODYS_AFTER, after, PAGE):
        async with Crew(AT_ONCE, faults) as crew:
            for each in found:
                await crew.take(one(each))
        after = found[-1]
    faults.tell()
    return len(deleted)


async def _delete_unnamed(ctx: Context, place: FilePlace) -> bool:
    """Whether a file was deleted: its dispute does not name it."""
    dispute = await ctx.disputes.dispute(place.merchant, place.dispute)
    if dispute is not None and any(file.id == place.id for file in dispute.files):
        return False
    await ctx.dispute_files.delete(place.merchant, place.id)
    return True
