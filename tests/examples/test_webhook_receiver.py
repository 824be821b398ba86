"""The receivers that people copy, for Python and for Node: forged events are refused, each is done
once, and what failed is done when it comes again.
"""

import asyncio
import os
import shutil
import socket
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paygate.domain.addresses import Reach
from paygate.domain.webhooks.endpoint import SigningSecret
from paygate.egress.client import Egress, Responded
from paygate.flows.webhooks.send import signed_headers
from tests.gateway import until

FOLDER = Path(__file__).parents[2] / "examples" / "webhook_receiver"
PYTHON, NODE = FOLDER / "receiver.py", FOLDER / "receiver.mjs"
KEY = bytes(range(32))

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
both = pytest.mark.parametrize(
    "program", [PYTHON, pytest.param(NODE, marks=needs_node)], ids=["python", "node"]
)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@asynccontextmanager
async def running(program: Path, database: Path) -> AsyncIterator[str]:
    """The program as a process, and where it listens."""
    port = free_port()
    environment = os.environ | {"WEBHOOK_SECRET": SigningSecret(KEY).text}
    interpreter = sys.executable if program is PYTHON else "node"
    process = await asyncio.create_subprocess_exec(
        interpreter, str(program), str(port), str(database), env=environment
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


async def sent(
    url: str, event: dict[str, Any], key: bytes = KEY, at: datetime | None = None
) -> Responded:
    egress = Egress(Reach(loopback=True), user_agent="test")
    body = msgspec.json.encode(event)
    headers = signed_headers(event["id"], body, [key], at or datetime.now(UTC))
    outcome = await egress.post(url, body, headers, seconds=60)
    await egress.close()
    assert isinstance(outcome, Responded), outcome
    return outcome


def event(number: int, version: int, status: str) -> dict[str, Any]:
    paid = {"id": "pi_1", "status": status, "reference": "order-1"}
    return {"id": f"evt_{number}", "object_version": version, "data": {"object": paid}}


def done(program: Path, database: Path) -> list[str]:
    """The events that were done."""
    if program is NODE:
        return [line["event"] for line in lines(database)]
    return [row[0] for row in rows(database, "SELECT event FROM done ORDER BY rowid")]


def payment(program: Path, database: Path) -> tuple[int, str]:
    """The one payment as it stands: its version and status."""
    if program is NODE:
        last = lines(database)[-1]["payment"]
        return last["version"], last["status"]
    ((version, status),) = rows(database, "SELECT version, status FROM payment")
    return version, status


def lines(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    return [msgspec.json.decode(line) for line in file.read_text().split("\n") if line]


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(database) as connection:
        return connection.execute(query).fetchall()


@contextmanager
def out_of_order(program: Path, database: Path) -> Iterator[None]:
    """Its work fails meanwhile."""
    if program is NODE:
        database.mkdir()
        yield
        database.rmdir()
        return
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE payment RENAME TO away")
    yield
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE away RENAME TO payment")


@both
async def test_each_event_is_done_once_and_an_older_one_changes_nothing(
    program: Path, tmp_path: Path
) -> None:
    database = tmp_path / "shop.db"
    async with running(program, database) as url:
        assert (await sent(url, event(1, 1, "created"), key=bytes(32))).status == 400
        assert done(program, database) == []
        for given in (event(2, 3, "succeeded"), event(2, 3, "succeeded"), event(1, 1, "created")):
            assert (await sent(url, given)).status == 204
    assert done(program, database) == ["evt_2", "evt_1"]
    assert payment(program, database) == (3, "succeeded")
    async with running(program, database) as url:  # as it knew before it was stopped
        for given in (event(2, 3, "succeeded"), event(3, 2, "processing")):
            assert (await sent(url, given)).status == 204
    assert done(program, database) == ["evt_2", "evt_1", "evt_3"]
    assert payment(program, database) == (3, "succeeded")


@both
async def test_what_failed_is_done_when_it_comes_again(program: Path, tmp_path: Path) -> None:
    """The claim went with the work that it was for."""
    database = tmp_path / "shop.db"
    async with running(program, database) as url:
        with out_of_order(program, database):
            assert (await sent(url, event(1, 1, "created"))).status == 500
        assert done(program, database) == []
        assert (await sent(url, event(1, 1, "created"))).status == 204
    assert payment(program, database) == (1, "created")


@both
async def test_an_old_request_is_refused(program: Path, tmp_path: Path) -> None:
    database = tmp_path / "shop.db"
    async with running(program, database) as url:
        for minutes in (-6, 6):
            at = datetime.now(UTC) + timedelta(minutes=minutes)
            assert (await sent(url, event(1, 1, "created"), at=at)).status == 400
        assert done(program, database) == []


@needs_node
async def test_node_reads_secrets_as_we_do(tmp_path: Path) -> None:
    """Two hundred of them, and two signatures in a header."""
    cases = []
    for _ in range(200):
        key, at, body = os.urandom(32), datetime.now(UTC), '{"a":"é\u2028😀"}'
        headers = signed_headers("evt_1", body.encode(), [os.urandom(32), key], at)
        secret = SigningSecret(key).text
        cases.append({"secret": secret, "body": body, "headers": dict(headers)})
    asking = tmp_path / "ask.mjs"
    asking.write_text(
        f"import {{ verify }} from {str(NODE)!r};\nimport {{ readFileSync }} from 'node:fs';\n"
        "const cases = JSON.parse(readFileSync(0, 'utf8'));\n"
        "const good = cases.filter((c) => verify(c.secret, Buffer.from(c.body), c.headers));\n"
        "const bad = cases.filter((c) => verify(c.secret, Buffer.from(c.body + ' '), c.headers));\n"
        "console.log(good.length, bad.length);\n"
    )
    node = await asyncio.create_subprocess_exec(
        "node", str(asking), stdin=PIPE, stdout=PIPE, env=os.environ
    )
    out, _ = await node.communicate(msgspec.json.encode(cases))
    assert out.decode().split() == ["200", "0"]


@pytest.mark.parametrize("program", [PYTHON, NODE])
def test_it_says_what_a_receiver_must_do(program: Path) -> None:
    text = program.read_text()
    assert all(word in text for word in ("verify", "done", "object_version"))
