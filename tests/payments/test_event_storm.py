"""F12: every event up to five times, shuffled, late, a tenth of them lost, forged ones among them,
while the worker is killed twice. The end is the provider's ledger, and what was forged had no part.
"""

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import asyncpg
from stripe import WebhookSignature

from tests.api.shops import Shop
from tests.cli.processes import children
from tests.gateway import until
from tests.payments.agreement import agrees_with_provider
from tests.payments.steps import LATE, SEED, SOON, all_fired, fault, order, persist, resolve

PAYMENTS: Final = int(os.environ.get("STORM_PAYMENTS", "24"))
"""Each has some four events, and each of those comes three times on the average: 2,800 payments are
10,000 events and 30,000 deliveries, which take some minutes.
"""
AT_ONCE: Final = 32
TOKENS: Final = ("pm_card_visa", "pm_card_mastercard", "pm_card_visa_chargeDeclined")
FORGED: Final = 0.05
LOST: Final = 0.1
FAULTS: Final = (
    fault("confirm", "drop_reply", probability=0.4),
    fault("webhook", "lose", probability=1.0),
)


def signed(body: bytes, secret: str) -> str:
    """As the provider's own client signs it."""
    stamp = int(time.time())
    digest = WebhookSignature._compute_signature(f"{stamp}.{body.decode()}", secret)
    return f"t={stamp},v1={digest}"


async def pay(shop: Shop, number: int, at_once: asyncio.Semaphore) -> None:
    new = {"amount": 1000 + number, "currency": "eur"}
    method = {"type": "card", "token": TOKENS[number % len(TOKENS)]}
    body = {"payment_method": method, "return_url": "https://shop.example/done"}
    async with at_once:
        made = await shop.call("POST", "/payment-intents", new)
        await persist(shop, f"/payment-intents/{made.json['id']}/confirm", body, f"storm-{number}")


async def events_of(shop: Shop) -> list[bytes]:
    """Every event of the shop's payments, as the provider's list shows them."""
    found, after = [], ""
    while True:
        page = await shop.gateway.sandbox("GET", f"/v1/events?limit=100{after}")
        for each in page["data"]:
            metadata = each["data"]["object"].get("metadata") or {}
            if metadata.get("paygate_merchant") == shop.merchant:
                found.append(json.dumps(each).encode())
        if not page["has_more"]:
            return found
        after = f"&starting_after={page['data'][-1]['id']}"


def storm(events: list[bytes], dice: random.Random) -> list[tuple[bytes, bool]]:
    """The deliveries in the order in which they come, and whether each is forged."""
    came = [body for body in events if dice.random() >= LOST]
    deliveries = [(body, False) for body in came for _ in range(dice.randint(1, 5))]
    for body in came:
        if dice.random() < FORGED:
            forged = json.loads(body)
            forged["id"] = f"evt_forged_{len(deliveries)}"
            forged["data"]["object"] |= {"status": "succeeded", "amount_received": 1}
            deliveries.append((json.dumps(forged).encode(), True))
    dice.shuffle(deliveries)
    return deliveries


def kill_worker(shop: Shop) -> None:
    workers = [
        pid for pid, words in children(shop.gateway.process.pid).items() if words[0] == "worker"
    ]
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


async def deliver(shop: Shop, deliveries: list[tuple[bytes, bool]]) -> Counter[tuple[bool, int]]:
    """What the deliveries were answered. The worker is killed after a third of them, and two."""
    secret, at_once = shop.gateway.ready["webhook_secret"], asyncio.Semaphore(AT_ONCE)
    answers: Counter[tuple[bool, int]] = Counter()

    async def one(body: bytes, forged: bool) -> None:
        async with at_once:
            header = signed(body, "whsec_of_somebody" if forged else secret)
            answer = await shop.gateway.call(
                "POST", "/webhooks", raw=body, key=None, headers={"Stripe-Signature": header}
            )
            answers[forged, answer.status] += 1

    third = len(deliveries) // 3 + 1
    for start in range(0, len(deliveries), third):
        if start:
            kill_worker(shop)
        await asyncio.gather(*(one(*each) for each in deliveries[start : start + third]))
    return answers


async def test_a_storm_of_events_ends_as_the_provider_has_it(shop: Shop, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    await order(shop, FAULTS)
    at_once = asyncio.Semaphore(AT_ONCE)
    await asyncio.gather(*(pay(shop, number, at_once) for number in range(PAYMENTS)))
    await all_fired(shop, FAULTS)
    events = await events_of(shop)
    deliveries = storm(events, dice)
    answers = await deliver(shop, deliveries)
    true, forged = (sum(each is kind for _, each in deliveries) for kind in (False, True))
    assert forged > 0
    assert answers == {(False, 200): true, (True, 400): forged}
    references = {json.loads(body)["id"] for body, each in deliveries if not each}

    connection = await asyncpg.connect(shop.gateway.ready["database_url"])

    async def applied() -> bool:
        waiting = "SELECT count(*) FROM provider_event WHERE status IN ('received', 'parked')"
        return bool(await connection.fetchval(waiting) == 0)

    await until(applied, seconds=90 + PAYMENTS)
    await connection.close()
    await resolve(shop, tmp_path, SOON + LATE)
    stored = await stored_events(shop)
    assert {e["provider_reference"] for e in stored} & references == references
    assert not any(e["provider_reference"].startswith("evt_forged") for e in stored)
    mine = [e for e in stored if e["provider_reference"] in references]
    assert len(mine) == len(references), "each is stored once"
    assert sum(e["duplicates"] for e in mine) > 0
    assert {e["status"] for e in mine} <= {"processed", "ignored", "stale"}, "no dead letter"
    assert any(e["verdict"] == "applied" for e in mine), "some brought what no answer had"
    intents = await agrees_with_provider(shop)
    assert len(intents) == PAYMENTS
    assert {i["status"] for i in intents} == {"succeeded", "failed"}


async def stored_events(shop: Shop) -> list[dict[str, Any]]:
    """All that are stored, as the account's admin sees them."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await shop.gateway.call("GET", f"/provider-events?limit=100{after}")
        found += page.json["data"]
        if not page.json["has_more"]:
            return found
        after = f"&starting_after={found[-1]['id']}"
