"""What a sweep reads at once costs that much, however much there is before and behind it."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.blocks import QUERIES
from paygate.storage.connections.session import Connection
from tests.raw import raw

MERCHANTS, EACH, PAGE = 10, 1200, 50
SWEEPS = {
    "payment_intents_held": ("", 6 * PAGE),
    "payment_intents_overdue": (", 'pi_z', now() + interval '1 hour'", EACH),
}
"""The sweeps of intents: what they ask beside the place and the page, and how many rows they may
look at for a page: merchants are sorted in groups, so it is a few pages, or a merchant or two.
"""


@pytest.fixture(scope="module")
async def many(postgres: EmbeddedPostgres, template: str) -> AsyncIterator[Connection]:
    """Intents of many merchants, half of them held, half of them created."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute(f"CREATE DATABASE sweep_pages TEMPLATE {template}")
    connection = await raw(postgres.dsn, database="sweep_pages")
    await connection.execute(
        "INSERT INTO merchant (id) SELECT 'm' || 100 + g FROM generate_series(1, $1::int) g",
        MERCHANTS,
    )
    await connection.execute("ALTER TABLE payment_intent DISABLE TRIGGER ALL")
    await connection.execute(
        "INSERT INTO payment_intent (merchant, id, version, status, created_at, updated_at, sealed)"
        " SELECT 'm' || (101 + g % $1), 'pi_' || lpad(g::text, 9, '0'), 3,"
        " CASE WHEN g / $1 % 2 = 0 THEN 'requires_capture' ELSE 'created' END, now(), now(), 'x'"
        " FROM generate_series(0, $2) g",
        MERCHANTS,
        MERCHANTS * EACH - 1,
    )
    await connection.execute("ANALYZE")
    yield connection
    await connection.close()
    await admin.execute("DROP DATABASE sweep_pages WITH (FORCE)")
    await admin.close()


def scanned(plan: dict[str, Any]) -> Iterator[float]:
    """How many rows of payment intents each part of a plan looked at."""
    if plan.get("Relation Name") == "payment_intent":
        removed = plan.get("Rows Removed by Filter", 0)
        yield (plan["Actual Rows"] + removed) * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("place", ["'', ''", "'m105', 'pi_000006000'", "'m110', 'pi_000011000'"])
async def test_a_page_costs_a_page(many: Connection, name: str, place: str) -> None:
    """Never all merchants again."""
    sql, (asked, most) = QUERIES[name], SWEEPS[name]
    for number, value in enumerate((*place.split(", "), str(PAGE)), 1):
        sql = sql.replace(f"${number}", value)
    for number, value in enumerate(asked.split(", ")[1:], 4):
        sql = sql.replace(f"${number}", value)
    found = await many.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
    (plan,) = json.loads(found)
    assert 0 < sum(scanned(plan["Plan"])) <= most, plan
    assert len(await many.fetch(sql)) > 0


@pytest.mark.parametrize("name", SWEEPS)
async def test_all_pages_together_are_all_there_is(many: Connection, name: str) -> None:
    """In order, and each once."""
    found: list[tuple[str, str]] = []
    last = ("", "")
    sql = QUERIES[name].replace("$4", "'pi_z'").replace("$5", "now() + interval '1 hour'")
    while rows := await many.fetch(sql, *last, PAGE):
        found += [(row["merchant"], row["id"]) for row in rows]
        last = found[-1]
    assert found == sorted(set(found))
    assert len(found) == MERCHANTS * EACH // 2
