"""No webhook comes, and some of what happens is done in the provider's dashboard: the
reconciliation alone finds it (F16), with the provider's list of events and without.

The provider is changed behind the gateway's back, by its own API and with faults, as people do.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.api.shops import Shop, open_shop
from tests.cli.processes import run
from tests.gateway import Gateway, until
from tests.payments.agreement import agrees_with_provider, shops_charges
from tests.payments.steps import fault

EVERY = 1_000_000
LOST = fault("webhook", "lose", count=EVERY)
HIDDEN = fault("events", "lose", count=EVERY)
CARD = {"return_url": "https://shop.example/done"}
TRANSFER = {"payment_method": {"type": "bank_transfer", "flow": "push", "country": "DE"}}


@pytest.fixture
async def deaf(shop: Shop) -> AsyncIterator[Shop]:
    """A shop whose gateway hears of nothing any more."""
    await shop.gateway.sandbox("POST", "/_sandbox/faults", LOST)
    yield shop
    await shop.gateway.sandbox("DELETE", "/_sandbox/faults")


@pytest.fixture
async def apart(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A shop on a gateway of its own, for what never agrees with the provider's again."""
    gateway = Gateway.start(tmp_path_factory.mktemp("apart"))
    await gateway.open()
    yield await open_shop(gateway)
    await gateway.close()
    assert gateway.stop() == 0


async def paying(shop: Shop, token: str, **more: Any) -> dict[str, Any]:
    """An intent that was confirmed with a card, as the answer shows it."""
    body = {"amount": 1999, "currency": "eur", **more}
    intent = (await shop.call("POST", "/payment-intents", body)).json["id"]
    confirm = {"payment_method": {"type": "card", "token": token}, **CARD}
    answer = await shop.call("POST", f"/payment-intents/{intent}/confirm", confirm)
    assert answer.status == 200, answer
    return answer.json


async def waits_for_transfer(shop: Shop) -> dict[str, Any]:
    body = {"amount": 5000, "currency": "eur", "payment_method_types": ["bank_transfer"]}
    intent = (await shop.call("POST", "/payment-intents", body)).json["id"]
    answer = await shop.call("POST", f"/payment-intents/{intent}/confirm", TRANSFER)
    assert answer.status == 200, answer
    return answer.json


async def approve(shop: Shop, intent: dict[str, Any]) -> None:
    """The payer proves at the bank who they are, and never comes back to the shop."""
    url = intent["next_action"]["redirect_to_url"]["url"]
    await shop.gateway.visit("GET", url)
    await shop.gateway.visit("POST", url, {"outcome": "complete"})


async def send_money(shop: Shop, intent: dict[str, Any], amount: int) -> None:
    theirs = await shop.gateway.sandbox(
        "GET", f"/v1/payment_intents/{intent['provider_reference']}"
    )
    path = f"test_helpers/customers/{theirs['customer']}/fund_cash_balance"
    await shop.gateway.provider_call(path, {"amount": amount, "currency": "eur"})


async def reconciled(shop: Shop, cwd: Path, *options: str) -> dict[str, Any]:
    """A round by hand, and all that it found of this shop's payments."""

    async def once() -> dict[str, Any] | None:
        data = ("--data", shop.gateway.ready["data_dir"], "--json")
        done = await asyncio.to_thread(run, "reconcile", *data, *options, cwd=cwd)
        return None if "a reconciliation is at work" in done.err else dict(json.loads(done.out))

    found: dict[str, Any] = await until(once, seconds=120)
    return found


async def status(shop: Shop, intent: dict[str, Any]) -> str:
    return str((await shop.call("GET", f"/payment-intents/{intent['id']}")).json["status"])


