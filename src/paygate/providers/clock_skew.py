"""A provider's clock, measured against ours by the dates of its answers; pure.

A date has whole seconds, and was written somewhere between the request and the answer: each answer
says an interval in which the difference lies. Dates of a cache, of a proxy or of nonsense lie
elsewhere, so only an interval that most of the newest answers share is believed.

What is kept is the provider's clock against a steady one: a step of our own wall clock shows at
once, without a new answer.
"""

from collections import deque
from datetime import datetime, timedelta
from math import inf
from typing import Final, NamedTuple

from paygate.providers.contract import ClockSkew

SAMPLES: Final = 9
"""Five must agree; on an idle node, which asks once a minute, that takes five minutes."""
NEWEST: Final = 3
"""One of them must agree too: else the clocks have just moved, and nothing is known."""
KEPT_SECONDS: Final = 3_600.0
_DATE_SECONDS: Final = 1.0
"""A date is cut to whole seconds."""
_DRIFT: Final = 0.0005
"""Seconds a second that a steady clock may go wrong: the most that a kernel slews it by."""
FRESH_SECONDS: Final = 0.05
"""A measurement that is known is good for so long, however many answers come meanwhile."""


class _Sample(NamedTuple):
    """The provider's clock less the steady one, in seconds, lies in [low, high]."""

    at: float
    low: float
    high: float


class ProviderClock:
    """The newest answers' dates. Times on the steady clock are seconds from any start."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES)
        self._measured: tuple[float, float] | None = None
        """Between which bounds the provider's clock less the steady one lies; None: unknown."""
        self._measured_at = -inf

    def dated(self, date: datetime, *, sent: float, received: float) -> None:
        """Take in an answer that bore `date`, to a call that was sent and answered then."""
        seconds = date.timestamp()
        self._samples.append(_Sample(received, seconds - received, seconds + _DATE_SECONDS - sent))

    def skew(self, now: datetime, steady: float) -> ClockSkew | None:
        """The provider's clock against ours, which shows `now` when the steady one shows `steady`.

        None: no answer of the last hour bore a date, or they contradict each other.
        """
        if self._measured is None or not 0 <= steady - self._measured_at < FRESH_SECONDS:
            self._measured, self._measured_at = self._measure(steady), steady
        if self._measured is None:
            return None
        low, high = self._measured
        ours = now.timestamp() - steady
        return ClockSkew(
            ahead=timedelta(seconds=(low + high) / 2 - ours),
            within=timedelta(seconds=(high - low) / 2),
        )

    def _measure(self, steady: float) -> tuple[float, float] | None:
        samples = [
            _Sample(at, low - drift, high + drift)
            for at, low, high in self._samples
            if (age := steady - at) <= KEPT_SECONDS
            for drift in (age * _DRIFT,)
        ]
        shared = _shared_by_most(samples)
        if shared is None:
            return None
        low, high = shared
        if all(s.high < low or high < s.low for s in samples[-NEWEST:]):
            return None
        return shared


def _shared_by_most(samples: list[_Sample]) -> tuple[float, float] | None:
    """The interval that the most samples share (Marzullo's), if they are more than half."""
    best = len(samples) // 2
    found: tuple[float, float] | None = None
    for low in sorted(sample.low for sample in samples):
        over = [sample.high for sample in samples if sample.low <= low <= sample.high]
        if len(over) > best:
            best, found = len(over), (low, min(over))
    return found
