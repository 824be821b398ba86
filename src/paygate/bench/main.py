"""Runs the benchmark: every row, on a machine that does nothing else meanwhile."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from paygate.bench import books, commit_door
from paygate.bench.payments import PaymentsBench
from paygate.bench.processes import Gateway
from paygate.bench.report import Figure, show

REPEATS: Final = 3


async def run(*, as_json: bool, full: bool) -> None:
    """Measure and print."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="paygate-bench-") as name:
        folder = Path(name)
        _progress("commit door")
        figures += await commit_door.measure(folder, REPEATS)
        _progress("start the gateway")
        gateway = Gateway(folder)
        try:
            figures += await PaymentsBench(gateway, folder, REPEATS, _progress, full=full).measure()
            if full:
                figures += await books.measure(gateway, folder, _progress)
        finally:
            gateway.stop()
    if as_json:
        machine = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
        print(msgspec.json.encode({"machine": machine, "figures": figures}).decode())  # noqa: T201 -- the report
    else:
        show(figures)


def _progress(what: str) -> None:
    sys.stderr.write(f"measuring: {what} ...\n")
