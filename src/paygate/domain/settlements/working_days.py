"""Working days, and how old a discrepancy is.

Weekends are the only days that are known here not to be worked: a calendar of bank holidays that
is wrong calls money late that is not. The provider's own `available_on` knows them, and the window
runs from there.
"""

from datetime import date, datetime, timedelta
from typing import Final

_SATURDAY: Final = 5
_BUCKETS: Final = ((1, "0-1"), (3, "2-3"), (7, "4-7"), (30, "8-30"))
"""Up to how many whole days, and what that age is called."""
_OLDEST: Final = "31+"


def working_days_after(day: date, count: int) -> date:
    """The `count`-th working day after `day`; `day` itself when it is none."""
    assert count >= 0, "a window ends after it begins"
    while count > 0:
        day += timedelta(days=1)
        count -= day.weekday() < _SATURDAY
    return day


def is_past(day: date, window: int, today: date) -> bool:
    """Whether `window` working days after `day` are over."""
    return today > working_days_after(day, window)


def age_days(since: datetime, now: datetime) -> int:
    """Whole days from `since` on; 0 of what begins later."""
    return max(0, (now - since).days)


def age_bucket(days: int) -> str:
    """Which of the five ages that is."""
    return next((name for most, name in _BUCKETS if days <= most), _OLDEST)
