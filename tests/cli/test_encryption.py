"""Keys rotated in a whole gateway by the command, under load, with processes killed (F28)."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from paygate.storage.schema.versions import ANNOUNCED
from tests.cli.processes import Ran, clean_environ, run
from tests.gateway import Gateway, until

PAYMENTS = 40
LOOKED_UP = 8
"""Of those bought first, and of those bought last."""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose keys this file may rotate."""
    gateway = Gateway.start(tmp_path_factory.mktemp("rotated"))
    yield gateway
    gateway.stop()


@pytest.fixture
async def gateway(own: Gateway) -> AsyncIterator[Gateway]:
    await own.open()
    yield own
    await own.close()


def encryption(gateway: Gateway, *arguments: str) -> Ran:
    data = gateway.ready["data_dir"]
    return run("encryption", *arguments, "--data", data, cwd=Path(data))


def status(gateway: Gateway) -> dict[str, Any]:
    shown = encryption(gateway, "status", "--json")
    assert shown.status == 0, shown
    return dict(json.loads(shown.out))


def keys(gateway: Gateway, purpose: str = "records") -> dict[str, dict[str, Any]]:
    """The keys for records, by their status; of several, the newest."""
    return {key["status"]: key for key in status(gateway)["keys"] if key["purpose"] == purpose}


async def pay(gateway: Gateway) -> str:
    """A payment, however often it must be asked for: a process may be killed meanwhile."""
    number = str(uuid4())  # sixteen digits alone may be a card's
    intent = await asked(
        gateway, "/payment-intents", {"amount": 1999, "currency": "eur"}, f"new {number}"
    )
    method = {"type": "card", "token": "pm_card_visa"}
    body = {"payment_method": method, "return_url": "https://shop.example/done"}
    await asked(gateway, f"/payment-intents/{intent['id']}/confirm", body, f"pay {number}")
    return str(intent["id"])


async def asked(gateway: Gateway, path: str, body: Any, key: str) -> dict[str, Any]:
    while True:
        with suppress(aiohttp.ClientError):
            answer = await gateway.call("POST", path, body, headers={"Idempotency-Key": key})
            if answer.status < 300:
                return answer.json
            assert answer.status in (409, 503), answer
            assert answer.code != "reference_in_use", answer
        await asyncio.sleep(0.02)


async def all_are_read(gateway: Gateway, intents: list[str]) -> None:
    for intent in intents:
        if (await gateway.read(intent))["status"] != "succeeded":  # its process was killed
            await until(partial(resolved, gateway, intent), seconds=120.0)
    alerts = (await gateway.call("GET", "/alerts")).json["data"]
    assert [alert for alert in alerts if alert["type"] == "record_unreadable"] == []


async def resolved(gateway: Gateway, intent: str) -> bool:
    data = gateway.ready["data_dir"]
    assert run("jobs", "run", "resolve-attempts", "--data", data, cwd=Path(data)).status == 0
    return bool((await gateway.read(intent))["status"] == "succeeded")


@pytest.mark.timeout(300)
async def test_a_rotation_is_killed_under_load_and_goes_on(gateway: Gateway) -> None:
    """The command is killed while it seals anew, and an API process beside it; nothing is lost, all
    is readable at any moment, the counts are right, and the old key is given up.
    """
    paid = list(await asyncio.gather(*(pay(gateway) for _ in range(PAYMENTS))))
    old = keys(gateway)["primary"]["id"]
    over = asyncio.Event()

    async def load() -> None:
        while not over.is_set():
            paid.append(await pay(gateway))

    buyers = [asyncio.create_task(load()) for _ in range(3)]
    data = gateway.ready["data_dir"]
    killed = 0
    connection = await asyncpg.connect(gateway.ready["database_url"])
    for _ in range(3):
        command = [sys.executable, "-m", "paygate.cli", "encryption", "rotate", "--data", data]
        rotating = await asyncio.create_subprocess_exec(
            *command, env=clean_environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert rotating.stdout is not None
        while line := await rotating.stdout.readline():
            if b"are sealed under other keys" in line:
                break
        rotating.send_signal(signal.SIGKILL)
        killed += await rotating.wait() == -signal.SIGKILL
    assert killed
    api = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'paygate api%'"
    )
    assert api
    for process in children(gateway.process.pid, "serve")[:1]:
        os.kill(process, signal.SIGKILL)
    done = encryption(gateway, "rotate")
    assert done.status == 0, done
    new = keys(gateway)["primary"]
    assert new["id"] != old
    over.set()
    await asyncio.gather(*buyers)
    assert {key["rows"] for key in status(gateway)["keys"] if key["id"] == old} == {0}
    await all_are_read(gateway, paid)
    rows = await connection.fetchval("SELECT count(*) FROM payment_intent")
    assert status(gateway)["rows_by_table"]["payment_intent"] == {new["id"]: rows}
    await connection.close()
    wrong = encryption(gateway, "retire", old, "--confirm", new["id"])
    assert (wrong.status, wrong.err) == (1, f"paygate: that is not {old}: nothing was done\n")
    retired = encryption(gateway, "retire", old, "--confirm", old)
    assert retired.status == 0, retired
    assert "older backups no longer open" in retired.err
    assert keys(gateway)["retired"]["id"] == old
    await all_are_read(gateway, paid)
    paid.append(await pay(gateway))
    for book in ("audit", "ledger"):
        verified = run(book, "verify", "--data", data, cwd=Path(data))
        assert verified.status == 0, verified


