"""Limits that nodes share: against a real server if there is one, and against ones that fail."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from paygate.api.edge.buckets import Bucket, RateLimited
from paygate.api.edge.limits import Limits
from paygate.domain.errors import Refusal
from paygate.settings import load
from paygate.storage.limits_store import PAUSE_SECONDS, LimitsStore
from tests.api.edge.test_limits import bad, caller, exchange, good
from tests.gateway import Gateway

SERVER = shutil.which("valkey-server") or shutil.which("redis-server")
needs_server = pytest.mark.skipif(SERVER is None, reason="no valkey-server or redis-server here")
BUCKET = Bucket("test", 5, 60, 5)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start_server(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [str(SERVER), "--port", str(port), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([*command, "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return process
    process.kill()
    raise AssertionError(f"{SERVER} did not start")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    process = start_server(tmp_path_factory.mktemp("valkey"), port)
    yield f"valkey://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """A server that takes what it is sent and never answers."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with listener:
        yield f"valkey://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


def limits(url: str, **more: str) -> Limits:
    more = {"PAYGATE_ENVIRONMENT": "production", "PAYGATE_LIMITS_URL": url} | more
    return Limits(load(more), processes=4)


async def guesses(made: Limits, count: int) -> int:
    """How many wrong keys, one after another, are looked at."""
    looked_at = 0
    for number in range(count):
        with pytest.raises(Refusal) as refusal:
            await made.authenticated(exchange(f"guess {number}"), bad)
        looked_at += not isinstance(refusal.value, RateLimited)
    return looked_at


@needs_server
async def test_two_nodes_share_a_key(server: str) -> None:
    """Whole: with a store no process is kept to its share."""
    nodes = [limits(f"{server}/1", PAYGATE_RATE_LIMIT="10/minute") for _ in range(2)]
    for number in range(30):
        await nodes[number % 2].authenticated(exchange(), good)
    for node in nodes:
        with pytest.raises(RateLimited) as refusal:
            await node.authenticated(exchange(), good)
        assert refusal.value.headers["RateLimit-Policy"] == '"key";q=30;w=180'
        assert 1 <= int(refusal.value.headers["Retry-After"]) <= 180
        await node.close()


@needs_server
async def test_two_nodes_share_what_is_strict(server: str) -> None:
    one, two = limits(f"{server}/2"), limits(f"{server}/2")
    assert await guesses(one, 12) == 12
    assert await guesses(two, 12) == 8
    assert await guesses(one, 5) == 0
    await one.close()
    await two.close()


@needs_server
@pytest.mark.parametrize(("scheme", "database"), [("valkey", 3), ("redis", 5)])
async def test_the_store_counts_as_memory_does(server: str, scheme: str, database: int) -> None:
    store = LimitsStore(f"{server.replace('valkey', scheme)}/{database}")
    assert [await store.hit(BUCKET, "a") for _ in range(7)] == [True] * 5 + [False] * 2
    full, empty = await store.room(BUCKET, "a"), await store.room(BUCKET, "b")
    assert full is not None
    assert empty is not None
    assert full.left == 0
    assert 50 < full.wait_seconds <= 60
    assert empty.left == 5
    await store.close()


@needs_server
async def test_a_store_that_comes_back_is_used_again(tmp_path: Path) -> None:
    port, now = free_port(), 0.0
    store = LimitsStore(f"valkey://127.0.0.1:{port}", clock=lambda: now)
    assert await store.hit(BUCKET, "a") is None
    process = start_server(tmp_path, port)
    try:
        assert await store.hit(BUCKET, "a") is None, "not asked again so soon"
        now += PAUSE_SECONDS
        assert await store.hit(BUCKET, "a") is True
        process.kill()
        process.wait()
        assert await store.hit(BUCKET, "a") is None
    finally:
        process.kill()
        process.wait()
        await store.close()


async def fails_well(url: str) -> None:
    made = limits(url)
    begun = time.monotonic()
    for number in range(500):
        await made.authenticated(exchange("right", f"192.0.2.{number % 100}"), good)
    # Ordinary limits are open; the strict ones count here, by this process's share of 20.
    assert await guesses(made, 30) == 5
    # Asked each time, a silent store would have taken two minutes.
    assert time.monotonic() - begun < 90
    assert await made.authenticated(exchange("right"), good) == caller()
    await made.close()


async def test_a_store_that_refuses() -> None:
    await fails_well(f"valkey://127.0.0.1:{free_port()}")


async def test_a_store_that_never_answers(silent: str) -> None:
    await fails_well(silent)


@needs_server
async def test_a_gateway_with_a_store(server: str, tmp_path: Path) -> None:
    """Two processes, one count."""
    environment = {"PAYGATE_LIMITS_URL": f"{server}/4", "PAYGATE_RATE_LIMIT": "20/minute"}
    gateway = Gateway.start(tmp_path, "--processes", "2", environment=environment)
    try:
        await gateway.open()
        path = "/payment-intents/pi_" + "0" * 26
        answers = await asyncio.gather(*(gateway.call("GET", path) for _ in range(100)))
        passed = [answer for answer in answers if answer.status != 429]
        assert {answer.status for answer in passed} == {404}
        assert 60 <= len(passed) <= 62  # of a window that began with the first of them
    finally:
        await gateway.close()
        assert gateway.stop() == 0
