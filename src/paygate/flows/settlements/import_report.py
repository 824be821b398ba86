"""Import a settlement report that somebody brings as a file: its lines are read into the
settlements of their payouts, and those are concluded.

The same content in the same format is the same import, whoever brings it: one that has come to its
end is shown, one that was cut off is worked on again. A report in which a line was refused is
mended and brought again; what is in it that was not there yet is then read.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from paygate.crypto.encoding import length_prefixed
from paygate.domain.access.roles import Action, Caller
from paygate.domain.audit import Subject
from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.settlements.report_import import (
    MOST_REFUSED_NAMED,
    ImportStatus,
    ReportFormat,
    SettlementImport,
    advanced,
)
from paygate.domain.settlements.reports.generic import generic_layout
from paygate.domain.settlements.reports.layout import CellReader, Cells, Layout, Refused
from paygate.domain.settlements.reports.mapping import MappingInvalid, parse_mapping
from paygate.domain.settlements.reports.rows import ReportUnreadable, Share
from paygate.flows.context import CONCLUDING_SECONDS, Context, Patience
from paygate.flows.settlements.conclude import conclude
from paygate.flows.settlements.our_side import ACCOUNT
from paygate.flows.settlements.report_share import (
    MOST_PAYOUTS,
    NOT_ASCRIBED,
    Heard,
    PayoutRead,
    ShareRead,
    ShareReader,
    TooManyPayouts,
)
from paygate.flows.settlements.reported_payout import (
    Told,
    take_payouts_back,
    tell_settlements,
    to_be_listed,
)
from paygate.flows.sweep import Crew, Faults
from paygate.jobs.messages import Job
from paygate.providers.absence import ProviderSilent
from paygate.storage.change import Change, Committed, StorageError

PIECE_BYTES: Final = 256 * 1024
CONCLUDED_AT_ONCE: Final = 4
"""Settlements of one process: while the database commits one, the next is summed."""
NONE_TAKEN: Final = "no line of it could be taken: each was refused"
_CHANGED: Final = "an import kept changing"


class Report(NamedTuple):
    """A file as it was brought: what its columns mean, and what tells it from others."""

    format: ReportFormat
    mapping: Mapping[str, str]
    content_sha256: bytes
    size_bytes: int


class Hands(Protocol):
    """Who reads an import's lines and concludes its settlements: this process, or several."""

    async def read(self, done: SettlementImport, file: Path | None) -> Sequence[ShareRead]:
        """What was read, share by share, from a local file or else from the one that was stored.

        Raises:
            ReportUnreadable, TooManyPayouts: it is no report.
            StorageError, Unreadable: it was not read to its end.
        """

    async def conclude(self, settlement_ids: Sequence[str]) -> None:
        """Conclude settlements. Raises the first fault, once all others are concluded."""


class OwnHands:
    """Reads and concludes in this process."""

    def __init__(self, ctx: Context, caller: Caller, share: Share, heard: Heard) -> None:
        self._ctx = ctx
        self._caller = caller
        self._share = share
        self._heard = heard

    async def read(self, done: SettlementImport, file: Path | None) -> Sequence[ShareRead]:
        """As `Hands` says, of this one's share."""
        ctx, share = self._ctx, self._share
        layout = layout_of(ctx, done.format, done.mapping)
        reader = ShareReader(ctx, self._caller, done, layout, share, self._heard)
        source = _stored(ctx, done, share) if file is None else _local(file, layout, share)
        return [await reader.read(source)]

    async def conclude(self, settlement_ids: Sequence[str]) -> None:
        """As `Hands` says."""
        faults = Faults()
        async with Crew(CONCLUDED_AT_ONCE, faults) as crew:
            for each in settlement_ids:
                await crew.take(conclude(self._ctx, self._caller, each))
        faults.tell()


def import_subject(done: SettlementImport) -> Subject:
    """An import, as the audit log names it."""
    return Subject("settlement_import", done.id)


def layout_of(ctx: Context, report_format: ReportFormat, mapping: Mapping[str, str]) -> Layout:
    """How lines of the format are read.

    Raises:
        Refusal: `parameter_invalid` for a mapping that cannot be used, or another's format.
    """
    if report_format is not ReportFormat.GENERIC:
        layout = ctx.provider.report_layout(report_format)
        if layout is None:
            raise _invalid(f"reports of {ctx.provider.name} have another format", "format")
        if mapping:
            raise _invalid("mapping is for the format generic", "mapping")
        return layout
    try:
        return generic_layout(parse_mapping(mapping))
    except MappingInvalid as error:
        raise _invalid(str(error), "mapping") from None


def released(ctx: Context, done: SettlementImport) -> bytes:
    """What stands for the content of an import that has failed, or was withdrawn."""
    return ctx.index.name(length_prefixed("settlement_import_failed", done.id))


