"""Wait until every process that can write works with an edit of the keysets."""

import asyncio
from collections.abc import Callable
from typing import Final

from paygate.crypto.keyring import KeyringError
from paygate.flows.context import Context

LOOK_AGAIN_SECONDS: Final = 0.1
"""A process that hears of an edit has loaded it in a few milliseconds."""
WAIT_SECONDS: Final = 60.0
"""How long a process is waited for that is starting, or has lost its connection."""
TELL_SECONDS: Final = 5.0
_OLDER: Final = "older than this version, starting, or cut off from the database"

Tell = Callable[[str], None]


async def refuse_older_keysets(ctx: Context, generation: int) -> None:
    """See that no process works with later keysets than those that were read just now: an edit of
    these would be taken by it for one that it has.

    Raises:
        KeyringError: one does.
    """
    if (await ctx.keysets.processes(generation)).ahead:
        raise KeyringError(
            "a process works with newer keysets than the database has: an older table keyset was"
            " put back, or another command edits it at this moment. Nothing was changed. If none"
            " does, put back the newest, or restart every process: they have the older one then"
        )


async def loaded_by_all(ctx: Context, generation: int, tell: Tell, within_seconds: float) -> None:
    """Wait for it; tell whom for.

    Raises:
        KeyringError: a process has not loaded it in time.
    """
    time = asyncio.get_running_loop().time
    began = told = time()
    while True:
        found = await ctx.keysets.processes(generation)
        if found.all_ready:
            return
        lacking = max(found.writers - found.ready, len(found.behind))
        named = "; ".join(found.behind) or _OLDER
        if time() - began >= within_seconds:
            raise KeyringError(
                f"{lacking} of {found.writers} processes have not loaded the newest keys ({named}):"
                " nothing was changed for them. End or replace them, and run this again"
            )
        if time() - told >= TELL_SECONDS:
            told = time()
            tell(f"waiting for {lacking} of {found.writers} processes ({named})")
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def earlier_transactions_over(ctx: Context, tell: Tell, within_seconds: float) -> None:
    """Wait until what was begun with the keys of before is committed or undone, and flushed.

    Raises:
        KeyringError: a transaction is open for too long.
    """
    time = asyncio.get_running_loop().time
    began = told = time()
    async with ctx.keysets.transactions_over() as over:
        while not await over():
            if time() - began >= within_seconds:
                raise KeyringError(
                    "a transaction has been open in the database since before, and may write under"
                    " an older key: end it (pg_stat_activity, backend_xid), and run this again"
                )
            if time() - told >= TELL_SECONDS:
                told = time()
                tell("waiting for a transaction that is open in the database since before")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
