"""A whole gateway whose database is put back to a backup: no retry charges anybody twice."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.cli.processes import run
from tests.gateway import Gateway, Response

CONFIRM = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}


@asynccontextmanager
async def up(folder: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway.start(folder)
    await gateway.open()
    try:
        yield gateway
    finally:
        await gateway.close()
        assert gateway.stop() == 0


async def create(gateway: Gateway, key: str) -> str:
    body, headers = {"amount": 1999, "currency": "eur"}, {"Idempotency-Key": key}
    return str((await gateway.call("POST", "/payment-intents", body, headers=headers)).json["id"])


async def pay(gateway: Gateway, intent: str, key: str) -> Response:
    path, headers = f"/payment-intents/{intent}/confirm", {"Idempotency-Key": key}
    return await gateway.call("POST", path, CONFIRM, headers=headers)


async def charges(gateway: Gateway) -> list[dict[str, Any]]:
    return list((await gateway.sandbox("GET", "/_sandbox/ledger"))["charges"])


def database_of(data: Path) -> Path:
    """The cluster's own directory: the sandbox's books beside it are not put back."""
    (found,) = {path.parent for path in data.rglob("PG_VERSION") if (path.parent / "base").is_dir()}
    return found


async def test_nobody_is_charged_twice_behind_a_restore(tmp_path: Path) -> None:
    """Of two payments that the backup forgets, one knows its intent still and one does not."""
    async with up(tmp_path) as gateway:
        known = await create(gateway, "order-1")
    cluster, backup = database_of(tmp_path / "data"), tmp_path / "backup"
    shutil.copytree(cluster, backup, symlinks=True)
    async with up(tmp_path) as gateway:
        for intent in (known, await create(gateway, "order-2")):
            assert (await pay(gateway, intent, f"pay {intent}")).json["status"] == "succeeded"
        assert len(await charges(gateway)) == 2
        sealed = run(
            "jobs", "run", "seal-audit-log", "--data", gateway.ready["data_dir"], cwd=tmp_path
        )
        assert sealed.status == 0, sealed
    put_back(backup, cluster)
    async with up(tmp_path) as gateway:
        data = gateway.ready["data_dir"]
        printed = json.loads(run("restored", "--json", "--data", data, cwd=tmp_path).out)
        assert printed["taken_at"] < printed["noticed_at"]
        again = await create(gateway, "order-2")
        for intent in (known, again):
            # With another key of the shop's, as after a restart of its own.
            paid = await pay(gateway, intent, f"again {intent}")
            assert (paid.status, paid.json["status"]) == (200, "succeeded"), paid
        made = await charges(gateway)
        assert [charge["amount_captured"] for charge in made] == [1999, 1999]
        assert len({charge["idempotency_key"] for charge in made}) == 2
        gaps = (await verified(data, tmp_path))["gaps"]
        lost = [f"{gap['first']}-{gap['last']}" for gap in gaps]
        assert lost == [printed["audit_entries_lost"]]
        assert lost != [None], "what the backup forgot was sealed, and told outside"


async def verified(data: str, folder: Path) -> dict[str, Any]:
    """The audit log once it is found good: the worker looks again every ten seconds."""
    async with asyncio.timeout(60):
        while True:
            ran = run("audit", "verify", "--json", "--data", data, cwd=folder)
            if ran.status == 0:
                return dict(json.loads(ran.out))
            await asyncio.sleep(1)


def put_back(backup: Path, cluster: Path) -> None:
    """As `cp -a` does: the server's user owns what is its own."""
    owner = cluster.stat()
    shutil.rmtree(cluster)
    shutil.copytree(backup, cluster, symlinks=True)
    for path in (cluster, *cluster.rglob("*")):
        if not path.is_symlink():
            shutil.chown(path, owner.st_uid, owner.st_gid)
