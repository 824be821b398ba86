"""A page costs a range of an index, whatever the plan, however long the list."""

from datetime import UTC, datetime

import asyncpg
import pytest

from paygate.domain.ids import PREFIXES, make_id
from paygate.storage.blocks import QUERIES
from paygate.storage.pages import newest

PAGED = sorted(name for name in QUERIES if name.endswith(("_older", "_newer")))

BY_ANOTHER = {
    "reconciliation_findings": (
        "reconciliation_finding_of",
        "(merchant = $1) AND (reconciliation = $4) AND (id ",
    ),
    "deliveries": ("delivery_of_endpoint", "(merchant = $1) AND (endpoint = $4) AND (id "),
    "refunds": ("refund_by_age", "(merchant = $1) AND (ROW(created_at, id) "),
    "disputes": ("dispute_by_age", "(merchant = $1) AND (ROW(created_at, id) "),
    "discrepancies": ("discrepancy_by_age", "(merchant = $1) AND (ROW(created_at, id) "),
    "audit_entries": ("audit_entry_default_pkey", "(merchant = $1) AND (id "),
    "events": ("_merchant_written_in_id_idx", "(merchant = $1) AND (ROW(written_in, id) "),
}
"""Lists of a part of a table, or in another order: their index, and what they seek in it."""


@pytest.mark.parametrize("name", PAGED)
async def test_a_page_is_a_range_of_the_key(database: str, name: str) -> None:
    """In the generic plan, which a prepared statement ends with; no sort, no filter on the id."""
    connection = await asyncpg.connect(database)
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    await connection.execute("SET enable_bitmapscan = off")
    await connection.execute(f"PREPARE page AS {QUERIES[name]}")
    count = len((await connection.prepare(QUERIES[name])).get_parameters())
    arguments = ", ".join(["NULL"] * count)
    rows = await connection.fetch(f"EXPLAIN EXECUTE page({arguments})")
    plan = "\n".join(row[0] for row in rows)
    await connection.close()
    listed, side = name.rpartition("_")[0], "<" if name.endswith("_older") else ">"
    own = (f"{listed.removesuffix('s')}_pkey", "(merchant = $1) AND (id ")
    index, sought = BY_ANOTHER.get(listed, own)
    assert index in plan
    assert f"Index Cond: ({sought}{side} " in plan
    assert "Sort  (" not in plan, "a merge of months, which is in order, has a Sort Key alone"


def test_every_id_is_before_the_newest_page() -> None:
    latest = datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000
    for kind, prefix in PREFIXES.items():
        for milliseconds in (0, int(latest), (1 << 48) - 1):
            assert make_id(prefix, milliseconds, b"\xff" * 10) < newest(kind, 10).bound


async def test_every_id_is_before_it_in_every_collation(database: str) -> None:
    last = make_id("key_", (1 << 48) - 1, b"\xff" * 10)
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "SELECT quote_ident(collname) AS name FROM pg_collation"
        " WHERE collprovider <> 'i'"
        " AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))"
    )
    for row in rows:
        before = await connection.fetchval(
            f"SELECT $1::text COLLATE {row['name']} < $2::text COLLATE {row['name']}",
            last,
            newest("api_key", 10).bound,
        )
        assert before, row["name"]
    await connection.close()
