"""The named blocks of `queries/`, each a statement. The columns of a record are not spelled out in
a block, but filled in from the record's declaration when the block is loaded:

- `{attempt}` are the columns of the table `attempt`, in their order;
- `{attempt as a}` are the same of that table under another name;
- `{attempt from $2}` are values for them, from the second parameter on;
- `{attempt rows from $2}` are rows of them, from arrays of each column's values;
- `{refund by provider_reference_index}` are the key, that hash and the seal (`Records.open_found`).
"""

import re
from importlib.resources import files
from typing import Final

from paygate.storage.tables import STORED

_NAMED: Final = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)
_COLUMNS: Final = re.compile(r"\{(\w+)(?: as (\w+)| by (\w+)| from \$(\d+)| rows from \$(\d+))?\}")
_TABLES: Final = {stored.name: stored for stored in STORED.values()}


def load_queries() -> dict[str, str]:
    """Every block of every file in `queries/`, by name."""
    blocks: dict[str, str] = {}
    for entry in sorted((files("paygate.storage") / "queries").iterdir(), key=lambda e: e.name):
        if not entry.name.endswith(".sql"):
            continue
        for name, sql in _NAMED.findall(entry.read_text(encoding="utf-8")):
            assert name not in blocks, f"two queries are called {name}"
            blocks[name] = filled(sql.strip())
    return blocks


def filled(block: str) -> str:
    """The block with the columns that it asks for."""
    sql = _COLUMNS.sub(_columns, block)
    assert "{" not in sql, f"this asks for no columns that there are: {sql}"
    return sql


def _columns(asked: re.Match[str]) -> str:
    table, alias, found_by, first, arrays = asked.groups()
    assert table in _TABLES, f"no record is stored in {table}"
    columns = _TABLES[table].columns
    if found_by:
        return ", ".join(column.name for column in _TABLES[table].row_found_by(found_by))
    if first:
        values = enumerate(columns, start=int(first))
        return ", ".join(f"${number}::{column.sql_type}" for number, column in values)
    if arrays:
        given = enumerate(columns, start=int(arrays))
        lists = ", ".join(f"${number}::{column.sql_type}[]" for number, column in given)
        return f"unnest({lists}) AS r ({', '.join(column.name for column in columns)})"
    return ", ".join(f"{alias}.{column.name}" if alias else column.name for column in columns)


QUERIES: Final = load_queries()
