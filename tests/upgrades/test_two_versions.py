"""F24: the previous release beside this one, on one database, under load.

Shops go on while this version migrates the database, comes up, restarts and takes over. Each call
is made twice at once under one key, at nodes of either version. The provider's books judge.
"""

import asyncio
import itertools
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from paygate.providers.stripe.events import ENABLED_EVENTS
from tests.api.shops import Shop
from tests.cli.processes import run
from tests.gateway import Gateway, Response
from tests.payments.agreement import agrees_with_provider
from tests.payments.steps import COME_AGAIN, fault, ledger_agrees, resolve
from tests.upgrades.older import Node, older_code, serve, until_listening

SHOPPERS = 6
AGAIN = COME_AGAIN | {"node_outdated", "internal_error"}
"""Codes after which a client comes again with the same key, and must get its one answer."""
CARD = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}

RENAMED = {"Concern": "Problem"}
"""Structs of the previous release under their names of today: no name of a struct is written."""


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the previous release."""
    return older_code(tmp_path_factory.mktemp("older"))


def may_be_left_out(shape: dict[str, Any], before: str | None) -> bool:
    """Whether a field may have a default now: of a request, where it had to be there before."""
    return before is None and not shape["stored"]


def test_what_the_older_side_wrote_is_read_and_what_it_was_sent_is_taken(older: Path) -> None:
    """No field is gone, none must be there that was not, no default is another, no value of an
    enumeration and no job is forgotten.
    """
    program = Path(__file__).with_name("shapes.py")
    before, after = (
        json.loads(
            subprocess.run(
                [python, program],
                capture_output=True,
                check=True,
            ).stdout
        )
        for python in (older, Path(sys.executable))
    )
    wrong = []
    for name, shape in before.items():
        now = after.get(RENAMED.get(name, name), {})
        if now.get("tag") != shape.get("tag"):
            wrong.append(f"{name} has another tag, or is gone")
        wrong += [f"{name}: {v} is gone" for v in shape.get("values", ()) if v not in now["values"]]
        known, fields = shape.get("fields", {}), now.get("fields", {})
        wrong += [
            f"{name}.{f} is gone, or its default is another"
            for f in known
            if f not in fields or (fields[f] != known[f] and not may_be_left_out(now, known[f]))
        ]
        wrong += [
            f"{name}.{f} must be there" for f in fields if f not in known and fields[f] is None
        ]
    assert wrong == []


class Nodes:
    """Where clients go: any node that is up, of either version."""

    def __init__(self) -> None:
        self._up: list[Gateway] = []
        self._all: list[Gateway] = []
        self.answered: dict[str, int] = {}

    async def add(self, gateway: Gateway) -> None:
        await asyncio.to_thread(until_listening, gateway)
        await gateway.open()
        self._up.append(gateway)
        self._all.append(gateway)

    def remove(self, gateway: Gateway) -> None:
        """Out of the load balancer; connections stay until the node has drained."""
        self._up.remove(gateway)

    def some(self, chance: random.Random) -> Gateway:
        return chance.choice(self._up)

    async def close(self) -> None:
        for gateway in self._all:
            await gateway.close()


class Shopper:
    """Buys again and again; every call goes to one node, and once more to another."""

    def __init__(self, nodes: Nodes, number: int) -> None:
        self._nodes = nodes
        self._chance = random.Random(number)
        self._keys = (f"shopper {number}, call {n}" for n in itertools.count())
        self.bought = 0
        self.gone = False
        """Whether it has stopped, by itself or because something was wrong."""

    async def shop(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                await self._buy()
        finally:
            self.gone = True

    async def _buy(self) -> None:
        manual = self._chance.random() < 0.3
        wanted = {"amount": 1000 + self._chance.randrange(1000), "currency": "eur"}
        if manual:
            wanted["capture_method"] = "manual"
        intent = (await self.ask("/payment-intents", wanted))["id"]
        confirmed = await self.ask(f"/payment-intents/{intent}/confirm", CARD)
        if manual and confirmed["status"] == "requires_capture":
            await self.ask(f"/payment-intents/{intent}/capture", {})
        self.bought += 1

    async def ask(self, path: str, body: Any) -> dict[str, Any]:
        """The answer to a call, and to its twin under the same key: one and the same."""
        key = next(self._keys)
        first, second = await asyncio.gather(
            self._persist(path, body, key), self._persist(path, body, key)
        )
        assert first.body == second.body, (first, second)
        return first.json

    async def _persist(self, path: str, body: Any, key: str) -> Response:
        """Come again, at any node, until the call is answered. A cut connection tells nothing."""
        async with asyncio.timeout(30):
            while True:
                node = self._nodes.some(self._chance)
                try:
                    answer = await node.call("POST", path, body, headers={"Idempotency-Key": key})
                except aiohttp.ClientError:
                    continue
                self._nodes.answered[node.ready["api_url"]] = (
                    self._nodes.answered.get(node.ready["api_url"], 0) + 1
                )
                if answer.status in (200, 201):
                    return answer
                assert answer.code in AGAIN, answer
                await asyncio.sleep(0.02)


@asynccontextmanager
async def shoppers(nodes: Nodes) -> AsyncIterator[list[Shopper]]:
    """They shop meanwhile; what they were told wrong is raised at the end."""
    stop = asyncio.Event()
    group = [Shopper(nodes, number) for number in range(SHOPPERS)]
    work = asyncio.gather(*(shopper.shop(stop) for shopper in group))
    try:
        yield group
    finally:
        stop.set()
        await work


async def bought(group: list[Shopper], more: int) -> None:
    """Until so many more payments were made: no length of time says that something happened."""
    goal = sum(shopper.bought for shopper in group) + more
    async with asyncio.timeout(60):
        while sum(shopper.bought for shopper in group) < goal:
            assert not any(shopper.gone for shopper in group), "what went wrong is said below"
            await asyncio.sleep(0.02)


async def second_endpoint(first: Gateway, url: str) -> str:
    """The provider tells the newer nodes too, of everything; returns the endpoint's secret."""
    headers = {"Authorization": f"Bearer {first.ready['sandbox_secret_key']}"}
    form = [("url", f"{url}/webhooks"), *(("enabled_events[]", kind) for kind in ENABLED_EVENTS)]
    async with aiohttp.ClientSession(headers=headers) as session:
        made = await session.post(f"{first.ready['sandbox_url']}/v1/webhook_endpoints", data=form)
        return str((await made.json())["secret"])


