"""F01 for keys: whoever rotates, retires or wraps them anew is killed, by SIGKILL, after each thing
that it writes and at seeded moments; the same command said again finishes, and all the while every
record opens, for who runs and for who starts.
"""

import asyncio
import multiprocessing
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from paygate.crypto.keyring import KeyringError, Purpose
from paygate.crypto.kms import FileKms
from paygate.domain.payments.payment_intent import PaymentIntent
from paygate.flows.context import Context
from paygate.flows.encryption.reseal import counts_of
from paygate.flows.encryption.retire import retire_key
from paygate.flows.encryption.rewrap import rewrap_keysets
from paygate.flows.encryption.rotate import rotate_index_key, rotate_records_key
from paygate.settings import Settings
from paygate.storage.change import Change, Committed
from paygate.storage.connections.session import Connection
from paygate.wiring.preparation import prepare_database
from paygate.wiring.service import open_context
from tests.flows.encryption.rotating import CALLER, quiet, settings_for
from tests.making import make_audit, make_intent
from tests.races.durable_provider import Steps
from tests.races.dying_rotation import Rotation, die_rotating, run_flow
from tests.races.test_kill_every_step import NEVER, run_and_die

STEPS = {
    "rotate": 6,  # added, promoted, two tables sealed anew, ended, audited
    "rotate index": 5,  # added, promoted, one table hashed anew, ended, audited
    "retire": 1,
    "rotate kek": 1,
}
SEEDS = range(3)
MANY = 600
"""Intents: three pages of a run."""


class House:
    """An installation with a process that runs all the while, and the intents that it wrote."""

    def __init__(self, settings: Settings, ctx: Context) -> None:
        self.settings = settings
        self.ctx = ctx
        self.intents: list[PaymentIntent] = []
        self.first = 0
        """The key of the records at the beginning."""

    async def put(self, count: int = 1) -> None:
        made = [
            msgspec.structs.replace(make_intent(), reference=f"order {len(self.intents) + n}")
            for n in range(count)
        ]
        done = [self.ctx.door.commit(Change(make_audit(), creates=(each,))) for each in made]
        assert await asyncio.gather(*done) == [Committed()] * count
        self.intents += made

    async def all_open(self, settings: Settings | None = None) -> None:
        """For the process that runs, and for one that starts now; both find them by reference."""
        async with open_context(settings or self.settings, name="late") as late:
            for ctx in (self.ctx, late):
                for intent in (self.intents[0], self.intents[-1]):
                    assert await ctx.read.payment_intent("default", intent.id) == intent

    async def keys(self, purpose: Purpose) -> tuple[int, int]:
        """The primary, and how many there are."""
        loaded = await self.ctx.keysets.load()
        return loaded.primary(purpose), len(loaded.keyring.keys[purpose])


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    FileKms.create(tmp_path / "kek")
    settings = settings_for(database, tmp_path)
    await prepare_database(settings)
    async with open_context(settings, name="bystander") as ctx:
        found = House(settings, ctx)
        await found.put()
        found.first, _ = await found.keys(Purpose.RECORDS)
        yield found


async def prepared(house: House, database: str, folder: Path, flow: str) -> Rotation:
    if flow == "retire":
        await rotate_records_key(house.ctx, CALLER, tell=quiet, progress=quiet)
    if flow == "rotate kek":
        FileKms.create(folder / "other")
    return Rotation(database, str(folder), flow, key=house.first)


async def said_again(house: House, rotation: Rotation) -> int:
    """The same command, to its end: every row is under one key. How many keys there are."""
    ctx, purpose = house.ctx, Purpose.RECORDS
    match rotation.flow:
        case "rotate":
            key, done = await rotate_records_key(ctx, CALLER, tell=quiet, progress=quiet)
        case "rotate index":
            purpose = Purpose.INDEX
            key, done = await rotate_index_key(ctx, CALLER, tell=quiet, progress=quiet)
        case "retire":
            await retire_key(ctx, CALLER, rotation.key, tell=quiet)
            keys = (await ctx.keysets.load()).keyring.keys[purpose]
            assert [each.enabled for each in keys] == [False, True]
            return len(keys)
        case _:
            await wrapped_under_one(house, rotation)
            return 1
    primary, count = await house.keys(purpose)
    assert (key, done.left) == (primary, 0)
    assert {each.key for each in await counts_of(ctx, purpose)} == {key}
    return count


