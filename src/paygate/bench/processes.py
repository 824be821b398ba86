"""The gateway under measurement, as real processes, and the CPU that they use."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

START_SECONDS: Final = 60.0
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Gateway:
    """`paygate up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "up.log").open("wb")
        ready = folder / "ready.json"
        command = [sys.executable, "-P", "-m", "paygate.cli", "up", "--data", str(folder / "data")]
        command += ["--port", "0", "--sandbox-port", "0", "--ready-file", str(ready)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)  # noqa: S603 -- our own
        end = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                self._process.kill()
                raise RuntimeError(f"paygate up did not start; see {self._log.name}")
            time.sleep(0.05)
        self.ready: dict[str, Any] = json.loads(ready.read_text())

    def stop(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU used so far by the gateway (API and worker) and by its database."""
        gateway = database = 0.0
        folder = self.ready["data_dir"]
        postmaster = _postmaster(Path(folder) / "postgres" / "cluster" / "postmaster.pid")
        for pid, parent, command, seconds in _processes():
            if postmaster in {pid, parent}:
                database += seconds
            elif parent == self._process.pid and "\0sandbox\0" not in command:
                gateway += seconds
        return gateway, database


def _postmaster(pid_file: Path) -> int:
    return int(pid_file.read_text().splitlines()[0])


def _processes() -> list[tuple[int, int, str, float]]:
    """(pid, parent, command line, CPU seconds with those of dead children) of every process."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_text(errors="replace")
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended just now
        ticks = sum(int(fields[n]) for n in (11, 12, 13, 14))
        found.append((int(entry.name), int(fields[1]), command, ticks / TICKS))
    return found
