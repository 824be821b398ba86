"""What the tables' owner takes out of the audit log: months that are past their time, and seals
that are none of ours.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg

from paygate.storage.connections.session import Connect
from paygate.storage.schema.migrate import PATIENCE, Run, Tell, run_alone
from paygate.storage.schema.versions import MigrationError

_DISOWN: Final = "SELECT disown_seals($1, $2, $3, $4)"
_DETACH: Final = "SELECT detach_month($1::text::regclass, $2::text::regclass)"


async def detach_months(
    connect: Connect,
    table: str,
    months: Sequence[str],
    *,
    tell: Tell,
    patience: timedelta = PATIENCE,
) -> None:
    """Take the oldest months of a table away, each in a transaction of its own: they are tables of
    their own then, and tell which.

    Raises:
        MigrationError: one is not the oldest, our role lacks a right, or there was no moment when
            the locks were free.
    """
    async with run_alone(connect, tell, patience) as run:
        for month in months:
            await _by_its_owner(run, _DETACH, table, month)
            tell(f"{table}: {month} is a table of its own now; keep a copy, and drop it")


async def disown_seals(
    connect: Connect,
    kept: int,
    seen: int,
    next_turn: int,
    asked: bytes | None,
    *,
    tell: Tell,
    patience: timedelta = PATIENCE,
) -> int:
    """Take the seals behind the number `kept` out of the audit log, where `seen` is the highest,
    and have the head's row ask for a proof; how many there were.

    Raises:
        MigrationError: another seal was written meanwhile, our role is not the owner, or there was
            no moment when the locks were free.
    """
    async with run_alone(connect, tell, patience) as run:
        return int(await _by_its_owner(run, _DISOWN, kept, seen, next_turn, asked))


async def _by_its_owner(run: Run, statement: str, *arguments: object) -> Any:
    """The first value of a function of ours, whose refusals are in its own words."""
    try:
        return await run.ask(statement, *arguments)
    except asyncpg.LockNotAvailableError:
        raise  # to the driver it is one of those below
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise MigrationError(str(error)) from None
