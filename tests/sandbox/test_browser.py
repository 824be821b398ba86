"""The card fields in a real browser: the page gets an id and never sees a number."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.sandbox import browser
from tests.sandbox.caller import PUBLISHABLE_KEY, Caller, card_payment

pytestmark = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.ABSENT)

PAGE = """<!doctype html>
<title>Shop</title>
<div id="card"></div>
<script src="{url}/js/sandbox-fields.js"></script>
<script>window.fields = SandboxFields.mount("#card", {{ publishableKey: "{key}" }});</script>
"""
TYPE = """(() => {
  const type = (name, text) => { document.querySelector(`[name=${name}]`).value = text; };
  type("number", "%s"); type("expiry", "11 / 31"); type("cvc", "123");
})()"""


@pytest.fixture
async def shop(stripe: Caller) -> AsyncIterator[str]:
    """A merchant's page, of another origin than the sandbox's."""
    text = PAGE.format(url=stripe.url, key=PUBLISHABLE_KEY)

    async def show(_request: web.BaseRequest) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    runner = web.ServerRunner(web.Server(show), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/"
    await runner.cleanup()


async def test_a_card_is_typed_and_pays(stripe: Caller, shop: str, tmp_path: Path) -> None:
    async with browser.open_tab(stripe.session, tmp_path / "profile") as tab:
        await tab.visit(shop)
        await tab.run("fields.ready")
        assert await tab.run("document.querySelector('iframe').contentDocument") is None
        empty = await tab.run("fields.createPaymentMethod()")
        assert empty["error"]["code"] == "incomplete_number"
        await tab.run_in_frame(TYPE % "4242 4242 4242 4241")
        wrong = await tab.run("fields.createPaymentMethod()")
        assert wrong["error"]["code"] == "incorrect_number"
        complaint = await tab.run_in_frame("document.querySelector('[role=alert]').textContent")
        assert complaint == wrong["error"]["message"]
        await tab.run_in_frame(TYPE % "5555 5555 5555 4444")
        good = await tab.run("fields.createPaymentMethod({ billingDetails: { name: 'Ada' } })")
    method = good["paymentMethod"]
    assert method["card"] == {
        "brand": "mastercard",
        "exp_month": 11,
        "exp_year": 2031,
        "last4": "4444",
    }
    shown = await stripe.get(f"/v1/payment_methods/{method['id']}")
    assert shown["billing_details"]["name"] == "Ada"
    paid = await stripe.post("/v1/payment_intents", card_payment(method["id"]))
    assert paid["status"] == "succeeded"
