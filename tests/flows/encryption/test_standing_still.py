"""A process that stands still while keys are rotated and retired, and has lost its connections when
it goes on: its machine was paused, say. What it has in hand is under a key that is retired by then.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from paygate.crypto.keyring import Purpose
from paygate.flows.context import Context
from paygate.flows.encryption.retire import retire_key
from paygate.flows.encryption.rotate import rotate_index_key, rotate_records_key
from paygate.settings import Settings
from paygate.storage.change import Unavailable
from tests.flows.encryption import sleeper
from tests.flows.encryption.rotating import CALLER, Connect, quiet

END_ALL: Final = (
    "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name LIKE $1 || '%'"
)
LEFT: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE $1 || '%'"
TRIES_MOST: Final = 100_000
ROOT: Final = Path(__file__).parents[3]


@pytest.fixture
async def other(settings: Settings, database: str, tmp_path: Path) -> AsyncIterator[Process]:
    """It commits for each line that it is sent."""
    command = (sys.executable, "-m", sleeper.__name__, database, str(tmp_path))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    assert await said(process) == "ready"
    yield process
    process.kill()
    await process.wait()


async def said(process: Process) -> str:
    assert process.stdout is not None
    while (line := (await process.stdout.readline()).decode().rstrip()).startswith("{"):
        pass  # its log
    return line


async def asked(process: Process) -> str:
    """What became of another commit."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    return await said(process)


@pytest.mark.parametrize("purpose", [Purpose.RECORDS, Purpose.INDEX])
async def test_nothing_is_written_with_a_key_that_was_retired_meanwhile(
    ctx: Context, other: Process, connect: Connect, purpose: Purpose
) -> None:
    assert (await asked(other)).startswith("pi_")
    old = (await ctx.keysets.load()).primary(purpose)
    other.send_signal(signal.SIGSTOP)
    hand = await connect()
    await hand.execute(END_ALL, f"paygate {sleeper.NAME}")
    while await hand.fetchval(LEFT, f"paygate {sleeper.NAME}"):
        pass
    rotate = rotate_records_key if purpose is Purpose.RECORDS else rotate_index_key
    await rotate(ctx, CALLER, tell=quiet, progress=quiet)
    await retire_key(ctx, CALLER, old, tell=quiet)

    assert other.stdin is not None
    other.stdin.write(b"\n")
    await other.stdin.drain()
    other.send_signal(signal.SIGCONT)
    first = await said(other)
    assert first == Unavailable.__name__, "whoever waits is told, and may try again"
    last = first
    for _ in range(TRIES_MOST):
        if last != first:
            break
        last = await asked(other)
    assert await ctx.read.payment_intent("default", last) is not None
    counting = ctx.resealing if purpose is Purpose.RECORDS else ctx.rehashing
    assert old not in {count.key for count in await counting.counts()}
