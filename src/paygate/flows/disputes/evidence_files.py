"""Deletes files that are evidence no more, and those that never came to be."""

import hashlib
from datetime import timedelta
from typing import Final

from paygate.domain.disputes.dispute import Dispute, EvidenceFile
from paygate.flows.context import Context
from paygate.flows.sweep import Faults
from paygate.jobs.messages import DeleteEvidenceFile
from paygate.storage.dispute_files import FilePlace
from paygate.storage.unreadable import Tampered

_NOBODYS_AFTER: Final = timedelta(hours=1)
"""Its request has ended long ago, whatever became of it."""
_LOOKED_AT_FOR: Final = timedelta(days=2)
"""Of a run that comes every hour: a file that was named so long is kept without another look."""
PAGE: Final = 200


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
    """Delete files whose request died before it named them; how many those were."""
    faults, deleted = Faults(), 0
    until = ctx.now() - _NOBODYS_AFTER
    after = FilePlace(until - _LOOKED_AT_FOR, "", "", "")
    while found := await ctx.dispute_files.made_by(until, after, PAGE):
        for each in found:
            with faults:
                deleted += await _delete_unnamed(ctx, each)
        after = found[-1]
    faults.tell()
    return deleted


async def _delete_unnamed(ctx: Context, place: FilePlace) -> bool:
    """Whether a file was deleted: its dispute does not name it."""
    dispute = await ctx.disputes.dispute(place.merchant, place.dispute)
    if dispute is not None and any(file.id == place.id for file in dispute.files):
        return False
    await ctx.dispute_files.delete(place.merchant, place.id)
    return True
