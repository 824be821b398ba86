"""A settlement report that comes over the API: read as it comes, and kept sealed until a worker
reads it into settlements.

Of each line only those cells are kept that its format reads: what else stands in a report, names
and addresses of payers, is never stored. Card data in what is kept is masked.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta
from operator import ne
from typing import Final

import msgspec
from msgspec.structs import replace

from paygate.domain.access.roles import Action, Actor, Caller
from paygate.domain.errors import ErrorCode, Refusal, missing
from paygate.domain.ids import PREFIXES, is_id
from paygate.domain.settlements.report_import import (
    FileChunk,
    ImportStatus,
    ReportFormat,
    SettlementImport,
)
from paygate.domain.settlements.reports.layout import (
    BadLine,
    CellReader,
    Cells,
    Layout,
    Refused,
)
from paygate.domain.settlements.reports.rows import ReportUnreadable
from paygate.domain.settlements.reports.texts import NOT_KEPT, masked
from paygate.flows.context import Context
from paygate.flows.settlements.import_report import (
    Hands,
    Report,
    begin_import,
    content_hash,
    encode_lines,
    import_subject,
    layout_of,
    new_import,
    unreadable,
    work_on_import,
)
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.jobs.messages import Job, ReadSettlementReport
from paygate.providers.absence import ProviderSilent
from paygate.storage.change import Change, Unavailable
from paygate.telemetry import log

EARLY_BYTES: Final = 4 * 1024 * 1024
"""Of a file that comes before its format is known: so much is held in memory."""
AGAIN_AFTER: Final = timedelta(minutes=1)
JOB: Final = "read-settlement-report"
_NOBODYS_AFTER: Final = timedelta(days=1)
"""An upload takes minutes."""
_SWEPT: Final = 100
_TAKEN: Final = {"stage": "taken"}
LINES_AT_ONCE: Final = 1000
"""Encoded together: some three hundred kilobytes."""


HandsFor = Callable[[Context, Caller, int], AbstractAsyncContextManager[Hands]]
"""Who reads a file of so many bytes."""


class ReportUpload:
    """A file that is being taken in; an `Upload` of the API's."""

    def __init__(self, ctx: Context, caller: Caller) -> None:
        self._ctx = ctx
        self.import_id: Final = ctx.new_id("settlement_import")
        self.size_bytes = 0
        self.format: ReportFormat | None = None
        self.mapping: Mapping[str, str] = {}
        self._caller = caller
        self._early: list[bytes] = []
        self._layout: Layout | None = None
        self._reader: CellReader | None = None
        self._lines: list[Cells | Refused] = []
        self._chunks = 0
        self.masked = 0
        """Cells in which card data was masked."""

    async def take(self, parts: Mapping[str, bytes], pieces: Sequence[bytes]) -> None:
        """The next pieces of the file. Raises Refusal."""
        self.size_bytes += sum(map(len, pieces))
        if (
            self._reader is None
            and "format" in parts
            and ("mapping" in parts or parts["format"] != ReportFormat.GENERIC.encode())
        ):
            self._begin(parts)
        if self._reader is None:
            self._early += pieces
            if self.size_bytes > EARLY_BYTES:
                raise Refusal(
                    ErrorCode.PARAMETER_MISSING,
                    f"send format, and mapping, before a file of over {EARLY_BYTES} bytes",
                    param="format",
                )
            return
        early, self._early = self._early, []
        for piece in (*early, *pieces):
            await self._read(piece)

    async def end(self, parts: Mapping[str, bytes]) -> None:
        """The file is whole. Raises Refusal."""
        if "file" not in parts:
            raise Refusal(ErrorCode.PARAMETER_MISSING, "file is missing", param="file")
        if self._reader is None:
            self._begin(parts)
            await self.take(parts, ())
        assert self._reader is not None, "it has begun"
        try:
            self._lines += self._reader.end()
        except ReportUnreadable as error:
            raise unreadable(str(error)) from None
        await self._write(0)

    async def lend(self, import_id: str) -> None:
        """Keep the same for another import of the same content, if that has no file."""
        imports = self._ctx.settlement_imports
        if await imports.chunks(ACCOUNT, import_id):
            return
        for number in range(1, self._chunks + 1):
            content = await imports.chunk(ACCOUNT, self.import_id, number)
            await imports.write_chunk(
                FileChunk(
                    id=import_id,
                    merchant=ACCOUNT,
                    version=number,
                    created_at=self._ctx.now(),
                    content=content,
                )
            )

    async def abandon(self) -> None:
        """Let go of what was kept; what is left of it housekeeping deletes."""
        with suppress(Unavailable):
            await self._ctx.settlement_imports.delete_file(ACCOUNT, self.import_id)

    def _begin(self, parts: Mapping[str, bytes]) -> None:
        """Begin to read, as the form says.

        Raises:
            Refusal: it does not say how, or not in a way that can be used.
        """
        if "format" not in parts:
            raise Refusal(ErrorCode.PARAMETER_MISSING, "format is missing", param="format")
        try:
            self.format = ReportFormat(parts["format"].decode())
        except ValueError:
            known = ", ".join(ReportFormat)
            raise Refusal(
                ErrorCode.PARAMETER_INVALID, f"format must be one of {known}", param="format"
            ) from None
        self.mapping = _mapping(parts.get("mapping"))
        self._layout = layout_of(self._ctx, self.format, self.mapping)
        self._reader = CellReader(self._layout)

    async def _read(self, piece: bytes) -> None:
        assert self._reader is not None, "it has begun"
        try:
            self._lines += self._reader.feed(piece)
        except ReportUnreadable as error:
            raise unreadable(str(error)) from None
        if len(self._lines) >= LINES_AT_ONCE:
            await self._write(LINES_AT_ONCE)

    def _masked(self, line: Cells | Refused) -> Cells | Refused:
        if isinstance(line, Refused):
            return line
        cells = tuple(map(masked, line.cells))
        if cells == line.cells:
            return line
        self.masked += sum(map(ne, cells, line.cells))
        if self._is_read(line):
            return Cells(line.line, cells)
        # What is left of the cell that it is refused for would be read later on.
        kept = (now if now == was else NOT_KEPT for now, was in zip(cells, line.cells, strict=True))
        return Cells(line.line, tuple(kept))

    def _is_read(self, line: Cells) -> bool:
        assert self._layout is not None, "it has begun"
        try:
            self._layout.read(line.cells)
        except BadLine:
            return False
        return True

    async def _write(self, least: int) -> None:
        """Write chunks until fewer lines than that are in hand."""
        while self._lines and len(self._lines) >= least:
            some, self._lines = self._lines[:LINES_AT_ONCE], self._lines[LINES_AT_ONCE:]
            self._chunks += 1
            chunk = FileChunk(
                id=self.import_id,
                merchant=ACCOUNT,
                version=self._chunks,
                created_at=self._ctx.now(),
                content=encode_lines([self._masked(each) for each in some]),
            )
            await self._ctx.settlement_imports.write_chunk(chunk)


