"""How statements are planned on a database that is new: by keys, for they are planned only once."""

import itertools
import re
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


MANY_ENTRIES = """
INSERT INTO audit_entry (merchant, id, at, sealed, subject, action, actor)
SELECT 'default', 'au_' || lpad(n::text, 26, '0'),
       date_trunc('month', now()) + n * interval '1 second' + (n % 3) * interval '1 month', 's',
       'pi_' || lpad((n / 4)::text, 26, '0'), 'payment_intent.confirm', 'key_1'
FROM generate_series(1, 60000) n
"""
OF_ONE = ("default", "zz", 11, "", "zz", "pi_" + "7".rjust(26, "0"), None, None, None, None, None)


@pytest.mark.parametrize("side", ["older", "newer"])
async def test_a_subjects_audit_entries_are_found_month_by_month_by_their_index(
    connect: Connect, side: str
) -> None:
    """As a search is planned, with the filters that it has; it stops at the page's end."""
    connection = await connect()
    await connection.execute(MANY_ENTRIES)
    # Without rows, a month would be scanned: it costs nothing.
    await connection.execute("ANALYZE audit_entry; SET enable_seqscan = off")
    await connection.execute("SET plan_cache_mode = force_custom_plan")
    query = f"EXPLAIN (ANALYZE, BUFFERS) {QUERIES[f'audit_entries_{side}']}"
    bound = "zz" if side == "older" else ""
    rows = await connection.fetch(query, OF_ONE[0], bound, *OF_ONE[2:])
    text = "\n".join(row[0] for row in rows)
    assert scans(text) == []
    assert text.count("subject = '") >= 3, text
    assert "Filter" not in text, "nothing is read that is not shown"
    asked = (None, None, "merchant.create", None, None, None)
    rows = await connection.fetch(query, "default", bound, 11, "", "zz", *asked)
    text = "\n".join(row[0] for row in rows)
    assert "action = 'merchant.create'" in text
    assert "Filter" not in text, "what is rare has an index of its own"
    everything = (None,) * 6
    rows = await connection.fetch(query, "default", bound, 11, "", "zz", *everything)
    text = "\n".join(row[0] for row in rows)
    assert scans(text) == []
    assert re.search(r"Limit .* rows=11\.?0* ", text)
    read = [int(n) for n in re.findall(r"Index Scan.*\(actual time=\S+ rows=(\d+)", text)]
    assert sum(read) < 100, "a page of a merchant's log reads a page"


async def test_a_timeline_is_read_by_indexes_alone(connect: Connect) -> None:
    connection = await connect()
    await connection.execute(MANY_ENTRIES)
    await connection.execute("ANALYZE; SET plan_cache_mode = force_custom_plan")
    await connection.execute("SET enable_seqscan = off")
    query = f"EXPLAIN (ANALYZE) {QUERIES['timeline']}"
    since = await connection.fetchval("SELECT date_trunc('month', now()) - interval '1 day'")
    subject = OF_ONE[5]
    rows = await connection.fetch(query, "default", subject, 501, since, "default", ["x.read"])
    text = "\n".join(row[0] for row in rows)
    assert scans(text) == []
    assert "audit_entry_default" in text


async def test_this_test_sees_a_scan(connect: Connect) -> None:
    connection = await connect()
    assert scans(await plan(connection, "SELECT * FROM payment_intent", 0)) != []
