"""The example shop beside a real gateway: by plain HTTP as a browser would, and in a browser."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.gateway import Gateway, until
from tests.sandbox import browser

SHOP = Path(__file__).parents[2] / "examples" / "checkout" / "shop.py"
START_SECONDS = 30
APPROVED, DECLINED, ASKED = "4242424242424242", "4000000000000002", "4000000000003220"
TYPE = """(() => {
  const type = (name, text) => { document.querySelector(`[name=${name}]`).value = text; };
  type("number", "%s"); type("expiry", "11 / 31"); type("cvc", "123");
})()"""


class Running(NamedTuple):
    """The shop, and the gateway that it uses."""

    url: str
    gateway: Gateway
    log: Path


class Checkout(NamedTuple):
    """A checkout page, as its script reads it."""

    url: str
    status: int
    headers: Any
    text: str
    data: dict[str, str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("checkout")
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    gateway = Gateway.start(folder, environment={"PAYGATE_ALLOWED_ORIGINS": url})
    log = folder / "shop.log"
    command = [sys.executable, str(SHOP), "--ready-file", str(folder / "ready.json")]
    with log.open("wb") as output:
        shop = subprocess.Popen(
            [*command, "--port", str(port)], stdout=output, stderr=output, env=dict(os.environ)
        )
    try:
        end = time.monotonic() + START_SECONDS
        while "the shop is open" not in log.read_text():
            assert shop.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield Running(url, gateway, log)
    finally:
        shop.terminate()
        shop.wait(timeout=10)
        assert gateway.stop() == 0


@pytest.fixture(scope="module")
async def running(processes: Running) -> AsyncIterator[Running]:
    await processes.gateway.open()
    yield processes
    await processes.gateway.close()


@pytest.fixture
async def visitor(running: Running) -> AsyncIterator[aiohttp.ClientSession]:
    """A visitor of the shop, with cookies of their own."""
    context = ssl.create_default_context(cafile=running.gateway.ready["ca_file"])
    jar = aiohttp.CookieJar(unsafe=True)  # the host is an address
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
        yield session


async def buy(running: Running, visitor: aiohttp.ClientSession) -> Checkout:
    """A new order's checkout page."""
    return await seen(await visitor.post(f"{running.url}/orders"))


async def seen(response: aiohttp.ClientResponse) -> Checkout:
    text = await response.text()
    found = re.findall(r'data-([a-z-]+)="([^"]*)"', text.partition("<main")[2].partition(">")[0])
    data = {name: unescape(value) for name, value in found}
    return Checkout(str(response.url), response.status, response.headers, text, data)


async def confirm(running: Running, checkout: Checkout, token: str) -> dict[str, Any]:
    """As the page's script does it, from the page's origin."""
    data = checkout.data
    headers = client_headers(running, data) | {"Idempotency-Key": f"test-{data['payment']}"}
    body = {"payment_method": {"type": "card", "token": token}, "return_url": checkout.url}
    path = f"/payment-intents/{data['payment']}/confirm"
    answer = await running.gateway.call("POST", path, body, headers=headers)
    assert answer.status == 200, answer
    assert answer.headers["Access-Control-Allow-Origin"] == running.url
    return answer.json


def client_headers(running: Running, data: dict[str, str]) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {data['publishable-key']}",
        "Paygate-Client-Secret": data["client-secret"],
        "Paygate-Session": data["session"],
        "Origin": running.url,
    }


async def status_of(checkout: Checkout, visitor: aiohttp.ClientSession) -> dict[str, Any]:
    async with visitor.get(f"{checkout.url}/status") as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


