"""The long rows: all books against each other, and what an outage leaves in doubt.

They run on the gateway that the other rows have filled.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from paygate.storage.connections.database import connector
from tools.bench import BenchError
from tools.bench.processes import KIB, peak_bytes
from tools.bench.rows import Sample
from tools.bench.seed import SPREAD, Seeded, seed_in_processes

IN_DOUBT: Final = 10_000
SLOW_SECONDS: Final = 0.1
"""What the provider takes to answer a call while attempts are resolved."""
ROUND_SECONDS: Final = 15 * 60
LEFT: Final = "SELECT count(*) FROM attempt WHERE state IN ('started', 'unknown')"


def verified(ready: dict[str, Any], folder: Path) -> Sample:
    """`paygate ledger verify` in a process of its own: its time, and its memory at the most.

    Raises:
        BenchError: the books do not agree, so there is nothing to measure.
    """
    seconds, peak, status, report = _ran(ready, folder, "ledger", "verify")
    if status:
        raise BenchError(f"the books do not agree: {report[:300]}")
    return {"verify": seconds, "verify/memory": peak / KIB / KIB}


def reconciled(ready: dict[str, Any], folder: Path, stored: int) -> Sample:
    """`paygate reconcile` over all that is stored, in step as it is, in a process of its own: its
    time, the calls that it made, and its memory at the most.

    Raises:
        BenchError: the round did not come to its end, or not all was in step.
    """
    since = (datetime.now(UTC) - SPREAD - timedelta(hours=1)).isoformat()
    seconds, peak, _, report = _ran(ready, folder, "reconcile", "--since", since)
    found = json.loads(report)["reconciliation"]
    if found["status"] != "completed" or found["in_step"] < stored or found["healed"]:
        raise BenchError(f"not all is in step: {report[:600]}")
    calls = found["provider_calls"]
    return {
        "reconcile": seconds,
        "reconcile/calls": calls,
        "reconcile/memory": peak / KIB / KIB,
    }


def _ran(ready: dict[str, Any], folder: Path, *arguments: str) -> tuple[float, int, int, str]:
    """A command on the gateway: its seconds, its memory at the most, its status and its report."""
    command = [sys.executable, "-P", "-m", "paygate.cli", *arguments, "--json"]
    command += ["--data", ready["data_dir"]]
    report, peak = folder / "report.json", 0
    started = time.perf_counter()
    with report.open("wb") as output, subprocess.Popen(command, stdout=output) as process:  # noqa: S603 -- our own
        while process.poll() is None:
            peak = max(peak, peak_bytes(process.pid))
            time.sleep(0.05)
    return time.perf_counter() - started, peak, process.returncode, report.read_text()


async def resolved(ready: dict[str, Any], in_doubt: int = IN_DOUBT) -> Sample:
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
        raise BenchError(f"{left} of {in_doubt} attempts are still in doubt") from None
    finally:
        await asyncio.to_thread(clear_faults, ready)
        await connection.close()
    return {"doubt": time.perf_counter() - started}


def order_slowness(ready: dict[str, Any]) -> None:
    """Make every call to the sandbox slow."""
    fault = {"on": "*", "kind": "slow", "probability": 1, "seconds": SLOW_SECONDS}
    _faults(ready, "POST", json.dumps(fault).encode())


def clear_faults(ready: dict[str, Any]) -> None:
    """Let the sandbox work as ever."""
    _faults(ready, "DELETE", None)


def _faults(ready: dict[str, Any], method: str, body: bytes | None) -> None:
    request = urllib.request.Request(  # noqa: S310 -- the sandbox's own address
        f"{ready['sandbox_url']}/_sandbox/faults", body, method=method
    )
    with urllib.request.urlopen(request, timeout=30) as answered:  # noqa: S310
        answered.read()