def _mapping(content: bytes | None) -> Mapping[str, str]:
    """The part `mapping`: one JSON object of strings."""
    if content is None:
        return {}
    try:
        return msgspec.json.decode(content, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refusal(
            ErrorCode.PARAMETER_INVALID, "mapping must be a JSON object of strings", param="mapping"
        ) from None


async def import_uploaded(
    ctx: Context, caller: Caller, upload: ReportUpload, content_sha256: bytes
) -> SettlementImport:
    """The import that a worker goes on with; the one that there was, if this content was brought
    before.

    Raises:
        Refusal: `resource_missing` for another merchant than the account's.
    """
    assert upload.format is not None, "the form was read to its end"
    report = Report(upload.format, upload.mapping, content_sha256, upload.size_bytes)
    begun = replace(
        new_import(ctx, caller, report, upload.import_id), card_numbers_masked=upload.masked
    )
    # An idempotency key is claimed with the first commit, and a change has one claim.
    taken = ctx.audit(caller, Action.SETTLEMENT_IMPORT, import_subject(begun), details=_TAKEN)
    await ctx.door.commit(Change(taken))
    details = {"card_numbers_masked": str(upload.masked)} if upload.masked else {}
    audit = ctx.audit(caller, Action.SETTLEMENT_IMPORT, import_subject(begun), details=details)
    job = Job(ReadSettlementReport(begun.merchant, begun.id))
    change = Change(audit, creates=(begun,), jobs=(job,), response=begun)
    standing = await ctx.settlement_imports.of_content(ACCOUNT, content_hash(ctx, report))
    if standing is not None and standing.status is ImportStatus.RUNNING:
        await upload.lend(standing.id)
    done = await begin_import(ctx, caller, report, begun, change, _jobs_of)
    if upload.masked:
        log.logger().warning(
            "card_numbers_masked", counted=upload.masked, request_id=caller.request_id
        )
    if done.id != begun.id:
        await upload.abandon()
    return done


def _jobs_of(done: SettlementImport) -> tuple[Job, ...]:
    """One that was begun elsewhere and does not go on is gone on with."""
    running = done.status is ImportStatus.RUNNING
    return (Job(ReadSettlementReport(done.merchant, done.id)),) if running else ()


async def read_report_as_asked(
    ctx: Context, message: ReadSettlementReport, hands_for: HandsFor
) -> timedelta | None:
    """How long until it is worked on again; None when an import has come to its end."""
    done = await ctx.settlement_imports.settlement_import(
        message.merchant, message.settlement_import
    )
    if done is None:
        return None
    if done.status is ImportStatus.RUNNING:
        caller = Caller(Actor("job", name=JOB), message.merchant, ctx.new_id("run"))
        try:
            async with hands_for(ctx, caller, done.size_bytes) as hands:
                await work_on_import(ctx, caller, done, hands)
        except ProviderSilent:
            return AGAIN_AFTER
    await ctx.settlement_imports.delete_file(done.merchant, done.id)
    return None


async def sweep_report_files(ctx: Context) -> int:
    """Delete files that no import is reading: their request was refused, or was a repetition, or
    ended early. Returns how many.
    """
    deleted = 0
    until = ctx.now() - _NOBODYS_AFTER
    while found := await ctx.settlement_imports.files_left(ACCOUNT, until, _SWEPT):
        for import_id in found:
            await ctx.settlement_imports.delete_file(ACCOUNT, import_id)
        deleted += len(found)
    return deleted


async def read_import(ctx: Context, caller: Caller, import_id: str) -> SettlementImport:
    """The import as it stands.

    Raises:
        Refusal: `resource_missing` for an id that is malformed or unknown, or for another merchant
            than the account's.
    """
    found = await find_import(ctx, caller, import_id)
    audit = ctx.audit(caller, Action.SETTLEMENT_IMPORT_READ, import_subject(found))
    await ctx.door.commit(Change(audit))
    return found


async def find_import(ctx: Context, caller: Caller, import_id: str) -> SettlementImport:
    """The import, for the account's merchant. Raises a refusal when there is none."""
    found = None
    if caller.merchant == ACCOUNT and is_id(PREFIXES["settlement_import"], import_id):
        found = await ctx.settlement_imports.settlement_import(ACCOUNT, import_id)
    if found is None:
        raise missing("settlement_import")
    return found
