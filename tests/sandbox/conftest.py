"""A fresh sandbox for each test, in this process and over real HTTP; a receiver on demand."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import stripe as official

from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.sandbox.caller import PUBLISHABLE_KEY, SECRET_KEY, Caller
from tests.sandbox.receiver import Receiver

official.enable_telemetry = False  # it would leave an id in the home directory


@pytest.fixture
def options(tmp_path: Path) -> SandboxOptions:
    """Its clock stands still between `advance`s: a slow machine starts no timer meanwhile."""
    started = time.time()
    return SandboxOptions(
        host="127.0.0.1",
        port=0,
        data_dir=tmp_path / "sandbox",
        secret_key=SECRET_KEY,
        publishable_key=PUBLISHABLE_KEY,
        seed="tests",
        reading=lambda: started,
    )


@pytest.fixture
async def sandbox(options: SandboxOptions) -> AsyncIterator[Sandbox]:
    running = Sandbox(options)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def http() -> AsyncIterator[official.AIOHTTPClient]:
    """What carries the calls of the official client."""
    client = official.AIOHTTPClient()
    yield client
    await client.close_async()  # type: ignore[no-untyped-call]


@pytest.fixture
def stripe(sandbox: Sandbox, session: aiohttp.ClientSession) -> Caller:
    return Caller(sandbox.parts.base_url, session)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    listening = Receiver()
    listening.url = await listening.start()
    yield listening
    await listening.stop()
