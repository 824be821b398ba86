"""How fast the provider is asked when nobody waits: a part of its rate, so that payers' calls find
room under it. What a payer waits for is counted, and never held back.

The budget is the installation's. Where nodes count together (`PAYGATE_LIMITS_URL`), each call of
any of them is in the count; else each process knows of its own calls alone.
"""

import asyncio
import math
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from paygate.storage.limits_store import Limit, Room

PART: Final = 4
"""Background calls have a quarter of the rate."""
_UNHEEDED_SECONDS: Final = 0.01
"""Waits shorter than this are skipped; the average is kept all the same."""
_TELL_SECONDS: Final = 0.2
"""How often the calls of a process are added to those of the others."""
_WHOLE: Final = 1.0
_SLOWEST: Final = 1 / 32
_RECOVERS_SECONDS: Final = 16.0
"""How long without a refusal it takes from a standstill to the whole pace again."""
_ACCOUNT: Final = "account"


class Counts(Protocol):
    """Where nodes count together. Every answer may be None: it did not answer."""

    async def hit(self, limit: "Limit", subject: str, *, count: int = 1) -> bool | None:
        """Count so many more, unless that would be too many: then False."""

    async def room(self, limit: "Limit", subject: str) -> "Room | None":
        """How much room there is."""


class Quota(NamedTuple):
    """A limit of the installation's own calls."""

    name: str
    quota: int
    seconds: int


class Shared(NamedTuple):
    """What all nodes together may ask, and what of it may be background."""

    counts: Counts
    all: Quota
    background: Quota


def shared(counts: Counts, amount: int, seconds: int) -> Shared:
    """The budget of a provider's rate. A quarter of it is as much in four times the time."""
    return Shared(
        counts,
        Quota("provider", amount, seconds),
        Quota("provider-background", amount, PART * seconds),
    )


class Pace:
    """Turns at an even rate, slower while the provider says that it is asked too much. Calls that
    somebody waits for never take one.
    """

    def __init__(self, per_second: float, budget: Shared | None = None) -> None:
        self._between = 1 / per_second
        self._next = 0.0
        self._budget = budget
        self._untold = 0
        self._telling: asyncio.Task[None] | None = None
        self._speed = _WHOLE
        self._limited_at = -math.inf

    async def turn(self) -> None:
        """Wait for the next turn, in the order of the calls."""
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._between / self._speed_at(now)
        if mine - now > _UNHEEDED_SECONDS:
            await asyncio.sleep(mine - now)
        if self._budget is not None:
            await self._room(self._budget)

    def called(self) -> None:
        """Count a call, whoever waits for it."""
        if self._budget is None:
            return
        self._untold += 1
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell(self._budget))

    def limited(self) -> None:
        """Be half as fast from now on: the provider refuses a call for its rate. What refuses many
        calls of one moment counts once.
        """
        now = asyncio.get_running_loop().time()
        if now - self._limited_at >= _WHOLE:
            self._speed = max(self._speed_at(now) / 2, _SLOWEST)
            self._limited_at = now

    async def close(self) -> None:
        """Tell the others no more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    def _speed_at(self, now: float) -> float:
        return min(self._speed + max(now - self._limited_at, 0.0) / _RECOVERS_SECONDS, _WHOLE)

    async def _room(self, budget: Shared) -> None:
        """Wait until all nodes together leave room for one more. While they cannot be asked, each
        keeps its own pace.
        """
        while True:
            left = await budget.counts.room(budget.all, _ACCOUNT)
            if left is None:
                return
            if left.left and await budget.counts.hit(budget.background, _ACCOUNT) is not False:
                return
            await asyncio.sleep(self._between)

    async def _tell(self, budget: Shared) -> None:
        """Add what was called lately to the calls of all. What there is no room for is added as
        soon as there is, so that background calls have none of it: payers are refused nothing.
        """
        while self._untold:
            await asyncio.sleep(_TELL_SECONDS)
            count = self._untold = min(self._untold, budget.all.quota)
            if await budget.counts.hit(budget.all, _ACCOUNT, count=count) is False:
                left = await budget.counts.room(budget.all, _ACCOUNT)
                count = 0 if left is None else min(count, max(left.left, 0))
                if count:
                    await budget.counts.hit(budget.all, _ACCOUNT, count=count)
            self._untold -= count
        self._telling = None


class CountedPace(Pace):
    """Another's turns, counted: how many calls one piece of work has made."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(math.inf)
        self._pace = pace
        self.turns = 0

    async def turn(self) -> None:
        await self._pace.turn()
        self.turns += 1


UNHURRIED: Final = Pace(math.inf)
"""The pace of calls that are one payment's own: none."""
