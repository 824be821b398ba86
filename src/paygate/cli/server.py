"""Uvicorn's server, which waits to be told to stop instead of looking ten times a second."""

import asyncio
from contextlib import suppress
from types import FrameType
from typing import Final

import uvicorn

TICK_SECONDS: Final = 1.0
"""The `Date` header is of the second."""
_MAKE_DATE: Final = 0
"""A tick of this number makes the header anew."""


class Server(uvicorn.Server):
    """Wakes once a second, and when a signal comes."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the main loop; whatever runs when the signal comes goes on first."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        """Return when the server is to stop."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(_MAKE_DATE):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._told.wait()
