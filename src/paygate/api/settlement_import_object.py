"""An import of a settlement report on the wire."""

from typing import Literal

import msgspec

from paygate.api.objects import time_text
from paygate.domain.settlements.report_import import (
    ImportStatus,
    LineRefusal,
    ReportFormat,
    SettlementImport,
)


class RefusedLineObject(msgspec.Struct, frozen=True):
    """A line that was not taken: its first physical line in the file, from 1, and why."""

    line: int
    message: str
    code: LineRefusal


class SettlementImportObject(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement report that is read, or was. `refused` names up to a thousand of the lines that
    could not be read, and `refused_count` counts them all; `failure` says why the file as a whole
    could not be.
    """

    object: Literal["settlement_import"] = "settlement_import"
    id: str
    livemode: bool
    status: ImportStatus
    format: ReportFormat
    lines_read: int
    lines_new: int
    refused: tuple[RefusedLineObject, ...]
    refused_count: int
    card_numbers_masked: int
    settlements: tuple[str, ...]
    failure: str | None
    finished_at: str | None
    withdrawn_at: str | None
    created_at: str
    updated_at: str


def settlement_import_object(done: SettlementImport) -> SettlementImportObject:
    """What is shown of an import."""
    return SettlementImportObject(
        id=done.id,
        livemode=done.livemode,
        status=done.status,
        format=done.format,
        lines_read=done.lines_read,
        lines_new=done.lines_new,
        refused=tuple(
            RefusedLineObject(each.line, each.message, each.code) for each in done.refused
        ),
        refused_count=done.refused_count,
        card_numbers_masked=done.card_numbers_masked,
        settlements=done.settlements,
        failure=done.failure,
        finished_at=None if done.finished_at is None else time_text(done.finished_at),
        withdrawn_at=None if done.withdrawn_at is None else time_text(done.withdrawn_at),
        created_at=time_text(done.created_at),
        updated_at=time_text(done.updated_at),
    )
