"""The limit that the database sets: the same rows by `pgbench`, one transaction each, durable."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from paygate.embedded.server import binaries
from paygate.storage.commit.statement import Section
from paygate.storage.schema.versions import ANNOUNCED
from paygate.storage.stored import Column
from tools.bench import BenchError

CLIENTS: Final = 32

Rows = Sequence[tuple[Section, tuple[Any, ...]]]


def script(rows: Rows) -> str:
    """A transaction that writes rows like these: random ids, blobs of the same sizes."""
    statements = []
    for section, row in rows:
        table = section.table
        values = [_value(column, cell) for column, cell in zip(table.columns, row, strict=True)]
        statements.append(
            f"INSERT INTO {table.name} ({', '.join(table.names)}) VALUES ({', '.join(values)});"  # noqa: S608 -- names from tables.py
        )
    return "\n".join(["BEGIN;", *statements, "END;"])


def run(dsn: str, rows: Rows, folder: Path, seconds: int) -> float:
    """Transactions a second, of so many seconds.

    Raises:
        BenchError: pgbench failed.
    """
    path = folder / "pgbench.sql"
    path.write_text(script(rows), encoding="utf-8")
    command: list[str | Path] = [
        binaries() / "pgbench",
        "--no-vacuum",
        "--protocol=prepared",
        "--jobs=2",
    ]
    command += [f"--client={CLIENTS}", f"--time={seconds}", f"--file={path}", dsn]
    # As every connection of ours: the schema refuses writers that do not say who they are.
    announced = " ".join(f"-c {name}={value}" for name, value in ANNOUNCED.items())
    environment = os.environ | {"PGOPTIONS": announced}
    done = subprocess.run(  # noqa: S603 -- our own binary
        command, env=environment, capture_output=True, text=True, check=False
    )
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise BenchError(f"pgbench failed: {done.stderr.strip()[-300:]}")
    return float(found[1])


def _value(column: Column, cell: Any) -> str:
    if cell is None:
        return "NULL"
    if column.name == "id":
        return f"'{cell[:3]}' || replace(gen_random_uuid()::text, '-', '')"
    if column.sql_type == "bytea":
        return f"'\\x{cell.hex()}'::bytea"
    if column.sql_type == "timestamptz":
        return "now()"
    return str(cell) if column.sql_type == "int4" else f"'{cell}'"
