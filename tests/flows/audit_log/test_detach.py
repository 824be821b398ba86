"""Months past their time are taken out of the log: the oldest first, what is sealed, told outside
and verified; the rest of the log holds without them, and nothing else may be missing (D16, D20).
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import asyncpg
import msgspec
import pytest

from paygate.domain.errors import ErrorCode, Refusal
from paygate.flows.audit_log.detach import detach_past_months
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import open_pool
from paygate.storage.idempotency import IdempotencyKeys
from paygate.storage.schema.taking_out import detach_months
from tests.flows.audit_log.log import Log, told_to
from tests.flows.audit_log.test_export import checked, exported
from tests.flows.audit_log.test_restored import declare, silent

Take = Callable[[Sequence[str]], Awaitable[None]]
MONTHS = [datetime(2025, month, 1, tzinfo=UTC) for month in (7, 8, 9, 10)]
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAMES = ["audit_entry_2025_07", "audit_entry_2025_08", "audit_entry_2025_09"]
PLACES = "SELECT place::text FROM months_of('audit_entry') ORDER BY ends NULLS LAST LIMIT 4"


@pytest.fixture
def take(database: str) -> Take:
    """As the owner."""
    dial = connector(database, name="owner")
    return partial(detach_months, dial, "audit_entry", tell=lambda _: None)


async def old(log: Log) -> list[str]:
    """Three entries in each of four months, and three of today; the ids."""
    for month in MONTHS:
        await log.connection.execute("SELECT make_month('audit_entry', $1)", month)
    ids = []
    for month in (*MONTHS, NOW):
        log.world.clock.time = month + timedelta(days=3)
        ids += [entry.id for entry in await log.act(3)]
    await log.seal()
    log.world.clock.time = NOW
    return ids


async def detach(log: Log, take: Take | None) -> Sequence[str]:
    return await detach_past_months(log.ctx, log.world.caller, take, progress=silent)


async def places(log: Log) -> list[str]:
    return [row["place"] for row in await log.connection.fetch(PLACES)]


async def test_what_is_past_its_time_is_taken_away(log: Log, take: Take, tmp_path: Path) -> None:
    """400 days before November the 24th is October the 20th, so October stays."""
    await old(log)
    assert await detach(log, None) == NAMES, "a dry run"
    assert (await places(log))[:3] == NAMES
    assert await detach(log, take) == NAMES
    assert (await places(log))[0] == "audit_entry_2025_10"
    kept = await log.connection.fetchval(f"SELECT count(*) FROM {NAMES[0]}")
    assert kept == 3
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await log.connection.execute(f"DELETE FROM {NAMES[0]}")
    assert not await log.connection.fetchval(
        "SELECT bool_or(has_table_privilege('pg_monitor', $1, 'SELECT'))", NAMES[0]
    )
    verified = await log.verify()
    assert (verified.is_good, verified.detached) == (True, 9)
    await log.seal()
    lines = await exported(log)
    code, said = checked(tmp_path, lines, "", str(log.file))
    assert (code, said.endswith("9 without content\n")) == (0, True), said
    for number, entry in ((1, lines[-2]["entry"]), (10, None)):
        forged = {**lines[number], "content": None, "entry": entry}
        code, said = checked(tmp_path, [*lines[:number], forged, *lines[number + 1 :]])
        assert (code, forged["id"] in said) == (1, True), "only a seal may be left, of these months"
    # A year later the next ones: that entry speaks for those before, too.
    log.world.clock.time = NOW + timedelta(days=30)
    assert await detach(log, take) == ["audit_entry_2025_10"]
    assert (await log.verify()).detached == 12
    assert await detach(log, take) == []


async def test_another_month_is_missed(log: Log, take: Take) -> None:
    """D16: one in the middle; and one that nobody declared."""
    ids = await old(log)
    with pytest.raises(Exception, match="not the oldest"):
        await take([NAMES[1]])
    await detach(log, take)
    await log.connection.execute("ALTER TABLE audit_entry DETACH PARTITION audit_entry_2025_10")
    assert await log.found() == (10, ids[9])


async def test_a_month_that_is_not_in_order_stays(log: Log, take: Take) -> None:
    ids = await old(log)
    sealed = f"UPDATE audit_entry SET subject = {{}} WHERE id = '{ids[4]}'"

    async def refused(why: str) -> None:
        with pytest.raises(Refusal, match=why) as refusal:
            await detach(log, take)
        assert refusal.value.code is ErrorCode.AUDIT_LOG_NOT_WHOLE
        assert (await places(log))[:3] == NAMES

    await log.by_superuser(sealed.format("NULL"))
    await refused(ids[4])
    await log.by_superuser(sealed.format("'pi_1'"))
    told, log.ctx = log.ctx, told_to(log.ctx, None)
    await refused("no checkpoint was told")
    log.ctx = told
    log.world.clock.time = MONTHS[1]
    await log.act()
    log.world.clock.time = NOW
    await refused("1 entries of before 2025-10-01 are not sealed")
    log.ctx = told_to(log.ctx, None)
    await log.seal()
    log.ctx = told
    await refused("was not told outside yet")
    await log.act()
    await log.seal()
    assert await detach(log, take) == NAMES


async def test_a_machine_whose_clock_is_ahead_takes_nothing_away(
    log: Log, take: Take, database: str
) -> None:
    """Months would be past their time to it that are not: half a year of what must be kept."""
    await old(log)
    ahead = timedelta(days=200)
    log.world.clock.time = NOW + ahead
    dial, pool = connector(database, name="keys"), open_pool(database, name="ahead")
    keys = IdempotencyKeys(
        dial, pool, log.world.records, machine_time=lambda: datetime.now(UTC) + ahead
    )
    log.ctx = msgspec.structs.replace(log.ctx, keys=keys)
    for way in (None, take):
        with pytest.raises(Refusal, match="clock_ahead_of_the_database"):
            await detach(log, way)
    assert (await places(log))[:3] == NAMES
    pool.close()


async def test_an_entry_that_is_gone_is_not_of_a_month_that_was_taken_away(
    log: Log, take: Take
) -> None:
    """Nor does it help to say of its seal that it is as old."""
    ids = await old(log)
    await detach(log, take)
    await log.by_superuser(
        f"DELETE FROM audit_entry WHERE id = '{ids[10]}'",
        f"UPDATE audit_seal SET at = '2025-08-05' WHERE entry = '{ids[10]}'",
    )
    assert await log.found() == (11, ids[10])


async def test_who_says_that_months_were_taken_away_must_be_sealed(log: Log, take: Take) -> None:
    """An entry of an older backup, say, or one that is not in the chain any more."""
    await old(log)
    await detach(log, take)
    await log.by_superuser("DELETE FROM audit_entry WHERE action = 'audit_log.detach'")
    assert (await log.found())[0] == 1


async def test_a_declared_gap_goes_with_its_month(log: Log, take: Take) -> None:
    for month in MONTHS:
        await log.connection.execute("SELECT make_month('audit_entry', $1)", month)
    log.world.clock.time = MONTHS[0] + timedelta(days=2)
    await log.act(3)
    await log.seal()
    backup = await log.copy()
    await log.act(2)
    await log.seal()
    await log.put_back(backup)
    assert (await declare(log))["lost"] == "4-5"
    await log.seal()
    log.world.clock.time = NOW
    await log.act()
    await log.seal()
    assert (await detach(log, take))[0] == NAMES[0]
    verified = await log.verify()
    assert (verified.is_good, [gap.first for gap in verified.gaps]) == (True, [4])
