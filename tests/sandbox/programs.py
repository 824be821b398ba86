"""Programs that a stranger runs: the sandbox as a command, and others beside it, to their end.

It must never show them the environment of whoever runs the tests.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SAID = "the sandbox answers on "


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    plain = {"PATH": os.environ["PATH"], "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}
    return plain | dict(more or {})


def ended(command: Sequence[str], folder: Path, more: Mapping[str, str] | None = None) -> Ended:
    """The outcome of a program that ends by itself."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(arguments: Sequence[str], folder: Path, more: Mapping[str, str]) -> Iterator[str]:
    """The address of a sandbox that runs as a command, and ends well when it is told to."""
    with subprocess.Popen(
        [sys.executable, *arguments, "--port", "0"],
        cwd=folder,
        env=environment(more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            assert line.startswith(SAID), line
            yield line.removeprefix(SAID).strip()
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stdout.read()
    assert (process.returncode, rest) == (0, ""), "it says nothing more"
