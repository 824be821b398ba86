"""The rows of settlement: a report of many lines, with discrepancies in it, read and settled
against as many records, from the file to the last durable commit.

Books are generated, and the merchant's side of them is written in bulk; then `paygate settle
--report` runs as anybody would run it. What it finds is held against what was injected: a run that
misses a discrepancy, or finds one that is none, has measured nothing.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from paygate.domain.ids import make_id
from paygate.domain.settlements.discrepancy import Discrepancy
from paygate.settings import load
from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from paygate.storage.records import Records
from paygate.storage.tables import STORED
from paygate.wiring.keys import open_records
from paygate.wiring.service import open_context
from paygate_sandbox.generator.files import write_books
from paygate_sandbox.generator.plan import Plan
from tools.bench import BenchError, merchant_side
from tools.bench.merchant_side import Label, Record
from tools.bench.processes import KIB, PROC, environment, peak_bytes
from tools.bench.rows import Sample

INJECTED: Final = (
    "amount_mismatch", "currency_mismatch", "duplicate_at_provider", "missing_internally",
    "payout_total_mismatch", "refund_mismatch", "status_mismatch", "unexpected_adjustment",
    "unexpected_chargeback",
)  # fmt: skip
"""Kinds that a report alone tells of: the others need the provider, or rules for fees."""
OF_EACH: Final = 20
ROWS: Final = (("settled", 90_000), ("settled_million", 900_000))
"""The rows, and the payments of each: a tenth more lines are refunds, disputes and the provider's
own.
"""
MONTHS: Final = 3
COPIED: Final = 5_000
LIMIT_SECONDS: Final = 1800
_TRIGGERS: Final = (
    "SELECT tgname, tgenabled FROM pg_trigger"
    " WHERE tgrelid = $1::text::regclass AND NOT tgisinternal"
)


def settled(ready: dict[str, Any], folder: Path, row: str, payments: int) -> Sample:
    """Settle a report of about so many lines: its seconds, and the memory of all its processes.

    Raises:
        BenchError: not exactly what was injected was found.
    """
    out = folder / row
    asyncio.run(_seed(ready, out, payments))
    report = out / "report.csv"
    count = report.read_bytes().count(b"\n") - 1
    seconds, peak = _ran(ready, out, report)
    found = asyncio.run(_found(ready))
    _compare(found, merchant_side.labels(out))
    return {row: seconds, f"{row}/rate": count / seconds, f"{row}/memory": peak / KIB / KIB}


async def _seed(ready: dict[str, Any], out: Path, payments: int) -> None:
    """Write the books, and the merchant's side into the gateway."""
    settings = load({}, data=Path(ready["data_dir"]))
    async with open_context(settings, name="bench") as ctx:
        installation = ctx.installation
    plan = Plan(
        payments,  # a seed of their own, so that two rows share no id
        payments,
        MONTHS,
        discrepancies=dict.fromkeys(INJECTED, OF_EACH),
        attempt_key="paygate_attempt",
        name_attempt=lambda number: make_id("at_", number, bytes(10)),
        marks={"paygate_installation": installation, "paygate_merchant": merchant_side.MERCHANT},
    )
    await asyncio.to_thread(write_books, plan, out)
    merchant_side.add_own_rows(out)
    records = await open_records(settings)
    connection = await connector(ready["database_url"], name="bench")()
    try:
        await copy_records(connection, records, merchant_side.payments(out))
        await copy_records(connection, records, merchant_side.refunds(out))
        await copy_records(connection, records, merchant_side.disputes(out))
        # As records of past months are, of which every row was read and every page vacuumed.
        await connection.execute("VACUUM (ANALYZE) payment_intent, refund, dispute")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def copy_records(connection: Connection, records: Records, made: Iterable[Record]) -> None:
    """Write records in bulk, so many at a time."""
    each: Iterator[Record] = iter(made)
    while some := list(islice(each, COPIED)):
        stored = STORED[type(some[0])]
        rows = zip(*records.columns(some), strict=True)
        async with connection.transaction(), _unguarded(connection, stored.name):
            await connection.copy_records_to_table(stored.name, records=rows, columns=stored.names)


@asynccontextmanager
async def _unguarded(connection: Connection, table: str) -> AsyncIterator[None]:
    """A table whose rows may begin where others end: its triggers rest, until the commit."""
    triggers = await connection.fetch(_TRIGGERS, table)
    await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for name, enabled in triggers:
        always = "ALWAYS " if enabled == b"A" else ""
        await connection.execute(f"ALTER TABLE {table} ENABLE {always}TRIGGER {name}")


def _ran(ready: dict[str, Any], folder: Path, report: Path) -> tuple[float, int]:
    """`paygate settle --report`: its seconds, and the most memory of its processes together."""
    command = [sys.executable, "-P", "-m", "paygate.cli", "settle", "--report", str(report)]
    command += ["--json", "--data", ready["data_dir"]]
    output, peaks = folder / "settled.json", dict[int, int]()
    started = time.perf_counter()
    with (
        output.open("wb") as out,
        subprocess.Popen(command, stdout=out, env=environment(), cwd=folder) as process,  # noqa: S603 -- our own
    ):
        while process.poll() is None:
            for pid in (process.pid, *_children(process.pid)):
                peaks[pid] = max(peaks.get(pid, 0), peak_bytes(pid))
            if time.perf_counter() - started > LIMIT_SECONDS:
                process.kill()
            time.sleep(0.05)
    seconds = time.perf_counter() - started
    done = msgspec.json.decode(output.read_bytes() or b"{}")
    if done.get("settlement_import", {}).get("status") != "completed":
        raise BenchError(f"the report was not read: {str(done)[:300]}")
    return seconds, sum(peaks.values())


def _children(pid: int) -> list[int]:
    try:
        listed = (PROC / str(pid) / "task" / str(pid) / "children").read_text()
    except OSError:
        return []
    return [int(each) for each in listed.split()]


async def _found(ready: dict[str, Any]) -> set[Label]:
    """Every discrepancy that stands in the gateway."""
    records = await open_records(load({}, data=Path(ready["data_dir"])))
    stored = STORED[Discrepancy]
    connection = await connector(ready["database_url"], name="bench")()
    try:
        rows = await connection.fetch(f"SELECT {', '.join(stored.names)} FROM discrepancy")  # noqa: S608 -- constants
    finally:
        await connection.close()
    every = [records.open(Discrepancy, tuple(row)).what for row in rows]
    return {Label(str(each.kind), each.about) for each in every}


def _compare(found: set[Label], injected: set[Label]) -> None:
    """Raises BenchError unless precision and recall are 1 for every kind."""
    missed, wrong = injected - found, found - injected
    ours = {label for label in wrong if label.about.startswith(_seeds(injected))}
    if missed or ours:
        raise BenchError(
            f"missed {sorted(missed)[:5]} ({len(missed)}), found wrongly {sorted(ours)[:5]}"
            f" ({len(ours)})"
        )


def _seeds(injected: set[Label]) -> tuple[str, ...]:
    """How ids of these books begin: of other books in the gateway nothing is looked at."""
    return tuple({label.about[: label.about.index("_") + 10] for label in injected})
