"""How fast sweeps ask the provider: payers' calls find room under its rate limit."""

import asyncio
import math
from typing import Final

_UNHEEDED_SECONDS: Final = 0.01
"""Waits shorter than this are skipped; the average is kept all the same."""


class Pace:
    """Turns at an even rate. Calls that somebody waits for never take one."""

    def __init__(self, per_second: float) -> None:
        self._between = 1 / per_second
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next turn, in the order of the calls."""
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._between
        if mine - now > _UNHEEDED_SECONDS:
            await asyncio.sleep(mine - now)


UNHURRIED: Final = Pace(math.inf)
"""The pace of calls that are one payment's own: none."""
