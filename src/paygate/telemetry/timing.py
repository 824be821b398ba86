"""Where a request's time went, for `Server-Timing`: collected at the ports, not in the flows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Final


class Part(Enum):
    """What a request may wait for, in the order of the header."""

    DATABASE = "db"
    PROVIDER = "provider"
    LOCK = "lock"


_NOTHING_SPENT: Final = dict.fromkeys(Part, 0)
_HEADER: Final = ", ".join(f"{name};dur=%.3f" for name in ("gateway", *(p.value for p in Part)))


class Timing:
    """The parts of one request, in nanoseconds."""

    __slots__ = ("spent", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter_ns()
        self.spent = _NOTHING_SPENT.copy()

    def milliseconds(self) -> float:
        """How long it has taken so far."""
        return (time.perf_counter_ns() - self.started) // 1000 / 1000

    def header(self) -> str:
        """The Server-Timing value (W3C Server Timing), in milliseconds.

        `gateway` is what is left of the whole when the waits are taken off.
        """
        total = time.perf_counter_ns() - self.started
        spent = self.spent.values()
        gateway = max(total - sum(spent), 0)
        return _HEADER % (gateway / 1e6, *(part / 1e6 for part in spent))


_current: ContextVar[Timing | None] = ContextVar("timing", default=None)


def begin() -> Timing:
    """Start timing the request that the current task serves."""
    timing = Timing()
    _current.set(timing)
    return timing


@contextmanager
def spent(part: Part) -> Iterator[None]:
    """Count the time inside towards `part`, if a request is being timed."""
    timing = _current.get()
    if timing is None:
        yield
        return
    started = time.perf_counter_ns()
    try:
        yield
    finally:
        timing.spent[part] += time.perf_counter_ns() - started
