"""Scenarios of what may go wrong with one payment, by their numbers in the package's table."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from paygate.flows.context import Context
from paygate.settings import load
from paygate.wiring.service import open_context
from paygate.worker.scheduled import AT_WORK_ALREADY, run_scheduled
from tests.api.shops import Shop
from tests.gateway import Response, until
from tests.payments.agreement import agrees_with_provider, shops_charges
from tests.payments.steps import LATE, all_fired, fault, ledger_agrees, order, persist

CONFIRM = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}
LOST_EVENTS = fault("webhook", "lose", probability=1.0)
UNDER_WAY = ("processing", "confirm")
CAPTURE_METHODS = pytest.mark.parametrize("capture_method", ["automatic", "manual"])
PAID = {"automatic": "succeeded", "manual": "requires_capture"}


async def create(shop: Shop, amount: int = 1999, currency: str = "eur", **more: Any) -> str:
    body = {"amount": amount, "currency": currency, **more}
    return str((await persist(shop, "/payment-intents", body, f"create {amount}")).json["id"])


async def confirm(shop: Shop, intent: str) -> dict[str, Any]:
    return (await persist(shop, f"/payment-intents/{intent}/confirm", CONFIRM, "confirm")).json


async def read(shop: Shop, intent: str) -> dict[str, Any]:
    return (await shop.call("GET", f"/payment-intents/{intent}")).json


def shown(intent: dict[str, Any]) -> tuple[str, str | None]:
    return intent["status"], intent["pending_operation"]


async def look_after(shop: Shop, *seconds: int) -> None:
    """The sweep, as if so many seconds had gone by."""
    settings = load({}, data=Path(shop.gateway.ready["data_dir"]))
    for ahead in seconds:

        def then(ahead: int = ahead) -> datetime:
            return datetime.now(UTC) + timedelta(seconds=ahead)

        async with open_context(settings, name="test", clock=then) as ctx:

            async def run(ctx: Context = ctx) -> bool:
                # The gateway's own run may be at work just now.
                return AT_WORK_ALREADY not in await run_scheduled(ctx, "resolve-attempts")

            await until(run)


async def ended(shop: Shop, intent: str, status: str) -> dict[str, Any]:
    """Once an event has told."""

    async def look() -> dict[str, Any] | None:
        found = await read(shop, intent)
        return found if found["status"] == status else None

    return dict(await until(look))


async def provider_payments(shop: Shop) -> list[dict[str, Any]]:
    """The provider's payments of a shop, charged or not."""
    listed = await shop.gateway.sandbox("GET", "/v1/payment_intents?limit=100")
    return [p for p in listed["data"] if p["metadata"].get("paygate_merchant") == shop.merchant]


@CAPTURE_METHODS
@pytest.mark.parametrize("by", ["event", "same key", "look-up"])
async def test_f02_a_reply_that_was_lost(
    shop: Shop, tmp_path: Path, by: str, capture_method: str
) -> None:
    """Charged, and not told: unknown, then known, charged once, whoever tells."""
    intent = await create(shop, capture_method=capture_method)
    lost = () if by == "event" else (LOST_EVENTS,)
    faults = (fault("confirm", "drop_reply", count=1), *lost)
    await order(shop, faults)
    first = await confirm(shop, intent)
    await all_fired(shop, faults)
    if by != "event":
        assert shown(first) == shown(await read(shop, intent)) == UNDER_WAY
        await look_after(shop, 60 if by == "same key" else 180)
    final = await ended(shop, intent, PAID[capture_method])
    assert final["payment_method"]["last4"] == "4242"
    assert len(await provider_payments(shop)) == 1
    await agrees_with_provider(shop)
    assert await confirm(shop, intent) == first, "the same key, the same bytes"
    await asyncio.to_thread(ledger_agrees, shop, tmp_path)


@CAPTURE_METHODS
@pytest.mark.parametrize("by", ["event", "look-up"])
async def test_f03_an_error_after_the_charge(shop: Shop, by: str, capture_method: str) -> None:
    """The same key gets the saved error for ever, and another key would charge twice."""
    intent = await create(shop, capture_method=capture_method)
    lost = () if by == "event" else (LOST_EVENTS,)
    faults = (fault("confirm", "error_after", count=1), *lost)
    await order(shop, faults)
    first = await confirm(shop, intent)
    await all_fired(shop, faults)
    (before,) = await shops_charges(shop)
    if by == "look-up":
        assert shown(first) == UNDER_WAY
        await look_after(shop, 60, 60, 100)
        assert shown(await read(shop, intent)) == UNDER_WAY, "the saved error tells nothing"
        assert await shops_charges(shop) == [before]
        await look_after(shop, 180)
    await ended(shop, intent, PAID[capture_method])
    assert len(await provider_payments(shop)) == 1
    assert await shops_charges(shop) == [before]
    await agrees_with_provider(shop)


@pytest.mark.parametrize("act", ["capture", "cancel"])
async def test_f03_an_error_after_an_order_was_carried_out(shop: Shop, act: str) -> None:
    """Its key gets the saved error for a day; the payment itself tells at the first sweep."""
    intent = await create(shop, capture_method="manual")
    await confirm(shop, intent)
    faults = (fault(act, "error_after", count=1), LOST_EVENTS)
    await order(shop, faults)
    first = (await persist(shop, f"/payment-intents/{intent}/{act}", {}, act)).json
    assert shown(first) == ("requires_capture", act)
    await all_fired(shop, faults)
    await look_after(shop, 60)
    end = "succeeded" if act == "capture" else "cancelled"
    assert shown(await read(shop, intent)) == (end, None)
    await agrees_with_provider(shop)