@pytest.mark.timeout(300)
async def test_old_beside_new_under_load(older: Path, tmp_path: Path) -> None:
    first = await asyncio.to_thread(
        Gateway.start, tmp_path / "up", "--processes", "1", python=older
    )
    running: list[Node] = []
    nodes = Nodes()
    try:
        await nodes.add(first)
        old_node, old = serve(first, older, {})
        running.append(old_node)
        await nodes.add(old)
        shop = Shop(first, "default", first.ready["secret_key"])
        faults = (fault("confirm", "error_after", probability=0.1),)
        for wanted in faults:
            await first.sandbox("POST", "/_sandbox/faults", wanted)
        async with shoppers(nodes) as group:
            await bought(group, 5)
            data = ("--data", first.ready["data_dir"])
            migrated = await asyncio.to_thread(run, "migrate", *data, cwd=tmp_path)
            assert (migrated.status, migrated.err) == (0, ""), migrated
            new_node, new = serve(first, None, {})
            url = new.ready["api_url"]
            running += [new_node, Node(first, None, "worker")]
            await nodes.add(new)
            await bought(group, 10)
            # An older node leaves, and a newer one restarts with another secret beside the first.
            nodes.remove(old)
            assert await asyncio.to_thread(old_node.stop) == 0, old_node.log.read_text()
            await bought(group, 5)
            nodes.remove(new)
            assert await asyncio.to_thread(new_node.stop) == 0, new_node.log.read_text()
            secrets = f"{first.ready['webhook_secret']},{await second_endpoint(first, url)}"
            port = int(url.rpartition(":")[2])
            settings = {"PAYGATE_STRIPE_WEBHOOK_SECRETS": secrets}
            again_node, again = serve(first, None, settings, port=port)
            running.append(again_node)
            await nodes.add(again)
            await bought(group, 10)
        await first.sandbox("DELETE", "/_sandbox/faults")
        assert len(nodes.answered) == 3, "every node had its part"
        await resolve(shop, tmp_path, (60, 120))
        intents = await agrees_with_provider(shop)
        # A hold whose confirm was in doubt for a while is not captured by its shopper.
        assert {intent["status"] for intent in intents} <= {"succeeded", "requires_capture"}
        assert len(intents) >= sum(shopper.bought for shopper in group)
        await asyncio.to_thread(ledger_agrees, shop, tmp_path)
    finally:
        await nodes.close()
        for node in running:
            if node.process.poll() is None:
                node.stop()
        assert await asyncio.to_thread(first.stop) == 0
