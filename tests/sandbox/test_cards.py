"""Every test token does what Stripe's documentation says of it."""

import pytest

from paygate_sandbox.resources.cards import CARDS, DECLINES
from tests.sandbox.caller import Caller, card_payment
from tests.stripe_oracle import ABSENT, oracle

INTENTS = "/v1/payment_intents"

APPROVED = [
    token
    for token, card in CARDS.items()
    if card.decline is None and card.authentication != "required"
]
DECLINED = [
    token
    for token, card in CARDS.items()
    if card.decline is not None and card.authentication == "none"
]
CHALLENGED = [token for token, card in CARDS.items() if card.authentication == "required"]


def test_the_description_is_at_hand() -> None:
    if oracle() is None:
        pytest.skip(ABSENT)


@pytest.mark.parametrize("token", APPROVED)
async def test_approved(stripe: Caller, token: str) -> None:
    intent = await stripe.post(
        INTENTS, card_payment(token, expand=["latest_charge", "payment_method"])
    )
    assert intent["status"] == "succeeded"
    card = CARDS[token]
    shown = intent["latest_charge"]["payment_method_details"]["card"]
    assert (shown["brand"], shown["last4"]) == (card.brand, card.last4)
    assert intent["payment_method"]["card"]["country"] == card.country


@pytest.mark.parametrize("token", DECLINED)
async def test_declined(stripe: Caller, token: str) -> None:
    decline = DECLINES[CARDS[token].decline or ""]
    answer = await stripe.call("POST", INTENTS, card_payment(token))
    assert answer.status == 402
    error = answer.error
    assert error["type"] == "card_error"
    assert (error["code"], error["decline_code"]) == (decline.code, decline.decline_code)
    assert error.get("advice_code") == decline.advice_code
    assert error.get("network_decline_code") == decline.network_decline_code
    assert error["doc_url"].endswith(decline.code.replace("_", "-"))
    intent = await stripe.get(f"{INTENTS}/{error['payment_intent']['id']}")
    assert intent == error["payment_intent"]
    assert intent["status"] == "requires_payment_method"
    assert intent["payment_method"] is None
    assert intent["last_payment_error"]["charge"] == intent["latest_charge"] == error["charge"]
    charge = await stripe.get(f"/v1/charges/{error['charge']}")
    assert (charge["status"], charge["paid"], charge["captured"]) == ("failed", False, False)
    assert charge["failure_code"] == decline.code
    assert (await stripe.event_types())[1:] == ["charge.failed", "payment_intent.payment_failed"]
    [booked] = await stripe.charges()
    assert (booked["status"], booked["amount_captured"]) == ("failed", 0)


async def test_another_card_pays_a_declined_intent(stripe: Caller) -> None:
    answer = await stripe.call("POST", INTENTS, card_payment("pm_card_chargeDeclined"))
    intent_id = answer.error["payment_intent"]["id"]
    paid = await stripe.post(f"{INTENTS}/{intent_id}/confirm", {"payment_method": "pm_card_visa"})
    assert paid["status"] == "succeeded"
    assert paid["last_payment_error"] is None
    charges = await stripe.get("/v1/charges", payment_intent=intent_id)
    assert [charge["status"] for charge in charges["data"]] == ["succeeded", "failed"]


@pytest.mark.parametrize("token", ["pm_card_nobody", "tok_visa", "pm_1XYZ", "4242424242424242"])
async def test_an_unknown_token_is_a_missing_resource(stripe: Caller, token: str) -> None:
    error = await stripe.refused(INTENTS, card_payment(token))
    assert error["code"] == "resource_missing"
    assert error["param"] == "payment_method"
    assert await stripe.charges() == []


async def test_funds_of_a_bypassing_card_are_there_at_once(stripe: Caller) -> None:
    await stripe.post(INTENTS, card_payment("pm_card_bypassPending", capture_method="automatic"))
    [line] = (await stripe.get("/v1/balance_transactions"))["data"]
    assert line["status"] == "available"
    balance = await stripe.get("/v1/balance")
    assert balance["available"][0]["amount"] == line["net"]


@pytest.mark.parametrize("token", CHALLENGED)
async def test_off_session_a_challenge_is_a_decline(stripe: Caller, token: str) -> None:
    answer = await stripe.call("POST", INTENTS, card_payment(token, off_session=True))
    assert answer.status == 402
    assert answer.error["decline_code"] == "authentication_required"
    again = await stripe.call("POST", INTENTS, card_payment(token, error_on_requires_action=True))
    assert again.status == 402
    assert again.error["decline_code"] == "authentication_not_handled"


RAW_CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/payment_methods", {"type": "card", "card": RAW_CARD}),
        (INTENTS, card_payment() | {"payment_method_data": {"type": "card", "card": RAW_CARD}}),
    ],
)
async def test_raw_card_numbers_are_refused_and_not_kept(
    stripe: Caller, path: str, params: dict[str, object]
) -> None:
    answer = await stripe.call("POST", path, params, key="raw")
    assert answer.status == 402
    assert "generally unsafe" in answer.error["message"]
    assert b"4242424242424242" not in answer.raw
    assert (await stripe.call("POST", INTENTS, card_payment(), key="raw")).status == 200
