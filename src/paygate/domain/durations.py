"""Lengths of time as people write them: `30s`, `5m`, `24h`, `14d`."""

from datetime import timedelta
from typing import Final

DURATION: Final = "a duration such as 30s, 5m, 24h or 14d"

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DIGITS: Final = 8
"""In days 270,000 years, which `timedelta` still holds; nobody wants more."""


def parse_duration(text: str) -> timedelta:
    """The length that `text` names, zero included. Raises ValueError, which says what is wanted."""
    number, unit = text[:-1], text[-1:]
    if len(number) > _DIGITS or not number.isascii() or not number.isdecimal():
        raise ValueError(DURATION)
    if unit not in _UNITS:
        raise ValueError(DURATION)
    return timedelta(seconds=int(number) * _UNITS[unit])
