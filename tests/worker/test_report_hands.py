"""A large report read by several processes, killed at any moment and read again."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import asyncpg

from tests.cli.processes import clean_environ
from tests.gateway import Gateway, until

LINES = 24_000
PAYOUTS = 3
HEADER = (
    "automatic_payout_id,balance_transaction_id,created_utc,available_on_utc,currency,gross,fee,net,"
    "reporting_category,source_id,description"
)


def report(mark: str) -> str:
    """Lines that are nobody's here, of payouts that they make to the cent; over four megabytes."""
    rows = [HEADER]
    times = "2026-01-03 00:00:00,2026-01-05 00:00:00,eur"
    rows += [
        f"po_{mark}{number % PAYOUTS},txn_{mark}{number},{times},1.00,0.25,0.75,charge,"
        f"ch_{mark}{number},{'x' * 60}"
        for number in range(LINES - PAYOUTS)
    ]
    for payout in range(PAYOUTS):
        count = len(range(payout, LINES - PAYOUTS, PAYOUTS))
        net = f"-{count * 75 // 100}.{count * 75 % 100:02d}"
        rows.append(
            f"po_{mark}{payout},txn_{mark}own{payout},{times},{net},0.00,{net},payout,"
            f"po_{mark}{payout},"
        )
    return "\n".join(rows) + "\n"


def settling(gateway: Gateway, file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "paygate.cli", "settle", "--report", str(file), "--json"]
    command += ["--data", gateway.ready["data_dir"]]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environ(), cwd=file.parent)


def offspring(pid: int) -> set[int]:
    """The processes that a process has started."""
    try:
        return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except OSError:
        return set()


async def finished(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, _ = await asyncio.to_thread(process.communicate)
    found: dict[str, Any] = json.loads(out)
    return found


async def test_a_reading_that_is_killed_goes_on_and_every_line_is_there_once(
    gateway: Gateway, tmp_path: Path
) -> None:
    mark = uuid.uuid4().hex[:12]
    file = tmp_path / "report.csv"
    file.write_text(report(mark))
    assert file.stat().st_size > 4 * 1024 * 1024
    connection = await asyncpg.connect(gateway.ready["database_url"])
    counting = "SELECT count(*) FROM settlement_line"
    before = await connection.fetchval(counting)
    process = settling(gateway, file)
    kill_at = random.randrange(1, LINES * 2 // 3)

    async def so_many() -> bool:
        assert process.poll() is None, "it ended before it could be killed"
        return bool(await connection.fetchval(counting) - before >= kill_at)

    await until(so_many, seconds=120)
    children = offspring(process.pid)
    if (os.cpu_count() or 1) > 1:
        assert len(children) > 1
    process.send_signal(signal.SIGKILL)
    process.communicate()

    async def gone() -> bool:
        return not any(Path(f"/proc/{child}/cmdline").exists() for child in children)

    await until(gone, seconds=60)
    left = await connection.fetchval(counting) - before
    assert kill_at <= left < LINES
    done = await finished(settling(gateway, file))
    assert done["settlement_import"]["status"] == "completed"
    assert done["settlement_import"]["lines_read"] == LINES
    assert done["settlement_import"]["lines_new"] == LINES - left
    assert await connection.fetchval(counting) - before == LINES
    for settlement in done["settlements"]:
        assert (settlement["residual"], settlement["matching"]) == (0, "balanced")
        assert settlement["counts"]["lines"] == LINES // PAYOUTS
    # A third time, it is the same import, and nothing is read.
    third = await finished(settling(gateway, file))
    assert third == done
    assert await connection.fetchval(counting) - before == LINES
    await connection.close()