class Order(NamedTuple):
    """What was bought under a reference that no other payment may have."""

    reference: str
    key: str
    intent: str


async def buy(gateway: Gateway) -> Order:
    number = str(uuid4())  # sixteen digits alone may be a card's
    order = Order(f"order {number}", number, await created(gateway, f"order {number}", number))
    method = {"type": "card", "token": "pm_card_visa"}
    body = {"payment_method": method, "return_url": "https://shop.example/done"}
    await asked(gateway, f"/payment-intents/{order.intent}/confirm", body, f"pay {number}")
    return order


async def created(gateway: Gateway, reference: str, key: str) -> str:
    body = {"amount": 1999, "currency": "eur", "reference": reference, "unique_reference": True}
    return str((await asked(gateway, "/payment-intents", body, key))["id"])


async def all_are_found(gateway: Gateway, orders: list[Order]) -> None:
    """By their references, and by the keys that they were asked for with; each charged once."""
    charged = Counter[str]()
    for charge in (await gateway.sandbox("GET", "/_sandbox/ledger"))["charges"]:
        charged[charge["metadata"].get("paygate_intent")] += 1
    assert set(charged.values()) == {1}
    for order in (*orders[:LOOKED_UP], *orders[-LOOKED_UP:]):
        path = f"/payment-intents?reference={quote(order.reference)}"
        listed = (await gateway.call("GET", path)).json["data"]
        assert [intent["id"] for intent in listed] == [order.intent]
        assert await created(gateway, order.reference, order.key) == order.intent
        assert charged[order.intent] == 1
    body = {"amount": 1, "currency": "eur", "unique_reference": True}
    for order in orders[:3]:
        refused = await gateway.call(
            "POST", "/payment-intents", {**body, "reference": order.reference}
        )
        assert (refused.status, refused.code) == (409, "reference_in_use")


@pytest.mark.timeout(300)
async def test_the_index_key_is_rotated_under_load_and_killed(gateway: Gateway) -> None:
    """The command is killed while it hashes anew, and an API process beside it. At every step each
    payment is found by its reference, no request runs twice, and nothing is charged twice.
    """
    orders = list(await asyncio.gather(*(buy(gateway) for _ in range(PAYMENTS))))
    old = keys(gateway, "index")["primary"]
    assert old["rows"] > 0
    over = asyncio.Event()

    async def load() -> None:
        while not over.is_set():
            orders.append(await buy(gateway))

    buyers = [asyncio.create_task(load()) for _ in range(2)]
    data = gateway.ready["data_dir"]
    arguments = ("encryption", "rotate", "--index", "--data", data)
    killed = 0
    for _ in range(2):
        rotating = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "paygate.cli", *arguments),
            env=clean_environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert rotating.stdout is not None
        while line := await rotating.stdout.readline():
            if b"are hashed with other keys" in line:
                break
        rotating.send_signal(signal.SIGKILL)
        killed += await rotating.wait() == -signal.SIGKILL
        await all_are_found(gateway, list(orders))
    assert killed
    for process in children(gateway.process.pid, "serve")[:1]:
        os.kill(process, signal.SIGKILL)
    done = await asyncio.to_thread(encryption, gateway, "rotate", "--index")
    assert done.status == 0, done
    over.set()
    await asyncio.gather(*buyers)
    shown = {key["id"]: key for key in status(gateway)["keys"] if key["purpose"] == "index"}
    assert shown[old["id"]]["rows"] == 0
    assert keys(gateway, "index")["primary"]["rows"] >= len(orders)
    await all_are_found(gateway, orders)
    retired = encryption(gateway, "retire", old["id"], "--confirm", old["id"])
    assert retired.status == 0, retired
    orders.append(await buy(gateway))
    await all_are_found(gateway, orders)
    await all_are_read(gateway, [order.intent for order in orders[-LOOKED_UP:]])


