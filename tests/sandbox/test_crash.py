"""A real process, killed: what it acknowledged is there again, and every event still arrives."""

import asyncio
import json
import os
import secrets
import signal
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from paygate_sandbox.command import write_ready_file
from paygate_sandbox.server import SandboxOptions
from paygate_sandbox.store.database import Database, StoreError
from tests.sandbox.caller import PUBLISHABLE_KEY, SECRET_KEY, Caller, card_payment
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_debits import debit
from tests.sandbox.test_transfers import a_customer, cash, fund, transfer
from tests.sandbox.test_webhooks import subscribe

INTENTS = "/v1/payment_intents"


def test_nobody_has_the_ready_file_written_into_a_file_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "ready.json"
    victim.write_text("as it was")
    for planted in (path, tmp_path / f".ready.json.{os.getpid()}"):
        planted.symlink_to(victim)
    with monkeypatch.context() as guessed:
        guessed.setattr(secrets, "token_hex", lambda _: "guessed")
        os.link(victim, tmp_path / ".ready.json.guessed")
        with pytest.raises(FileExistsError):
            write_ready_file(path, "http://127.0.0.1:1", SECRET_KEY)
    before = os.umask(0)
    try:
        write_ready_file(path, "http://127.0.0.1:1", SECRET_KEY)
    finally:
        os.umask(before)
    assert victim.read_text() == "as it was"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert json.loads(path.read_text())["secret_key"] == SECRET_KEY


class Process:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ready_file = directory / "ready.json"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> str:
        self._ready_file.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "paygate_sandbox",
            *("--port", "0", "--data", str(self._directory / "data")),
            *("--secret-key", SECRET_KEY, "--publishable-key", PUBLISHABLE_KEY),
            *("--ready-file", str(self._ready_file)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert b"answers on" in await self._process.stdout.readline()
        ready = json.loads(self._ready_file.read_text())
        assert ready["secret_key"] == SECRET_KEY
        return str(ready["url"])

    async def end(self, how: signal.Signals) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        assert self._process.stdout is not None
        await self._process.stdout.read()
        return await self._process.wait()


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    running = Process(tmp_path)
    yield running
    await running.end(signal.SIGKILL)


async def test_nothing_acknowledged_is_lost(
    process: Process, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    stripe = Caller(await process.start(), session)
    await subscribe(stripe, receiver.url, "payment_intent.succeeded")
    account = (await stripe.call("GET", "/v1/account")).body["id"]
    acknowledged: dict[str, bytes] = {}

    async def pay(worker: int) -> None:
        for number in range(1000):
            key = f"{worker}-{number}"
            answer = await stripe.call("POST", INTENTS, card_payment(), key=key)
            acknowledged[key] = answer.raw

    workers = [asyncio.create_task(pay(worker)) for worker in range(8)]
    while len(acknowledged) < 100:
        await asyncio.sleep(0.005)
    await process.end(signal.SIGKILL)
    broken = await asyncio.gather(*workers, return_exceptions=True)
    assert all(isinstance(error, aiohttp.ClientError) for error in broken)

    stripe.url = await process.start()
    assert (await stripe.call("GET", "/v1/account")).body["id"] == account
    for key, raw in acknowledged.items():
        again = await stripe.call("POST", INTENTS, card_payment(), key=key)
        assert again.raw == raw
        assert again.headers["Idempotent-Replayed"] == "true"
    charges = await stripe.charges()
    booked = {charge["payment_intent"] for charge in charges}
    assert len(booked) == len(charges)
    assert {json.loads(raw)["id"] for raw in acknowledged.values()} <= booked
    async with asyncio.timeout(30):
        while booked - delivered(receiver):
            await asyncio.sleep(0.02)
    assert await process.end(signal.SIGTERM) == 0


def delivered(receiver: Receiver) -> set[str]:
    return {delivery.event["data"]["object"]["id"] for delivery in receiver.deliveries}


async def test_what_banks_owe_outlives_the_process(
    process: Process, session: aiohttp.ClientSession, receiver: Receiver
) -> None:
    stripe = Caller(await process.start(), session)
    await subscribe(stripe, receiver.url, "payment_intent.succeeded")
    customer = await a_customer(stripe)
    waiting = await stripe.post(INTENTS, transfer(customer))
    await fund(stripe, customer, 400)
    asked = await stripe.post(INTENTS, debit())
    await process.end(signal.SIGKILL)

    stripe.url = await process.start()
    await fund(stripe, customer, 700)
    assert await cash(stripe, customer) == {"eur": 100}
    await stripe.advance(180)
    await receiver.wait_for(2)
    assert delivered(receiver) == {waiting["id"], asked["id"]}
    booked = {charge["payment_intent"]: charge["status"] for charge in await stripe.charges()}
    assert booked == {waiting["id"]: "succeeded", asked["id"]: "succeeded"}


async def test_a_second_sandbox_on_the_same_store_is_refused(options: SandboxOptions) -> None:
    first = Database(options.data_dir)
    with pytest.raises(StoreError, match="another sandbox is running"):
        Database(options.data_dir)
    first.close()
    Database(options.data_dir).close()


async def test_only_test_keys_are_taken(options: SandboxOptions) -> None:
    with pytest.raises(ValueError, match="sk_test_"):
        replace(options, secret_key="sk_live_1")
    with pytest.raises(ValueError, match="pk_test_"):
        replace(options, publishable_key="sk_test_1")


async def test_a_taken_port(process: Process, tmp_path: Path) -> None:
    url = await process.start()
    second = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "paygate_sandbox",
        *("--port", url.rpartition(":")[2], "--data", str(tmp_path / "other")),
        *("--secret-key", SECRET_KEY, "--publishable-key", PUBLISHABLE_KEY),
        stderr=asyncio.subprocess.PIPE,
    )
    assert second.stderr is not None
    message = await second.stderr.read()
    assert await second.wait() == 1
    assert message.decode().startswith("the sandbox did not start")
    assert message.count(b"\n") == 1
