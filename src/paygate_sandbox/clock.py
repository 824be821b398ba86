"""The sandbox's clock: real time plus what a tester has advanced.

It must never be used for signatures, for the schedule of webhook retries or for the age of an API
version: those live in real time, or nobody outside could check them.
"""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime


def real_time() -> float:
    return time.time()


class Clock:
    """Whole seconds, never running backwards, so that creation order and times agree."""

    def __init__(self, offset: int = 0, reading: Callable[[], float] = real_time) -> None:
        self.offset = offset
        self._reading = reading
        self._latest = 0

    def now(self) -> int:
        self._latest = max(self._latest, int(self._reading()) + self.offset)
        return self._latest

    def advance(self, seconds: int) -> int:
        assert seconds >= 0, "the clock never runs backwards"
        self.offset += seconds
        return self.now()


def real_day() -> date:
    return datetime.now(UTC).date()
