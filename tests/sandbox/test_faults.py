"""Each fault: it fires as often as ordered, and its effect in the books is what it says."""

import asyncio
from typing import Any

import aiohttp
import pytest
from stripe import SignatureVerificationError, Webhook

from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import Caller, card_payment
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_webhooks import ENDPOINTS, subscribe

INTENTS = "/v1/payment_intents"


async def test_drop_reply(stripe: Caller) -> None:
    await stripe.fault("confirm", "drop_reply")
    with pytest.raises(aiohttp.ClientError):
        await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert len(await stripe.charges()) == 1
    assert await stripe.fired("drop_reply") == 1
    again = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert again.status == 200
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await stripe.charges()) == 1


async def test_error_before(stripe: Caller) -> None:
    await stripe.fault("confirm", "error_before", count=2)
    for _ in range(2):
        answer = await stripe.call("POST", INTENTS, card_payment(), key="k")
        assert (answer.status, answer.error["type"]) == (500, "api_error")
    assert await stripe.charges() == []
    assert (await stripe.get(INTENTS))["data"] == []
    assert (await stripe.call("POST", INTENTS, card_payment(), key="k")).status == 200
    assert await stripe.fired("error_before") == 2


async def test_error_after(stripe: Caller) -> None:
    await stripe.fault("confirm", "error_after")
    first = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert first.status == 500
    again = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert (again.status, again.raw) == (500, first.raw)
    assert again.headers["Idempotent-Replayed"] == "true"
    [charge] = await stripe.charges()
    assert (charge["status"], charge["idempotency_key"]) == ("succeeded", "k")
    assert await stripe.fired("error_after") == 1


async def test_a_fault_that_cannot_do_its_damage_has_not_fired(stripe: Caller) -> None:
    await stripe.call("POST", INTENTS, card_payment(), key="k")
    for kind in ("error_after", "hang"):
        await stripe.fault("confirm", kind)
    await stripe.refused(INTENTS, {"confirm": True})
    assert (await stripe.control("GET", "faults"))["fired"] == {}
    await stripe.control("DELETE", "faults")
    await stripe.fault("confirm", "error_after")
    replay = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert replay.status == 200
    assert await stripe.fired("error_after") == 0


async def test_rate_limit(stripe: Caller) -> None:
    await stripe.fault("confirm", "rate_limit")
    answer = await stripe.call("POST", INTENTS, card_payment(), key="k")
    assert (answer.status, answer.error["code"]) == (429, "rate_limit")
    assert await stripe.charges() == []
    assert (await stripe.call("POST", INTENTS, card_payment(), key="k")).status == 200
    assert await stripe.fired("rate_limit") == 1


async def test_slow(stripe: Caller) -> None:
    await stripe.fault("retrieve", "slow", seconds=0.2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await stripe.get("/v1/account")
    assert loop.time() - started >= 0.2


async def test_hang_holds_the_effect_and_lets_it_happen_without_the_client(
    stripe: Caller,
) -> None:
    await stripe.fault("confirm", "hang", seconds=2)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stripe.call("POST", INTENTS, card_payment(), key="k"), 0.15)
    assert await stripe.charges() == []
    assert await stripe.fired("hang") == 1
    async with asyncio.timeout(60):
        while not await stripe.charges():
            await asyncio.sleep(0.02)
    assert len(await stripe.charges()) == 1


async def test_a_held_reply_lets_the_effect_and_the_webhook_go_first(
    stripe: Caller, receiver: Receiver
) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.succeeded")
    await stripe.fault("confirm", "hang", seconds=3600, hold="after")
    waiting = asyncio.create_task(stripe.call("POST", INTENTS, card_payment()))
    await receiver.wait_for(1)
    assert len(await stripe.charges()) == 1
    assert not waiting.done()
    waiting.cancel()


