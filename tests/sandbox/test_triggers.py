"""What `stripe trigger` of Stripe's own command-line tool asks for, step by step as its published
fixtures do: the sandbox takes it, and sends the event that was wanted.

Source: github.com/stripe/stripe-cli, pkg/fixtures/triggers.
"""

from typing import Any

import pytest

from tests.sandbox.caller import Caller

CARD = {"amount": 100, "currency": "usd", "confirm": True, "payment_method_types": ["card"]}
Steps = list[tuple[str, str, dict[str, Any]]]
"""Name, path and parameters; `{name}` stands for the id of the object that a step made."""
TRIGGERS: dict[str, Steps] = {
    "charge.refunded": [
        ("intent", "/v1/payment_intents", CARD | {"payment_method": "pm_card_visa"}),
        ("refund", "/v1/refunds", {"payment_intent": "{intent}"}),
    ],
    "charge.dispute.created": [
        ("intent", "/v1/payment_intents", CARD | {"payment_method": "pm_card_createDispute"}),
    ],
    "payment_method.attached": [
        ("customer", "/v1/customers", {"description": "(created by Stripe CLI)"}),
        ("method", "/v1/payment_methods/pm_card_visa/attach", {"customer": "{customer}"}),
    ],
}


@pytest.mark.parametrize("event", TRIGGERS)
async def test_the_steps_of_a_trigger_make_its_event(stripe: Caller, event: str) -> None:
    made: dict[str, str] = {}
    for name, path, params in TRIGGERS[event]:
        filled = {
            key: value.format(**made) if isinstance(value, str) else value
            for key, value in params.items()
        }
        made[name] = (await stripe.post(path, filled))["id"]
    assert event in await stripe.event_types()


async def test_a_confirm_by_whatever_the_dashboard_allows_wants_a_way_back(stripe: Caller) -> None:
    """A fixture that names no types is refused without `return_url`, as it is at Stripe."""
    order = {"amount": 100, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
    await stripe.refused("/v1/payment_intents", order)
    paid = await stripe.post("/v1/payment_intents", order | {"return_url": "https://shop.example"})
    assert paid["status"] == "succeeded"
