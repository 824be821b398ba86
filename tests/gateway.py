"""A whole gateway as real processes, and a client that talks to it as a merchant would."""

import asyncio
import io
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

START_SECONDS = 60.0


class Response(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    @property
    def code(self) -> str:
        """The error's stable code."""
        return str(self.json["error"]["code"])


class Gateway:
    """A running `paygate up`, as its ready file describes it."""

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any], log: Path) -> None:
        self.process = process
        self.ready = ready
        self.log = log
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def start(
        cls,
        folder: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
        python: Path | None = None,
    ) -> "Gateway":
        """Start one in `folder`, with settings on top of ours, and wait until it is ready; by an
        interpreter of its own, or by this one.
        """
        folder.mkdir(exist_ok=True)
        ready_file, log = folder / "ready.json", folder / "up.log"
        ready_file.unlink(missing_ok=True)
        command = [
            str(python or sys.executable),
            "-m",
            "paygate.cli",
            "up",
            "--data",
            str(folder / "data"),
        ]
        command += ["--port", "0", "--sandbox-port", "0", "--ready-file", str(ready_file), *options]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=os.environ | dict(environment or {})
            )
        end = time.monotonic() + START_SECONDS
        while not ready_file.exists():
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise AssertionError(f"paygate up did not start:\n{log.read_text()}")
            time.sleep(0.05)
        return cls(process, json.loads(ready_file.read_text()), log)

    def stop(self) -> int:
        """Stop it as Ctrl-C would; returns its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=60)

    @property
    def port(self) -> int:
        """Where its API listens."""
        return int(urlsplit(str(self.ready["api_url"])).port or 0)

    async def open(self) -> None:
        """Open the client's connections, in the running loop."""
        context = ssl.create_default_context(cafile=self.ready["ca_file"])
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), auto_decompress=False
        )

    async def close(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One call. `key` "" is the admin's, None is none; `raw` is sent as it stands."""
        assert self._session is not None
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        if key is not None and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {key or self.ready['secret_key']}"
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        async with self._session.request(
            method,
            self.ready["api_url"] + path,
            data=None if data is None else io.BytesIO(data),
            headers=sent,
        ) as response:
            return Response(response.status, response.headers.copy(), await response.read())

    async def visit(self, method: str, url: str, form: Any = None, **headers: str) -> Response:
        """One request of a payer's browser, to any address; it is not sent on."""
        assert self._session is not None
        async with self._session.request(
            method, URL(url, encoded=True), data=form, headers=headers, allow_redirects=False
        ) as response:
            return Response(response.status, response.headers.copy(), await response.read())

    async def wire(self, request: bytes) -> bytes:
        """What comes back for bytes that no client library would send."""
        url = urlsplit(self.ready["api_url"])
        context = ssl.create_default_context(cafile=self.ready["ca_file"])
        reader, writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    async def sandbox(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One call of the sandbox."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self.ready['sandbox_secret_key']}"}
        async with self._session.request(
            method, self.ready["sandbox_url"] + path, json=body, headers=headers
        ) as response:
            answer = await response.json()
            assert response.ok, answer
            return dict(answer)

    async def provider_call(self, path: str, form: Mapping[str, Any]) -> dict[str, Any]:
        """One call of the provider's API with the gateway's own key: as from its dashboard."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {self.ready['sandbox_secret_key']}"}
        url = f"{self.ready['sandbox_url']}/v1/{path}"
        async with self._session.request("POST", url, data=form, headers=headers) as response:
            shown = await response.json()
            assert response.ok, shown
            return dict(shown)

    async def create(
        self, amount: int = 1999, currency: str = "eur", **more: Any
    ) -> dict[str, Any]:
        """A new payment intent, as every later read shows it."""
        intent, _ = await self.create_with_secret(amount, currency, **more)
        return intent

    async def create_with_secret(
        self, amount: int = 1999, currency: str = "eur", **more: Any
    ) -> tuple[dict[str, Any], str]:
        """A new payment intent, and the client secret that its answer alone has."""
        answer = await self.call(
            "POST", "/payment-intents", {"amount": amount, "currency": currency, **more}
        )
        assert answer.status == 201, answer
        intent = answer.json
        return intent, intent.pop("client_secret")

    async def confirm(self, intent: str, token: str = "pm_card_visa", **more: Any) -> Response:
        """Confirm an intent with a card token."""
        body = {
            "payment_method": {"type": "card", "token": token},
            "return_url": "https://shop.example/done",
            **more,
        }
        return await self.call("POST", f"/payment-intents/{intent}/confirm", body)

    async def read(self, intent: str) -> dict[str, Any]:
        """An intent as it stands."""
        answer = await self.call("GET", f"/payment-intents/{intent}")
        assert answer.status == 200, answer
        return answer.json

    async def charges(self, intent: str) -> list[dict[str, Any]]:
        """The provider's own books of one intent."""
        ledger = await self.sandbox("GET", "/_sandbox/ledger")
        return [c for c in ledger["charges"] if c["metadata"].get("paygate_intent") == intent]


async def until(look: Callable[[], Any], *, seconds: float = 30.0) -> Any:
    """Await `look()` again and again until it gives something true."""
    async with asyncio.timeout(seconds):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.05)