async def wrapped_under_one(house: House, rotation: Rotation) -> None:
    """All keysets are under the one or the other; then all are under the other."""
    moved = settings_for(rotation.dsn, Path(rotation.folder), "other")
    try:
        await house.all_open(moved)
    except KeyringError:
        await house.all_open()
        other = FileKms.open(Path(rotation.folder) / "other")
        await rewrap_keysets(house.ctx, CALLER, other)
        await house.all_open(moved)
    with pytest.raises(KeyringError, match="another KEK"):
        await house.all_open()


@pytest.mark.parametrize("flow", STEPS)
async def test_no_step_is_forgotten_here(
    house: House, database: str, tmp_path: Path, flow: str
) -> None:
    rotation, steps = await prepared(house, database, tmp_path, flow), Steps(NEVER)
    await run_flow(house.ctx, rotation, steps)
    assert steps.taken == STEPS[flow]


@pytest.mark.parametrize(
    ("flow", "step"), [(flow, step) for flow in STEPS for step in range(1, STEPS[flow] + 1)]
)
async def test_killed_at_every_step_of_a_rotation(
    house: House, database: str, tmp_path: Path, flow: str, step: int
) -> None:
    rotation = await prepared(house, database, tmp_path, flow)
    assert await asyncio.to_thread(run_and_die, rotation, step, die_rotating)
    await house.put()
    if flow != "rotate kek":
        await house.all_open()
    count = await said_again(house, rotation)
    if flow in ("rotate", "rotate index"):
        ended = step >= STEPS[flow] - 1  # that nothing is left was written down: another begins
        assert count == 2 + ended
    if flow != "rotate kek":
        await house.all_open()


@pytest.mark.parametrize("flow", ["rotate", "rotate index"])
@pytest.mark.parametrize("seed", SEEDS)
async def test_killed_at_seeded_moments_of_a_rotation(
    house: House,
    database: str,
    tmp_path: Path,
    connect: Callable[[], Awaitable[Connection]],
    flow: str,
    seed: int,
) -> None:
    """From outside, with statements under way, again and again until one comes to its end."""
    rng, hand = random.Random(seed), await connect()
    await house.put(MANY)
    rotation = await prepared(house, database, tmp_path, flow)
    killed = 0
    while await killed_meanwhile(hand, house, rotation, rng.choice((1, 2, 100, 300))):
        killed += 1
        await house.put()
        await house.all_open()
    assert killed
    assert await said_again(house, rotation) == 3, "one was added by all that were killed"
    await house.all_open()


async def killed_meanwhile(hand: Connection, house: House, rotation: Rotation, after: int) -> bool:
    """Whether a process that rotates was killed when it had written so much more, or a little
    later; False when it had come to its end.
    """
    first = house.first.to_bytes(4, "big")
    begun = await written(hand, first)
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=die_rotating, args=(rotation, NEVER))
    child.start()
    while child.is_alive() and await written(hand, first) < begun + after:
        await asyncio.sleep(0)
    child.kill()
    await asyncio.to_thread(child.join, 60)
    assert child.exitcode in (0, -9), child.exitcode
    return child.exitcode == -9


async def written(hand: Connection, first: bytes) -> int:
    """How many edits of keysets there were, and rows that are not under the first keys."""
    count: int = await hand.fetchval(
        "SELECT (SELECT sum(generation) FROM keyset) + (SELECT count(*) FROM payment_intent"
        " WHERE substr(sealed, 2, 4) <> $1 OR length(reference_index) > 16)",
        first,
    )
    return count
