"""Look many attempts up at once, in the provider's list of what was made while they were sent.

The list is the account's, and may be long: it is read once for all attempts together, in pieces.
Its times are the provider's, and so are the times when attempts were sent. The provider's
search is never used, for a new payment may be missing from it.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from paygate.domain.payments.attempt import Attempt
from paygate.domain.payments.outcome import Answer
from paygate.flows.context import Context
from paygate.flows.provider.clock import sent_at
from paygate.flows.sweep import Crew, Faults
from paygate.providers.absence import ProviderSilent

AROUND: Final = timedelta(minutes=5)
"""The provider's clock at a sending is known to a second or two; a request may wait for half a
minute on its way, and for longer in a queue."""
ON_ITS_WAY: Final = timedelta(minutes=30)
"""How long a proxy may hold a request that it delivers after all: twice the time in which two
misses end an attempt, so that no payment of that time is missed."""
CLOCK_UNKNOWN: Final = timedelta(hours=26)
"""How far off the clock of a sender is taken to be that had heard of no time from the provider for
an hour: further than the worst mistake of a time zone (14 hours), and half a day more. One that is
further off holds no valid certificate of the provider's for long."""
FORGOTTEN: Final = timedelta(hours=48)
"""How long before its first sending that is remembered an attempt may have been sent whose key the
provider knows already: twice the time that it promises to know a key."""
PIECE: Final = timedelta(minutes=15)
"""The part of the list that is read in one go. A page that fails costs its piece alone, and the
next run reads that piece again."""
PIECES_AT_ONCE: Final = 8
"""Pieces read at once, each page after page: at 100 ms a page eight of them are the 80 calls a
second that a live account's sweeps may make."""
PAYMENTS_MOST: Final = 250_000
"""The most payments in a piece: three times what the provider takes in its time. A list that goes
on after so many is a loop."""
_PAGE: Final = 100
"""How many payments cost the provider a call."""
_FOUND_AT_ONCE: Final = 50
"""Attempts concluded at once, each by a commit; the door gathers the commits."""


class Window(NamedTuple):
    """The time in which a payment may have been made, by the provider's clock."""

    since: datetime
    until: datetime


class Sought(NamedTuple):
    """An attempt that is looked for: what is kept of each while the list is read."""

    merchant: str
    intent: str
    attempt: str
    sent_at: datetime
    sent_again_at: datetime | None
    windows: tuple[Window, ...]


Found = Callable[[Sought, Answer], Coroutine[Any, Any, None]]


def sought(
    attempt: Attempt,
    resend_window: timedelta,
    now: datetime,
    forgotten: Sequence[tuple[datetime, datetime]] = (),
) -> Sought:
    """The attempt and the windows to look for it in: around its first sending, which the sweep
    repeats for the resend window, around its last, and in all time that a restore made `forgotten`.
    """
    first = attempt.first_sent_as_of
    again, again_at = attempt.sent_again_as_of, attempt.sent_again_at
    # Where the sender's clock is not known, only the attempt's own record bounds the window.
    windows = [
        Window(first - AROUND, min(first + resend_window + ON_ITS_WAY, now + AROUND))
        if first
        else Window(attempt.first_sent_at - CLOCK_UNKNOWN, now + AROUND)
    ]
    if again_at is not None:
        windows.append(
            Window(again - AROUND, min(again + ON_ITS_WAY, now + AROUND))
            if again
            else Window(again_at - CLOCK_UNKNOWN, now + AROUND)
        )
    windows += [Window(since, until) for since, until in forgotten]
    if attempt.sent_before:
        # The provider still knows the key, and so may know it for twice as long as it promises.
        windows.append(Window((first or attempt.first_sent_at) - FORGOTTEN, now + AROUND))
    if attempt.sent_between:
        ends = [end for window in windows for end in window]
        windows = [Window(min(ends), max(ends))]
    return Sought(
        attempt.merchant,
        attempt.intent,
        attempt.id,
        sent_at(attempt),
        again_at,
        tuple(windows),
    )


def pieces(windows: Iterable[Window]) -> list[Window]:
    """The windows without what they have in common, in order, in pieces that are read in one go."""
    merged: list[Window] = []
    for window in sorted(windows):
        if merged and window.since <= merged[-1].until:
            merged[-1] = Window(merged[-1].since, max(merged[-1].until, window.until))
        else:
            merged.append(window)
    cut: list[Window] = []
    for since, until in merged:
        start = since
        while until - start > PIECE:
            cut.append(Window(start, start + PIECE))
            start += PIECE
        cut.append(Window(start, until))
    return cut


async def look_up(
    ctx: Context, wanted: Sequence[Sought], found: Found, faults: Faults, until: float
) -> set[str]:
    """The attempts that the provider certainly shows no payment of, just now. Each payment that the
    list shows is given to `found` while the list is read, until a time of the event loop's clock.
    """
    search = _Search(ctx, wanted, found, until)
    concluding, reading = Crew(_FOUND_AT_ONCE, faults), Crew(PIECES_AT_ONCE, faults)
    async with concluding, reading:
        # The newest first: most are found in the last minutes.
        for number in reversed(range(len(search.pieces))):
            await reading.take(search.read(number, concluding))
    return search.missed()


class _Search:
    """One reading of the list: what is still wanted of each piece."""

    def __init__(self, ctx: Context, wanted: Sequence[Sought], found: Found, until: float) -> None:
        self._ctx = ctx
        self._found = found
        self._time_is_up = until
        self.pieces = pieces(window for each in wanted for window in each.windows)
        self._since = [piece.since for piece in self.pieces]
        self._until = [piece.until for piece in self.pieces]
        self._open = {each.attempt: each for each in wanted}
        self._wanted = [0] * len(self.pieces)
        self._unread = set(range(len(self.pieces)))
        for each in wanted:
            self._count(each, 1)

    async def read(self, number: int, concluding: Crew) -> None:
        """Read a piece to its end, or until no attempt is wanted in the piece any longer."""
        since, until = self.pieces[number]
        timeout, count = self._ctx.policy.provider_timeout_seconds, 0
        if not self._wanted[number] or self._is_late():
            return
        await self._ctx.pace.turn()
        try:
            async for answer in self._ctx.provider.list_created(
                since, until, timeout_seconds=timeout
            ):
                await self._look_at(answer, concluding)
                count += 1
                if not self._wanted[number] or count > PAYMENTS_MOST:
                    return
                if count % _PAGE == 0:
                    if self._is_late():
                        return
                    await self._ctx.pace.turn()
        except ProviderSilent:
            return
        self._unread.remove(number)

    async def _look_at(self, answer: Answer, concluding: Crew) -> None:
        if answer.installation != self._ctx.installation or answer.attempt is None:
            return
        each = self._open.pop(answer.attempt, None)
        if each is not None:
            self._count(each, -1)
            await concluding.take(self._found(each, answer))

    def missed(self) -> set[str]:
        """The attempts that are in none of their pieces, each of which was read to its end."""
        return {
            name
            for name, each in self._open.items()
            if not any(n in self._unread for w in each.windows for n in self._across(w))
        }

    def _is_late(self) -> bool:
        return asyncio.get_running_loop().time() > self._time_is_up

    def _count(self, each: Sought, by: int) -> None:
        for number in {n for window in each.windows for n in self._across(window)}:
            self._wanted[number] += by

    def _across(self, window: Window) -> range:
        """The pieces that a window lies in."""
        return range(
            bisect_left(self._until, window.since), bisect_right(self._since, window.until)
        )