async def test_a_hanging_request_ends_without_effect_when_the_sandbox_stops(
    sandbox: Sandbox, stripe: Caller
) -> None:
    await stripe.fault("confirm", "hang")
    waiting = asyncio.create_task(stripe.call("POST", INTENTS, card_payment(), key="k"))
    while await stripe.fired("hang") == 0:
        await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        await sandbox.stop()
    with pytest.raises(aiohttp.ClientError):
        await waiting
    await sandbox.start()


@pytest.mark.parametrize(
    ("on", "method", "path"),
    [
        ("create", "POST", INTENTS),
        ("list", "GET", INTENTS),
        ("list", "GET", "/v1/charges"),
        ("retrieve", "GET", "/v1/charges/ch_none"),
        ("events", "GET", "/v1/events"),
        ("capture", "POST", f"{INTENTS}/pi_none/capture"),
        ("cancel", "POST", f"{INTENTS}/pi_none/cancel"),
        ("confirm", "POST", f"{INTENTS}/pi_none/confirm"),
        ("*", "POST", ENDPOINTS),
    ],
)
async def test_where_a_fault_strikes(stripe: Caller, on: str, method: str, path: str) -> None:
    await stripe.fault(on, "rate_limit")
    assert (await stripe.call(method, path, {})).status == 429
    assert (await stripe.call(method, path, {})).status != 429


async def test_create_and_confirm_are_told_apart(stripe: Caller) -> None:
    await stripe.fault("create", "rate_limit")
    assert (await stripe.call("POST", INTENTS, card_payment())).status == 200
    params = {"amount": 1000, "currency": "eur"}
    assert (await stripe.call("POST", INTENTS, params)).status == 429


async def test_a_probability_with_a_seed_repeats(stripe: Caller) -> None:
    rounds: list[list[int]] = []
    for _ in range(2):
        await stripe.control("DELETE", "faults")
        await stripe.fault("retrieve", "rate_limit", probability=0.5, seed=7)
        answers = [await stripe.call("GET", "/v1/account") for _ in range(20)]
        rounds.append([answer.status for answer in answers])
    assert rounds[0] == rounds[1]
    assert 0 < rounds[0].count(429) < 20
    assert await stripe.fired("rate_limit") == 2 * rounds[0].count(429)


async def test_lose(stripe: Caller, receiver: Receiver) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.created")
    await stripe.fault("webhook", "lose")
    params = {"amount": 1000, "currency": "eur"}
    lost = await stripe.post(INTENTS, params)
    while await stripe.fired("lose") == 0:
        await asyncio.sleep(0.01)
    delivered = await stripe.post(INTENTS, params)
    [delivery] = await receiver.wait_for(1)
    assert delivery.event["data"]["object"]["id"] == delivered["id"]
    events = (await stripe.get("/v1/events"))["data"]
    assert lost["id"] in [event["data"]["object"]["id"] for event in events]


async def test_lose_events(stripe: Caller, receiver: Receiver) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.created")
    await stripe.fault("events", "lose")
    await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    [delivery] = await receiver.wait_for(1)
    assert (await stripe.get("/v1/events"))["data"] == []
    assert (await stripe.call("GET", f"/v1/events/{delivery.event['id']}")).status == 404
    assert await stripe.fired("lose") == 1


async def test_duplicate(stripe: Caller, receiver: Receiver) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.created")
    await stripe.fault("webhook", "duplicate")
    await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    first, second = await receiver.wait_for(2)
    assert first.raw == second.raw
    assert await stripe.fired("duplicate") == 1


async def test_reorder(stripe: Caller, receiver: Receiver) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.created")
    await stripe.fault("webhook", "reorder", seconds=60)
    params = {"amount": 1000, "currency": "eur"}
    first = await stripe.post(INTENTS, params)
    while await stripe.fired("reorder") == 0:
        await asyncio.sleep(0.01)
    second = await stripe.post(INTENTS, params)
    deliveries = await receiver.wait_for(2)
    order = [delivery.event["data"]["object"]["id"] for delivery in deliveries]
    assert order == [second["id"], first["id"]]


