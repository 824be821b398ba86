"""An idle server sleeps, and still hears at once that it is to stop."""

import asyncio
import signal

import uvicorn

from paygate.cli.server import Server

WITHIN_SECONDS = 10.0


class Counted(Server):
    """Counts how often it looks around."""

    ticks = 0

    async def on_tick(self, counter: int) -> bool:
        self.ticks += 1
        return await super().on_tick(counter)


async def test_an_idle_server_looks_around_once_a_second() -> None:
    server = Counted(uvicorn.Config("none"))
    running = asyncio.create_task(server.main_loop())
    async with asyncio.timeout(WITHIN_SECONDS):
        while not server.server_state.default_headers:
            await asyncio.sleep(0)
        first = server.server_state.default_headers
        while server.server_state.default_headers == first:
            await asyncio.sleep(0.01)
        assert server.ticks <= 3, "the date of the second costs a tick for each"
        server.handle_exit(signal.SIGTERM, None)
        await running


async def test_a_signal_ends_it_before_its_next_look() -> None:
    server = Counted(uvicorn.Config("none"))
    running = asyncio.create_task(server.main_loop())
    async with asyncio.timeout(WITHIN_SECONDS):
        while not server.ticks:
            await asyncio.sleep(0)
        server.handle_exit(signal.SIGTERM, None)
        await running
    assert server.ticks == 2
