"""`paygate listen` when the gateway or the program goes away, when much happens at once, and when
somebody has had enough of it.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.api.shops import Shop, open_shop
from tests.cli.test_listen import listening
from tests.gateway import Gateway
from tests.receiver import Receiver, Request, answer


class Listing:
    """A gateway's `/events`, as far as `listen` asks for it, with troubles of its own."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        """The oldest first."""
        self.said: list[bytes] = []
        """What is answered next, whatever was asked."""

    def happen(self, count: int) -> None:
        for _ in range(count):
            number = len(self.events)
            self.events.append(
                {
                    "id": f"evt_{number}",
                    "type": "payment_intent.created",
                    "created_at": "2026-11-24T12:00:00.000Z",
                    "data": {"object": {"id": f"pi_{number}"}},
                }
            )

    def decide(self, _: Receiver, request: Request) -> bytes:
        if self.said:
            return self.said.pop(0)
        target = request.raw.split(b" ")[1].decode()
        query = dict(part.split("=") for part in target.partition("?")[2].split("&"))
        limit, ids = int(query["limit"]), [event["id"] for event in self.events]
        if newer_than := query.get("ending_before"):
            rest = self.events[ids.index(newer_than) + 1 :]
            shown = rest[:limit][::-1]
        else:
            older_than = query.get("starting_after")
            rest = self.events[: ids.index(older_than)] if older_than else self.events
            shown = rest[::-1][:limit]
        page = {"data": shown, "has_more": len(rest) > limit}
        body = json.dumps(page).encode()
        return answer(200, "Content-Type: application/json", body=body)


@asynccontextmanager
async def listener(
    api: Receiver, folder: Path, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`listen` at work: it has asked once."""
    key = folder / "key"
    key.write_text("pgw_test_sk_1")
    url = f"http://127.0.0.1:{api.port}"
    process = await listening("--api-url", url, "--key-file", str(key), *arguments)
    try:
        await api.wait_for(1)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(process: asyncio.subprocess.Process, count: int) -> list[str]:
    """The events of so many lines."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        lines = [await process.stdout.readline() for _ in range(count)]
    return [line.decode().split()[2] for line in lines]


async def test_a_gateway_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    """However it is gone: said once, and nothing that happened meanwhile is missed."""
    listing = Listing()
    listing.happen(1)
    async with Receiver() as api:
        api.decide = listing.decide
        async with listener(api, tmp_path) as process:
            port, asked = api.port, len(api.requests)
            kind = "Content-Type: application/json"
            listing.said = [
                answer(503, kind, body=b'{"error": {"message": "later"}}'),
                answer(429, kind, body=b'{"error": {"message": "less"}}'),
                answer(502, "Content-Type: text/html", body=b"<h1>Bad Gateway</h1>"),
                answer(200, kind, body=b'{"data": ['),
                answer(200, kind, body=b"[1]"),
                b"SSH-2.0-OpenSSH\r\n",
            ]
            await api.wait_for(asked + 7)
            await api.__aexit__()
            listing.happen(3)
            again = Receiver()
            again.port, again.decide = port, listing.decide
            async with again:
                assert await heard(process, 3) == ["pi_1", "pi_2", "pi_3"]
            process.send_signal(signal.SIGINT)
            _, said = await process.communicate()
            assert process.returncode == 0
    lines = said.decode().splitlines()
    assert lines[:2] == [
        "paygate: the gateway does not answer; asking again",
        "paygate: the gateway answers again",
    ]
    assert len(lines) <= 4


async def test_a_gateway_that_refuses_or_never_was_there_ends_it(tmp_path: Path) -> None:
    async with Receiver() as api:
        refusal = b'{"error": {"message": "no such key"}}'
        api.always = answer(401, "Content-Type: application/json", body=refusal)
        async with listener(api, tmp_path) as process:
            _, said = await process.communicate()
        assert (process.returncode, said) == (1, b"paygate: the gateway refuses: no such key\n")
    process = await listening(
        "--api-url", f"http://127.0.0.1:{api.port}", "--key-file", str(tmp_path / "key")
    )
    _, said = await process.communicate()
    assert (process.returncode, said) == (1, b"paygate: the gateway cannot be reached\n")


async def test_much_at_once_is_all_told_in_order(tmp_path: Path) -> None:
    """More than a page, before the first look and after it."""
    listing = Listing()
    async with Receiver() as api:
        api.decide = listing.decide
        async with listener(api, tmp_path) as process:
            listing.happen(350)
            assert await heard(process, 350) == [f"pi_{n}" for n in range(350)]
            listing.happen(250)
            assert await heard(process, 250) == [f"pi_{n}" for n in range(350, 600)]


async def test_a_program_that_goes_away_is_not_waited_for(tmp_path: Path) -> None:
    """What it missed is said, and what comes when it is there again is sent."""
    listing = Listing()
    listing.happen(1)
    async with Receiver() as api, Receiver() as program:
        api.decide = listing.decide
        async with listener(api, tmp_path, "--forward-to", program.url()) as process:
            assert process.stdout is not None
            became: list[str] = []
            for always in (answer(500), None, answer(200)):
                if always is None:
                    await program.__aexit__()
                else:
                    program.always = always
                    if became:
                        await program.__aenter__()
                listing.happen(1)
                line = await asyncio.wait_for(process.stdout.readline(), 60)
                became.append(line.decode().split("->")[1].strip())
            assert became == ["500", "unreachable", "200"]


async def test_two_listeners_hear_the_same_and_send_the_bytes_of_a_webhook(
    gateway: Gateway, tmp_path: Path
) -> None:
    shop: Shop = await open_shop(gateway)
    (tmp_path / "key").write_text(shop.admin)
    at = ("--data", gateway.ready["data_dir"], "--key-file", str(tmp_path / "key"))
    async with Receiver() as one, Receiver() as two:
        processes = [await listening(*at, "--forward-to", r.url()) for r in (one, two)]
        for process in processes:
            assert process.stderr is not None
            await process.stderr.readline()
        while not (one.requests and two.requests):
            await shop.call("POST", "/payment-intents", {"amount": 100, "currency": "eur"})
            await asyncio.sleep(0.5)
        for process in processes:
            process.terminate()
            await process.wait()
    shared = {r.headers["webhook-id"]: r.body for r in one.requests}
    sent = {r.headers["webhook-id"]: r.body for r in two.requests}
    assert shared.keys() & sent.keys()
    for event_id in shared.keys() & sent.keys():
        shown = await shop.call("GET", f"/events/{event_id}")
        assert shared[event_id] == sent[event_id] == shown.body
