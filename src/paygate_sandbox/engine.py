"""The assembled simulator: its parts, and the one way to change anything.

A change covers objects, events, timers and the saved answer, all or nothing. It must never know
HTTP, nor what a payment is.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from paygate_sandbox.books import Books, Origin
from paygate_sandbox.clock import Clock
from paygate_sandbox.faults import Faults
from paygate_sandbox.ids import Ids
from paygate_sandbox.store.database import Database
from paygate_sandbox.store.events import EventLog
from paygate_sandbox.store.keys import IdempotencyKeys
from paygate_sandbox.store.objects import Objects
from paygate_sandbox.store.timers import Timer, Timers
from paygate_sandbox.webhooks.subscriptions import Subscriptions

_encode = msgspec.json.Encoder().encode

# So many timers run in one round: few enough that a leap of the clock leaves room for others.
_TIMER_BATCH = 200


TimerHandler = Callable[[Books, str], None]


class Simulator:
    def __init__(
        self, database: Database, *, seed: str | None, timer_handlers: Mapping[str, TimerHandler]
    ) -> None:
        self.database = database
        boots = int(database.state("boots") or 0) + 1
        self.clock = Clock(int(database.state("clock_offset") or 0))
        # Each start has ids of its own, or a seeded restart would give the same ones again.
        self.ids = Ids(seed, boots)
        self.faults = Faults()
        self.objects = Objects(database.connection)
        self.events = EventLog(database.connection)
        self.keys = IdempotencyKeys(database.connection)
        self.timers = Timers(database.connection)
        self.subscriptions = Subscriptions()
        self.base_url = ""
        self.wake: Callable[[set[str]], None] = lambda _endpoints: None
        self._timer_handlers = timer_handlers
        with database.transaction():
            database.set_state("boots", str(boots))
            self.account_id = database.state("account") or self.ids.new("acct")
            database.set_state("account", self.account_id)
        self.subscriptions.refresh(self.objects)
        self._next_due = self.timers.next_due()

    @contextmanager
    def change(self, origin: Origin) -> Iterator[Books]:
        """One change: it stands as a whole, or an exception inside leaves no trace of it.

        It is on disk once `Database.committed` returns.
        """
        books = Books(self, self.clock.now(), origin)
        yield books
        with self.database.shared():
            woken = books.write()
        if books.endpoints_changed:
            self.subscriptions.refresh(self.objects)
        if woken:
            self.wake(woken)

    def set_timer(self, timer: Timer) -> None:
        self.timers.set(timer)
        if self._next_due is None or timer.due < self._next_due:
            self._next_due = timer.due

    def run_timers(self) -> bool:
        """Do what is due, each at its own time; whether there may be more."""
        now = self.clock.now()
        if self._next_due is None or self._next_due > now:
            return False
        for timer in self.timers.due(now, _TIMER_BATCH):
            with self.change(Origin()) as books:
                books.now = timer.due
                books.clear_timer(timer.object, timer.kind)
                self._timer_handlers[timer.kind](books, timer.object)
        self._next_due = self.timers.next_due()
        return self._next_due is not None and self._next_due <= now

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
        with self.database.transaction():
            self.database.set_state("clock_offset", str(self.clock.offset + seconds))
        now = self.clock.advance(seconds)
        self.prune_keys()
        return now

    def prune_keys(self) -> None:
        with self.database.transaction():
            self.keys.prune(self.clock.now())

    def counts(self) -> dict[str, Any]:
        return self.events.count()
