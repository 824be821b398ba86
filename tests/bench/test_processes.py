"""Which processes are measured, and what they used: a tree of real processes that work."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tools.bench import BenchError
from tools.bench.processes import Cpu, Gateway, private_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

WORK = """
import subprocess, sys, threading, time
program, role, seconds, *children = sys.argv[1:]
memory = b"x" * (50_000_000 if role == "large" else 0)
def work():
    while time.thread_time() < float(seconds):
        pass
    done.set()
    gone.wait()
done, gone = threading.Event(), threading.Event()
threading.Thread(target=work, daemon=True).start()
done.wait()
for child in children:
    started = subprocess.Popen(
        [sys.executable, "-S", "-c", program, program, *child.split("=")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    print(child.split("=")[0], started.pid, flush=True)
    started.stdout.readline()
    if child.startswith("ended"):
        started.communicate()
print(flush=True)
sys.stdin.read()
"""
"""Uses CPU in a thread, then starts children that do the same; ends with its standard input."""


@contextmanager
def tree(role: str, seconds: float, *children: str) -> Iterator[dict[str, int]]:
    """The process ids of a process and of its children, once all have worked."""
    command = [sys.executable, "-S", "-c", WORK, WORK, role, str(seconds), *children]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pids = {role: process.pid}
        for line in iter(process.stdout.readline, "\n"):
            name, pid = line.split()
            pids[name] = int(pid)
        try:
            yield pids
        finally:
            process.terminate()


@contextmanager
def gateway(tmp_path: Path) -> Iterator[tuple[Gateway, dict[str, int]]]:
    """Something like `paygate up`: two children that count, and a sandbox that does not."""
    folder = tmp_path / "postgres" / "cluster"
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        up = stack.enter_context(tree("up", 0, "serve=0.05", "worker=0.05", "sandbox=0"))
        server = stack.enter_context(
            tree("postmaster", 0.05, "backend=0.05", "ended=0.1", "bench=0.2")
        )
        (folder / "postmaster.pid").write_text(f"{server['postmaster']}\n/somewhere\n")
        yield Gateway({"data_dir": str(tmp_path)}, up["up"]), up | server


def test_the_cpu_of_exactly_these_processes_and_their_threads(tmp_path: Path) -> None:
    """Not the sandbox's, not the supervisor's, not the benchmark's own connection's."""
    with gateway(tmp_path) as (running, pids):
        cpu = running.cpu(but=[pids["bench"]])
        assert cpu.pids == {pids["serve"], pids["worker"]}
        assert cpu.gateway >= 0.05 + 0.05
        # What an ended one used counts on: it may have been there at the beginning.
        assert cpu.database >= 0.05 + 0.05 + 0.1 - 0.02
        assert running.cpu(but=[]).database >= cpu.database + 0.2


def test_cpu_is_what_was_used_since() -> None:
    before, after = Cpu(1.0, 10.0, frozenset({7})), Cpu(1.5, 12.0, frozenset({7}))
    assert after.since(before) == (0.5, 2.0)


@pytest.mark.parametrize("pids", [{7}, {7, 8, 9}, {7, 9}])
def test_a_process_that_ended_or_came_is_no_measurement(pids: set[int]) -> None:
    """An API process that died and came back would have used less than nothing."""
    before, after = Cpu(1.0, 1.0, frozenset({7, 8})), Cpu(0.5, 2.0, frozenset(pids))
    with pytest.raises(BenchError, match="died"):
        after.since(before)


def test_the_memory_of_a_process_is_its_own() -> None:
    with tree("small", 0) as small, tree("large", 0) as large:
        more = private_bytes(large.values()) - private_bytes(small.values())
        assert 49_000_000 < more < 60_000_000
    assert private_bytes(large.values()) == 0
