"""Early fraud warnings at the sandbox: of a charge that nobody disputes yet."""

import pytest
from stripe.radar import EarlyFraudWarning

from tests.sandbox.caller import Caller, Json, card_payment

WARNINGS = "/v1/radar/early_fraud_warnings"


async def warned(stripe: Caller) -> Json:
    """The one warning of a new payment."""
    order = card_payment("pm_card_createIssuerFraudRecord")
    intent = await stripe.post("/v1/payment_intents", order)
    (warning,) = (await stripe.get(WARNINGS, payment_intent=intent["id"]))["data"]
    found: Json = warning
    return found


async def test_a_warning_has_the_shape_that_stripes_client_knows(stripe: Caller) -> None:
    warning = await warned(stripe)
    assert set(warning) == set(EarlyFraudWarning.__annotations__) - {"OBJECT_NAME"}
    assert (warning["object"], warning["actionable"]) == ("radar.early_fraud_warning", True)
    assert await stripe.get(f"{WARNINGS}/{warning['id']}") == warning
    assert "radar.early_fraud_warning.created" in await stripe.event_types()
    expanded = await stripe.get(f"{WARNINGS}/{warning['id']}", expand=["charge"])
    assert expanded["charge"]["amount_captured"] == 1000
    charge = await stripe.get(f"/v1/charges/{warning['charge']}")
    assert charge["disputed"] is False


@pytest.mark.parametrize("what", ["refund", "dispute"])
async def test_it_becomes_idle(stripe: Caller, what: str) -> None:
    warning = await warned(stripe)
    if what == "refund":
        await stripe.post("/v1/refunds", {"charge": warning["charge"], "amount": 300})
        assert (await stripe.get(f"{WARNINGS}/{warning['id']}"))["actionable"] is True
        await stripe.post("/v1/refunds", {"charge": warning["charge"]})
    else:
        await stripe.control("POST", "disputes", {"charge": warning["charge"]})
    assert (await stripe.get(f"{WARNINGS}/{warning['id']}"))["actionable"] is False
    assert (await stripe.event_types()).count("radar.early_fraud_warning.updated") == 1
    late = await stripe.control("POST", "fraud_warnings", {"charge": warning["charge"]})
    assert late["actionable"] is False
    missing = await stripe.call("GET", f"{WARNINGS}/issfr_none")
    assert missing.status == 404
