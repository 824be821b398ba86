"""What the tests of the embedded database share: owners in processes of their own, one question
to a server, one refusal.
"""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from paygate.embedded.server import EmbeddedPostgres, EmbeddedPostgresError

ROOT = os.geteuid() == 0

# Starts the server of a directory, as `paygate up` would, with children of both kinds that live
# on when it is killed: a program that was let have every descriptor, and a fork.
OWNER = """
import os, subprocess, sys, time
from pathlib import Path
from paygate.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]))
subprocess.Popen(["sleep", "60"], close_fds=False)
if os.fork():
    print(server.pid, flush=True)
time.sleep(60)
"""

START = """
import sys
from pathlib import Path
from paygate.embedded.server import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]))
print(server.pid, flush=True)
server.stop()
"""


def ask(dsn: str, *statements: str) -> list[object]:
    """The first value of the last statement's every row."""

    async def answer() -> list[object]:
        connection = await asyncpg.connect(dsn)
        try:
            rows: Sequence[asyncpg.Record] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return [row[0] for row in rows]
        finally:
            await connection.close()

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(answer())
    finally:
        loop.close()


@contextmanager
def owner(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that owns the server of `data_dir`, and the server's pid."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, data_dir],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout
            yield process, int(process.stdout.readline())
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refusal(data_dir: Path, **options: str) -> str:
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres.start(data_dir, options=options).stop()
    message = str(caught.value)
    assert "\n" not in message
    return message


def run_with_wheel(folder: Path, data_dir: Path) -> subprocess.CompletedProcess[str]:
    """Start and stop in a process that finds the wheel in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", START, data_dir],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        check=False,
        capture_output=True,
        text=True,
    )
