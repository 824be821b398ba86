"""The long rows: all books against each other, and what an outage leaves in doubt.

They run on the gateway that the other rows have filled.
"""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from paygate.bench.processes import Gateway
from paygate.bench.report import Figure, figure
from paygate.bench.seed import Seeded, seed_in_processes
from paygate.storage.database import connector

IN_DOUBT: Final = 10_000
SLOW_SECONDS: Final = 0.1
"""What the provider takes to answer a call while attempts are resolved."""
ROUND_SECONDS: Final = 15 * 60
KIB: Final = 1024
LEFT: Final = "SELECT count(*) FROM attempt WHERE state IN ('started', 'unknown')"


async def measure(gateway: Gateway, folder: Path, progress: Callable[[str], None]) -> list[Figure]:
    """Both rows."""
    progress("ledger verify")
    figures = await asyncio.to_thread(verified, gateway.ready, folder)
    progress(f"{IN_DOUBT:,} attempts in doubt, and the provider slow")
    return [*figures, await resolved(gateway.ready)]


def verified(ready: dict[str, Any], folder: Path) -> list[Figure]:
    """`paygate ledger verify` in a process of its own: its time, and its memory at the most.

    Raises:
        RuntimeError: the books do not agree, so there is nothing to measure.
    """
    command = [sys.executable, "-P", "-m", "paygate.cli", "ledger", "verify", "--json"]
    command += ["--data", ready["data_dir"]]
    report, peak = folder / "verified.json", 0
    started = time.perf_counter()
    with report.open("wb") as told, subprocess.Popen(command, stdout=told) as process:  # noqa: S603 -- our own
        while process.poll() is None:
            peak = max(peak, _peak_bytes(process.pid))
            time.sleep(0.05)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"the books do not agree: {report.read_text()[:300]}")
    found = json.loads(report.read_text())
    name = f"ledger verify, {found['provider_payments']:,} payments"
    return [
        figure(name, "s", [seconds]),
        figure(f"{name}: peak memory", "MiB", [peak / KIB / KIB], goal="flat"),
    ]


async def resolved(ready: dict[str, Any], in_doubt: int = IN_DOUBT) -> Figure:
    """How long the worker's own rounds take until nothing is in doubt, every second attempt charged
    and the provider slow; at most two rounds.
    """
    data = Path(ready["data_dir"])
    await asyncio.to_thread(seed_in_processes, data, Seeded(0, in_doubt))
    connection = await connector(ready["database_url"], name="bench")()
    await asyncio.to_thread(order_slowness, ready)
    started = time.perf_counter()
    try:
        async with asyncio.timeout(2 * ROUND_SECONDS):
            while await connection.fetchval(LEFT):  # noqa: ASYNC110 -- others resolve them
                await asyncio.sleep(1)
    except TimeoutError:
        left = await connection.fetchval(LEFT)
        raise RuntimeError(f"{left} of {in_doubt} attempts are still in doubt") from None
    finally:
        await asyncio.to_thread(clear_faults, ready)
        await connection.close()
    name = f"{in_doubt:,} attempts in doubt resolved"
    return figure(name, "s", [time.perf_counter() - started], goal=f"< {ROUND_SECONDS} s")


def _peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far; 0 once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * KIB if found else 0


def order_slowness(ready: dict[str, Any]) -> None:
    """Make every call to the simulator slow."""
    fault = {"on": "*", "kind": "slow", "probability": 1, "seconds": SLOW_SECONDS}
    _faults(ready, "POST", json.dumps(fault).encode())


def clear_faults(ready: dict[str, Any]) -> None:
    """Let the simulator work as ever."""
    _faults(ready, "DELETE", None)


def _faults(ready: dict[str, Any], method: str, body: bytes | None) -> None:
    request = urllib.request.Request(  # noqa: S310 -- the simulator's own address
        f"{ready['sandbox_url']}/_sandbox/faults", body, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as answered:  # noqa: S310
        answered.read()
