"""Every named block of `queries/` is SQL that this schema accepts, is used, and has the columns
that its reader opens. What the code does is read from its syntax tree, so that a block or a
reader added later is held to the same.
"""

import ast
import inspect
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from paygate.storage import (
    audit_chain,
    audit_log,
    audit_seals,
    disputes,
    erasure,
    reader,
    reconciliations,
    refunds,
    retention,
    timelines,
    whole_ledger,
    whole_tables,
)
from paygate.storage.blocks import QUERIES
from paygate.storage.settlements import facts, imports, pages
from paygate.storage.settlements import reader as settlement_reader
from paygate.storage.stored import Column, Stored
from paygate.storage.webhooks import outbox
from paygate.storage.webhooks import reader as webhook_reader
from tests.storage.stored import TABLE_OF

SOURCE = Path(str(files("paygate")))
BESIDE = {
    "idempotency_key_standing": [("lease_left", "float8")],
    "lease_deliveries": [("leased_at", "timestamptz")],
}
"""What a block tells beside its records."""
OF_A_RANGE = {
    "ledger_transfers_between": "Transfer",
    "ledger_transfers_of": "Transfer",
    "ledger_attempts_between": "Attempt",
    "ledger_attempts_of": "Attempt",
}
"""Blocks whose rows are opened elsewhere than where they are fetched."""
FOUND = ("payments_found", "refunds_found", "disputes_found")
"""Blocks of which the seal alone is believed: rows of the key, the hash and the seal."""
SCRATCH = ("make_recorded", "make_listed")
"""Blocks that make the temporary tables that others read."""
RECORD_NAMES = {kind.__name__: kind for kind in TABLE_OF}


class Read(NamedTuple):
    """A reader's block, and the records that it opens from a row of it, in order."""

    block: str
    records: list[str]


def reads() -> Iterator[Read]:
    """What each method of the readers fetches and opens: `_one(PaymentIntent, "a_block", ...)`, or
    `_fetch("a_block", ...)` and `open(PaymentIntent, ...)`.
    """
    modules = (
        *(audit_log, audit_chain, audit_seals, disputes, reader, reconciliations, refunds),
        *(erasure, retention, timelines, whole_ledger),
        *(webhook_reader, outbox),
        *(settlement_reader, pages, facts, imports, whole_tables),
    )
    sources = (inspect.getsource(module) for module in modules)
    for method in (node for source in sources for node in ast.walk(ast.parse(source))):
        if isinstance(method, ast.AsyncFunctionDef):
            arguments = [
                argument
                for call in ast.walk(method)
                if isinstance(call, ast.Call)
                for argument in call.args
            ]
            blocks = [a.value for a in arguments if isinstance(a, ast.Constant)]
            records = [a.id for a in arguments if isinstance(a, ast.Name) and a.id in RECORD_NAMES]
            for block in (str(block) for block in blocks if block in QUERIES):
                yield Read(block, [OF_A_RANGE[block]] if block in OF_A_RANGE else records)


def looked_up() -> set[str]:
    """The blocks that are taken by name elsewhere, as in `QUERIES["a_block"]`."""
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Subscript(value=ast.Name(id="QUERIES"), slice=ast.Constant(value=name)):
                    found.add(str(name))
    return found


@pytest.mark.parametrize("name", sorted(QUERIES))
async def test_a_block_prepares(database: str, name: str) -> None:
    connection = await asyncpg.connect(database)
    for scratch in SCRATCH:
        await connection.execute(QUERIES[scratch])
    statement = await connection.prepare(QUERIES[name])
    assert statement.get_query() == QUERIES[name]
    await connection.close()


def test_every_block_is_used() -> None:
    by_kind = set(whole_tables._QUERIES.values())
    assert {read.block for read in reads()} | looked_up() | by_kind == set(QUERIES)


def _shown(read: Read, table: Stored[Any]) -> tuple[Column, ...]:
    found = read.block in FOUND
    return table.row_found_by("provider_reference_index") if found else table.columns


async def test_a_block_has_its_records_columns_in_order(database: str) -> None:
    """Types as well: what opens compares every clear column with the sealed record."""
    connection = await asyncpg.connect(database)
    opened: set[str] = set()
    for read in reads():
        statement = await connection.prepare(QUERIES[read.block])
        found = [(a.name, a.type.name) for a in statement.get_attributes()]
        tables = [TABLE_OF[RECORD_NAMES[name]] for name in read.records]
        expected = [(c.name, c.sql_type) for table in tables for c in _shown(read, table)]
        expected += BESIDE.get(read.block, [])
        assert found == expected or not read.records, read
        opened |= set(read.records)
    await connection.close()
    assert {"PaymentIntent", "Attempt"} <= opened, "this test no longer understands the reader"
