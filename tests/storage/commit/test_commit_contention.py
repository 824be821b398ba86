"""Two processes fight over the same records, in peace and under faults: backends are killed,
sockets are cut, the server crashes. What they were told and what is stored must be one story.

`contender` is the process, `serial_order` has the rules. CONTENTION_SEED repeats a run.
"""

import asyncio
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
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
from tests.gateway import until
from tests.storage.commit.contender import CUT, INSTALLATION, Brief, Report, records_of
from tests.storage.commit.plans import COMMITTED, World
from tests.storage.commit.serial_order import assert_serial
from tests.storage.loose import loosen
from tests.storage.stored import stored

ROOT = Path(__file__).parents[3]
NAMES = ("a", "b")
FIGHT_SECONDS = 2.5
"""At least; on a slow machine for as long as it takes until enough has happened."""
KILLS = 50
KILL_EVERY_SECONDS = 0.05
ENOUGH_WITHIN_SECONDS = 90.0
REPORT_BYTES = 2**26
COLLISIONS = {
    COMMITTED: 200,
    "stale payment_intent": 200,
    "claimed provider_event": 10,
    "claimed idempotency_key": 10,
}


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


class Contender:
    """One of the processes, as its output tells of it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.commands, self._output = process.stdin, process.stdout
        self.said: Counter[str] = Counter()
        """How often each answer was given, and sockets were cut, until now."""

    async def ready(self) -> None:
        if await self._output.readline() != b"ready\n":
            _, errors = await self.process.communicate()
            pytest.fail(errors.decode())

    async def report(self) -> Report:
        """Listen to the end; returns what is said there."""
        async for line in self._output:
            if line.startswith(b"{"):
                return msgspec.json.decode(line, type=Report)
            self.said[line.decode().rstrip("\n")] += 1
        assert self.process.stderr is not None
        raise AssertionError((await self.process.stderr.read()).decode())


class Fight:
    """Contenders at work; their reports are here when it is over."""

    def __init__(self, contenders: list[Contender]) -> None:
        self.contenders = contenders
        self.reports: list[Report] = []

    async def until(self, enough: Mapping[str, int]) -> None:
        """Until more than so many of each answer were given, by all of them together."""

        async def given() -> bool:
            said = sum((contender.said for contender in self.contenders), Counter[str]())
            return all(said[answer] > number for answer, number in enough.items())

        await until(given, seconds=ENOUGH_WITHIN_SECONDS)

    async def until_all_cut(self) -> None:
        """Until each of them has cut a socket."""

        async def cut() -> bool:
            return all(contender.said[CUT] for contender in self.contenders)

        await until(cut, seconds=ENOUGH_WITHIN_SECONDS)


@asynccontextmanager
async def _fight(brief: Brief, folder: Path) -> AsyncIterator[Fight]:
    """The contenders fight inside."""
    contenders: list[Contender] = []
    for name in NAMES:
        path = folder / f"{name}.json"
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(brief, name=name)))
        contenders.append(
            Contender(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, "-W", "error", "-m", "tests.storage.commit.contender"),
                    str(path),
                    cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    limit=REPORT_BYTES,
                )
            )
        )
    fight = Fight(contenders)
    try:
        for contender in contenders:
            await contender.ready()
        for contender in contenders:
            contender.commands.write(b"go\n")
        reports = [asyncio.create_task(contender.report()) for contender in contenders]
        yield fight
        for contender in contenders:
            contender.commands.close()
        fight.reports = await asyncio.gather(*reports)
        for contender in contenders:
            _, errors = await contender.process.communicate()
            assert not errors, errors.decode()
    finally:
        for contender in contenders:
            if contender.process.returncode is None:
                contender.process.kill()
                await contender.process.communicate()


async def _assert_serial(brief: Brief, reports: list[Report]) -> None:
    """One story of all processes."""
    outcomes = [outcome for report in reports for outcome in report.outcomes]
    connection = await asyncpg.connect(brief.dsn)
    found = await stored(connection, records_of(brief), brief.world.merchant)
    deadlocks = await connection.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    await connection.close()
    assert_serial(brief.world, outcomes, found, lanes=len(reports) * brief.lanes)
    assert deadlocks == 0


async def test_two_processes_tell_one_story(database: str, tmp_path: Path, seed: int) -> None:
    brief = _brief(database, tmp_path, seed, cuts=False)
    await _begin(brief)
    async with _fight(brief, tmp_path) as fight:
        await asyncio.sleep(FIGHT_SECONDS)
        await fight.until(COLLISIONS)  # they did collide, and everything that can be was answered
    await _assert_serial(brief, fight.reports)
    assert [report.reconnects for report in fight.reports] == [0, 0]


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
        async with _fight(brief, tmp_path) as fight:
            killed = await _kill(server.dsn, draws)
            await asyncio.to_thread(server.stop, immediate=True)
            server = await asyncio.to_thread(EmbeddedPostgres.start, data)
            killed += await _kill(server.dsn, draws)
            await fight.until({COMMITTED: 50})
            await fight.until_all_cut()
        await _assert_serial(brief, fight.reports)
    finally:
        server.stop(immediate=True)
    # The faults hit: statements were killed at work, sockets were cut under them, and every
    # lane found its connection gone and dialled again.
    assert killed > 0
    for report in fight.reports:
        assert report.reconnects > report.cuts


async def _kill(dsn: str, draws: random.Random) -> int:
    """Kill a random backend of a contender, often, and until one was at work on a batch; returns
    how many were.
    """
    connection: Connection = await asyncpg.connect(dsn)
    kills = at_work = 0
    while kills < KILLS // 2 or not at_work:
        await asyncio.sleep(KILL_EVERY_SECONDS)
        rows = await connection.fetch(
            "SELECT pid, state = 'active' AND query LIKE 'WITH change %' AS at_work"
            " FROM pg_stat_activity WHERE application_name LIKE 'contender %'"
        )
        if rows:
            row = draws.choice(rows)
            await connection.execute("SELECT pg_terminate_backend($1)", row["pid"])
            kills += 1
            at_work += row["at_work"]
    await connection.close()
    return at_work
