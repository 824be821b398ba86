"""Every named block of `queries/` is SQL that this schema accepts, is used, and has the columns
that its reader opens. What the code does is read from its syntax tree, so that a block or a
reader added later is held to the same.
"""

import ast
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import asyncpg
import pytest

from paygate.storage.reader import QUERIES
from tests.storage.filled import KINDS
from tests.storage.stored import TABLE_OF

SOURCE = Path(str(files("paygate")))
RECORD_NAMES = {kind.__name__: kind for kind in KINDS}


def nodes() -> Iterator[ast.AST]:
    """All of the package's code."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def opened() -> list[tuple[str, str]]:
    """Where a record and a block are named together, as in `_one(PaymentIntent, "a_block", ...)`:
    the block's rows are opened as that record.
    """
    found = []
    for call in nodes():
        if not isinstance(call, ast.Call):
            continue
        for record, block in zip(call.args, call.args[1:], strict=False):
            if (
                isinstance(record, ast.Name)
                and record.id in RECORD_NAMES
                and isinstance(block, ast.Constant)
                and block.value in QUERIES
            ):
                found.append((record.id, str(block.value)))
    return found


def looked_up() -> set[str]:
    """The blocks that are taken by name, as in `QUERIES["a_block"]`."""
    found = set()
    for node in nodes():
        match node:
            case ast.Subscript(value=ast.Name(id="QUERIES"), slice=ast.Constant(value=name)):
                found.add(str(name))
    return found


@pytest.fixture(scope="module")
def records_read() -> list[tuple[str, str]]:
    pairs = opened()
    assert ("PaymentIntent", "payment_intent") in pairs, "this test no longer understands the code"
    return pairs


@pytest.mark.parametrize("name", sorted(QUERIES))
async def test_a_block_prepares(database: str, name: str) -> None:
    connection = await asyncpg.connect(database)
    statement = await connection.prepare(QUERIES[name])
    assert statement.get_query() == QUERIES[name]
    await connection.close()


def test_every_block_is_used(records_read: list[tuple[str, str]]) -> None:
    assert {block for _, block in records_read} | looked_up() == set(QUERIES)


async def test_a_block_has_its_records_columns_in_order(
    database: str, records_read: list[tuple[str, str]]
) -> None:
    """Types as well: what opens compares every clear column with the sealed record."""
    connection = await asyncpg.connect(database)
    for record, block in records_read:
        statement = await connection.prepare(QUERIES[block])
        found = [(a.name, a.type.name) for a in statement.get_attributes()]
        assert found == list(TABLE_OF[RECORD_NAMES[record]].columns), block
    await connection.close()


async def test_the_tables_are_the_schemas(database: str) -> None:
    """What the committer writes is generated from `tables`: it must name all columns there are,
    with their types, and nothing else.
    """
    connection = await asyncpg.connect(database)
    for table in TABLE_OF.values():
        rows = await connection.fetch(
            "SELECT attname, typname FROM pg_attribute JOIN pg_type t ON t.oid = atttypid"
            " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped",
            table.name,
        )
        assert {(r["attname"], r["typname"]) for r in rows} == set(table.columns), table.name
        assert table.names[:2] == ("merchant", "id")
        assert table.names[-1] == "sealed"
    await connection.close()
