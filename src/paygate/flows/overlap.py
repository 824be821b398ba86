"""How long what is rotated, a key or a secret, stays beside the new one."""

from datetime import timedelta
from typing import Final

from paygate.domain.durations import parse_duration
from paygate.domain.errors import ErrorCode, Refusal

LONGEST_OVERLAP: Final = timedelta(days=7)
"""A roll-out takes hours; a key that is kept for weeks was not rotated."""


def read_overlap(text: str) -> timedelta:
    """Raises `parameter_invalid` for what is no duration up to seven days."""
    try:
        overlap = parse_duration(text)
    except ValueError as error:
        raise Refusal(
            ErrorCode.PARAMETER_INVALID, f"overlap must be {error}", param="overlap"
        ) from None
    if overlap > LONGEST_OVERLAP:
        raise Refusal(ErrorCode.PARAMETER_INVALID, "overlap must not exceed 7d", param="overlap")
    return overlap
