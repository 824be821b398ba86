"""Dates and times as reports write them. A date is a calendar day; a time is an instant, and one
that a clock showed twice or never, without a word which, is not read.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class NotATime(ValueError):
    """It is not written as declared, or is no time of that zone's clock."""


def _dated(shape: str) -> re.Pattern[str]:
    shape = shape.replace(".", r"\.").replace("YYYY", r"(?P<y>\d{4})")
    return re.compile(shape.replace("MM", r"(?P<m>\d{2})").replace("DD", r"(?P<d>\d{2})"), re.ASCII)


# fmt: off
_SHAPES: Final = (
    "YYYY-MM-DD", "DD.MM.YYYY", "DD/MM/YYYY", "MM/DD/YYYY", "YYYY/MM/DD", "YYYYMMDD",
)
# fmt: on
DATES: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {shape: _dated(shape) for shape in _SHAPES}
)
"""What may be declared of dates. A time is the same date, a space or a T, and HH:MM:SS."""
_CLOCK: Final = re.compile(
    r"(\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,9})?)?(?: ?(Z|[+-]\d{2}:?\d{2}))?", re.ASCII
)
_MIDNIGHT: Final = ("0", "0", "0", None)
# fmt: off
ABBREVIATIONS: Final[Mapping[str, int]] = MappingProxyType({
    "UTC": 0, "GMT": 0, "Z": 0, "WET": 0, "WEST": 60, "BST": 60, "CET": 60, "CEST": 120,
    "EET": 120, "EEST": 180, "MSK": 180, "EST": -300, "EDT": -240, "CST": -360, "CDT": -300,
    "MST": -420, "MDT": -360, "PST": -480, "PDT": -420, "AKST": -540, "AKDT": -480, "HST": -600,
    "JST": 540, "KST": 540, "SGT": 480, "HKT": 480, "AEST": 600, "AEDT": 660,
    "NZST": 720, "NZDT": 780,
})
# fmt: on
"""Minutes ahead of UTC. An abbreviation says which of a place's two clocks was read, whatever the
season: so it is an offset. Those that several countries use for different ones (IST) are left out.
"""


def zone_named(name: str) -> tzinfo | None:
    """A zone by its abbreviation or its name in the time zone database; None if there is none."""
    if (minutes := ABBREVIATIONS.get(name)) is not None:
        return timezone(timedelta(minutes=minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def date_reader(shape: str) -> Callable[[str], date]:
    """What reads dates of a shape, and no time that stands behind; it raises `NotATime`."""
    pattern = DATES[shape]
    length = len(shape)

    @lru_cache(maxsize=4096)  # a report has as many days as its span
    def read(text: str) -> date:
        if len(text) > length and text[length] in " T":
            text = text[:length]
        match = pattern.fullmatch(text)
        if match is None:
            raise NotATime
        try:
            return date(int(match["y"]), int(match["m"]), int(match["d"]))
        except ValueError:
            raise NotATime from None

    return read


def time_reader(shape: str) -> Callable[[str, tzinfo], datetime]:
    """What reads times of a shape, in a zone where they do not say their own, into UTC. A date
    alone is that day's first moment. It raises `NotATime`.
    """
    read_date = date_reader(shape)
    length = len(shape)

    def read(text: str, zone: tzinfo) -> datetime:
        day = read_date(text)
        clock = _CLOCK.fullmatch(text[length + 1 :]) if len(text) > length else None
        if len(text) > length and clock is None:
            raise NotATime
        hour, minute, second, offset = clock.groups() if clock is not None else _MIDNIGHT
        try:
            clocked = time(int(hour), int(minute), int(second or 0))
            local = datetime.combine(day, clocked)
            return _instant(local, zone if offset is None else _offset(offset))
        except (ValueError, OverflowError):  # an offset of days, or the first day of the year 1
            raise NotATime from None

    return read


def _offset(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _instant(local: datetime, zone: tzinfo) -> datetime:
    if zone is UTC:
        return local.replace(tzinfo=UTC)
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():  # the clock was put back or forward here
        raise NotATime
    return first.astimezone(UTC)
