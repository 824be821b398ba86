"""The life of a payment, call by call."""

import pytest

from tests.sandbox.caller import Caller, card_payment

INTENTS = "/v1/payment_intents"


async def test_create_without_method_waits_for_one(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, {"amount": 1999, "currency": "EUR"})
    assert intent["status"] == "requires_payment_method"
    assert intent["currency"] == "eur"
    assert intent["capture_method"] == "automatic_async"
    assert intent["automatic_payment_methods"] == {"allow_redirects": "always", "enabled": True}
    assert intent["client_secret"].startswith(f"{intent['id']}_secret_")
    assert len(intent["client_secret"]) == len(intent["id"]) + len("_secret_") + 25
    assert await stripe.get(f"{INTENTS}/{intent['id']}") == intent
    assert await stripe.event_types() == ["payment_intent.created"]


async def test_confirm_takes_the_money_asynchronously(stripe: Caller) -> None:
    intent = await stripe.post(
        INTENTS,
        {
            "amount": 1999,
            "currency": "eur",
            "payment_method_types": ["card"],
            "metadata": {"paygate_attempt": "att_1"},
            "description": "A book",
        },
    )
    paid = await stripe.post(
        f"{INTENTS}/{intent['id']}/confirm",
        {"payment_method": "pm_card_visa", "expand": ["latest_charge"]},
        key="att_1",
    )
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 1999)
    charge = paid["latest_charge"]
    assert charge["captured"]
    assert charge["balance_transaction"] is None
    assert charge["metadata"] == {"paygate_attempt": "att_1"}
    await stripe.advance(1)
    charge = await stripe.get(f"/v1/charges/{charge['id']}")
    line = await stripe.get(f"/v1/balance_transactions/{charge['balance_transaction']}")
    assert (line["amount"], line["fee"], line["net"]) == (1999, 83, 1916)
    assert line["source"] == charge["id"]
    assert line["available_on"] % 86_400 == 0
    assert await stripe.event_types() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated",
    ]
    [booked] = await stripe.charges()
    assert booked["idempotency_key"] == "att_1"
    assert booked["payment_intent"] == intent["id"]


async def test_automatic_capture_books_at_once(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, card_payment(capture_method="automatic"))
    charge = await stripe.get(f"/v1/charges/{intent['latest_charge']}")
    assert charge["balance_transaction"].startswith("txn_")


async def test_manual_capture_of_a_part(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, card_payment(capture_method="manual"))
    assert (intent["status"], intent["amount_capturable"]) == ("requires_capture", 1000)
    charge = await stripe.get(f"/v1/charges/{intent['latest_charge']}")
    card = charge["payment_method_details"]["card"]
    assert card["capture_before"] == charge["created"] + 604_800
    captured = await stripe.post(f"{INTENTS}/{intent['id']}/capture", {"amount_to_capture": 700})
    assert captured["status"] == "succeeded"
    assert (captured["amount"], captured["amount_received"]) == (1000, 700)
    assert captured["amount_capturable"] == 0
    charge = await stripe.get(f"/v1/charges/{charge['id']}")
    assert (charge["amount_captured"], charge["amount_refunded"]) == (700, 0)
    assert not charge["refunded"]
    line = await stripe.get(f"/v1/balance_transactions/{charge['balance_transaction']}")
    assert line["amount"] == 700
    assert (await stripe.event_types())[1:] == [
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
    ]


async def test_capture_is_refused_twice_too_much_and_early(stripe: Caller) -> None:
    manual = await stripe.post(INTENTS, card_payment(capture_method="manual"))
    path = f"{INTENTS}/{manual['id']}/capture"
    error = await stripe.refused(path, {"amount_to_capture": 1001})
    assert error["code"] == "amount_too_large"
    assert "param" not in error
    await stripe.post(path)
    error = await stripe.refused(path)
    assert error["code"] == "payment_intent_unexpected_state"
    assert error["payment_intent"]["id"] == manual["id"]
    fresh = await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    error = await stripe.refused(f"{INTENTS}/{fresh['id']}/capture")
    assert "requires_payment_method" in error["message"]
    assert len(await stripe.charges()) == 1


async def test_cancel_releases_the_hold(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, card_payment(capture_method="manual"))
    canceled = await stripe.post(
        f"{INTENTS}/{intent['id']}/cancel", {"cancellation_reason": "abandoned"}
    )
    assert canceled["status"] == "canceled"
    assert canceled["cancellation_reason"] == "abandoned"
    assert canceled["canceled_at"] >= intent["created"]
    assert canceled["amount_capturable"] == 0
    [charge] = await stripe.charges()
    assert not charge["captured"]
    assert charge["amount_refunded"] == 1000
    error = await stripe.refused(f"{INTENTS}/{intent['id']}/cancel")
    assert error["code"] == "payment_intent_unexpected_state"
    assert "requires_capture, requires_confirmation" in error["message"]


