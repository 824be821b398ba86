"""What a shop's client, a tester of the sandbox and a clock do in this folder's tests."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.api.shops import Shop
from tests.cli.processes import run
from tests.gateway import Response, until
from tests.payments.agreement import DOUBTFUL, every_intent

SEED = 20261124
SOON = (60,)
"""Seconds from now at which the sweep is run: the payer is still there."""
LATE = (180, 900)
"""The payer has left: looked up, and given up at the second miss."""
COME_AGAIN = {"provider_unavailable", "idempotency_key_in_use", "outcome_unknown", "overloaded"}


def fault(on: str, kind: str, **more: Any) -> dict[str, Any]:
    order = {"on": on, "kind": kind, "seed": SEED, **more}
    return order if "count" in order else {"probability": 0.5, **order}


async def persist(shop: Shop, path: str, body: Any, key: str) -> Response:
    """The same request with the same key, until it is answered."""
    async with asyncio.timeout(60):
        while True:
            answer = await shop.call("POST", path, body, headers={"Idempotency-Key": key})
            if answer.status in (200, 201):
                return answer
            assert answer.code in COME_AGAIN, answer
            assert answer.json["error"]["retriable"] is True, answer
            # Not for as long as Retry-After asks: a fault passes by being drawn again.
            await asyncio.sleep(0.02)


async def order(shop: Shop, faults: tuple[dict[str, Any], ...]) -> None:
    for wanted in faults:
        await shop.gateway.sandbox("POST", "/_sandbox/faults", wanted)


async def all_fired(shop: Shop, faults: tuple[dict[str, Any], ...]) -> None:
    """Until each of them has struck; a delivery may be on its way yet."""

    async def struck() -> bool:
        standing = (await shop.gateway.sandbox("GET", "/_sandbox/faults"))["faults"]
        assert len(standing) == len(faults)
        return all(f["fired"] > 0 for f in standing)

    await until(struck)
    await shop.gateway.sandbox("DELETE", "/_sandbox/faults")


async def resolve(shop: Shop, cwd: Path, sweeps: tuple[int, ...]) -> None:
    """Run the sweep, at one time after the other, until nothing is in doubt."""
    times = iter(sweeps)
    seconds = 0

    async def all_done() -> bool:
        nonlocal seconds
        found = await every_intent(shop)
        if not [i for i in found if i["status"] in DOUBTFUL or i["pending_operation"]]:
            return True
        seconds = next(times, seconds)
        await asyncio.to_thread(sweep, shop, cwd, seconds)
        return False

    await until(all_done)


def sweep(shop: Shop, cwd: Path, seconds: int) -> None:
    """As if so many seconds had gone by."""
    now = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    data = ("--data", shop.gateway.ready["data_dir"])
    ran = run("jobs", "run", "resolve-attempts", "--now", now, *data, cwd=cwd)
    assert (ran.status, ran.err) == (0, ""), ran


def ledger_agrees(shop: Shop, cwd: Path) -> None:
    """By the gateway's own check, over all that ever happened to it."""
    data = ("--data", shop.gateway.ready["data_dir"])
    ran = run("ledger", "verify", "--json", *data, cwd=cwd)
    assert (ran.status, json.loads(ran.out)["mismatches"]) == (0, []), ran
