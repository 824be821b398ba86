"""Ten thousand requests that something has bitten: the server lives, and every answer is one."""

import asyncio
import json
import random
import resource
import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from paygate.api.edge.addresses import TrustedProxies
from paygate.api.http.connections import Connections
from paygate.api.http.server import Server
from tests.api.http.wire import SLOW, Application, parse

REQUESTS = 10_000
SEED = 20260101
AT_ONCE = 100
CHUNK = b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
WHOLE = [
    b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
    b"POST /a HTTP/1.1\r\nHost: a\r\n"
    + CHUNK
    + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /a HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"Content-Length: 2\r\n\r\nhi",
    b"GET http://a.example/b HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /large HTTP/1.0\r\n\r\n",
    b"GET /early HTTP/1.1\r\nHost: a\r\nCookie: " + b"x" * 3000 + b"\r\n\r\n",
]
BITS = [
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"/",
    b"%00",
    b"\xff",
    b"0\r\n\r\n",
    b"Host: b\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    CHUNK[:-2],
    b"Connection: close\r\n",
    UPGRADE,
    b"Expect: 100-continue\r\n",
    b"x" * 17_000,
    b"X: y\r\n" * 101,
    b"HTTP/1.1",
    b"CONNECT ",
    b"ffffffffffffffff\r\n",
]
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def bitten(dice: random.Random) -> bytes:
    """A request, or two, with some faults in them."""
    data = dice.choice(WHOLE) + (dice.choice(WHOLE) if dice.random() < 0.3 else b"")
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        end = min(len(data), at + dice.randint(1, 20))
        match dice.randrange(5):
            case 0:
                data = data[:at] + dice.choice(BITS) + data[at:]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:at] + data[at:end] * 2 + data[end:]
            case 3:
                data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1 :]
            case _:
                data = data[:at]
    return data


def are_answers(received: bytes, sent: bytes) -> Counter[int]:
    """That these bytes are answers, one after another, and nothing else; returns their statuses."""
    found: Counter[int] = Counter()
    while received:
        status, headers, rest = parse(received)
        found[status] += 1
        length = int(headers.get("content-length", 0))
        if status >= 400:
            error = json.loads(rest[:length])["error"]
            assert error["request_id"] == headers["request-id"], sent
            assert headers["connection"] == "close", sent
        if headers.get("x-method") == "HEAD":
            length = 0
        assert len(rest) >= length, (sent, received)
        received = rest[length:]
        if headers.get("connection") == "close":
            assert received == b"", sent
    return found


async def exchange(port: int, sent: bytes, statuses: Counter[int]) -> None:
    """Send bytes and read to the end, which must come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            writer.write(sent)
            received = await reader.read()
    except ConnectionResetError:  # it had bytes of ours unread
        statuses[0] += 1
        return
    finally:
        writer.close()
    statuses.update(are_answers(received, sent))


class Echo(Application):
    """Remembers nothing."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(scope, receive, send)
        self.seen.clear()
        self.bodies.clear()


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def fuzz() -> Counter[int]:
    connections = Connections(1000, 1000, TrustedProxies(()))
    deadlines = replace(SLOW, head=0.3, body=0.3, idle=0.3, linger=0.02)
    server = Server(Echo(), connections, deadlines, None)
    stop, dice, statuses = asyncio.Event(), random.Random(SEED), Counter[int]()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        serving = asyncio.create_task(server.serve([sock], stop))
        left = REQUESTS

        async def client() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                last = b"" if dice.random() < 0.03 else LAST  # else it waits until it is left
                await exchange(port, bitten(dice) + last, statuses)

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        stop.set()
        await serving
    return statuses


def test_bitten_requests_have_answers_and_no_other_effect() -> None:
    before = memory()
    statuses = uvloop.run(fuzz())
    assert memory() - before < 30 * 2**20
    assert set(statuses) <= {0, 100, 200, 400, 408, 413, 431}, statuses
    assert statuses[200] > REQUESTS / 4
    assert statuses[400] > REQUESTS / 4
    assert statuses[408] > REQUESTS / 1000
    assert statuses[431] > REQUESTS / 100
    assert statuses[0] < REQUESTS / 100
