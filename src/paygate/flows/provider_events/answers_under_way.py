"""The provider's answers that this process waits for, and the deliveries that it holds meanwhile.

An event about a payment mostly overtakes the answer to the call that made the payment by a few
milliseconds, and says the same. Held until the answer is applied, the event changes nothing, and
ends in the commit that stores it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from paygate.domain.payments.attempt import Attempt

WAITS_SECONDS: Final = (0.05, 0.2)
"""Seconds before each look at the database; with the looks, less than the 300 ms that are promised.
Mostly the answer is there after the first, or is so slow that the provider need not wait for it.
"""
MOST_HELD: Final = 256
"""Deliveries held at once, each with a body of some 4 KB. More than that is a provider so slow that
holding would only move the queue to here.
"""


class _Asked(NamedTuple):
    attempt: Attempt
    over: asyncio.Event


class AnswersUnderWay:
    """The attempts whose answers this process awaits, and how many deliveries wait for them."""

    def __init__(
        self, *, waits_seconds: tuple[float, ...] = WAITS_SECONDS, most_held: int = MOST_HELD
    ) -> None:
        self.waits_seconds = waits_seconds
        self.held = 0
        self._most_held = most_held
        self._asked: dict[str, _Asked] = {}

    @contextmanager
    def awaited(self, attempt: Attempt) -> Iterator[None]:
        """Around the call for an attempt and the applying of its answer: however the block ends,
        the deliveries that wait are woken.
        """
        asked = self._asked[attempt.id] = _Asked(attempt, asyncio.Event())
        try:
            yield
        finally:
            asked.over.set()
            if self._asked.get(attempt.id) is asked:
                del self._asked[attempt.id]

    def asked(self, attempt_id: str | None) -> Attempt | None:
        """The attempt as it was asked for, while its answer is awaited here; else None."""
        here = self._asked.get(attempt_id or "")
        return None if here is None else here.attempt

    @contextmanager
    def place(self) -> Iterator[bool]:
        """Whether one more delivery may be held, for as long as the block lasts."""
        if self.held >= self._most_held:
            yield False
            return
        self.held += 1
        try:
            yield True
        finally:
            self.held -= 1

    async def over(self, attempt_id: str, seconds: float) -> None:
        """Return when the answer that is awaited here has been applied, or after `seconds`: whether
        another process applied it, the database alone knows.
        """
        here = self._asked.get(attempt_id)
        if here is None:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await here.over.wait()