def of(found: dict[str, Any], *intents: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Kind and action of what was found of these intents."""
    names = {intent["id"] for intent in intents}
    listed = [f for f in found["findings"] if f["payment_intent"] in names]
    return {f["payment_intent"]: (f["kind"], f["action"]) for f in listed}


@pytest.mark.parametrize("hidden", [False, True], ids=["events listed", "events hidden"])
async def test_without_any_webhook_all_that_was_paid_is_found(
    deaf: Shop, tmp_path: Path, hidden: bool
) -> None:
    """F16: challenges, transfers, and holds that were ended in the dashboard."""
    if hidden:
        await deaf.gateway.sandbox("POST", "/_sandbox/faults", HIDDEN)
    challenged = [await paying(deaf, "pm_card_threeDSecure2Required") for _ in range(3)]
    transfers = [await waits_for_transfer(deaf) for _ in range(2)]
    holds = [await paying(deaf, "pm_card_visa", capture_method="manual") for _ in range(3)]
    assert {i["status"] for i in (*challenged, *transfers)} == {"requires_action"}
    for intent in challenged[:2]:
        await approve(deaf, intent)
    await send_money(deaf, transfers[0], 5000)
    await send_money(deaf, transfers[1], 2000)
    for hold, act in zip(holds, ("capture", "cancel"), strict=False):
        await deaf.gateway.provider_call(f"payment_intents/{hold['provider_reference']}/{act}", {})
    await reconciled(deaf, tmp_path)

    ended = (*challenged[:2], transfers[0], holds[0])
    assert [await status(deaf, i) for i in ended] == ["succeeded"] * 4
    assert await status(deaf, challenged[2]) == "requires_action"
    assert await status(deaf, holds[1]) == "cancelled"
    assert await status(deaf, holds[2]) == "requires_capture"
    partly = (await deaf.call("GET", f"/payment-intents/{transfers[1]['id']}")).json
    assert partly["next_action"]["bank_transfer"]["amount_received"] == 2000
    await agrees_with_provider(deaf)
    faults = (await deaf.gateway.sandbox("GET", "/_sandbox/faults"))["faults"]
    assert all(each["fired"] > 0 for each in faults), "a fault that never fired proves nothing"
    again = await reconciled(deaf, tmp_path)
    assert of(again, *challenged, *transfers, *holds) == {}


async def test_another_amount_is_held(deaf: Shop, tmp_path: Path) -> None:
    intent = await paying(deaf, "pm_card_threeDSecure2Required")
    await deaf.gateway.provider_call(
        f"payment_intents/{intent['provider_reference']}", {"amount": 2500}
    )
    found = await reconciled(deaf, tmp_path)
    assert of(found, intent) == {intent["id"]: ("amount", "held")}
    assert await status(deaf, intent) == "requires_action"
    alerts = (await deaf.call("GET", "/alerts?status=open")).json["data"]
    assert [a["type"] for a in alerts] == ["reconciliation_drift"]


async def test_a_refund_of_the_dashboard_whose_event_was_lost(deaf: Shop, tmp_path: Path) -> None:
    await deaf.gateway.sandbox("POST", "/_sandbox/faults", HIDDEN)
    intent = await paying(deaf, "pm_card_visa")
    form = {"payment_intent": intent["provider_reference"], "amount": 500}
    refund = await deaf.gateway.provider_call("refunds", form)
    rehearsed = await reconciled(deaf, tmp_path, "--dry-run")
    assert of(rehearsed, intent) == {intent["id"]: ("refunded", "healed")}
    found = await reconciled(deaf, tmp_path)
    assert of(found, intent) == {intent["id"]: ("refunded", "healed")}
    after = (await deaf.call("GET", f"/payment-intents/{intent['id']}")).json
    assert after["amount_refunded"] == 500
    listed = (await deaf.call("GET", f"/refunds?payment_intent={intent['id']}")).json["data"]
    assert [each["provider_reference"] for each in listed] == [refund["id"]]
    assert of(await reconciled(deaf, tmp_path), intent) == {}


async def test_an_answer_and_its_event_that_were_both_lost(deaf: Shop, tmp_path: Path) -> None:
    await deaf.gateway.sandbox("POST", "/_sandbox/faults", HIDDEN)
    dropped = fault("confirm", "drop_reply", count=1)
    await deaf.gateway.sandbox("POST", "/_sandbox/faults", dropped)
    intent = await paying(deaf, "pm_card_visa")
    later = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    await reconciled(deaf, tmp_path, "--since", later)

    async def found() -> bool:  # a sweep may have been first
        return await status(deaf, intent) == "succeeded"

    await until(found)
    assert len(await shops_charges(deaf)) == 1


async def test_a_second_charge_for_one_intent_and_one_for_none(apart: Shop, tmp_path: Path) -> None:
    intent = await paying(apart, "pm_card_visa")
    (charge,) = await shops_charges(apart)
    form = {
        "amount": 1999,
        "currency": "eur",
        "confirm": "true",
        "payment_method": "pm_card_visa",
        "payment_method_types[0]": "card",
    }
    marks = {f"metadata[{name}]": value for name, value in charge["metadata"].items()}
    twin = await apart.gateway.provider_call("payment_intents", form | marks)
    unknown = marks | {"metadata[paygate_attempt]": "at_" + "0" * 26}
    orphan = await apart.gateway.provider_call("payment_intents", form | unknown)
    before = (await apart.call("GET", f"/payment-intents/{intent['id']}")).json
    rehearsed = await reconciled(apart, tmp_path, "--dry-run")
    found = await reconciled(apart, tmp_path)
    for each in (rehearsed, found):
        listed = {f["provider_reference"]: f for f in each["findings"]}
        assert listed[twin["id"]]["kind"] == listed[orphan["id"]]["kind"] == "orphan"
        assert listed[twin["id"]]["payment_intent"] == intent["id"]
        assert listed[orphan["id"]]["payment_intent"] is None
    alerts = (await apart.call("GET", "/alerts?status=open")).json["data"]
    assert {a["subject"]["id"] for a in alerts} == {intent["id"], orphan["id"]}
    assert (await apart.call("GET", f"/payment-intents/{intent['id']}")).json == before


async def test_f26_two_at_once_and_one_killed_in_the_middle_of_a_page(
    deaf: Shop, tmp_path: Path
) -> None:
    """Whoever goes on heals what is left: each payment once, and with one finding. No event tells
    of them either.
    """
    await deaf.gateway.sandbox("POST", "/_sandbox/faults", HIDDEN)
    slow = fault("list", "slow", probability=1.0, seconds=0.5)
    intents = [await paying(deaf, "pm_card_threeDSecure2Required") for _ in range(12)]
    for intent in intents:
        await approve(deaf, intent)
    await deaf.gateway.sandbox("POST", "/_sandbox/faults", slow)
    data = ("--data", deaf.gateway.ready["data_dir"])
    command = (sys.executable, "-m", "paygate.cli", "reconcile", *data, "--json")
    gone = asyncio.subprocess.DEVNULL
    both = [
        await asyncio.create_subprocess_exec(*command, stdout=gone, stderr=gone) for _ in range(2)
    ]

    async def at_work() -> bool:
        rounds = (await deaf.gateway.call("GET", "/reconciliations?limit=1")).json["data"]
        faults = (await deaf.gateway.sandbox("GET", "/_sandbox/faults"))["faults"]
        fired = all(each["fired"] > 0 for each in faults)
        return fired and bool(rounds) and rounds[0]["status"] == "running"

    await until(at_work, seconds=60)
    for each in both:  # one is refused, for the other is at work
        with suppress(ProcessLookupError):
            each.kill()
        await each.wait()
    await reconciled(deaf, tmp_path)
    assert {await status(deaf, i) for i in intents} == {"succeeded"}
    await agrees_with_provider(deaf)
    rounds = (await deaf.gateway.call("GET", "/reconciliations?limit=20")).json["data"]
    pages = [
        (await deaf.gateway.call("GET", f"/reconciliations/{r['id']}/findings?limit=100")).json
        for r in rounds
    ]
    found = Counter(f["payment_intent"] for page in pages for f in page["data"])
    assert {found[i["id"]] for i in intents} <= {0, 1}, "a sweep may have been first"
    assert max(found[i["id"]] for i in intents) == 1
