"""The order of events, kept when a dump is put into another server (migration 0029).

A server counts its transactions, and that count is the order in which merchants are told. Another
server may not have counted as far: what it writes next must still stand behind what came with the
dump.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

_CAN_BE_KEPT: Final = "SELECT to_regproc('keep_order') IS NOT NULL"
_KEEP: Final = "SELECT keep_order()"

Ask = Callable[[str], Awaitable[Any]]
"""Gives the first value of a statement."""


async def keep_order(ask: Ask) -> bool:
    """Have what is written from now on stand behind all that is there; whether it would not have.

    Where it would, which is everywhere but behind a dump, the database is only read.
    """
    return bool(await ask(_CAN_BE_KEPT) and await ask(_KEEP))
