"""The gateway under measurement, as real processes, and the CPU and memory that they use."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.bench import BenchError

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = Path("/proc")
KIB: Final = 1024


class Cpu(NamedTuple):
    """CPU seconds used so far, and by which processes of the gateway."""

    gateway: float
    database: float
    pids: frozenset[int]

    def since(self, before: "Cpu") -> tuple[float, float]:
        """What the gateway and its database used meanwhile.

        Raises:
            BenchError: a process of the gateway ended or began, so its CPU is not known.
        """
        if self.pids != before.pids:
            raise BenchError("a process of the gateway died during the measurement")
        return self.gateway - before.gateway, self.database - before.database


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running `paygate up`: what its ready file says, and its process."""

    ready: dict[str, Any]
    pid: int

    def cpu(self, *, but: Collection[int]) -> Cpu:
        """CPU of the gateway (API and worker) and of its database, without the sandbox, without
        `up` itself, and without these PostgreSQL processes.

        What an ended PostgreSQL process used is known to the postmaster, in whole ticks.
        """
        data = Path(self.ready["data_dir"])
        pid_file = data / "postgres" / "cluster" / "postmaster.pid"
        postmaster = int(pid_file.read_text().splitlines()[0])
        children = _children()
        gateway = frozenset(_offspring(children, self.pid, {postmaster}))
        servers = {postmaster, *children.get(postmaster, ())}.difference(but)
        return Cpu(
            sum(map(_cpu_seconds, gateway)),
            sum(map(_cpu_seconds, servers)) + _ended_seconds(postmaster),
            gateway,
        )


@contextmanager
def started(folder: Path, python: str) -> Iterator[Gateway]:
    """`paygate up` in a folder of its own, with the code that this interpreter has, and without
    the settings of whoever measures.
    """
    folder.mkdir()
    ready, log = folder / "ready.json", folder / "up.log"
    command = [python, "-P", "-m", "paygate.cli", "up", "--data", str(folder / "data")]
    command += ["--port", "0", "--sandbox-port", "0", "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- our own
            command, stdout=output, stderr=output, env=environment(), cwd=folder
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"paygate up did not start: {log.read_text()[-1000:]}")
            time.sleep(0.05)
        yield Gateway(json.loads(ready.read_text()), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment() -> dict[str, str]:
    """This process's, but for what would change which code runs, and how."""
    changing = ("PAYGATE_", "PYTHON", "MAKE", "MFLAGS", "GIT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(changing)}


def private_bytes(pids: Iterable[int]) -> int:
    """The memory of processes that no other process shares."""
    maps = "".join(_read(pid, "smaps_rollup") for pid in pids)
    return KIB * sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB$", maps, re.MULTILINE)))


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far; 0 once it has ended."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", _read(pid, "status"), re.MULTILINE)
    return int(found[1]) * KIB if found else 0


def _children() -> dict[int, list[int]]:
    """The children of every process."""
    if not PROC.is_dir():
        raise BenchError(f"the CPU of a process is read from {PROC}, which {sys.platform} has not")
    found: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _offspring(children: dict[int, list[int]], pid: int, but: Collection[int]) -> Iterator[int]:
    """Who descends from a process, without the sandbox and without these and theirs."""
    for child in children.get(pid, ()):
        if child not in but and "sandbox" not in _read(child, "cmdline").split("\0"):
            yield child
            yield from _offspring(children, child, but)


def _cpu_seconds(pid: int) -> float:
    """CPU of a process: the scheduler's nanoseconds of each thread, where the kernel counts them.
    What ended meanwhile has none.
    """
    if not _read(pid, "schedstat"):
        fields = _stat(pid)
        return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0
    try:
        threads = [thread.name for thread in (PROC / str(pid) / "task").iterdir()]
    except OSError:
        return 0.0
    counted = [_read(pid, f"task/{thread}/schedstat") for thread in threads]
    return sum(int(text.split()[0]) for text in counted if text) / 1e9


def _ended_seconds(pid: int) -> float:
    """CPU of a process's children that have ended."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / TICKS if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields from the state on; none once the process has ended."""
    return _read(pid, "stat").rpartition(")")[2].split()


def _read(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""
