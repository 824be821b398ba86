"""A webhook receiver: keeps what comes, answers what it is told.

It must never know the sandbox's insides.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from tests.sandbox.caller import judge_event


@dataclass(frozen=True)
class Delivery:
    raw: bytes
    signature: str

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = msgspec.json.decode(self.raw)
        return event


class Receiver:
    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.statuses: list[int] = []  # what to answer next; 200 when used up
        self.before_answer: Callable[[], Awaitable[None]] | None = None
        self._came = asyncio.Condition()
        self.url = ""

    async def start(self, tls: ssl.SSLContext | None = None) -> str:
        self._runner = web.ServerRunner(web.Server(self._receive), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = self._runner.addresses[0][:2]
        return f"{'https' if tls else 'http'}://{host}:{port}/hook"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        delivery = Delivery(await request.read(), request.headers["Stripe-Signature"])
        judge_event(delivery.event)
        if self.before_answer is not None:
            await self.before_answer()
        async with self._came:
            self.deliveries.append(delivery)
            self._came.notify_all()
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def wait_for(self, count: int, seconds: float = 60) -> list[Delivery]:
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.deliveries) >= count)
        return self.deliveries

    def types(self) -> list[str]:
        return [delivery.event["type"] for delivery in self.deliveries]
