"""How statements are planned on a database that is new: by keys, for they are planned only once."""

import itertools
from collections.abc import Awaitable, Callable, Sequence

import pytest

from paygate.storage.blocks import QUERIES
from paygate.storage.commit.lane import PLANS
from paygate.storage.commit.statement import Mode, Section, build
from paygate.storage.connections.session import Connection
from paygate.storage.look_ups import for_many
from tests.storage.stored import TABLE_OF

Connect = Callable[[], Awaitable[Connection]]

TABLES = sorted(TABLE_OF.values(), key=lambda table: table.name)
VERSIONED = [table for table in TABLES if "version" in table.names]
CLAIMED = [table for table in TABLES if table.claimed_by and table.looked_up_by is None]
RESERVED = [table for table in TABLES if table.looked_up_by is not None]


async def plan(connection: Connection, sql: str, parameters: int) -> str:
    await connection.execute(f"PREPARE planned AS {sql}")
    values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
    rows = await connection.fetch(f"EXPLAIN EXECUTE planned{values}")
    await connection.execute("DEALLOCATE planned")
    return "\n".join(row[0] for row in rows)


def scans(text: str) -> list[str]:
    """The lines that read a table of ours other than row by row through an index condition."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        reads = " Scan" in line and any(f" on {t.name} " in line for t in TABLES)
        by_key = any("Index Cond" in later for later in lines[number + 1 : number + 2])
        if reads and not by_key:
            found.append(line.strip())
    return found


def statements() -> list[Sequence[Section]]:
    """A claim with two advances, for all of them, and a claim of a reference with each claim."""
    return [
        *(
            [Section(claimed, Mode.CLAIM), Section(one, Mode.ADVANCE), Section(two, Mode.ADVANCE)]
            for claimed in CLAIMED
            for one, two in itertools.combinations(VERSIONED, 2)
        ),
        *(
            [Section(claimed, Mode.CLAIM), Section(reserved, Mode.RESERVE)]
            for claimed, reserved in itertools.product(CLAIMED, RESERVED)
        ),
    ]


@pytest.mark.parametrize("sections", statements(), ids=lambda s: "-".join(x.table.name for x in s))
async def test_a_commit_reads_by_keys_alone(connect: Connect, sections: Sequence[Section]) -> None:
    connection = await connect()
    await connection.execute(PLANS)
    parameters = 2 + sum(1 + len(section.table.columns) for section in sections)
    assert scans(await plan(connection, build(sections), parameters)) == []


LOOKED_UP = [
    ("api_key", "text", 1),
    ("attempt_with_intent", "text", 2),
    ("idempotency_key_standing", "text", 2),
    ("payment_intent", "text", 2),
    ("payment_intent_by_provider_reference", "bytea", 1),
]


@pytest.mark.parametrize(("block", "kind", "parameters"), LOOKED_UP)
async def test_keys_are_found_one_by_one(
    connect: Connect, block: str, kind: str, parameters: int
) -> None:
    connection = await connect()
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    text = await plan(connection, for_many(QUERIES[block], kind), parameters)
    assert scans(text) == []
    assert "Nested Loop" in text
    assert "Hash" not in text
    assert "Merge" not in text


@pytest.mark.parametrize("which", ["waiting", "parked", "replayable"])
async def test_waiting_events_are_found_among_those_alone(connect: Connect, which: str) -> None:
    connection = await connect()
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    text = await plan(connection, QUERIES[f"provider_events_{which}"], 5)
    assert scans(text) == []
    assert f"provider_event_{which}" in text
    assert "Sort" not in text


@pytest.mark.parametrize(
    ("block", "parameters"),
    [("types_without_handler", 2), ("provider_events_without_handler", 7)],
)
async def test_events_without_handler_are_found_by_their_type(
    connect: Connect, block: str, parameters: int
) -> None:
    connection = await connect()
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    text = await plan(connection, QUERIES[block], parameters)
    assert scans(text) == []
    assert "provider_event_without_handler" in text
    assert "Sort" not in text


async def test_a_reference_is_looked_up_among_its_own_intents(connect: Connect) -> None:
    connection = await connect()
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    text = await plan(connection, QUERIES["payment_intent_by_reference"], 4)
    assert scans(text) == []
    assert "payment_intent_reference" in text


async def test_this_test_sees_a_scan(connect: Connect) -> None:
    connection = await connect()
    assert scans(await plan(connection, "SELECT * FROM payment_intent", 0)) != []
