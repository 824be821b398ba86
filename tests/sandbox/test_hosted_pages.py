"""The provider's page for a bank transfer: it shows what to send, and lets a tester send it."""

from typing import Any

import pytest

from tests.sandbox.caller import Caller
from tests.sandbox.test_transfers import INTENTS, a_customer, cash, instructions, transfer


async def page(stripe: Caller, url: str, amount: str | None = None) -> tuple[int, str]:
    method, data = ("GET", None) if amount is None else ("POST", {"amount": amount})
    async with stripe.session.request(method, url, data=data) as response:
        assert response.content_type == "text/html"
        return response.status, await response.text()


async def waiting(stripe: Caller) -> tuple[dict[str, Any], str]:
    intent = await stripe.post(INTENTS, transfer(await a_customer(stripe)))
    return intent, instructions(intent)["hosted_instructions_url"]


async def test_the_whole_amount_in_two_parts(stripe: Caller) -> None:
    intent, url = await waiting(stripe)
    shown = instructions(intent)
    status, text = await page(stripe, url)
    assert status == 200
    assert "€10.00 eur" in text
    assert shown["reference"] in text
    assert shown["financial_addresses"][0]["iban"]["iban"] in text
    status, text = await page(stripe, url, "400")
    assert "€6.00 eur" in text
    assert (await page(stripe, url, "900"))[0] == 200
    assert (await stripe.get(f"{INTENTS}/{intent['id']}"))["status"] == "succeeded"
    assert await cash(stripe, intent["customer"]) == {"eur": 300}
    assert (await page(stripe, url))[0] == 410


@pytest.mark.parametrize("amount", ["0", "-1", "1.5", "", "x", "123456789", "1" * 5000])
async def test_bad_amounts(stripe: Caller, amount: str) -> None:
    intent, url = await waiting(stripe)
    assert (await page(stripe, url, amount))[0] == 400
    assert await stripe.get(f"{INTENTS}/{intent['id']}") == intent


async def test_a_guessed_or_cancelled_address_shows_nothing(stripe: Caller) -> None:
    intent, url = await waiting(stripe)
    assert (await page(stripe, f"{url}x"))[0] == 410
    await stripe.post(f"{INTENTS}/{intent['id']}/cancel")
    assert (await page(stripe, url))[0] == 410
    await page(stripe, url, "1000")
    assert await cash(stripe, intent["customer"]) is None