async def test_the_page_has_no_place_for_a_card(
    running: Running, visitor: aiohttp.ClientSession
) -> None:
    checkout = await buy(running, visitor)
    ready = running.gateway.ready
    assert (checkout.status, "<input" in checkout.text) == (200, False)
    assert ready["secret_key"] not in checkout.text
    assert ready["sandbox_secret_key"] not in checkout.text
    assert checkout.data["api"] == ready["api_url"]
    policy = {
        directive.split()[0]: directive.split()[1:]
        for directive in checkout.headers["Content-Security-Policy"].split(";")
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'", f"{ready['sandbox_url']}/js/sandbox-fields.js"]
    assert policy["frame-src"] == [f"{ready['sandbox_url']}/card-fields"]
    assert policy["connect-src"] == ["'self'", ready["api_url"]]
    assert "unsafe" not in checkout.headers["Content-Security-Policy"]
    assert "<script>" not in checkout.text
    assert not re.search(r"\son[a-z]+=|\sstyle=", checkout.text)
    for path in ("/checkout.js", "/checkout.css"):
        async with visitor.get(running.url + path) as response:
            assert response.status == 200
    async with visitor.get(running.url) as response:
        assert await response.text()
        assert "Set-Cookie" not in response.headers
    async with visitor.get(running.url + "/shop.py") as response:
        assert response.status == 404


async def test_an_order_is_its_visitors_alone(
    running: Running, visitor: aiohttp.ClientSession
) -> None:
    checkout = await buy(running, visitor)
    cookie = next(iter(visitor.cookie_jar))
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
    assert cookie.value not in checkout.text
    visitor.cookie_jar.clear()
    for path in ("", "/status"):
        async with visitor.get(checkout.url + path) as response:
            assert response.status == 404
    async with visitor.post(f"{checkout.url}/again") as response:
        assert response.status == 404


async def test_a_payment_by_plain_http(running: Running, visitor: aiohttp.ClientSession) -> None:
    checkout = await buy(running, visitor)
    assert await status_of(checkout, visitor) == {"status": "created", "paid": False}
    wrong = client_headers(running, checkout.data) | {"Paygate-Session": "another-visitors-0"}
    path = f"/payment-intents/{checkout.data['payment']}"
    refused = await running.gateway.call("GET", path, headers=wrong)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (404, running.url)
    assert (await confirm(running, checkout, "pm_card_visa"))["status"] == "succeeded"
    assert await status_of(checkout, visitor) == {"status": "succeeded", "paid": True}
    again = await seen(await visitor.post(f"{checkout.url}/again"))
    assert again.data["payment"] == checkout.data["payment"]


async def test_a_declined_card_and_another(
    running: Running, visitor: aiohttp.ClientSession
) -> None:
    checkout = await buy(running, visitor)
    answer = await confirm(running, checkout, "pm_card_chargeDeclined")
    assert answer["status"] == "failed"
    assert await status_of(checkout, visitor) == {"status": "failed", "paid": False}
    again = await seen(await visitor.post(f"{checkout.url}/again"))
    assert again.url == checkout.url
    assert again.data["payment"] != checkout.data["payment"]
    assert (await confirm(running, again, "pm_card_visa"))["status"] == "succeeded"
    assert await status_of(checkout, visitor) == {"status": "succeeded", "paid": True}
    first = await running.gateway.read(checkout.data["payment"])
    second = await running.gateway.read(again.data["payment"])
    assert first["reference"] == second["reference"] == checkout.data["order"]


async def test_a_bank_that_asks_by_plain_http(
    running: Running, visitor: aiohttp.ClientSession
) -> None:
    checkout = await buy(running, visitor)
    answer = await confirm(running, checkout, "pm_card_threeDSecure2Required")
    assert answer["status"] == "requires_action"
    bank = answer["next_action"]["redirect_to_url"]["url"]
    back = await seen(await visitor.post(bank, data={"outcome": "complete"}))
    # Straight back, or by the gateway's own callback: it is the order's page that it ends at.
    assert back.url.partition("?")[0] == checkout.url
    assert back.data["payment"] == checkout.data["payment"]

    async def paid() -> bool:
        return bool((await status_of(checkout, visitor))["paid"])

    await until(paid)


in_a_browser = pytest.mark.skipif(browser.PROGRAM is None, reason=browser.ABSENT)


class Screen:
    """What a payer sees and does."""

    def __init__(self, tab: browser.Tab) -> None:
        self.tab = tab

    async def text(self, script: str) -> Any:
        """Of a page that may be about to go away."""
        try:
            return await self.tab.run(script)
        except AssertionError:
            return None

    async def state(self) -> str | None:
        found = await self.text("document.querySelector('#outcome')?.dataset.state")
        return None if found is None else str(found)

    async def reaches(self, state: str) -> str:
        async def reached() -> bool:
            return await self.state() == state

        await until(reached)
        return str(await self.text("document.querySelector('#outcome').textContent"))

    async def buy(self, url: str) -> None:
        await self.tab.visit(url)
        await self.tab.run("document.querySelector('#shop button').click()")
        await self.reaches("created")

    async def pay(self, number: str) -> None:
        async def typed() -> bool:
            try:
                await self.tab.run_in_frame(TYPE % number)
            except (AssertionError, KeyError, ValueError):
                return False  # the frame is still on its way
            return True

        await until(typed)
        await self.tab.run("document.querySelector('#pay button').click()")


@pytest.fixture
async def screen(running: Running, tmp_path: Path) -> AsyncIterator[Screen]:
    flags = (
        "--ignore-certificate-errors",  # the gateway's certificate authority is its own
        # The page and the frame are of two sites, and one process can be spoken to.
        *("--disable-site-isolation-trials", "--disable-features=IsolateOrigins,site-per-process"),
    )
    async with (
        aiohttp.ClientSession() as session,
        browser.open_tab(session, tmp_path / "profile", *flags) as tab,
    ):
        yield Screen(tab)


@in_a_browser
async def test_a_card_is_typed_and_the_order_is_paid(running: Running, screen: Screen) -> None:
    await screen.buy(running.url)
    await screen.pay("4242 4242 4242 4241")

    async def complained() -> bool:
        text = await screen.text("document.querySelector('#outcome').textContent")
        return "number" in str(text)

    await until(complained)
    await screen.pay(APPROVED)
    assert "paid" in await screen.reaches("succeeded")
    await screen.tab.run("location.reload()")
    await screen.reaches("succeeded")


@in_a_browser
async def test_a_declined_card_is_said_and_another_pays(running: Running, screen: Screen) -> None:
    await screen.buy(running.url)
    await screen.pay(DECLINED)
    assert "declined" in await screen.reaches("failed")
    await screen.tab.run("document.querySelector('#again button').click()")
    await screen.reaches("created")
    await screen.pay(APPROVED)
    await screen.reaches("succeeded")


@in_a_browser
@pytest.mark.parametrize(("button", "state"), [("complete", "succeeded"), ("fail", "failed")])
async def test_the_bank_asks(running: Running, screen: Screen, button: str, state: str) -> None:
    await screen.buy(running.url)
    order = await screen.tab.run("location.href")
    await screen.pay(ASKED)
    click = f"document.querySelector('button[value={button}]').click(), true"

    async def at_the_bank() -> bool:
        return bool(await screen.text("!!document.querySelector('button[value=complete]')"))

    await until(at_the_bank)
    bank = urlsplit(running.gateway.ready["sandbox_url"]).netloc
    assert urlsplit(await screen.tab.run("location.href")).netloc == bank
    await screen.tab.run(click)
    await screen.reaches(state)
    # Which way it went back, the provider's or the gateway's, is theirs.
    assert str(await screen.tab.run("location.href")).partition("?")[0] == order


async def test_no_card_number_came_by(running: Running) -> None:
    """After all the others: neither the shop nor the gateway wrote one down."""
    written = running.log.read_text() + running.gateway.log.read_text()
    for number in (APPROVED, DECLINED, ASKED):
        assert number not in written
    assert "Traceback" not in running.log.read_text()
    ready = json.dumps(running.gateway.ready["secret_key"])
    assert ready not in written