async def test_a_paid_intent_cannot_be_cancelled_or_confirmed(stripe: Caller) -> None:
    paid = await stripe.post(INTENTS, card_payment())
    for verb in ("cancel", "confirm"):
        error = await stripe.refused(f"{INTENTS}/{paid['id']}/{verb}")
        assert error["code"] == "payment_intent_unexpected_state"
    assert len(await stripe.charges()) == 1


async def test_confirm_wants_a_method(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    error = await stripe.refused(f"{INTENTS}/{intent['id']}/confirm")
    assert error["code"] == "payment_intent_unexpected_state"
    error = await stripe.refused(INTENTS, {"amount": 1000, "currency": "eur", "confirm": True})
    assert "missing a payment method" in error["message"]


async def test_dashboard_methods_want_a_return_url(stripe: Caller) -> None:
    params = {"amount": 1000, "currency": "eur", "payment_method": "pm_card_visa"}
    error = await stripe.refused(INTENTS, {**params, "confirm": True})
    assert "`return_url` must be specified" in error["message"]
    assert (await stripe.get(INTENTS))["data"] == []
    intent = await stripe.post(
        INTENTS, {**params, "confirm": True, "return_url": "https://shop.example/back"}
    )
    assert intent["status"] == "succeeded"


async def test_a_statement_descriptor_is_refused_for_cards(stripe: Caller) -> None:
    error = await stripe.refused(INTENTS, card_payment(statement_descriptor="SHOP"))
    assert error["param"] == "statement_descriptor"
    paid = await stripe.post(INTENTS, card_payment(statement_descriptor_suffix="BOOK 7"))
    assert paid["status"] == "succeeded"


async def test_update_while_open_and_after(stripe: Caller) -> None:
    intent = await stripe.post(
        INTENTS,
        {
            "amount": 1000,
            "currency": "eur",
            "payment_method_types": ["card"],
            "metadata": {"a": "1", "b": "2"},
        },
    )
    path = f"{INTENTS}/{intent['id']}"
    changed = await stripe.post(
        path, {"amount": 1200, "metadata": {"a": "", "c": "3"}, "description": "new"}
    )
    assert changed["amount"] == 1200
    assert changed["metadata"] == {"b": "2", "c": "3"}
    changed = await stripe.post(path, {"payment_method": "pm_card_visa"})
    assert changed["status"] == "requires_confirmation"
    paid = await stripe.post(f"{path}/confirm")
    assert paid["amount_received"] == 1200
    noted = await stripe.post(path, {"metadata": "", "description": ""})
    assert (noted["metadata"], noted["description"]) == ({}, None)
    error = await stripe.refused(path, {"amount": 1})
    assert error["code"] == "payment_intent_unexpected_state"
    assert "amount could not be updated" in error["message"]


async def test_a_used_method_is_refused(stripe: Caller) -> None:
    paid = await stripe.post(INTENTS, card_payment())
    error = await stripe.refused(INTENTS, card_payment(paid["payment_method"]))
    assert "may not be used again" in error["message"]


async def test_a_method_can_be_read_by_token_and_by_id(stripe: Caller) -> None:
    method = await stripe.get("/v1/payment_methods/pm_card_mastercard")
    assert method["card"]["brand"] == "mastercard"
    assert await stripe.get(f"/v1/payment_methods/{method['id']}") == method
    paid = await stripe.post(INTENTS, card_payment(method["id"]))
    assert paid["payment_method"] == method["id"]
    missing = await stripe.call("GET", "/v1/payment_methods/pm_card_nobody")
    assert (missing.status, missing.error["code"]) == (404, "resource_missing")


@pytest.mark.parametrize("currency", ["usd", "jpy", "kwd", "isk"])
async def test_amounts_stay_exact_in_every_kind_of_currency(stripe: Caller, currency: str) -> None:
    intent = await stripe.post(
        INTENTS, card_payment(amount=99_999_900, currency=currency, capture_method="automatic")
    )
    assert intent["amount_received"] == 99_999_900
    lines = await stripe.get("/v1/balance_transactions", currency=currency)
    assert [line["amount"] for line in lines["data"]] == [99_999_900]
    balance = await stripe.get("/v1/balance")
    assert balance["pending"][0]["amount"] == lines["data"][0]["net"]
    await stripe.advance(3 * 86_400)
    balance = await stripe.get("/v1/balance")
    assert balance["available"][0]["amount"] == lines["data"][0]["net"]
    assert balance["pending"][0]["amount"] == 0