def children(parent: int, word: str) -> list[int]:
    """The processes below one that a word of their command names, the deepest last."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            ppid = int(path.read_text().rpartition(")")[2].split()[1])
            if ppid == parent:
                pid = int(path.parent.name)
                below = children(pid, word)
                command = (path.parent / "cmdline").read_bytes().decode().split("\0")
                found += below or ([pid] if word in command and "--fd" in command else [])
    return found


async def test_a_key_in_use_is_not_retired(gateway: Gateway) -> None:
    primary = keys(gateway)["primary"]["id"]
    for key, why in (
        (primary, f"key {primary} is the primary"),
        ("17", "there is no key 17"),
        (next(k["id"] for k in status(gateway)["keys"] if k["purpose"] == "audit"), "is for audit"),
    ):
        refused = encryption(gateway, "retire", key, "--confirm", key)
        assert refused.status == 1
        assert why in refused.err, refused
    entries = (await gateway.call("GET", "/audit-log?action=encryption.retire")).json["data"]
    refusals = [entry for entry in entries if entry["result"] == "refused"]
    assert len(refusals) >= 3
    assert {entry["details"]["code"] for entry in refusals} == {"keys_refused"}


async def test_a_row_under_the_old_key_keeps_it(gateway: Gateway) -> None:
    """Which is put there behind the command's back; a taken-back key opens again."""
    intent = await pay(gateway)
    connection = await asyncpg.connect(
        gateway.ready["database_url"], server_settings=dict(ANNOUNCED)
    )
    before = await connection.fetchval("SELECT sealed FROM payment_intent WHERE id = $1", intent)
    old = keys(gateway)["primary"]["id"]
    assert encryption(gateway, "rotate", "--quiet").out.strip() == keys(gateway)["primary"]["id"]
    put = "UPDATE payment_intent SET sealed = $2 WHERE id = $1"
    await connection.execute(put, intent, before)
    refused = encryption(gateway, "retire", old, "--confirm", old)
    assert refused.status == 1
    assert f"1 rows are sealed under key {old}" in refused.err
    assert encryption(gateway, "rotate").status == 0
    assert encryption(gateway, "retire", old, "--confirm", old).status == 0
    await connection.execute(put, intent, before)
    answer = await gateway.call("GET", f"/payment-intents/{intent}")
    assert answer.status == 500
    assert encryption(gateway, "retire", old, "--undo").status == 0
    assert (await until(lambda: opened(gateway, intent)))["id"] == intent
    await connection.close()


async def opened(gateway: Gateway, intent: str) -> dict[str, Any] | None:
    answer = await gateway.call("GET", f"/payment-intents/{intent}")
    return answer.json if answer.status == 200 else None


async def test_the_keys_are_wrapped_anew(gateway: Gateway, tmp_path: Path) -> None:
    """All at once; who runs goes on, and who starts with the key of before is refused."""
    data = gateway.ready["data_dir"]
    kek = tmp_path / "kek"
    assert run("keys", "create-kek", str(kek), "--data", data, cwd=tmp_path).status == 0
    before = keys(gateway)["primary"]["id"]
    wrapped = encryption(gateway, "rotate", "--kek", kek.as_uri())
    assert wrapped.status == 0, wrapped
    assert (await gateway.read(await pay(gateway)))["status"] == "succeeded"
    refused = encryption(gateway, "status")
    assert refused.status == 1
    assert "it was wrapped under another KEK than" in refused.err
    environ = {"PAYGATE_KEK": kek.as_uri()}
    shown = run("encryption", "status", "--json", "--data", data, cwd=tmp_path, environ=environ)
    assert shown.status == 0, shown
    primary = [k["id"] for k in json.loads(shown.out)["keys"] if k["status"] == "primary"]
    assert before in primary
