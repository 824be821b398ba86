"""The receiver that people copy: a forged one is refused, a failed one is done again, each once."""

import asyncio
import os
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.domain.addresses import Reach
from paygate.domain.webhooks.endpoint import SigningSecret
from paygate.egress.client import Egress, Responded
from paygate.flows.webhooks.send import signed_headers
from tests.gateway import until

PROGRAM = Path(__file__).parents[2] / "examples" / "webhook_receiver" / "receiver.py"
KEY = bytes(range(32))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def running(database: Path) -> AsyncIterator[str]:
    """The program as a process, and where it listens."""
    port = free_port()
    environment = os.environ | {"WEBHOOK_SECRET": SigningSecret(KEY).text}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(port), str(database), env=environment
    )
    try:

        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await until(listens, seconds=60)
        yield f"http://127.0.0.1:{port}/hooks"
    finally:
        process.kill()
        await process.wait()


async def sent(url: str, event: dict[str, Any], key: bytes = KEY) -> Responded:
    egress = Egress(Reach(loopback=True), user_agent="test")
    body = msgspec.json.encode(event)
    headers = signed_headers(event["id"], body, [key], datetime.now(UTC))
    outcome = await egress.post(url, body, headers, seconds=60)
    await egress.close()
    assert isinstance(outcome, Responded), outcome
    return outcome


def event(number: int, version: int, status: str) -> dict[str, Any]:
    paid = {"id": "pi_1", "status": status, "reference": "order-1"}
    return {"id": f"evt_{number}", "object_version": version, "data": {"object": paid}}


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(query).fetchall()


async def test_each_event_is_done_once_and_an_older_one_changes_nothing(tmp_path: Path) -> None:
    database = tmp_path / "shop.db"
    async with running(database) as url:
        assert (await sent(url, event(1, 1, "created"), key=bytes(32))).status == 400
        assert rows(database, "SELECT * FROM done") == []
        for given in (event(2, 3, "succeeded"), event(2, 3, "succeeded"), event(1, 1, "created")):
            assert (await sent(url, given)).status == 204
    assert sorted(rows(database, "SELECT event FROM done")) == [("evt_1",), ("evt_2",)]
    assert rows(database, "SELECT version, status FROM payment") == [(3, "succeeded")]


async def test_what_failed_is_done_when_it_comes_again(tmp_path: Path) -> None:
    """The claim went with the work that it was for."""
    database = tmp_path / "shop.db"
    async with running(database) as url:
        with sqlite3.connect(database) as connection:
            connection.execute("ALTER TABLE payment RENAME TO away")
        assert (await sent(url, event(1, 1, "created"))).status == 500
        assert rows(database, "SELECT * FROM done") == []
        with sqlite3.connect(database) as connection:
            connection.execute("ALTER TABLE away RENAME TO payment")
        assert (await sent(url, event(1, 1, "created"))).status == 204
    assert rows(database, "SELECT status FROM payment") == [("created",)]


@pytest.mark.parametrize("word", ["verify", "ON CONFLICT DO NOTHING", "object_version"])
def test_it_says_what_a_receiver_must_do(word: str) -> None:
    assert word in PROGRAM.read_text()
