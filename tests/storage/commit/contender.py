"""A process that fights over a few records: `python -m tests.storage.commit.contender brief.json`.

It says `ready`, waits for a line, then commits random changes until its standard input ends. It
says on a line of its own what each is answered, and each cut, as they come; at last what it asked
and was answered, as one JSON document. Whoever started it judges; it knows of no other contender.
"""

import asyncio
import contextlib
import random
import sys
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from paygate.crypto.blind_index import BlindIndex
from paygate.crypto.keyring import load_keyring
from paygate.crypto.kms import FileKms
from paygate.crypto.seal import Sealer
from paygate.storage.commit.committer import Committer, Connection
from paygate.storage.connections.database import connector
from paygate.storage.connections.pool import Pool, open_pool
from paygate.storage.door import Door
from paygate.storage.records import Records
from tests.storage.commit.plans import COMMITTED, Claim, Outcome, Plan, World, ask

INSTALLATION: Final = "in_test"
CALLERS: Final = 12
"""Enough that both lanes are always writing, few enough that most batches are small."""
ANSWER_WITHIN_SECONDS: Final = 20.0
READ_AGAIN_SECONDS: Final = 0.05
CUT_EVERY_SECONDS: Final = 0.07
CUT: Final = "cut"


class Brief(msgspec.Struct, kw_only=True):
    """What a contender is told."""

    name: str
    dsn: str
    world: World
    seed: int
    kek: str
    keysets: dict[str, bytes]
    lanes: int
    cuts: bool = False
    """Whether it cuts its own lanes' sockets in the middle of their work."""


class Report(msgspec.Struct, kw_only=True):
    """What it did, and what was done to it."""

    outcomes: list[Outcome]
    reconnects: int
    cuts: int


def records_of(brief: Brief) -> Records:
    """Records under the same keys as every other process of the run."""
    keyring = load_keyring(FileKms.open(Path(brief.kek)), INSTALLATION, brief.keysets)
    return Records(Sealer(keyring), BlindIndex(keyring))


class Contender:
    """Random changes, by callers that read again when they are told that they are late."""

    def __init__(self, brief: Brief) -> None:
        self._brief = brief
        self._world = brief.world
        self._random = random.Random(f"{brief.seed} {brief.name}")
        self._stop = asyncio.Event()
        self._labels = 0
        self._dials = 0
        self._cuts = 0
        self._outcomes: list[Outcome] = []
        # What the records were seen to be: never more than what is true.
        self._seen = {("payment_intent", n): 1 for n in range(self._world.intents)}
        self._seen |= {("idempotency_key", n): 1 for n in range(self._world.keys)}
        self._committer = Committer(self._dial, lanes=brief.lanes)
        self._connect = connector(brief.dsn, name=f"contender {brief.name}")
        self._door = Door(
            records_of(brief), self._committer, answer_within_seconds=ANSWER_WITHIN_SECONDS
        )

    async def run(self, commands: asyncio.StreamReader) -> Report:
        """Fight until the commands end."""
        await self._committer.open()
        self._pool = open_pool(self._brief.dsn, name=f"reader {self._brief.name}")
        print("ready", flush=True)
        await commands.readline()
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._call())
            if self._brief.cuts:
                group.create_task(self._cut())
            await commands.read()
            self._stop.set()
        await self._committer.close()
        self._pool.close()
        return Report(
            outcomes=self._outcomes,
            reconnects=self._dials - self._brief.lanes,
            cuts=self._cuts,
        )

    async def _dial(self) -> Connection:
        connection = await self._connect()
        self._dials += 1
        return connection

    async def _call(self) -> None:
        while not self._stop.is_set():
            outcome = await ask(self._door, self._world, self._plan())
            self._outcomes.append(outcome)
            print(outcome.answer, flush=True)
            if outcome.answer == COMMITTED:
                for table, (number, version) in outcome.plan.targets().items():
                    self._see(table, number, version)
            elif outcome.answer.startswith("stale"):
                await self._look(outcome.answer.split()[1])

    async def _cut(self) -> None:
        """Cut a socket while its lane waits for the answer: the server works on, unheard."""
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), CUT_EVERY_SECONDS)
            lane = self._random.choice(self._committer._lanes)
            if self._committer._free == 0 and lane._connection is not None:
                transport = lane._connection._transport  # type: ignore[attr-defined]
                if not transport.is_closing():  # a slow lane may not have seen the last cut
                    # Not `terminate`, which is a hanging up of our own: the network does it.
                    transport.abort()
                    self._cuts += 1
                    print(CUT, flush=True)

    def _plan(self) -> Plan:
        draw = self._random.random
        self._labels += 1
        intent = self._target("payment_intent", self._world.intents) if draw() < 0.9 else None
        key = self._target("idempotency_key", self._world.keys) if draw() < 0.15 else None
        plan = Plan(
            label=f"{self._brief.name} {self._labels}",
            intent=intent,
            legal=draw() > 0.005,
            key=key,
            claim=self._claim() if draw() < 0.4 else None,
            reserve=self._front() if draw() < 0.1 else None,
            attempt=("open" if draw() < 0.01 else "closed") if draw() < 0.5 else None,
            creates=draw() < 0.3,
            says=draw() < 0.3,
            job=draw() < 0.1,
        )
        seen = frozenset(
            table
            for table, (number, version) in plan.targets().items()
            if version == self._seen[table, number] + 1
        )
        return msgspec.structs.replace(plan, seen=seen)

    def _target(self, table: str, pool: int) -> tuple[int, int]:
        """A record and, mostly, the version that comes next."""
        number = self._random.randrange(pool)
        off = self._random.choice([-1, 1, 2]) if self._random.random() < 0.05 else 0
        return number, self._seen[table, number] + 1 + off

    def _claim(self) -> Claim:
        return self._random.choice(["provider_event", "idempotency_key"]), self._front()

    def _front(self) -> int:
        """A number near the front that all contenders move along at about the same pace."""
        return len(self._outcomes) // 10 + self._random.randrange(12)

    def _see(self, table: str, number: int, version: int) -> None:
        self._seen[table, number] = max(self._seen[table, number], version)

    async def _look(self, table: str) -> None:
        """Read the pool's versions, as often as the faults make it necessary."""
        pool = {place[1]: place for place in self._seen if place[0] == table}
        ids = {self._id(table, number): number for number in pool}
        while True:
            try:
                rows = await self._read(self._pool, table, list(ids))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(READ_AGAIN_SECONDS)
            else:
                for row in rows:
                    self._see(table, ids[row["id"]], row["version"])
                return

    def _id(self, table: str, number: int) -> str:
        if table == "payment_intent":
            return self._world.intent(number, 1, "").id
        return self._world.key(number, 1, "").id

    async def _read(self, pool: Pool, table: str, ids: list[str]) -> list[asyncpg.Record]:
        return await pool.fetch(
            f"SELECT id, version FROM {table} WHERE merchant = $1 AND id = ANY($2)",
            self._world.merchant,
            ids,
        )


async def main(brief: Brief) -> None:
    """Fight, and report."""
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    report = await Contender(brief).run(commands)
    sys.stdout.buffer.write(msgspec.json.encode(report))


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Brief)))
