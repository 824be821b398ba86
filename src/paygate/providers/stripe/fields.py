"""Reading fields of JSON that nobody vouches for; pure.

Each function answers the value when it is of the shape asked for, and None (or nothing) when it
is not; none raises.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from paygate.domain.card_data.mask import masked
from paygate.domain.card_data.search import find

_ID: Final = re.compile(r"[A-Za-z0-9_]{1,255}")
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_LONG_NUMBER: Final = re.compile(r"(?:[0-9]_*){12}")
"""What a card's number cannot be without."""
_MADE_ID: Final = re.compile(
    r"(?!(?:card|cc|pan|visa)_)[a-z]{1,5}_(?=(?:[0-9]*[A-Za-z]){4})[A-Za-z0-9]{1,200}"
    r"(?:_secret_[A-Za-z0-9]{1,200})?"
)
_WEB_PAGE: Final = re.compile(r"https?://[!-~]+")
_HALF: Final = re.compile("[\ud800-\udfff]")
_MAX_TEXT: Final = 2_000
"""Longer than any URL or value we keep; an answer may not make our records grow at will."""
_MAX_UNIX_SECONDS: Final = 253_402_300_799  # the last second of the year 9999
_MAX_DIGITS: Final = 40
"""Of a rate: more than any that is told, and few enough to be written out."""
_NOTHING: Final[Mapping[str, Any]] = {}


def mapping(body: object, key: str) -> Mapping[str, Any]:
    """The object under a key, or an empty one."""
    value = body.get(key) if isinstance(body, Mapping) else None
    return value if isinstance(value, Mapping) else _NOTHING


def text(body: Mapping[str, Any], key: str) -> str | None:
    """A string of bearable length, fit to be written down: JSON may name half a character."""
    value = body.get(key)
    if not isinstance(value, str) or len(value) > _MAX_TEXT or _HALF.search(value):
        return None
    return value


def words(body: Mapping[str, Any], key: str) -> str | None:
    """A text that somebody typed, its card numbers masked."""
    typed = text(body, key)
    return None if typed is None else masked(typed)


def link(body: Mapping[str, Any], key: str) -> str | None:
    """A web page's address, in ASCII as addresses are; no other scheme is handed to a browser."""
    url = text(body, key)
    return url if url is not None and _WEB_PAGE.fullmatch(url) else None


def code(value: object) -> str | None:
    """A code or status of Stripe's, known to us or not. Only these are repeated in messages; what
    may be a card's number is none.
    """
    if not isinstance(value, str) or not _CODE.fullmatch(value) or _LONG_NUMBER.search(value):
        return None
    return value


def identifier(value: object) -> str | None:
    """An object's id, fit to stand in a path or a row; a card's number is none."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        return None
    suspect = _LONG_NUMBER.search(value) and not is_made_id(value)
    return None if suspect and find(value) else value


def is_made_id(value: str) -> bool:
    """Whether it is an id as Stripe makes them, and we: with a prefix that says what it names, and
    letters among its digits. Those of one in ten thousand million would be a card's number.
    """
    return _MADE_ID.fullmatch(value) is not None


def whole(value: object, low: int, high: int) -> int | None:
    """An integer (a JSON `true` is none) within bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if low <= value <= high else None


def moment(value: object) -> datetime | None:
    """Stripe's unix time."""
    seconds = whole(value, 0, _MAX_UNIX_SECONDS)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def day(value: object) -> date | None:
    """The calendar day that Stripe names by its midnight in UTC: never an instant."""
    at = moment(value)
    return None if at is None else at.date()


def decimal(value: object) -> str | None:
    """A positive number as it is written, without an exponent."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite() or value <= 0:
        return None
    if len(value.as_tuple().digits) + abs(value.adjusted()) > _MAX_DIGITS:
        return None
    return format(value, "f")


def named(value: object) -> str | None:
    """The id of a related object, which may be expanded."""
    return identifier(value.get("id") if isinstance(value, Mapping) else value)
