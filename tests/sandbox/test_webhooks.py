"""Endpoints, signed deliveries, retries, and what a slow or dead receiver does not do."""

import asyncio
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from stripe import SignatureVerificationError, Webhook

from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.sandbox.caller import Caller, card_payment
from tests.sandbox.receiver import Receiver

INTENTS = "/v1/payment_intents"
ENDPOINTS = "/v1/webhook_endpoints"


async def subscribe(stripe: Caller, url: str, *events: str) -> dict[str, Any]:
    return await stripe.post(ENDPOINTS, {"url": url, "enabled_events": list(events) or ["*"]})


async def test_the_secret_is_told_once(stripe: Caller) -> None:
    made = await subscribe(stripe, "http://127.0.0.1:9/hook", "charge.succeeded")
    assert made["secret"].startswith("whsec_")
    shown = await stripe.get(f"{ENDPOINTS}/{made['id']}")
    assert "secret" not in shown
    assert (await stripe.get(ENDPOINTS))["data"] == [shown]
    changed = await stripe.post(
        f"{ENDPOINTS}/{made['id']}",
        {"enabled_events": ["*"], "description": "mine", "metadata": {"a": "1"}, "disabled": True},
    )
    assert changed["status"] == "disabled"
    assert changed["enabled_events"] == ["*"]
    gone = await stripe.call("DELETE", f"{ENDPOINTS}/{made['id']}")
    assert gone.body == {"id": made["id"], "object": "webhook_endpoint", "deleted": True}
    assert (await stripe.get(ENDPOINTS))["data"] == []


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"url": "nowhere", "enabled_events": ["*"]}, "url"),
        ({"url": "ftp://a.example", "enabled_events": ["*"]}, "url"),
        ({"enabled_events": ["*"]}, "url"),
        ({"url": "https://a.example"}, "enabled_events"),
        ({"url": "https://a.example", "enabled_events": ["charge.exploded"]}, "enabled_events[0]"),
    ],
)
async def test_bad_endpoints(stripe: Caller, params: dict[str, Any], param: str) -> None:
    assert (await stripe.refused(ENDPOINTS, params))["param"] == param


async def test_sixteen_endpoints_are_enough(stripe: Caller) -> None:
    for number in range(16):
        await subscribe(stripe, f"http://127.0.0.1:9/{number}")
    error = await stripe.refused(ENDPOINTS, {"url": "http://a.example", "enabled_events": ["*"]})
    assert "maximum" in error["message"]


async def test_signed_deliveries_of_the_wanted_events(stripe: Caller, receiver: Receiver) -> None:
    endpoint = await subscribe(stripe, receiver.url, "charge.succeeded", "payment_intent.succeeded")
    await stripe.post(INTENTS, card_payment(description="für Ökonomen"), key="k")
    deliveries = await receiver.wait_for(2)
    assert sorted(receiver.types()) == ["charge.succeeded", "payment_intent.succeeded"]
    for delivery in deliveries:
        event = Webhook.construct_event(delivery.raw, delivery.signature, endpoint["secret"])
        assert event.pending_webhooks == 1
        assert delivery.event["request"]["idempotency_key"] == "k"
        with pytest.raises(SignatureVerificationError):
            Webhook.construct_event(delivery.raw + b" ", delivery.signature, endpoint["secret"])
    await nothing_pending(stripe)
    for event in (await stripe.get("/v1/events"))["data"]:
        assert event["pending_webhooks"] == 0


async def nothing_pending(stripe: Caller) -> None:
    """Outcomes are written a moment after the answer."""
    async with asyncio.timeout(60):
        while "pending" in await stripe.control("GET", "deliveries"):
            await asyncio.sleep(0.02)


async def test_a_failed_delivery_is_sent_again_and_signed_anew(
    stripe: Caller, receiver: Receiver
) -> None:
    endpoint = await subscribe(stripe, receiver.url, "charge.succeeded")
    receiver.statuses = [500]
    await stripe.post(INTENTS, card_payment())
    first, second = await receiver.wait_for(2)
    assert first.event == second.event
    assert first.signature != second.signature
    Webhook.construct_event(second.raw, second.signature, endpoint["secret"])


async def test_https_endpoints_are_trusted_by_the_given_authority(
    options: SandboxOptions, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    secure = Receiver()
    url = await secure.start(context)
    running = Sandbox(replace(options, ca_file=tmp_path / "ca.pem"))
    stripe = Caller(await running.start(), session)
    await subscribe(stripe, url, "payment_intent.created")
    await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    assert len(await secure.wait_for(1)) == 1
    await running.stop()
    await secure.stop()


async def test_a_redirect_is_a_failure(stripe: Caller, receiver: Receiver) -> None:
    await subscribe(stripe, receiver.url, "charge.succeeded")
    receiver.statuses = [302]
    await stripe.post(INTENTS, card_payment())
    assert len(await receiver.wait_for(2)) == 2


async def test_signatures_stay_in_real_time(stripe: Caller, receiver: Receiver) -> None:
    endpoint = await subscribe(stripe, receiver.url, "charge.succeeded")
    await stripe.advance(40 * 86_400)
    await stripe.post(INTENTS, card_payment())
    [delivery] = await receiver.wait_for(1)
    event = Webhook.construct_event(delivery.raw, delivery.signature, endpoint["secret"])
    assert event.created > time.time() + 39 * 86_400


async def test_a_disabled_or_deleted_endpoint_gets_nothing(
    stripe: Caller, receiver: Receiver
) -> None:
    endpoint = await subscribe(stripe, receiver.url)
    await stripe.post(f"{ENDPOINTS}/{endpoint['id']}", {"disabled": True})
    paid = await stripe.post(INTENTS, card_payment())
    await stripe.post(f"{ENDPOINTS}/{endpoint['id']}", {"disabled": False})
    await stripe.post(f"{INTENTS}/{paid['id']}", {"metadata": {"a": "b"}})
    await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    await receiver.wait_for(1)
    assert receiver.types() == ["payment_intent.created"]


async def test_a_dead_endpoint_delays_no_other_and_no_request(
    stripe: Caller, receiver: Receiver
) -> None:
    async def hang() -> None:
        await asyncio.sleep(3600)

    dead = Receiver()
    dead.before_answer = hang
    await subscribe(stripe, await dead.start())
    await subscribe(stripe, receiver.url)
    for _ in range(20):
        await stripe.post(INTENTS, card_payment())
    await receiver.wait_for(60)  # ten minutes, if each had waited until the dead one is given up
    await dead.stop()


async def test_hundreds_of_events_at_once(stripe: Caller, receiver: Receiver) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.created")
    params = {"amount": 1000, "currency": "eur"}
    await asyncio.gather(*(stripe.post(INTENTS, params) for _ in range(200)))
    deliveries = await receiver.wait_for(200)
    assert len({delivery.event["id"] for delivery in deliveries}) == 200
