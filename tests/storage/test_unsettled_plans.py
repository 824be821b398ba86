"""What is in no settlement is looked for row by row: a page reads the lines of its own rows."""

import asyncpg
import pytest

from paygate.storage.blocks import QUERIES

ARGUMENTS = {
    "payment_intents_unsettled": "('', '', 200, 'pi_0', 'pi_z', 'default')",
    "refunds_unsettled": "('', '-infinity', '', 200, '-infinity', 'infinity', 'default')",
}


@pytest.mark.parametrize("query", ARGUMENTS)
async def test_lines_are_asked_for_by_row(database: str, query: str) -> None:
    """As a join, each page would read all lines that were ever settled."""
    connection = await asyncpg.connect(database)
    await connection.execute(f"PREPARE looked_for AS {QUERIES[query]}")
    rows = await connection.fetch(f"EXPLAIN EXECUTE looked_for {ARGUMENTS[query]}")
    await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert "SubPlan" in plan
    assert "Anti Join" not in plan
