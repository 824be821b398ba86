"""Events by order: every one has its object in Stripe's shape, and shows nothing that is not so."""

from typing import Any

import pytest
from stripe import Webhook

from paygate_sandbox.control.samples import SAMPLES
from paygate_sandbox.resources.event_types import EVENT_TYPES
from tests.sandbox.caller import (
    NOT_DESCRIBED,
    SECRET_KEY,
    Caller,
    card_payment,
    judge_event,
)
from tests.sandbox.receiver import Receiver

EVENTS = "/_sandbox/events"


async def control(stripe: Caller, method: str, body: Any = None) -> tuple[int, Any]:
    async with stripe.session.request(method, stripe.url + EVENTS, json=body) as answer:
        return answer.status, await answer.json()


def test_every_event_that_is_sent_is_one_of_stripes() -> None:
    assert set(SAMPLES) <= EVENT_TYPES


async def test_the_events_are_listed(stripe: Caller) -> None:
    assert await control(stripe, "GET") == (200, {"types": sorted(SAMPLES)})


@pytest.mark.parametrize("known", [False, True], ids=["of nobody", "of a payment"])
@pytest.mark.parametrize("kind", SAMPLES)
async def test_every_event_has_the_shape_that_stripe_describes(
    stripe: Caller, kind: str, known: bool
) -> None:
    order = {"type": kind}
    if known:
        order["payment_intent"] = (await stripe.post("/v1/payment_intents", card_payment()))["id"]
    status, sent = await control(stripe, "POST", order)
    assert (status, sent["type"], sent["endpoints"]) == (201, kind, 0)
    # Read without the caller's own check where the description has no such object.
    async with stripe.session.get(
        f"{stripe.url}/v1/events/{sent['id']}", headers={"Authorization": f"Bearer {SECRET_KEY}"}
    ) as answer:
        event = await answer.json()
    assert (event["id"], event["type"], event["livemode"]) == (sent["id"], kind, False)
    judge_event(event)
    quoted = event["data"]["object"]
    if known and kind.startswith(("charge.", "refund.", NOT_DESCRIBED)):
        assert quoted["payment_intent"] == order["payment_intent"]
    if known and kind.startswith("payment_intent."):
        assert quoted["id"] == order["payment_intent"]
        assert quoted["status"] == "succeeded", "the truth, whatever the event's name"


async def test_it_is_delivered_signed(stripe: Caller, receiver: Receiver) -> None:
    endpoint = await stripe.post(
        "/v1/webhook_endpoints", {"url": receiver.url, "enabled_events": ["refund.created"]}
    )
    status, sent = await control(stripe, "POST", {"type": "refund.created"})
    assert (status, sent["endpoints"]) == (201, 1)
    (delivery,) = await receiver.wait_for(1)
    event = Webhook.construct_event(delivery.raw, delivery.signature, endpoint["secret"])
    assert (event["id"], event["type"]) == (sent["id"], "refund.created")


async def test_nothing_is_changed_by_it(stripe: Caller) -> None:
    paid = await stripe.post("/v1/payment_intents", card_payment())
    await control(stripe, "POST", {"type": "charge.refunded", "payment_intent": paid["id"]})
    assert await stripe.get(f"/v1/payment_intents/{paid['id']}") == paid


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"type": "refund.create"}, 400),
        ({"type": "customer.created"}, 400),
        ({}, 400),
        ({"type": "refund.created", "amount": 5}, 400),
        ({"type": "refund.created", "payment_intent": "pi_none"}, 404),
    ],
)
async def test_what_cannot_be_sent_is_refused(
    stripe: Caller, order: dict[str, Any], status: int
) -> None:
    assert (await control(stripe, "POST", order))[0] == status


async def test_of_a_disputed_payment_the_truth_is_told(stripe: Caller) -> None:
    paid = await stripe.post("/v1/payment_intents", card_payment("pm_card_createDispute"))
    (dispute,) = (await stripe.get("/v1/disputes", payment_intent=paid["id"]))["data"]
    order = {"type": "charge.dispute.closed", "payment_intent": paid["id"]}
    _, sent = await control(stripe, "POST", order)
    event = await stripe.get(f"/v1/events/{sent['id']}")
    assert event["data"]["object"] == dispute
