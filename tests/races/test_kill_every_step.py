"""F01: a flow is killed at each of its steps, by SIGKILL; then whoever comes finishes it, once."""

import asyncio
import multiprocessing
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from paygate.crypto.keyring import generate_keyring
from paygate.crypto.kms import FileKms
from paygate.domain.attempt import OPEN
from paygate.domain.payment_intent import Status
from paygate.flows.create_payment_intent import CreatePaymentIntent, create_payment_intent
from paygate.storage.committer import Connection
from tests.flows.world import INSTALLATION
from tests.races.dying import CALLER, Setting, Steps, act, attempts_of, die, opened

Connect = Callable[[], Awaitable[Connection]]

NEVER = 10**6
FEWEST = {"create": 2, "confirm": 6, "cancel": 2, "event": 4}
"""Two steps for each commit, and the provider's."""


def run_and_die(setting: Setting, kill_at: int) -> bool:
    """Whether the child was killed, and did not come to its end before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.races.dying"])
    child = context.Process(target=die, args=(setting, kill_at))
    child.start()
    child.join(60)
    assert child.exitcode in (0, -9), child.exitcode
    return child.exitcode == -9


def books(folder: Path) -> list[str]:
    """The intents that the provider charged, by its own books."""
    connection = sqlite3.connect(folder / "books")
    rows = connection.execute("SELECT intent FROM charge").fetchall()
    connection.close()
    return [intent for (intent,) in rows]


async def prepared(setting: Setting) -> Setting:
    """An intent for the flow to work on; for an event, one whose confirm died in the call."""
    if setting.flow == "create":
        return setting
    async with opened(setting, Steps(NEVER)) as ctx:
        request = CreatePaymentIntent(amount=1999, currency="eur")
        intent = (await create_payment_intent(ctx, CALLER, request)).intent.id
    ready = Setting(
        setting.dsn, setting.folder, setting.wrapped, setting.flow, intent, setting.declines
    )
    if setting.flow == "event":
        confirm = Setting(setting.dsn, setting.folder, setting.wrapped, "confirm", intent)
        assert await asyncio.to_thread(run_and_die, confirm, 4)
    return ready


async def finished(setting: Setting) -> None:
    """Somebody comes again, until it is done; then everything must be as it must."""
    async with opened(setting, Steps(NEVER)) as ctx:
        body = await act(ctx, setting)
        assert await act(ctx, setting) == body, "and once more: the same"
        intents = await ctx.read._pool.fetch("SELECT id, status FROM payment_intent")
        charged = [i for i in books(Path(setting.folder)) if i == setting.intent]
        if setting.flow == "create":
            assert len(intents) == 1
            return
        intent = await ctx.read.payment_intent("default", setting.intent)
        assert intent is not None
        attempts = await attempts_of(ctx, setting.intent)
        paid = setting.flow != "cancel" and not setting.declines
        ends = {True: Status.SUCCEEDED, False: Status.FAILED}
        end = Status.CANCELLED if setting.flow == "cancel" else ends[paid]
        assert (intent.status, len(charged)) == (end, int(paid))
        assert all(attempt.state not in OPEN for attempt in attempts)
        assert len(attempts) == (0 if setting.flow == "cancel" else 1)
        unfinished = "SELECT count(*) FROM idempotency_key WHERE state <> 'finished'"
        if setting.flow != "event":  # whose confirm never came again
            assert await ctx.read._pool.fetchval(unfinished) == 0


@pytest.mark.parametrize(
    ("flow", "declines"),
    [("create", False), ("confirm", False), ("confirm", True), ("cancel", False), ("event", False)],
)
async def test_killed_at_every_step(
    database: str, connect: Connect, tmp_path: Path, flow: str, declines: bool
) -> None:
    await (await connect()).execute("INSERT INTO merchant (id) VALUES ('default')")
    kms = FileKms.create(tmp_path / "kek")
    wrapped = generate_keyring(kms, INSTALLATION)
    killed = 0
    for kill_at in range(1, NEVER):
        setting = Setting(database, str(tmp_path), wrapped, flow, declines=declines)
        setting = await prepared(setting)
        died = await asyncio.to_thread(run_and_die, setting, kill_at)
        killed += died
        await finished(setting)
        if not died:
            break
        if flow == "create":
            cleaner = await connect()
            await cleaner.execute("ALTER TABLE payment_intent DISABLE TRIGGER USER")
            await cleaner.execute("DELETE FROM payment_intent")
            await cleaner.execute("DELETE FROM idempotency_key")
            await cleaner.execute("ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER version_one")
        if flow == "event":
            await _forget_events(await connect())
    assert killed >= FEWEST[flow]


async def _forget_events(connection: Connection) -> None:
    """The next turn's event is another one, under the same name."""
    await connection.execute("ALTER TABLE provider_event DISABLE TRIGGER USER")
    await connection.execute("DELETE FROM provider_event")
