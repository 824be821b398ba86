"""Events that come late, out of order, before what they are about, or cannot be applied (F13, F14,
F15): each of the sandbox's faults has struck, and the end is the provider's.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paygate.flows.provider_events.replay_dead_letters import replay_dead_letters
from paygate.settings import load
from paygate.wiring.service import open_context
from paygate.worker.scheduled import run_scheduled
from tests.api.shops import Shop
from tests.gateway import Response, until
from tests.payments.agreement import agrees_with_provider
from tests.payments.steps import all_fired, fault, order
from tests.payments.test_event_storm import signed
from tests.payments.test_reconciled import approve, paying, status
from tests.payments.test_scenarios import UNDER_WAY, create, look_after, provider_payments, shown

DROPPED = fault("confirm", "drop_reply", count=1)
ALWAYS: dict[str, Any] = {"probability": 1.0}
TRY_AGAIN_SECONDS = 150
"""So much later the sweep takes an event up, whatever became of its job."""


async def events_about(shop: Shop, payment: str) -> list[dict[str, Any]]:
    """The provider's events about a payment of its own, as the gateway has stored them."""
    listed = (await shop.gateway.call("GET", "/provider-events?limit=100")).json["data"]
    found = []
    for each in listed:
        whole = (await shop.gateway.call("GET", f"/provider-events/{each['id']}")).json
        if payment in json.dumps(whole["body"]):
            found.append(whole)
    return found


async def run_job(shop: Shop, name: str, ahead: int = 0) -> None:
    """A scheduled job, as if so many seconds had gone by."""
    settings = load({}, data=Path(shop.gateway.ready["data_dir"]))

    def then() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=ahead)

    async with open_context(settings, name="test", clock=then) as ctx:
        await run_scheduled(ctx, name)


async def test_f13_events_in_reverse_move_nothing_back(shop: Shop) -> None:
    """`requires_action` after `succeeded`, some of them twice."""
    faults = (fault("webhook", "reorder"), fault("webhook", "duplicate"))
    await order(shop, faults)
    intents = [await paying(shop, "pm_card_threeDSecure2Required") for _ in range(4)]
    for intent in intents:
        await approve(shop, intent)

    async def paid() -> bool:
        return {await status(shop, i) for i in intents} == {"succeeded"}

    await until(paid, seconds=60)
    await all_fired(shop, faults)

    async def all_came() -> list[list[dict[str, Any]]] | None:
        told = [await events_about(shop, i["provider_reference"]) for i in intents]
        kinds = [{e["type"].partition(".")[2] for e in each} for each in told]
        return told if all({"requires_action", "succeeded"} <= each for each in kinds) else None

    told = await until(all_came, seconds=60)
    assert {e["status"] for each in told for e in each} <= {"processed", "stale", "ignored"}
    assert {await status(shop, i) for i in intents} == {"succeeded"}
    await agrees_with_provider(shop)


async def test_f13_a_refund_that_is_told_before_its_payment_waits_and_is_applied(
    shop: Shop,
) -> None:
    """The reply is lost and so is the event of the payment: then somebody gives the money back in
    the provider's dashboard, and that event comes.
    """
    intent = await create(shop)
    faults = (DROPPED, fault("webhook", "lose", count=1))
    await order(shop, faults)
    body = {
        "payment_method": {"type": "card", "token": "pm_card_visa"},
        "return_url": "https://shop.example/done",
    }
    first = await shop.call("POST", f"/payment-intents/{intent}/confirm", body)
    assert shown(first.json) == UNDER_WAY
    await all_fired(shop, faults)
    (payment,) = await provider_payments(shop)
    await shop.gateway.provider_call("refunds", {"payment_intent": payment["id"]})

    async def waits() -> bool:
        told = [e for e in await events_about(shop, payment["id"]) if e["type"] == "refund.created"]
        return bool(told) and told[0]["attempts"] > 0

    await until(waits, seconds=60)
    await look_after(shop, 60)

    async def given_back() -> bool:
        await run_job(shop, "apply-provider-events", TRY_AGAIN_SECONDS)
        return await status(shop, {"id": intent}) == "refunded"

    await until(given_back, seconds=60)
    told = await events_about(shop, payment["id"])
    assert {e["status"] for e in told} <= {"processed", "stale", "ignored"}
    (refund,) = (await shop.call("GET", "/refunds")).json["data"]
    assert (refund["payment_intent"], refund["amount"]) == (intent, 1999)