def check_report(ctx: Context, report: Report, file: Path) -> None:
    """Read a local file as far as its first lines.

    Raises:
        Refusal: as `layout_of`; `report_unreadable`.
    """
    reader = CellReader(layout_of(ctx, report.format, report.mapping))
    try:
        with file.open("rb") as content:
            while piece := content.read(PIECE_BYTES):
                reader.feed(piece)
                if reader.lines:
                    return
        reader.end()
    except ReportUnreadable as error:
        raise unreadable(str(error)) from None


def unreadable(why: str) -> Refusal:
    """The refusal of a file that is no report."""
    return Refusal(ErrorCode.REPORT_UNREADABLE, why, param="file")


def _invalid(message: str, param: str) -> Refusal:
    return Refusal(ErrorCode.PARAMETER_INVALID, message, param=param)


def new_import(
    ctx: Context, caller: Caller, report: Report, import_id: str | None = None
) -> SettlementImport:
    """An import as it begins.

    Raises:
        Refusal: `resource_missing` for another merchant than the account's.
    """
    if caller.merchant != ACCOUNT:
        raise Refusal(
            ErrorCode.RESOURCE_MISSING,
            f"settlements are of the provider's account, and so of merchant {ACCOUNT}",
        )
    now = ctx.now()
    return SettlementImport(
        id=import_id or ctx.new_id("settlement_import", now),
        merchant=ACCOUNT,
        livemode=ctx.provider.livemode,
        format=report.format,
        content_hash=content_hash(ctx, report),
        size_bytes=report.size_bytes,
        mapping=report.mapping,
        created_at=now,
        updated_at=now,
    )


def content_hash(ctx: Context, report: Report) -> bytes:
    """What tells the content from others."""
    mapping = msgspec.json.encode(dict(sorted(report.mapping.items()))).decode()
    parts = (ctx.provider.name, report.format, mapping, report.content_sha256.hex())
    return ctx.index.name(length_prefixed("settlement_import", *parts))


def no_jobs(_: SettlementImport) -> tuple[Job, ...]:
    """For one that the caller works on itself."""
    return ()


async def begin_import(
    ctx: Context,
    caller: Caller,
    report: Report,
    begun: SettlementImport,
    change: Change,
    jobs_of: Callable[[SettlementImport], tuple[Job, ...]] = no_jobs,
) -> SettlementImport:
    """The import of this content: the one that has begun by `change`, or the one that there was,
    for which `jobs_of` says what is to be done. One that has failed is no longer in the way.

    Raises:
        StorageError: others kept changing it.
    """
    patience = Patience(_CHANGED, end=StorageError, seconds=CONCLUDING_SECONDS)
    content = content_hash(ctx, report)
    while True:
        standing = await ctx.settlement_imports.of_content(ACCOUNT, content)
        if standing is None:
            if isinstance(await ctx.door.commit(change), Committed):
                return begun
        else:
            audit = ctx.audit(caller, Action.SETTLEMENT_IMPORT, import_subject(standing))
            await ctx.door.commit(Change(audit, jobs=jobs_of(standing), response=standing))
            return standing
        await patience.pause()


async def work_on_import(
    ctx: Context, caller: Caller, done: SettlementImport, hands: Hands, file: Path | None = None
) -> SettlementImport:
    """Read an import to its end, and conclude its settlements; safe after a crash at any step.

    Raises:
        StorageError, Unreadable, ProviderSilent: it goes on when it is worked on again.
    """
    if done.status is not ImportStatus.RUNNING:
        return done
    try:
        shares = await hands.read(done, file)
    except ReportUnreadable as error:
        return await _ended(ctx, caller, done, failure=str(error))
    except TooManyPayouts:
        most = f"lines of more than {MOST_PAYOUTS} payouts: bring them in several files"
        return await _ended(ctx, caller, done, failure=most)
    payouts = _merged(shares)
    refused_of = _refused_of(shares)
    await tell_settlements(ctx, caller, done, list(_told(payouts, refused_of)))
    came_back = set[str]().union(*(read.came_back for read in payouts.values()))
    await take_payouts_back(ctx, caller, came_back)
    held = sum(read.held for read in payouts.values())
    lines_read = sum(share.lines for share in shares)
    refused_count = sum(share.refused_count for share in shares)
    settlements = sorted(read.settlement for read in payouts.values())
    await hands.conclude([read.settlement for read in payouts.values() if not read.held])
    refused_lines = sorted(
        (each for share in shares for each in share.refused), key=lambda r: r.line
    )
    return await _ended(
        ctx,
        caller,
        done,
        failure=_held(held) if held else NONE_TAKEN if lines_read == refused_count else None,
        lines_read=lines_read,
        lines_new=sum(share.new for share in shares),
        card_numbers_masked=done.card_numbers_masked + sum(share.masked for share in shares),
        refused=tuple(refused_lines[:MOST_REFUSED_NAMED]),
        refused_count=refused_count,
        jobs=await to_be_listed(ctx, settlements),
        settlements=tuple(settlements),
    )