async def test_a_reordered_delivery_that_nothing_overtakes_goes_in_the_end(
    stripe: Caller, receiver: Receiver
) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.created")
    await stripe.fault("webhook", "reorder", seconds=0.1)
    await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    assert len(await receiver.wait_for(1)) == 1


async def test_delay(stripe: Caller, receiver: Receiver) -> None:
    await subscribe(stripe, receiver.url, "payment_intent.created")
    await stripe.fault("webhook", "delay", seconds=0.3)
    loop = asyncio.get_running_loop()
    started = loop.time()
    await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    await receiver.wait_for(1)
    assert loop.time() - started >= 0.29


async def test_forge(stripe: Caller, receiver: Receiver) -> None:
    endpoint = await subscribe(stripe, receiver.url, "payment_intent.created")
    await stripe.fault("webhook", "forge")
    await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    forged, true = await receiver.wait_for(2)
    with pytest.raises(SignatureVerificationError):
        Webhook.construct_event(forged.raw, forged.signature, endpoint["secret"])
    Webhook.construct_event(true.raw, true.signature, endpoint["secret"])
    assert forged.event["id"] != true.event["id"]
    assert await stripe.fired("forge") == 1


BAD_ORDERS: list[Any] = [
    {},
    [],
    {"on": "confirm"},
    {"on": "everything", "kind": "slow", "count": 1},
    {"on": "confirm", "kind": "explode", "count": 1},
    {"on": "confirm", "kind": "lose", "count": 1},
    {"on": "webhook", "kind": "drop_reply", "count": 1},
    {"on": "events", "kind": "duplicate", "count": 1},
    {"on": "confirm", "kind": "slow"},
    {"on": "confirm", "kind": "slow", "count": 1, "probability": 0.5},
    {"on": "confirm", "kind": "slow", "count": 0},
    {"on": "confirm", "kind": "slow", "count": "1"},
    {"on": "confirm", "kind": "slow", "probability": 1.5},
    {"on": "confirm", "kind": "slow", "count": 1, "seconds": -1},
    {"on": "confirm", "kind": "slow", "count": 1, "hold": "never"},
    {"on": "confirm", "kind": "drop_reply", "count": 1, "hold": "after"},
    {"on": "confirm", "kind": "slow", "count": 1, "colour": "red"},
]


@pytest.mark.parametrize("order", BAD_ORDERS)
async def test_bad_orders(stripe: Caller, order: Any) -> None:
    answer = await raw_control(stripe, "POST", "faults", order)
    assert answer[0] == 400
    assert answer[1]["error"]["message"]
    assert (await stripe.control("GET", "faults"))["faults"] == []


async def raw_control(
    stripe: Caller, method: str, path: str, order: Any
) -> tuple[int, dict[str, Any]]:
    url = f"{stripe.url}/_sandbox/{path}"
    async with stripe.session.request(method, url, json=order) as response:
        body: dict[str, Any] = await response.json()
        return response.status, body


async def test_the_report_and_the_clearing(stripe: Caller) -> None:
    await stripe.fault("confirm", "slow", count=3, seconds=0.0)
    await stripe.call("POST", INTENTS, card_payment())
    [fault] = (await stripe.control("GET", "faults"))["faults"]
    assert (fault["on"], fault["kind"], fault["count"], fault["fired"]) == ("confirm", "slow", 3, 1)
    assert await stripe.control("DELETE", "faults") == {"cleared": 1}
    report = await stripe.control("GET", "faults")
    assert report == {"faults": [], "fired": {"slow": 1}}


@pytest.mark.parametrize("path", ["payouts/po_1", "settlements", "nothing", ""])
async def test_control_calls_that_do_not_exist(stripe: Caller, path: str) -> None:
    assert (await raw_control(stripe, "POST", path, {}))[0] == 404
