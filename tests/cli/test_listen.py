"""`paygate listen` and `paygate webhooks resend` as commands beside a running gateway, and a worker
that is killed in the middle of a request.
"""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from standardwebhooks import Webhook

from paygate.storage.schema.versions import ANNOUNCED
from tests.api.shops import Shop, open_shop
from tests.cli.processes import children, clean_environ, run
from tests.gateway import Gateway, until
from tests.receiver import Receiver, answer


async def listening(*arguments: str) -> asyncio.subprocess.Process:
    """The command, which hears Ctrl-C though a suite in the background does not."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "paygate.cli", "listen", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env=clean_environ(),
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


async def test_listen_prints_and_sends_on_what_happens(gateway: Gateway) -> None:
    data = ("--data", gateway.ready["data_dir"])
    before = await gateway.create()
    async with Receiver() as receiver:
        process = await listening(*data, "--forward-to", receiver.url(), "--json")
        assert process.stderr is not None
        assert process.stdout is not None
        said = (await process.stderr.readline()).decode()
        found = re.search(r"signed with (whsec_\S+)", said)
        assert found is not None, said

        async def came() -> Any:
            await gateway.create()
            return receiver.requests

        await until(came, seconds=60)
        request = receiver.requests[0]
        line = json.loads(await process.stdout.readline())
        process.terminate()
        await process.wait()
    verified = Webhook(found[1]).verify(request.body, request.headers)
    assert verified == line
    shown = (await gateway.call("GET", f"/events/{line['id']}")).json
    assert line == shown
    assert line["data"]["object"]["id"] != before["id"]


def test_listen_says_what_is_wrong(tmp_path: Path) -> None:
    assert run("listen", "--events", "nothing", cwd=tmp_path).status == 2
    assert run("listen", "--forward-to", "ftp://x/", cwd=tmp_path).status == 2
    ran = run("listen", cwd=tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert "--key-file" in ran.err


async def over(shop: Shop, path: str, count: int, status: str) -> list[dict[str, Any]]:
    async def look() -> Any:
        found = (await shop.call("GET", f"{path}/deliveries?status={status}&limit=100")).json
        return found["data"] if len(found["data"]) >= count else None

    found: list[dict[str, Any]] = await until(look, seconds=60)
    return found


async def test_resend_sends_one_or_all_that_failed(gateway: Gateway, tmp_path: Path) -> None:
    shop = await open_shop(gateway)
    data = ("--data", gateway.ready["data_dir"], "--merchant", shop.merchant)
    async with Receiver() as receiver:
        made = await shop.call("POST", "/webhook-endpoints", {"url": receiver.url()})
        endpoint, path = made.json["id"], f"/webhook-endpoints/{made.json['id']}"
        await shop.call("POST", path, {"status": "disabled"})
        for _ in range(3):
            await shop.call("POST", "/payment-intents", {"amount": 100, "currency": "eur"})
        missed = await over(shop, path, 3, "failed")
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        command = ("webhooks", "resend", endpoint)
        refused = run(*command, "--since", since, *data, cwd=tmp_path)
        assert (refused.status, "disabled" in refused.err) == (1, True)
        await shop.call("POST", path, {"status": "enabled"})
        one = run(*command, "--delivery", missed[0]["id"], *data, "--json", cwd=tmp_path)
        assert json.loads(one.out) == {"resent": 1, "not_kept": 0}
        await receiver.wait_for(1)
        await over(shop, path, 1, "delivered")
        rest = run(*command, "--since", since, *data, cwd=tmp_path)
        assert rest == (0, "2 are due again\n", "")
        await receiver.wait_for(3)
        assert run(*command, *data, cwd=tmp_path).status == 2
        assert run(*command, "--since", "soon", *data, cwd=tmp_path).status == 2
        unknown = run("webhooks", "resend", "we_x", "--since", since, *data, cwd=tmp_path)
        assert (unknown.status, unknown.err) == (1, "paygate: no such webhook endpoint\n")
        await shop.call("DELETE", path)


async def test_a_worker_that_is_killed_in_mid_request_loses_nothing(gateway: Gateway) -> None:
    """The next worker sends what it held, once its lease is out."""
    shop = await open_shop(gateway)
    async with Receiver() as receiver:
        receiver.hanging.clear()
        made = await shop.call("POST", "/webhook-endpoints", {"url": receiver.url()})
        path = f"/webhook-endpoints/{made.json['id']}"
        await shop.call("POST", "/payment-intents", {"amount": 100, "currency": "eur"})
        await receiver.wait_for(1)
        programs = children(gateway.process.pid)
        (worker,) = [pid for pid, words in programs.items() if words[0] == "worker"]
        os.kill(worker, signal.SIGKILL)
        receiver.hanging.set()
        receiver.always = answer(200)
        connection = await asyncpg.connect(
            gateway.ready["database_url"], server_settings=dict(ANNOUNCED)
        )
        held = await connection.fetchval(
            "UPDATE delivery SET leased_until = now() WHERE endpoint = $1 RETURNING status",
            made.json["id"],
        )
        await connection.close()
        assert held == "pending"
        first, second = await receiver.wait_for(2)
        assert (first.body, first.headers["webhook-id"]) == (
            second.body,
            second.headers["webhook-id"],
        )
        (delivery,) = await over(shop, path, 1, "delivered")
        assert [a["status_code"] for a in delivery["attempts"]] == [200]
        await shop.call("DELETE", path)
