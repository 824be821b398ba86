"""Put evidence together for a dispute: texts and files are kept here, and nothing is submitted.

Each change is judged and committed by the dispute's version, so that two at once cannot exceed what
banks take altogether. A file's chunks are durable before the commit that names the file; those that
no commit named, or names any more, are deleted.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from paygate.documents.inspect import Busy
from paygate.documents.kind import EXTENSIONS, NotTaken
from paygate.domain.access.roles import Action, Caller
from paygate.domain.disputes.dispute import Dispute, EvidenceFile
from paygate.domain.disputes.evidence import FILE_MOST, FILES, TEXTS, safe_name
from paygate.domain.disputes.evidence_chunk import chunks_of
from paygate.domain.disputes.staging import check_answerable, with_files, with_texts
from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.alerts.report_card_data import card_data_refusal
from paygate.flows.context import Context, Patience
from paygate.flows.disputes.problems import dispute_subject
from paygate.flows.disputes.read import find_dispute
from paygate.jobs.messages import DeleteEvidenceFile, Job
from paygate.storage.change import Change, Committed

_UNTYPED: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""Types that say nothing of a file."""
_SPELLINGS: Final[Mapping[str, str]] = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "application/x-pdf": "application/pdf",
}
"""Other words for the same types."""
_FILES_WAIT_SECONDS: Final = 5
"""In which two ordinary files a second are looked at, and one or two hostile ones."""


class SentFile(NamedTuple):
    """A file as it was sent for a field: its name and type are claims."""

    field: str
    content: bytes
    name: str | None = None
    content_type: str | None = None


async def stage_texts(
    ctx: Context,
    caller: Caller,
    dispute_id: str,
    texts: Mapping[str, str | None],
    unset: Sequence[str] = (),
) -> Dispute:
    """The dispute with these texts among its evidence, less those that are None, and less the files
    of the fields `unset`.

    Raises:
        Refusal: not found, not answerable any more, or too much.
    """
    assert set(texts) <= set(TEXTS), "fields are checked at the edge"
    details = {"texts": " ".join(sorted(texts)), "files": " ".join(sorted(unset))}
    return await _stage(
        ctx, caller, dispute_id, lambda d: with_texts(d, texts, unset, ctx.now()), details
    )


async def stage_files(
    ctx: Context, caller: Caller, dispute_id: str, sent: Sequence[SentFile]
) -> Dispute:
    """The dispute with these files among its evidence, each instead of the one that its field held.

    Raises:
        Refusal: not found, not answerable any more, a file that cannot be evidence, or too much.
    """
    assert {each.field for each in sent} <= FILES, "fields are checked at the edge"
    dispute = await find_dispute(ctx, caller.merchant, dispute_id)
    check_answerable(dispute, ctx.provider_time() or ctx.now())
    files = [await _inspected(ctx, each) for each in sent]
    with_files(dispute, files, ctx.now())  # before anything is written
    names = [file.id for file in files]
    details = {"files": " ".join(sorted(file.field for file in files))}
    try:
        for file, each in zip(files, sent, strict=True):
            chunks = chunks_of(each.content, file.id, dispute.merchant, dispute.id, ctx.now())
            await ctx.dispute_files.write(chunks)
        return await _stage(
            ctx, caller, dispute_id, lambda d: with_files(d, files, ctx.now()), details
        )
    except Refusal:
        for name in names:
            await ctx.dispute_files.delete(dispute.merchant, name)
        raise


async def _stage(
    ctx: Context,
    caller: Caller,
    dispute_id: str,
    change: Callable[[Dispute], Dispute],
    details: dict[str, str],
) -> Dispute:
    """Commit a change of the evidence, by the newest version of the dispute."""
    patience = Patience("a dispute kept changing while evidence was put together")
    while True:
        before = await find_dispute(ctx, caller.merchant, dispute_id)
        check_answerable(before, ctx.provider_time() or ctx.now())
        after = change(before)
        kept = {file.id for file in after.files}
        gone = tuple(
            Job(DeleteEvidenceFile(before.merchant, file.id))
            for file in before.files
            if file.id not in kept
        )
        audit = ctx.audit(caller, Action.DISPUTE_STAGE, dispute_subject(before), details=details)
        committed = await ctx.door.commit(
            Change(audit, advances=(after,), jobs=gone, response=after)
        )
        if isinstance(committed, Committed):
            return after
        await patience.pause()


async def _inspected(ctx: Context, sent: SentFile) -> EvidenceFile:
    """What a file is. Raises `file_not_taken` when it cannot be evidence, `card_data_refused` when
    there is some in its text, and `overloaded` when too many others wait to be looked at.
    """
    if len(sent.content) > FILE_MOST:
        raise _not_taken(sent, f"a file must not exceed {FILE_MOST} bytes")
    try:
        kind, pages, card_data = await ctx.documents.inspect(sent.content)
    except NotTaken as error:
        raise _not_taken(sent, str(error)) from None
    except Busy:
        raise Refusal(
            ErrorCode.OVERLOADED,
            "too many files are being looked at just now; nothing was done",
            retry_after_seconds=_FILES_WAIT_SECONDS,
        ) from None
    if card_data is not None:
        raise card_data_refusal(card_data, sent.field)
    declared = sent.content_type or ""
    if declared not in _UNTYPED and _SPELLINGS.get(declared, declared) != kind:
        raise _not_taken(sent, f"the file is {kind} by its content, and was sent as another type")
    return EvidenceFile(
        field=sent.field,
        id=ctx.new_id("dispute_file"),
        name=safe_name(sent.name, sent.field, EXTENSIONS[kind]),
        content_type=kind.value,
        size_bytes=len(sent.content),
        sha256=hashlib.sha256(sent.content).hexdigest(),
        pages=pages,
    )


def _not_taken(sent: SentFile, why: str) -> Refusal:
    return Refusal(ErrorCode.FILE_NOT_TAKEN, f"{sent.field}: {why}", param=sent.field)
