"""A record is declared once: the declaration is what the schema holds, and nothing else has to be
told of a column.
"""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

import asyncpg
import msgspec
import pytest

from paygate.domain.customer import Customer
from paygate.storage.blocks import filled
from paygate.storage.stored import Column, Stored
from paygate.storage.tables import AUDIT_ENTRY, CUSTOMER
from tests.storage.stored import TABLE_OF

ROOT = Path(__file__).parents[2]
SOURCE = Path(str(files("paygate")))
OF_THE_SCHEMA = {
    "idempotency_key": {("leased_until", "timestamptz", True)},
    "delivery": {("leased_until", "timestamptz", True), ("run", "text", True)},
    "event": {("written_in", "xid8", False)},
    "audit_entry": {("written_in", "xid8", False)},
}
"""Columns that the schema alone writes."""
ONE_MORE = "one_more_column"
"""The program that runs on such a copy."""


def may_be_none(record: type[msgspec.Struct], column: Column) -> bool:
    """Whether the attribute that a column shows can be None, by its annotation."""
    shown: Any = record
    for name in column.source.split("."):
        attribute = getattr(shown, name)
        known = attribute.fget if isinstance(attribute, property) else shown
        shown = get_type_hints(known)["return" if known is not shown else name]
    return type(None) in get_args(shown)


async def test_a_declaration_is_what_the_schema_holds(database: str) -> None:
    """All columns that there are, with their types; null where the record may leave them out."""
    connection = await asyncpg.connect(database)
    for record, stored in TABLE_OF.items():
        rows = await connection.fetch(
            "SELECT column_name, udt_name, is_nullable = 'YES' FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name = $1",
            stored.name,
        )
        declared = {
            (c.name, c.sql_type, c.added_later or may_be_none(record, c))
            for c in stored.columns[:-1]
        }
        sealed = ("sealed", "bytea", False)
        expected = declared | {sealed} | OF_THE_SCHEMA.get(stored.name, set())
        assert set(map(tuple, rows)) == expected, stored.name
    await connection.close()


async def test_whatever_is_sealed_is_declared(database: str) -> None:
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "SELECT relname AS table_name FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
        " WHERE attname = 'sealed' AND NOT relispartition AND relkind IN ('r', 'p')"
    )
    await connection.close()
    assert {row["table_name"] for row in rows} == {stored.name for stored in TABLE_OF.values()}


def with_one_more(folder: Path) -> Path:
    """A copy of the code in which an intent's provider stands in clear as well: told to a migration
    and to the declaration.
    """
    shutil.copytree(SOURCE, folder / "paygate", ignore=shutil.ignore_patterns("__pycache__"))
    storage = folder / "paygate" / "storage"
    migration = storage / "schema" / "migrations" / f"9999_{ONE_MORE}.sql"
    migration.write_text("ALTER TABLE payment_intent ADD COLUMN provider text;\n")
    before, declared = 'Column("money_seq", "int4"),\n', (storage / "tables.py").read_text()
    more = declared.replace(before, f'Column("provider", "text", added_later=True),\n{before}', 1)
    (storage / "tables.py").write_text(more)
    return folder


async def test_a_column_is_added_in_two_places(database: str, tmp_path: Path) -> None:
    """Rows with the column are then written, read by every kind of query, and held against what is
    sealed.
    """
    folder = with_one_more(tmp_path)
    command = [sys.executable, "-m", f"tests.storage.{ONE_MORE}", database, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE
    )
    printed, faults = await ran.communicate()
    assert (ran.returncode, printed) == (0, b"opened\n"), faults.decode()
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT version, provider FROM payment_intent")
    await connection.close()
    assert list(map(tuple, rows)) == [(2, "stripe")]


def test_a_column_that_the_record_does_not_have_is_no_declaration() -> None:
    with pytest.raises(AssertionError, match="nickname"):
        Stored(Customer, "customer", Column("nickname", "text"))


def test_a_block_is_filled_from_the_declaration() -> None:
    columns = ", ".join(CUSTOMER.names)
    assert filled("SELECT {customer} FROM customer") == f"SELECT {columns} FROM customer"
    theirs = ", ".join(f"c.{name}" for name in CUSTOMER.names)
    assert filled("SELECT {customer as c}, 1") == f"SELECT {theirs}, 1"
    values = [f"${n}::{column.sql_type}" for n, column in enumerate(AUDIT_ENTRY.columns, start=2)]
    assert filled("SELECT {audit_entry from $2}") == f"SELECT {', '.join(values)}"
    lists = ", ".join(f"{value}[]" for value in values)
    rows = f"unnest({lists}) AS r ({', '.join(AUDIT_ENTRY.names)})"
    assert filled("FROM {audit_entry rows from $2}") == f"FROM {rows}"


@pytest.mark.parametrize("wrong", ["{nothing}", "{customer c}", "{customer", "{}"])
def test_a_block_that_asks_for_other_columns_is_not_loaded(wrong: str) -> None:
    with pytest.raises(AssertionError):
        filled(f"SELECT {wrong} FROM customer")
