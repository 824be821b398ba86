"""Webhooks to a merchant: how many a second one healthy receiver gets, and how late it is told
while ten others hang. The receivers are in this process, and do as little as a receiver can.
"""

import asyncio
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from paygate.storage.connections.database import connector
from paygate.storage.connections.session import Connection
from tools.bench import BenchError
from tools.bench.load import Client, Response, flood, pace
from tools.bench.payments import Sizes
from tools.bench.report import percentile
from tools.bench.rows import Sample

HANGING: Final = 10
A_SECOND: Final = 50
WITHIN_SECONDS: Final = 120
_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_END: Final = b"\r\n\r\n"


class Receivers:
    """`/healthy` is answered, and when each event came is kept; nothing else is answered."""

    def __init__(self) -> None:
        self.came: list[tuple[float, bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                head = (await reader.readuntil(_END)).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(length)
                if head.startswith(b"post /healthy"):
                    self.came.append((time.time(), body))
                    writer.write(_OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def wait_for(self, count: int) -> None:
        """Until so many have come."""
        end = time.perf_counter() + WITHIN_SECONDS
        while len(self.came) < count:
            if time.perf_counter() > end:
                raise BenchError(f"{count - len(self.came)} events were not delivered")
            await asyncio.sleep(0.005)

    def delays(self) -> list[float]:
        """Of each event that came: milliseconds since it was made."""
        return [
            (at - datetime.fromisoformat(json.loads(body)["created_at"]).timestamp()) * 1e3
            for at, body in self.came
        ]


class Told:
    """A merchant of the gateway's, with endpoints at these receivers."""

    def __init__(
        self, client: Client, connection: Connection, url: str, receivers: Receivers
    ) -> None:
        self._client = client
        self._connection = connection
        self._url = url
        self._receivers = receivers
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count()

    async def rate(self, count: int) -> Sample:
        """A backlog, from when it may be sent until the last of it has come."""
        async with self._endpoint("healthy") as endpoint:
            await self._pause(endpoint, "1 hour")
            await flood(self._client, self._creates(count), _expect(201))
            await self._until_waiting(endpoint, count)
            self._receivers.came.clear()
            started = time.perf_counter()
            await self._pause(endpoint, "0")
            await self._receivers.wait_for(count)
            return {"delivered": count / (time.perf_counter() - started)}

    async def delay(self, count: int) -> Sample:
        """Events at a fixed rate, without and with receivers that hang."""
        async with self._endpoint("healthy"):
            alone = await self._delays(count)
            others = [self._endpoint(f"hanging/{n}") for n in range(HANGING)]
            for other in others:
                await other.__aenter__()
            beside = await self._delays(count)
            for other in others:
                await other.__aexit__(None, None, None)
        p99 = percentile(alone, 0.99), percentile(beside, 0.99)
        return {"told/p99": p99[0], "told/hanging": p99[1], "told/more": max(p99[1] - p99[0], 0.1)}

    async def _delays(self, count: int) -> list[float]:
        self._receivers.came.clear()
        await pace(self._client, self._creates(count), A_SECOND, _expect(201))
        await self._receivers.wait_for(count)
        return self._receivers.delays()

    def _creates(self, count: int) -> Iterator[bytes]:
        for number in itertools.islice(self._numbers, count):
            key = f"Idempotency-Key: told-{self._run}-{number}\r\n"
            body = {"amount": 1999, "currency": "eur"}
            yield self._client.request("POST", "/payment-intents", body, key)

    @asynccontextmanager
    async def _endpoint(self, path: str) -> AsyncIterator[str]:
        made: list[dict[str, Any]] = []

        def keep(response: Response) -> None:
            _expect(201)(response)
            made.append(json.loads(response.body))

        body = {"url": f"{self._url}/{path}", "events": ["payment_intent.created"]}
        request = self._client.request("POST", "/webhook-endpoints", body, "")
        await flood(self._client, iter([request]), keep)
        (endpoint,) = (each["id"] for each in made)
        try:
            yield endpoint
        finally:
            request = self._client.request("DELETE", f"/webhook-endpoints/{endpoint}", {}, "")
            await flood(self._client, iter([request]), _expect(200))

    async def _pause(self, endpoint: str, length: str) -> None:
        await self._connection.execute(
            "INSERT INTO webhook_pause VALUES ('default', $1, now() + $2::text::interval, 0)"
            " ON CONFLICT (merchant, endpoint) DO UPDATE SET paused_until = EXCLUDED.paused_until",
            endpoint,
            length,
        )

    async def _until_waiting(self, endpoint: str, count: int) -> None:
        end = time.perf_counter() + WITHIN_SECONDS
        waiting = "SELECT count(*) FROM delivery WHERE merchant = 'default' AND endpoint = $1"
        while await self._connection.fetchval(waiting, endpoint) < count:
            if time.perf_counter() > end:
                raise BenchError("events were not made into deliveries")
            await asyncio.sleep(0.05)


async def webhooks_round(ready: dict[str, Any], sizes: Sizes) -> Sample:
    """One round of the rows."""
    receivers = Receivers()
    server = await asyncio.start_server(receivers.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = Client(ready["api_url"], ready["secret_key"], ready["ca_file"])
    connection = await connector(ready["database_url"], name="bench webhooks")()
    try:
        await client.open(sizes.connections)
        told = Told(client, connection, url, receivers)
        return {
            **await told.rate(sizes.deliveries),
            **await told.delay(sizes.paced_deliveries),
        }
    finally:
        client.close()
        await connection.close()
        server.close()


def _expect(status: int) -> Any:
    def check(response: Response) -> None:
        if response.status != status:
            raise BenchError(f"the gateway answered {response.status}: {response.body[:300]!r}")

    return check
