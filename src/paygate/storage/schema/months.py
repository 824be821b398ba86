"""The months of the tables that grow for ever: which are to be there, and how one is made.

They are made long before they begin. A row of a month that is not there goes into the default
partition, where it is read as all others are, and is moved when the month is made after all.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

BY_MONTH: Final = ("audit_entry", "event", "provider_event_body")
"""The tables that are partitioned by month (migration 0016)."""
AHEAD_MONTHS: Final = 24
"""Longer than anyone goes without an upgrade, and so without a `paygate migrate`."""

_CAN_BE_MADE: Final = "SELECT to_regproc('make_month') IS NOT NULL"
_MISSING: Final = "SELECT array_agg(month) FROM months_missing($1::text::regclass, $2) AS month"
_MAKE: Final = "SELECT make_month($1::text::regclass, $2)"

Ask = Callable[..., Awaitable[Any]]
"""Gives the first value of a statement with arguments."""


async def make_months(ask: Ask, tell: Callable[[str], None]) -> None:
    """Make the months that are to be there and are not, each in a transaction; tell which, and how
    many rows of them the default partition had taken.
    """
    if not await ask(_CAN_BE_MADE):
        return
    for table in BY_MONTH:
        missing: list[datetime] = await ask(_MISSING, table, AHEAD_MONTHS) or []
        for month in missing:
            if moved := await ask(_MAKE, table, month):
                tell(f"{table}: moved {moved} rows from the default partition to {month:%Y-%m}")
        if missing:
            many = f"{len(missing)} months" if len(missing) > 1 else "a month"
            tell(f"{table}: made {many}, up to {missing[0]:%Y-%m}")
