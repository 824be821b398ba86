"""Fifty refunds under each fault that a provider has; its own ledger is the judge.

The clients do what real ones do: a key for each refund, and the same key again when they are told
to come again.
"""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.api.shops import Shop
from tests.gateway import until
from tests.payments.agreement import every_intent
from tests.payments.steps import all_fired, fault, ledger_agrees, order, persist, sweep

PAYMENTS, EACH = 10, 5
AMOUNT, PART = 2000, 350
AT_ONCE = 10
LOST_EVENTS = fault("webhook", "lose", probability=1.0)


class Case(NamedTuple):
    """Which faults, and how many seconds from now the sweep runs."""

    faults: tuple[dict[str, Any], ...]
    seconds: int = 60


CASES = {
    "drop_reply": Case((fault("refund", "drop_reply"), LOST_EVENTS)),
    "every_reply_lost": Case((fault("refund", "drop_reply", probability=1.0),)),
    "error_before": Case((fault("refund", "error_before"),)),
    "error_after": Case((fault("refund", "error_after"), LOST_EVENTS)),
    "whatever_is_asked_is_not_answered": Case((fault("*", "drop_reply", probability=0.3),)),
    "hang": Case((fault("refund", "hang", count=5, seconds=2.5),)),
    "hang_after": Case((fault("refund", "hang", count=5, seconds=2.5, hold="after"),)),
    "slow": Case((fault("refund", "slow", seconds=0.1),)),
    "rate_limit": Case((fault("refund", "rate_limit"),)),
    "lose": Case((fault("webhook", "lose"), fault("refund", "drop_reply"))),
    "duplicate": Case((fault("webhook", "duplicate"), fault("refund", "drop_reply"))),
    "delay": Case((fault("webhook", "delay", seconds=1), fault("refund", "drop_reply"))),
    "forge": Case((fault("webhook", "forge"), fault("refund", "drop_reply"))),
    "reorder": Case((fault("webhook", "reorder", seconds=1), fault("refund", "drop_reply"))),
}


async def paid(shop: Shop, number: int) -> str:
    create = {"amount": AMOUNT, "currency": "eur"}
    intent = (await persist(shop, "/payment-intents", create, f"create {number}")).json["id"]
    body = {
        "payment_method": {"type": "card", "token": "pm_card_visa"},
        "return_url": "https://shop.example/done",
    }
    answer = await persist(shop, f"/payment-intents/{intent}/confirm", body, f"pay {number}")
    assert answer.json["status"] == "succeeded"
    return str(intent)


async def every_refund(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        after = f"&starting_after={found[-1]['id']}" if found else ""
        page = (await shop.call("GET", f"/refunds?limit=100{after}")).json
        found += page["data"]
        if not page["has_more"]:
            return found


async def agrees(shop: Shop) -> None:
    """One refund there for each one here that succeeded, under its own key, of its amount; and the
    sums of each payment are those of its refunds.
    """
    intents = {i["id"]: i for i in await every_intent(shop)}
    references = {i["provider_reference"] for i in intents.values()}
    ledger = await shop.gateway.sandbox("GET", "/_sandbox/ledger")
    theirs = [r for r in ledger["refunds"] if r["payment_intent"] in references]
    ours = [r for r in await every_refund(shop) if r["status"] == "succeeded"]
    assert {r["id"]: r["amount"] for r in ours} == {
        r["idempotency_key"]: r["amount"] for r in theirs if r["status"] == "succeeded"
    }
    assert len(ours) == len(theirs)
    back: Counter[str] = Counter()
    for refund in ours:
        back[refund["payment_intent"]] += refund["amount"]
    for intent in intents.values():
        assert intent["amount_refunded"] == back[intent["id"]] <= intent["amount_received"]
        assert intent["amount_refund_pending"] == 0


async def found_out(shop: Shop, cwd: Path, seconds: int) -> None:
    """Until the outcome of every refund is known."""

    async def all_known() -> bool:
        found = await every_refund(shop)
        if all(refund["status"] != "pending" for refund in found):
            return True
        await asyncio.to_thread(sweep, shop, cwd, seconds)
        return False

    await until(all_known, seconds=120)


@pytest.mark.parametrize("name", CASES)
async def test_fifty_refunds_under_a_fault(shop: Shop, tmp_path: Path, name: str) -> None:
    case, turn = CASES[name], asyncio.Semaphore(AT_ONCE)
    intents = [await paid(shop, number) for number in range(PAYMENTS)]
    await order(shop, case.faults)

    async def refund(number: int) -> None:
        async with turn:
            path = f"/payment-intents/{intents[number % PAYMENTS]}/refund"
            await persist(shop, path, {"amount": PART + number}, f"refund {number}")

    await asyncio.gather(*(refund(number) for number in range(PAYMENTS * EACH)))
    await all_fired(shop, case.faults)
    await found_out(shop, tmp_path, case.seconds)
    assert [r["status"] for r in await every_refund(shop)] == ["succeeded"] * PAYMENTS * EACH
    await agrees(shop)
    ledger_agrees(shop, tmp_path)
