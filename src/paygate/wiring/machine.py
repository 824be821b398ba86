"""What the machine gives: its clock and its randomness."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

RANDOM_PAGE_BYTES: Final = 4096
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """The world's clock, to the millisecond: what is stored is what the wire shows."""
    return _moment(time.time_ns() // 1_000_000)


@lru_cache(maxsize=1)  # a request asks some ten times, and others at the same moment
def _moment(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


class Randomness:
    """The system's randomness, fetched a page at a time: a request draws several times."""

    def __init__(self) -> None:
        self._page = b""
        self._at = 0

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes; none is given twice."""
        if self._at + size > len(self._page):
            self._page, self._at = secrets.token_bytes(max(size, RANDOM_PAGE_BYTES)), 0
        start, self._at = self._at, self._at + size
        return self._page[start : self._at]
