"""The sandbox's own time: it moves objects and timers, and survives a restart."""

import asyncio
import time
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from paygate_sandbox.server import Sandbox, SandboxOptions
from paygate_sandbox.store.objects import Window
from tests.sandbox.caller import Caller, card_payment
from tests.sandbox.test_faults import raw_control

INTENTS = "/v1/payment_intents"
WEEK = 604_800


async def test_it_moves_the_times_of_objects_and_answers(stripe: Caller) -> None:
    await stripe.advance(1000)
    answer = await stripe.call("POST", INTENTS, {"amount": 1000, "currency": "eur"})
    now = time.time() + 1000
    assert abs(answer.body["created"] - now) < 5
    assert abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - now) < 5


async def test_an_uncaptured_hold_expires_to_the_second(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, card_payment(capture_method="manual"))
    await stripe.advance(WEEK - 30)
    path = f"{INTENTS}/{intent['id']}"
    assert (await stripe.get(path))["status"] == "requires_capture"
    await stripe.advance(3 * 86_400)
    expired = await stripe.get(path)
    assert expired["status"] == "canceled"
    assert expired["cancellation_reason"] == "automatic"
    [charge] = await stripe.charges()
    assert expired["canceled_at"] == charge["created"] + WEEK
    assert not charge["captured"]
    assert charge["amount_refunded"] == 1000
    assert (await stripe.event_types())[-2:] == ["charge.expired", "payment_intent.canceled"]
    assert (await stripe.refused(f"{path}/capture"))["code"] == "payment_intent_unexpected_state"


async def test_a_captured_or_cancelled_hold_does_not_expire(stripe: Caller) -> None:
    for verb in ("capture", "cancel"):
        intent = await stripe.post(INTENTS, card_payment(capture_method="manual"))
        await stripe.post(f"{INTENTS}/{intent['id']}/{verb}")
    before = await stripe.event_types()
    await stripe.advance(2 * WEEK)
    assert await stripe.event_types() == [*before, "balance.available"]


async def test_many_timers_at_once(stripe: Caller) -> None:
    for _ in range(250):
        await stripe.post(INTENTS, card_payment())
    await stripe.advance(10)
    lines = [line async for line in every(stripe, "/v1/balance_transactions")]
    assert len(lines) == len({line["source"] for line in lines}) == 250


async def every(stripe: Caller, path: str) -> Any:
    cursor: dict[str, Any] = {}
    while True:
        page = await stripe.get(path, limit=100, **cursor)
        for item in page["data"]:
            yield item
        if not page["has_more"]:
            return
        cursor = {"starting_after": page["data"][-1]["id"]}


async def test_it_survives_a_restart(sandbox: Sandbox, stripe: Caller) -> None:
    await stripe.advance(5000)
    intent = await stripe.post(INTENTS, card_payment(capture_method="manual"))
    await sandbox.stop()
    stripe.url = await sandbox.start()
    assert (await stripe.control("GET", "clock"))["advanced_seconds"] == 5000
    again = await stripe.post(INTENTS, card_payment())
    assert again["created"] >= intent["created"]
    assert again["id"] != intent["id"]
    await stripe.advance(WEEK)
    assert (await stripe.get(f"{INTENTS}/{intent['id']}"))["status"] == "canceled"


async def test_timers_run_without_any_request(
    options: SandboxOptions, session: aiohttp.ClientSession
) -> None:
    sandbox = Sandbox(replace(options, reading=time.time))
    await Caller(await sandbox.start(), session).post(INTENTS, card_payment())
    events = sandbox.parts.events
    async with asyncio.timeout(60):
        while not events.page(Window(1), types=["charge.updated"], delivered=None):
            await asyncio.sleep(0.05)
    await sandbox.stop()


async def test_a_timer_overtakes_a_later_one(stripe: Caller) -> None:
    await stripe.post(INTENTS, card_payment(capture_method="manual"))  # ends in a week
    await stripe.post(INTENTS, card_payment())  # is in the balance in a second
    await stripe.advance(2)
    assert "charge.updated" in await stripe.event_types()


async def test_one_seed_gives_the_same_ids_in_a_fresh_store(
    options: SandboxOptions, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    made: list[str] = []
    for name in ("one", "two"):
        running = Sandbox(replace(options, data_dir=tmp_path / name))
        stripe = Caller(await running.start(), session)
        intent = await stripe.post(INTENTS, card_payment())
        made.append(intent["client_secret"] + intent["latest_charge"])
        await running.stop()
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "order", [{}, {"advance_seconds": -1}, {"advance_seconds": "5"}, {"advance_seconds": 1.5}, 7]
)
async def test_bad_orders(stripe: Caller, order: Any) -> None:
    assert (await raw_control(stripe, "POST", "clock", order))[0] == 400
