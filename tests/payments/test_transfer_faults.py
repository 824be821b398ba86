"""Transfers under faults: the payer is made known, told where to pay, and pays once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.shops import Shop
from tests.gateway import until
from tests.payments.agreement import agrees_with_provider
from tests.payments.steps import SOON, all_fired, fault, ledger_agrees, order, persist, resolve

TRANSFERS = 12
PUSH = {"payment_method": {"type": "bank_transfer", "flow": "push", "country": "DE"}}
FAULTS = {
    "customers_not_answered": (fault("customers", "drop_reply"),),
    "customers_fail_before": (fault("customers", "error_before"),),
    "customers_fail_after": (fault("customers", "error_after"),),
    "customers_refused": (fault("customers", "rate_limit"),),
    "confirms_not_answered": (fault("confirm", "drop_reply"),),
    "confirms_fail_after": (fault("confirm", "error_after"),),
    "everything_not_answered": (fault("customers", "drop_reply"), fault("confirm", "drop_reply")),
}


async def stripe(shop: Shop, method: str, path: str, form: Any = None) -> dict[str, Any]:
    ready = shop.gateway.ready
    key = f"Bearer {ready['sandbox_secret_key']}"
    url = f"{ready['sandbox_url']}/v1/{path}"
    answer = await shop.gateway.visit(method, url, form, Authorization=key)
    assert answer.status == 200, answer
    return answer.json


async def ask(shop: Shop, number: int) -> str:
    """A payer who is told where to pay; every third is one that the shop has named."""
    body: dict[str, Any] = {"amount": 1000 + number, "currency": "eur"}
    body["payment_method_types"] = ["bank_transfer"]
    if number % 3:
        body["customer"] = {"name": f"Payer {number}"}
    intent = (await persist(shop, "/payment-intents", body, f"create {number}")).json["id"]
    await persist(shop, f"/payment-intents/{intent}/confirm", PUSH, f"confirm {number}")
    return str(intent)


async def pay(shop: Shop, intent: str) -> None:
    """The payer sends the money, to the account of the one customer that the payment names."""

    async def asked_to_pay() -> dict[str, Any] | None:
        now = (await shop.call("GET", f"/payment-intents/{intent}")).json
        return now if now["status"] == "requires_action" and now["next_action"] else None

    waiting = await until(asked_to_pay)
    theirs = await stripe(shop, "GET", f"payment_intents/{waiting['provider_reference']}")
    form = {"amount": str(waiting["amount"]), "currency": "eur"}
    await stripe(
        shop, "POST", f"test_helpers/customers/{theirs['customer']}/fund_cash_balance", form
    )

    async def paid() -> bool:
        now = (await shop.call("GET", f"/payment-intents/{intent}")).json
        return bool(now["status"] == "succeeded")

    await until(paid)


@pytest.mark.parametrize("name", FAULTS)
async def test_transfers_under_a_fault(shop: Shop, tmp_path: Path, name: str) -> None:
    await order(shop, FAULTS[name])
    intents = await asyncio.gather(*(ask(shop, number) for number in range(TRANSFERS)))
    await all_fired(shop, FAULTS[name])
    await resolve(shop, tmp_path, SOON)
    await asyncio.gather(*(pay(shop, intent) for intent in intents))
    found = await agrees_with_provider(shop)
    assert {intent["status"] for intent in found} == {"succeeded"}
    assert len(found) == TRANSFERS
    await asyncio.to_thread(ledger_agrees, shop, tmp_path)
