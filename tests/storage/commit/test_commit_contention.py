"""Two processes fight over the same records, in peace and under faults: backends are killed,
sockets are cut, the server crashes. What they were told and what is stored must be one story.

`contender` is the process, `serial_order` has the rules. CONTENTION_SEED repeats a run.
"""

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import pytest

from paygate.crypto.keyring import generate_keyring
from paygate.crypto.kms import FileKms
from paygate.embedded.server import EmbeddedPostgres
from paygate.storage.change import Committed
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.door import Door
from paygate.storage.schema.migrate import migrate
from tests.storage.commit.contender import INSTALLATION, Brief, Report, records_of
from tests.storage.commit.plans import COMMITTED, Outcome, World
from tests.storage.commit.serial_order import assert_serial
from tests.storage.loose import loosen
from tests.storage.stored import stored

ROOT = Path(__file__).parents[3]
NAMES = ("a", "b")
FIGHT_SECONDS = 2.5
KILLS = 50
KILL_EVERY_SECONDS = 0.05


@pytest.fixture
def seed() -> int:
    """Printed, so that a failing run shows it."""
    chosen = int(os.environ.get("CONTENTION_SEED") or random.randrange(2**32))
    print(f"CONTENTION_SEED={chosen}")  # noqa: T201 -- pytest shows it when the test fails
    return chosen


def _brief(dsn: str, folder: Path, seed: int, *, cuts: bool) -> Brief:
    kms = FileKms.create(folder / "kek")
    return Brief(
        name="judge",
        dsn=dsn,
        world=World("shop", intents=5, keys=3, events=1),
        seed=seed,
        kek=str(folder / "kek"),
        keysets=generate_keyring(kms, INSTALLATION),
        lanes=2,
        cuts=cuts,
    )


async def _begin(brief: Brief) -> None:
    committer = Committer(connector(brief.dsn, name="judge"), lanes=1)
    await committer.open()
    door = Door(records_of(brief), committer)
    for change in brief.world.start():
        assert await door.commit(change) == Committed()
    await committer.close()
    by_hand = await connector(brief.dsn, name="judge")()
    await loosen(by_hand)
    await by_hand.close()


@asynccontextmanager
async def _fight(brief: Brief, folder: Path) -> AsyncIterator[list[Report]]:
    """The contenders fight inside; their reports are in the list afterwards."""
    reports: list[Report] = []
    contenders = []
    for name in NAMES:
        path = folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(brief, name=name)))
        contenders.append(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "error", "-m", "tests.storage.commit.contender", str(path)),
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )
    try:
        for contender in contenders:
            assert contender.stdin is not None
            assert contender.stdout is not None
            if await contender.stdout.readline() != b"ready\n":
                _, errors = await contender.communicate()
                pytest.fail(errors.decode())
        for contender in contenders:
            assert contender.stdin is not None
            contender.stdin.write(b"go\n")
        yield reports
        for contender in contenders:
            assert contender.stdin is not None
            contender.stdin.close()
        for output, errors in await asyncio.gather(*(c.communicate() for c in contenders)):
            assert not errors, errors.decode()
            reports.append(msgspec.json.decode(output.splitlines()[-1], type=Report))
    finally:
        for contender in contenders:
            if contender.returncode is None:
                contender.kill()
                await contender.communicate()


async def _assert_serial(brief: Brief, reports: list[Report]) -> list[Outcome]:
    """One story of all processes; returns it for what a test wants to count."""
    outcomes = [outcome for report in reports for outcome in report.outcomes]
    connection = await asyncpg.connect(brief.dsn)
    found = await stored(connection, records_of(brief), brief.world.merchant)
    deadlocks = await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    await connection.close()
    assert_serial(brief.world, outcomes, found, lanes=len(reports) * brief.lanes)
    assert deadlocks == 0
    return outcomes


def _count(outcomes: list[Outcome]) -> Counter[str]:
    """How often each answer was given."""
    return Counter(outcome.answer for outcome in outcomes)


async def test_two_processes_tell_one_story(database: str, tmp_path: Path, seed: int) -> None:
    brief = _brief(database, tmp_path, seed, cuts=False)
    await _begin(brief)
    async with _fight(brief, tmp_path) as reports:
        await asyncio.sleep(FIGHT_SECONDS)
    counts = _count(await _assert_serial(brief, reports))
    # They did collide, and everything that can be answered was.
    assert counts[COMMITTED] > 200
    assert counts["stale payment_intent"] > 200
    assert counts["claimed provider_event"] > 10
    assert counts["claimed idempotency_key"] > 10
    assert [report.reconnects for report in reports] == [0, 0]


async def test_faults_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    """Backends are killed all the time, sockets are cut under working lanes, and the server
    crashes once. Nobody hears of it: every change is answered, and the answer is true.
    """
    data = tmp_path / "postgres"
    server = EmbeddedPostgres.start(data)
    try:
        await migrate(connector(server.dsn, name="migrate"))
        brief = _brief(server.dsn, tmp_path, seed, cuts=True)
        await _begin(brief)
        draws = random.Random(seed)
        async with _fight(brief, tmp_path) as reports:
            killed = await _kill(server.dsn, draws)
            await asyncio.to_thread(server.stop, immediate=True)
            server = await asyncio.to_thread(EmbeddedPostgres.start, data)
            killed += await _kill(server.dsn, draws)
        counts = _count(await _assert_serial(brief, reports))
    finally:
        server.stop(immediate=True)
    assert counts[COMMITTED] > 50
    # The faults hit: statements were killed at work, sockets were cut under them, and every
    # lane found its connection gone and dialled again.
    assert killed > 0
    for report in reports:
        assert report.cuts > 0
        assert report.reconnects > report.cuts


async def _kill(dsn: str, draws: random.Random) -> int:
    """Kill a random backend of a contender, often; returns how many were at work on a batch."""
    connection: Connection = await asyncpg.connect(dsn)
    at_work = 0
    for _ in range(KILLS // 2):
        await asyncio.sleep(KILL_EVERY_SECONDS)
        rows = await connection.fetch(
            "SELECT pid, state = 'active' AND query LIKE 'WITH change %' AS at_work"
            " FROM pg_stat_activity WHERE application_name LIKE 'contender %'"
        )
        if rows:
            row = draws.choice(rows)
            await connection.execute("SELECT pg_terminate_backend($1)", row["pid"])
            at_work += row["at_work"]
    await connection.close()
    return at_work