async def dead(shop: Shop, payment: str) -> dict[str, Any]:
    """The event of a payment of which the provider told nothing more, once it is given up."""
    ahead = 0

    async def given_up() -> dict[str, Any] | None:
        nonlocal ahead
        ahead += TRY_AGAIN_SECONDS
        await run_job(shop, "apply-provider-events", ahead)
        (told,) = [
            e for e in await events_about(shop, payment) if e["type"] == "payment_intent.succeeded"
        ]
        return told if told["status"] == "dead_letter" else None

    return dict(await until(given_up, seconds=120))


async def replay(shop: Shop, ahead: int) -> None:
    """A round's step, as if so many seconds had gone by: the whole of it would be of that time."""
    settings = load({}, data=Path(shop.gateway.ready["data_dir"]))

    def then() -> datetime:
        return datetime.now(UTC) + timedelta(seconds=ahead)

    async with open_context(settings, name="test", clock=then) as ctx:
        await replay_dead_letters(ctx, before=then())


async def came(shop: Shop, payment: str) -> None:
    async def told() -> bool:
        return any(
            e["type"] == "payment_intent.succeeded" for e in await events_about(shop, payment)
        )

    await until(told, seconds=60)


async def poisonous(shop: Shop) -> Response:
    body = json.dumps({"id": "evt_poison", "object": "event", "livemode": False}).encode()
    header = {"Stripe-Signature": signed(body, shop.gateway.ready["webhook_secret"])}
    return await shop.gateway.call("POST", "/webhooks", raw=body, key=None, headers=header)


async def test_f14_and_f15_what_cannot_be_applied_is_given_up_and_heals(shop: Shop) -> None:
    """The provider tells nothing for longer than all tries: a dead letter, an alert, and nobody
    else waits. Once it answers, the next round applies the event, by itself.
    """
    await order(shop, (DROPPED,))
    lost = await paying(shop, "pm_card_visa")
    assert shown(lost) == UNDER_WAY
    silent = tuple(fault(on, "error_before", **ALWAYS) for on in ("retrieve", "list"))
    await order(shop, silent)
    (payment,) = await provider_payments_behind(shop)
    await came(shop, payment)
    assert (await poisonous(shop)).status == 200
    other = await paying(shop, "pm_card_mastercard")
    assert other["status"] == "succeeded", "others are not held up"
    given_up = await dead(shop, payment)
    assert given_up["attempts"] == 6, "one, and five more"
    assert given_up["last_error"]
    alerts = (await shop.gateway.call("GET", "/alerts?status=open&limit=100")).json["data"]
    told = {a["subject"]["id"] for a in alerts if a["type"] == "webhook_dead_letter"}
    assert given_up["id"] in told
    listed = await shop.gateway.call("GET", "/provider-events?status=dead_letter&limit=100")
    (poison,) = [e for e in listed.json["data"] if e["type"] == "unreadable"]
    assert (poison["attempts"], poison["id"] in told) == (1, True), "not tried again"
    assert await status(shop, lost) == "processing"

    async def sweeps_are_told_nothing() -> bool:
        await run_job(shop, "resolve-attempts", TRY_AGAIN_SECONDS)
        standing = (await shop.gateway.sandbox("GET", "/_sandbox/faults"))["faults"]
        return all(each["fired"] > 0 for each in standing)

    await until(sweeps_are_told_nothing, seconds=60)
    await all_fired(shop, (DROPPED, *silent))

    async def healed() -> bool:
        await replay(shop, 2 * 3600)
        found = (await shop.gateway.call("GET", f"/provider-events/{given_up['id']}")).json
        return bool(found["status"] == "processed")

    await until(healed, seconds=60)

    async def paid() -> bool:
        return await status(shop, lost) == "succeeded"

    await until(paid, seconds=60)
    await run_job(shop, "close-alerts")
    alerts = (await shop.gateway.call("GET", "/alerts?status=closed&limit=100")).json["data"]
    assert given_up["id"] in {a["subject"]["id"] for a in alerts}
    await agrees_with_provider(shop)


async def provider_payments_behind(shop: Shop) -> list[str]:
    """The provider's payments of a shop, from its books: its API may be silent."""
    ledger = await shop.gateway.sandbox("GET", "/_sandbox/ledger")
    return [
        charge["payment_intent"]
        for charge in ledger["charges"]
        if charge["metadata"].get("paygate_merchant") == shop.merchant
    ]
