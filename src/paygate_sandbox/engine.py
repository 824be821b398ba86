"""The one way to change anything, and the timers by which a sandbox changes by itself.

A change covers objects, events, timers and the saved answer, all or nothing. It must never know
HTTP, nor what a payment is.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from paygate_sandbox.books import Books, Origin, TimerHandler
from paygate_sandbox.parts import SETTLING, Parts
from paygate_sandbox.settling import Settling, write

# So many timers run in one round: few enough that a leap of the clock leaves room for others.
_TIMER_BATCH = 200


class Engine:
    def __init__(self, parts: Parts, timer_handlers: Mapping[str, TimerHandler]) -> None:
        self.parts = parts
        self.wake: Callable[[set[str]], None] = lambda _endpoints: None
        self._timer_handlers = timer_handlers

    @contextmanager
    def change(self, origin: Origin) -> Iterator[Books]:
        """One change: it stands as a whole, or an exception inside leaves no trace of it.

        It is on disk once `Database.committed` returns.
        """
        parts = self.parts
        books = Books(parts, parts.clock.now(), origin)
        yield books
        with parts.database.shared():
            woken = books.write()
        if books.endpoints_changed:
            parts.subscriptions.refresh(parts.objects)
        if woken:
            self.wake(woken)

    def run_timers(self) -> bool:
        """Do what is due, each at its own time; whether there may be more."""
        timers, now = self.parts.timers, self.parts.clock.now()
        if not timers.any_due(now):
            return False
        for timer in timers.due(now, _TIMER_BATCH):
            with self.change(Origin()) as books:
                books.now = timer.due
                books.clear_timer(timer.object, timer.kind)
                self._timer_handlers[timer.kind](books, timer.object)
        timers.look_ahead()
        return timers.any_due(now)

    def catch_up(self) -> None:
        """A request must see the world as of now."""
        while self.run_timers():
            pass

    async def catch_up_politely(self) -> None:
        """The same, with room for others between batches."""
        more = self.run_timers()
        while more:
            await asyncio.sleep(0)
            more = self.run_timers()

    def advance_clock(self, seconds: int) -> int:
        database, clock = self.parts.database, self.parts.clock
        with database.transaction():
            database.set_state("clock_offset", str(clock.offset + seconds))
        now = clock.advance(seconds)
        self.prune_keys()
        return now

    def settle_as(self, settling: Settling) -> None:
        """How the account settles from now on; what is booked stays as it was."""
        with self.parts.database.transaction():
            self.parts.database.set_state(SETTLING, write(settling))
        self.parts.settling = settling

    def prune_keys(self) -> None:
        with self.parts.database.transaction():
            self.parts.keys.prune(self.parts.clock.now())
