"""Two hundred partial refunds at once, on two API processes, of more than was captured: the sums
hold here and at the provider, with a process killed in the middle too.
"""

import asyncio
import contextlib
import os
import signal
from typing import Any

import aiohttp
import pytest

from tests.gateway import Gateway, Response, until
from tests.races.test_killed_process import (
    CONFIRM,
    both,
    peers,
    pytestmark,
    races,
    serving,
    started,
)

__all__ = ["pytestmark", "races", "started"]

AMOUNT, PART, ASKED = 5000, 100, 200
COME_AGAIN = {"idempotency_key_in_use", "provider_unavailable", "outcome_unknown", "overloaded"}
ENDS = {"amount_too_large", "nothing_to_refund"}


async def refund(gateway: Gateway, intent: str, key: str) -> Response:
    """The same request, until it is answered or there is nothing left."""
    path, headers = f"/payment-intents/{intent}/refund", {"Idempotency-Key": key}
    async with asyncio.timeout(240):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                answer = await gateway.call("POST", path, {"amount": PART}, headers=headers)
                if answer.status in (200, 201) or answer.code in ENDS:
                    return answer
                assert answer.code in COME_AGAIN, answer
            await asyncio.sleep(0.2)


async def every_refund(gateway: Gateway, intent: str) -> list[dict[str, Any]]:
    page = await gateway.call("GET", f"/refunds?payment_intent={intent}&limit=100")
    assert not page.json["has_more"]
    return list(page.json["data"])


async def each_has_clients(gateway: Gateway) -> bool:
    return all(peers(pid) for pid in serving(gateway))


@pytest.mark.parametrize("killed", [False, True])
async def test_more_than_there_is_at_once(races: Gateway, *, killed: bool) -> None:
    gateway = races
    await both(gateway)
    intent = await gateway.create(amount=AMOUNT)
    paid = await gateway.call("POST", f"/payment-intents/{intent['id']}/confirm", CONFIRM)
    assert paid.json["status"] == "succeeded"
    keys = [f"{killed} {number}" for number in range(ASKED)]
    work = [asyncio.create_task(refund(gateway, intent["id"], key)) for key in keys]
    await until(lambda: each_has_clients(gateway), seconds=120)
    if killed:
        await until(lambda: every_refund(gateway, intent["id"]))
        os.kill((await both(gateway))[0], signal.SIGKILL)
    answers = await asyncio.gather(*work)
    made = {a.json["id"] for a in answers if a.status in (200, 201)}

    async def all_known() -> bool:
        found = await every_refund(gateway, intent["id"])
        return all(each["status"] == "succeeded" for each in found)

    await until(all_known, seconds=120)
    ours = {each["id"]: each["amount"] for each in await every_refund(gateway, intent["id"])}
    assert made <= set(ours), "what was answered is there"
    now = await gateway.read(intent["id"])
    ledger = await gateway.sandbox("GET", "/_sandbox/ledger")
    theirs = {
        each["idempotency_key"]: each["amount"]
        for each in ledger["refunds"]
        if each["payment_intent"] == now["provider_reference"]
    }
    assert ours == theirs
    assert sum(theirs.values()) == now["amount_refunded"] == AMOUNT
    assert (now["status"], now["amount_refundable"], now["pending_operation"]) == (
        "refunded",
        0,
        None,
    )
