"""A settlement report that somebody brought as a file, and how far it was read."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from paygate.domain.record import Recorded

MOST_REFUSED_NAMED: Final = 1000
"""Refused lines are counted to the end, and named up to so many."""


class ReportFormat(StrEnum):
    """What the file's columns mean."""

    STRIPE_ITEMIZED = "stripe_itemized"
    GENERIC = "generic"


class ImportStatus(StrEnum):
    """How far it has come. *Failed*: the file as a whole could not be read."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


class LineRefusal(StrEnum):
    """Why a line was not taken."""

    UNREADABLE = "line_unreadable"
    DIFFERS = "line_differs"
    """It is known, and is not as it is known: nothing is written over."""
    ELSEWHERE = "line_of_other_payout"
    """It is known as a line of another payout."""
    OTHER_SOURCE = "payout_has_other_source"
    """A payout's lines come from the provider, or from reports with ids of their own."""
    CLOSED = "settlement_closed"
    TOO_MUCH = "payout_too_large"
    """With it the payout's lines would come to more than records can keep."""


HOLDING: Final = frozenset(
    {
        LineRefusal.UNREADABLE,
        LineRefusal.DIFFERS,
        LineRefusal.ELSEWHERE,
        LineRefusal.TOO_MUCH,
    }
)
"""What keeps the payout of a refused line from balancing."""


class RefusedLine(Recorded, frozen=True):
    """A line that was not taken: its first physical line in the file, from 1, and why."""

    line: int
    message: str
    code: LineRefusal = LineRefusal.UNREADABLE


class SettlementImport(Recorded, frozen=True, kw_only=True):
    """Versioned. `content_hash` is a keyed hash of format, mapping and content: the same file
    twice is the same import.
    """

    id: str
    merchant: str
    livemode: bool
    format: ReportFormat
    content_hash: bytes
    size_bytes: int
    created_at: datetime
    updated_at: datetime
    mapping: Mapping[str, str] = msgspec.field(default_factory=dict)
    version: int = 1
    status: ImportStatus = ImportStatus.RUNNING
    lines_read: int = 0
    lines_new: int = 0
    """Lines that no settlement had before."""
    refused: tuple[RefusedLine, ...] = ()
    refused_count: int = 0
    settlements: tuple[str, ...] = ()
    failure: str | None = None
    """Why the file as a whole could not be read."""
    finished_at: datetime | None = None
    card_numbers_masked: int = 0
    """Cells that held what looks like a card number or an IBAN, of those that were kept."""
    withdrawn_at: datetime | None = None
    """When a person took it back: what it brought to open settlements stands for nothing."""


class FileChunk(Recorded, frozen=True, kw_only=True):
    """Some of a file's lines: of each the cells that its format reads, and no others. `id` is the
    import's, `version` counts the chunks from 1.
    """

    id: str
    merchant: str
    version: int
    created_at: datetime
    content: bytes


def advanced(done: SettlementImport, at: datetime, **changes: Any) -> SettlementImport:
    """The import one version on."""
    return msgspec.structs.replace(
        done, version=done.version + 1, updated_at=max(at, done.updated_at), **changes
    )
