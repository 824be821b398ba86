"""Where a request's time went, for `Server-Timing`: collected at the ports, not in the flows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum


class Part(Enum):
    """What a request may wait for."""

    DATABASE = "db"
    PROVIDER = "provider"
    LOCK = "lock"


class Timing:
    """The parts of one request, in nanoseconds."""

    __slots__ = ("spent", "started")

    def __init__(self) -> None:
        self.started = time.perf_counter_ns()
        self.spent = dict.fromkeys(Part, 0)

    def header(self) -> str:
        """The Server-Timing value (W3C Server Timing), in milliseconds.

        `gateway` is what is left of the whole when the waits are taken off.
        """
        total = time.perf_counter_ns() - self.started
        parts = [("gateway", max(total - sum(self.spent.values()), 0))]
        parts += [(part.value, spent) for part, spent in self.spent.items()]
        return ", ".join(f"{name};dur={spent / 1e6:.3f}" for name, spent in parts)


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
