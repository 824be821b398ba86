"""A headless Chromium by its own debugging protocol, for what only a browser can show.

It must never be needed: where none is installed, what asks for it is skipped.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ABSENT = "no chromium is installed: the fields are tested by plain HTTP only"

_START_SECONDS = 30


class Tab:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async for message in self._socket:
            answer = message.json()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
        raise AssertionError("the browser has gone")

    async def visit(self, url: str) -> None:
        answer = await self.send("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        await self.run(
            "document.readyState === 'complete' || new Promise((done) => { onload = done; })"
        )

    async def run(self, script: str, **where: Any) -> Any:
        """What the script, perhaps a promise, comes to."""
        answer = await self.send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            **where,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def run_in_frame(self, script: str) -> Any:
        """As the person in front of the screen, who may type where the page may not look."""
        tree = (await self.send("Page.getFrameTree"))["frameTree"]
        [child] = tree["childFrames"]
        world = await self.send("Page.createIsolatedWorld", frameId=child["frame"]["id"])
        return await self.run(script, contextId=world["executionContextId"])


@asynccontextmanager
async def open_tab(
    session: aiohttp.ClientSession, directory: Path, *flags: str
) -> AsyncIterator[Tab]:
    assert PROGRAM is not None, ABSENT
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"),
        f"--user-data-dir={directory}",
        *flags,
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port_file = directory / "DevToolsActivePort"
        async with asyncio.timeout(_START_SECONDS):
            while not (port_file.exists() and port_file.read_text().count("\n")):
                await asyncio.sleep(0.05)
        port = port_file.read_text().split()[0]
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            [page] = [each for each in await answer.json() if each["type"] == "page"]
        async with session.ws_connect(page["webSocketDebuggerUrl"]) as socket:
            yield Tab(socket)
    finally:
        process.kill()
        await process.wait()