@pytest.mark.parametrize("sweeps", [(60,), LATE])
async def test_f04_an_error_and_nothing_was_done(shop: Shop, sweeps: tuple[int, ...]) -> None:
    """Sent again while the payer is there; later nothing begins any more."""
    intent = await create(shop)
    faults = (fault("confirm", "error_before", count=1),)
    await order(shop, faults)
    first = await confirm(shop, intent)
    assert shown(first) == UNDER_WAY
    await all_fired(shop, faults)
    assert await provider_payments(shop) == []
    refused = await shop.call("POST", f"/payment-intents/{intent}/confirm", CONFIRM)
    assert (refused.status, refused.code) == (409, "intent_already_confirmed")
    await look_after(shop, *sweeps)
    final = await read(shop, intent)
    payments = await provider_payments(shop)
    if sweeps == LATE:
        code = final["last_payment_error"]["code"]
        assert (final["status"], code, payments) == ("failed", "provider_unavailable", [])
    else:
        assert (final["status"], len(payments)) == ("succeeded", 1)
    await agrees_with_provider(shop)
    assert await confirm(shop, intent) == first
    assert len(await provider_payments(shop)) == len(payments)


@CAPTURE_METHODS
async def test_f11_the_event_comes_before_the_reply(shop: Shop, capture_method: str) -> None:
    """The reply then meets what the event has concluded, and changes nothing."""
    intent = await create(shop, capture_method=capture_method)
    faults = (fault("confirm", "slow", count=1, seconds=1.5, hold="after"),)
    await order(shop, faults)
    confirming = asyncio.create_task(confirm(shop, intent))
    seen = await ended(shop, intent, PAID[capture_method])
    await all_fired(shop, faults)
    assert await confirming == seen
    assert await read(shop, intent) == seen
    await agrees_with_provider(shop)


async def given_up(shop: Shop, seconds: int) -> dict[str, str] | None:
    """Two payments by capture method that are failed while their requests lie somewhere for so
    long; None when the requests came first.
    """
    intents = {
        method: await create(shop, amount + seconds, capture_method=method)
        for amount, method in ((1000, "automatic"), (2000, "manual"))
    }
    faults = (fault("confirm", "hang", count=2, seconds=seconds),)
    await order(shop, faults)
    await asyncio.gather(*(confirm(shop, intent) for intent in intents.values()))
    await all_fired(shop, faults)
    await look_after(shop, *LATE)
    found = [await read(shop, intent) for intent in intents.values()]
    return intents if [i["status"] for i in found] == ["failed"] * 2 else None


async def test_f23_money_that_comes_after_the_end(shop: Shop, tmp_path: Path) -> None:
    """What was captured is a correction, what was only held is given back."""
    seconds = 8
    while (intents := await given_up(shop, seconds)) is None:  # a slow machine
        seconds *= 2
        assert seconds < 60
    corrected = await ended(shop, intents["automatic"], "succeeded")
    assert corrected["amount_received"] == 1000 + seconds

    async def given_back() -> bool:
        charges = await shops_charges(shop)
        held = [c for c in charges if c["metadata"]["paygate_intent"] == intents["manual"]]
        return (
            bool(held) and held[0]["amount_refunded"] == 2000 + seconds and not held[0]["captured"]
        )

    await until(given_back)
    assert (await read(shop, intents["manual"]))["status"] == "failed"
    await agrees_with_provider(shop)
    alerts = (await shop.call("GET", "/alerts")).json["data"]
    with_alert = [a["subject"]["id"] for a in alerts if a["type"] == "state_correction"]
    assert with_alert == [intents["automatic"]]
    await asyncio.to_thread(ledger_agrees, shop, tmp_path)


@pytest.mark.parametrize("seed", range(4))
async def test_f23_confirms_and_cancels_at_once(shop: Shop, tmp_path: Path, seed: int) -> None:
    """On two processes, with a provider that takes its time over half of them; one end for each."""
    chance = random.Random(seed)
    intents = [
        await create(shop, 1000 + n, capture_method=chance.choice(["automatic", "manual"]))
        for n in range(20)
    ]
    faults = (fault("confirm", "slow", seconds=0.1),)
    await order(shop, faults)

    async def cancel(intent: str) -> Response:
        return await shop.call("POST", f"/payment-intents/{intent}/cancel")

    async def confirm_once(intent: str) -> Response:
        return await shop.call("POST", f"/payment-intents/{intent}/confirm", CONFIRM)

    racers = [act(i) for i in intents for act in (confirm_once, cancel, cancel)]
    chance.shuffle(racers)
    answers = await asyncio.gather(*racers)
    await shop.gateway.sandbox("DELETE", "/_sandbox/faults")
    codes = {a.code for a in answers if a.status != 200}
    assert codes <= {"intent_already_confirmed", "state_conflict", "operation_pending"}
    assert {a.status for a in answers} <= {200, 409}
    found = await agrees_with_provider(shop)
    assert {i["status"] for i in found} <= {"succeeded", "requires_capture", "cancelled"}
    assert len(found) == len(intents)
    await asyncio.to_thread(ledger_agrees, shop, tmp_path)
