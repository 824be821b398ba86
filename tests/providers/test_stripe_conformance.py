"""The Stripe adapter against the provider simulator, in a process of its own."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from paygate.crypto.secret import Secret
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.translate import API_VERSION
from tests.providers.conformance import Delivery, Fault, ProviderConformance, Subject
from tests.providers.conftest import settings
from tests.providers.stripe_server import StripeServer, answer

SECRET_KEY: Final = "sk_test_conformance"
START_SECONDS: Final = 20.0
FAULTS: Final[dict[Fault, str]] = {
    "reply_lost": "drop_reply",
    "error_after": "error_after",
    "error_before": "error_before",
    "rate_limited": "rate_limit",
    "hang": "hang",
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a simulator that runs beside the tests."""
    data = tmp_path_factory.mktemp("simulator")
    ready = data / "ready.json"
    arguments = ["--port", "0", "--data", str(data), "--ready-file", str(ready)]
    keys = ["--secret-key", SECRET_KEY, "--publishable-key", "pk_test_conformance"]
    process = subprocess.Popen([sys.executable, "-m", "paygate.sandbox", *arguments, *keys])
    try:
        yield _await_ready(process, ready)
    finally:
        process.terminate()
        process.wait(timeout=10)


def _await_ready(process: "subprocess.Popen[bytes]", ready: Path) -> str:
    for _ in range(int(START_SECONDS / 0.05)):
        if ready.exists():
            url = json.loads(ready.read_text())["url"]
            assert isinstance(url, str)
            return url
        try:
            code = process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"the simulator ended with {code} before it was ready")
    raise AssertionError("the simulator was not ready in time")


class Simulator:
    """The simulator's two doors: Stripe's API, and the tester's under /_sandbox/."""

    def __init__(self, url: str, session: aiohttp.ClientSession, inbox: StripeServer) -> None:
        self.url = url
        self._session = session
        self._inbox = inbox

    async def register(self) -> str:
        """Send all events to our inbox; the answer is the secret that they are signed with."""
        form = {
            "url": f"{self._inbox.url}/webhooks",
            "enabled_events[0]": "*",
            "api_version": API_VERSION,
        }
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        made = await self._call("POST", "/v1/webhook_endpoints", data=form, headers=headers)
        secret = made["secret"]
        assert isinstance(secret, str)
        return secret

    async def fault(self, fault: Fault, count: int, on: str = "confirm") -> None:
        order: dict[str, Any] = {"on": on, "kind": FAULTS[fault], "count": count}
        if fault == "hang":
            order["seconds"] = 2.0
        await self._call("POST", "/_sandbox/faults", json=order)

    async def clear(self) -> None:
        await self._call("DELETE", "/_sandbox/faults")

    async def charged(self, attempt: str) -> int:
        books = await self._call("GET", "/_sandbox/ledger")
        mine = [c for c in books["charges"] if c["metadata"].get("paygate_attempt") == attempt]
        assert {charge["idempotency_key"] for charge in mine} <= {attempt}
        good = [charge for charge in mine if charge["status"] == "succeeded"]
        # A hold that was released stays in the books, as one that was given back.
        return sum(charge["captured"] or not charge["amount_refunded"] for charge in good)

    async def delivered(self, reference: str) -> list[Delivery]:
        """What arrived so far, once the payment's last event did."""
        for _ in range(100):
            found: list[Delivery] = [
                (request.body, request.headers)
                for request in self._inbox.requests
                if reference.encode() in request.body
            ]
            if any(b'"payment_intent.succeeded"' in body for body, _ in found):
                return found
            await asyncio.sleep(0.05)
        raise AssertionError("the simulator delivered nothing")

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        async with self._session.request(method, self.url + path, **arguments) as response:
            body = await response.json()
            assert response.status < 300, body
            assert isinstance(body, dict)
            return body


@pytest.fixture(scope="module")
async def stage(simulator: str) -> AsyncIterator[tuple[Simulator, Subject]]:
    inbox = StripeServer()
    inbox.otherwise = answer({})
    await inbox.start()
    async with aiohttp.ClientSession() as session:
        control = Simulator(simulator, session, inbox)
        secrets = (Secret(await control.register()),)
        provider, unauthorised = (
            StripeProvider(settings(simulator, api_key=Secret(key), webhook_secrets=secrets))
            for key in (SECRET_KEY, "sk_test_unknown")
        )
        yield control, _subject(control, provider, unauthorised)
        await provider.close()
        await unauthorised.close()
    await inbox.stop()


def _subject(control: Simulator, provider: StripeProvider, unauthorised: StripeProvider) -> Subject:
    return Subject(
        provider=provider,
        unauthorised=unauthorised,
        token_approved="pm_card_visa",
        token_declined="pm_card_visa_chargeDeclined",
        token_lost_card="pm_card_visa_chargeDeclinedLostCard",
        token_challenged="pm_card_threeDSecure2Required",
        token_unusable="pm_no_such_card",
        card=("visa", "4242"),
        absent_reference="pi_3QabsentAbsentAbsent00000",
        fault=control.fault,
        charged=control.charged,
        delivered=control.delivered,
    )


class TestStripe(ProviderConformance):
    @pytest.fixture
    async def subject(self, stage: tuple[Simulator, Subject]) -> AsyncIterator[Subject]:
        control, subject = stage
        yield subject
        await control.clear()
