"""Evidence as it is put together: what may be added to a dispute, and how much."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from paygate.domain.disputes.dispute import NEEDS_RESPONSE, Dispute, EvidenceFile, move
from paygate.domain.disputes.evidence import FILES_MOST, PAGES_MOST, TEXTS, TEXTS_MOST
from paygate.domain.disputes.outcome import DisputeStatus
from paygate.domain.errors import ErrorCode, Refusal

_ANSWERED: Final = frozenset({DisputeStatus.UNDER_REVIEW, DisputeStatus.WARNING_UNDER_REVIEW})
_IN_TIME: Final = NEEDS_RESPONSE | {DisputeStatus.LOST}
"""Statuses of a dispute that was to be answered in time."""


def check_answerable(dispute: Dispute, now: datetime) -> None:
    """Whether evidence can still be put together, submitted, or a dispute accepted, at `now` by the
    provider's clock. That `past_due` is false says nothing of that.

    Raises:
        Refusal: it is decided, answered, being answered, or too late; it carries the dispute.
    """
    if dispute.status in _ANSWERED or (dispute.is_answered and dispute.is_open):
        raise Refusal(
            ErrorCode.DISPUTE_ANSWERED,
            "evidence was submitted for this dispute, which is done once",
            subject=dispute,
        )
    if dispute.status in _IN_TIME and not dispute.is_answered and not is_in_time(dispute, now):
        raise Refusal(
            ErrorCode.EVIDENCE_DEADLINE_PASSED,
            f"this dispute could be answered until {dispute.evidence_due_by:%Y-%m-%dT%H:%M:%SZ}",
            subject=dispute,
        )
    if dispute.status not in NEEDS_RESPONSE:
        raise Refusal(
            ErrorCode.STATE_CONFLICT,
            f"a dispute that is {dispute.status} is not answered any more",
            subject=dispute,
        )
    if dispute.pending_operation is not None:
        raise Refusal(
            ErrorCode.OPERATION_PENDING,
            f"{dispute.pending_operation} is under way at the provider",
            subject=dispute,
        )


def is_in_time(dispute: Dispute, now: datetime) -> bool:
    """Whether the deadline for evidence has not passed at `now` by the provider's clock."""
    return dispute.evidence_due_by is None or now <= dispute.evidence_due_by


def with_texts(
    dispute: Dispute, texts: Mapping[str, str | None], unset: Iterable[str], at: datetime
) -> Dispute:
    """The dispute with these texts, less those that are None, and without the files of the fields
    `unset`.

    Raises:
        Refusal: a text has too many characters, or all together have.
    """
    for field, text in texts.items():
        if text is not None and len(text) > TEXTS[field]:
            raise Refusal(
                ErrorCode.PARAMETER_INVALID,
                f"{field} must not exceed {TEXTS[field]} characters, and has {len(text)}",
                param=f"texts.{field}",
            )
    merged = {**dispute.texts, **texts}
    kept = {field: text for field, text in merged.items() if text is not None}
    if (total := sum(map(len, kept.values()))) > TEXTS_MOST:
        raise Refusal(
            ErrorCode.EVIDENCE_TOO_LARGE,
            f"all texts together must not exceed {TEXTS_MOST} characters, and would have {total}",
            param="texts",
            subject=dispute,
        )
    gone = frozenset(unset)
    files = tuple(file for file in dispute.files if file.field not in gone)
    return _staged(dispute, at, texts=kept, files=files)


def with_files(dispute: Dispute, files: Iterable[EvidenceFile], at: datetime) -> Dispute:
    """The dispute with these files, each in the place of the one that its field held.

    Raises:
        Refusal: all files together have too many bytes or pages.
    """
    new = {file.field: file for file in files}
    kept = (*(file for file in dispute.files if file.field not in new), *new.values())
    size, pages = sum(file.size_bytes for file in kept), sum(file.pages for file in kept)
    if size > FILES_MOST or pages > PAGES_MOST:
        raise Refusal(
            ErrorCode.EVIDENCE_TOO_LARGE,
            f"all files together must not exceed {FILES_MOST} bytes and {PAGES_MOST} pages, and"
            f" would have {size} and {pages}",
            param=next(iter(new)),
            subject=dispute,
        )
    return _staged(dispute, at, files=kept)


def _staged(dispute: Dispute, at: datetime, **changes: object) -> Dispute:
    """What the provider refused of earlier evidence says nothing of this."""
    return move(dispute, at, staged_at=at, refusals=(), **changes)
