"""`Retry-After`: how long a receiver wants to be left alone (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from paygate.domain.webhooks.delivery import RETRY_AFTER_MOST

_DIGITS: Final = 9


def parse_retry_after(text: str | None, now: datetime) -> timedelta | None:
    """The wait that was asked for, in seconds or up to a date, and at most `RETRY_AFTER_MOST`; None
    when none was, or nobody can tell which.
    """
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        wait = timedelta(seconds=int(text[:_DIGITS]))
    else:
        try:
            until = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    return min(wait, RETRY_AFTER_MOST) if wait > timedelta(0) else None