def _told(payouts: Mapping[str, PayoutRead], refused_of: Mapping[str, int]) -> Iterator[Told]:
    """What the report says of each payout as a whole."""
    unascribed = refused_of.get(NOT_ASCRIBED, 0)
    for payout, read in payouts.items():
        yield Told(
            settlement=read.settlement,
            amount=-sum(read.own.values()) if read.own else None,
            taken=read.taken,
            refused=refused_of.get(payout, 0) + unascribed,
            unascribed=unascribed,
        )


async def work_for_person(
    ctx: Context, caller: Caller, done: SettlementImport, hands: Hands, file: Path
) -> SettlementImport:
    """The same of a local file, for a person who waits.

    Raises:
        Refusal: `provider_unavailable`: it did not tell; the same file goes on.
        StorageError, Unreadable: as `work_on_import`.
    """
    try:
        return await work_on_import(ctx, caller, done, hands, file)
    except ProviderSilent:
        raise Refusal(
            ErrorCode.PROVIDER_UNAVAILABLE, "the provider did not tell of the report's payouts"
        ) from None


def _held(lines: int) -> str:
    return (
        f"{lines} lines name records that cannot be read just now (alert record_unreadable); once"
        " that is mended, bring the file again"
    )


def _merged(shares: Iterable[ShareRead]) -> dict[str, PayoutRead]:
    """What all readers have read of each payout."""
    merged: dict[str, PayoutRead] = {}
    for share in shares:
        for payout, read in share.payouts.items():
            whole = merged.setdefault(payout, PayoutRead(read.settlement))
            whole.own |= read.own
            whole.taken += read.taken
            whole.held += read.held
            whole.came_back |= read.came_back
    return merged


def _refused_of(shares: Iterable[ShareRead]) -> dict[str, int]:
    refused: dict[str, int] = {}
    for share in shares:
        for payout, count in share.refused_of.items():
            refused[payout] = refused.get(payout, 0) + count
    return refused


async def _ended(
    ctx: Context,
    caller: Caller,
    done: SettlementImport,
    *,
    failure: str | None,
    jobs: tuple[Job, ...] = (),
    **found: object,
) -> SettlementImport:
    """The import at its end; whoever comes first writes it."""
    patience = Patience(_CHANGED, end=StorageError, seconds=CONCLUDING_SECONDS)
    now = ctx.now()
    while True:
        standing = await ctx.settlement_imports.settlement_import(done.merchant, done.id)
        assert standing is not None, "imports are never deleted"
        if standing.status is not ImportStatus.RUNNING:
            return standing
        status = ImportStatus.COMPLETED if failure is None else ImportStatus.FAILED
        after = advanced(standing, now, status=status, failure=failure, finished_at=now, **found)
        if failure is not None:  # the same file may be brought again, and is then another import
            after = msgspec.structs.replace(after, content_hash=released(ctx, after))
        details = {"status": after.status, "lines": str(after.lines_read)}
        if after.card_numbers_masked:
            details["card_numbers_masked"] = str(after.card_numbers_masked)
        subject = import_subject(after)
        audit = ctx.audit(caller, Action.SETTLEMENT_IMPORT_WORK, subject, details=details)
        change = Change(audit, advances=(after,), jobs=jobs)
        if isinstance(await ctx.door.commit(change), Committed):
            return after
        await patience.pause()


async def _local(
    file: Path, layout: Layout, share: Share
) -> AsyncIterator[Sequence[Cells | Refused]]:
    """The lines of a file on this machine."""
    reader = CellReader(layout, share)
    with file.open("rb") as content:
        while piece := content.read(PIECE_BYTES):
            yield reader.feed(piece)
    yield reader.end()


async def _stored(
    ctx: Context, done: SettlementImport, share: Share
) -> AsyncIterator[Sequence[Cells | Refused]]:
    """The lines of a file that was uploaded: every so-many-th of its chunks."""
    chunks = await ctx.settlement_imports.chunks(done.merchant, done.id)
    for number in range(1 + share.place, chunks + 1, share.of):
        yield lines_in(await ctx.settlement_imports.chunk(done.merchant, done.id, number))


_LINES: Final = msgspec.msgpack.Decoder(list[Cells | Refused])
encode_lines: Final = msgspec.msgpack.Encoder().encode
"""What is kept of a file's lines, as a chunk has it."""


def lines_in(content: bytes) -> Sequence[Cells | Refused]:
    """The lines in a chunk."""
    return _LINES.decode(content)
