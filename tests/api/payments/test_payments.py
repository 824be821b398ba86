"""A payment through the real parts: TLS, two API processes, PostgreSQL, sandbox, worker."""

import asyncio
import re

from tests.gateway import Gateway, until


async def test_create_answers_the_whole_object(gateway: Gateway) -> None:
    answer = await gateway.call(
        "POST",
        "/payment-intents",
        {
            "amount": 1999,
            "currency": "eur",
            "reference": "order-1",
            "description": "A box",
            "statement_descriptor": "SHOP BOX",
            "metadata": {"cart": "7"},
        },
    )
    assert answer.status == 201
    intent = answer.json
    assert re.fullmatch(r"pi_[0-9a-z]{26}", intent["id"])
    times = [intent.pop("created_at"), intent.pop("updated_at")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", t) for t in times)
    assert re.fullmatch(rf"{intent['id']}_secret_[0-9A-Za-z]{{24}}", intent.pop("client_secret"))
    assert intent == {
        "object": "payment_intent",
        "id": intent["id"],
        "livemode": False,
        "amount": 1999,
        "amount_capturable": 0,
        "amount_received": 0,
        "amount_refunded": 0,
        "amount_refund_pending": 0,
        "amount_refundable": 0,
        "currency": "eur",
        "status": "created",
        "pending_operation": None,
        "capture_method": "automatic",
        "payment_method_types": ["card"],
        "payment_method": None,
        "next_action": None,
        "last_payment_error": None,
        "cancellation_reason": None,
        "reference": "order-1",
        "description": "A box",
        "statement_descriptor": "SHOP BOX",
        "metadata": {"cart": "7"},
        "customer": None,
        "disputed": False,
        "provider": "stripe",
        "provider_reference": None,
        "authorization_expires_at": None,
        "version": 1,
    }
    assert await gateway.charges(intent["id"]) == []


async def test_a_card_is_charged_once(gateway: Gateway) -> None:
    intent = await gateway.create(1999, "eur")
    answer = await gateway.confirm(intent["id"])
    assert answer.status == 200
    confirmed = answer.json
    assert confirmed["status"] == "succeeded"
    assert confirmed["amount_received"] == confirmed["amount_refundable"] == 1999
    assert confirmed["payment_method"]["brand"] == "visa"
    assert confirmed["pending_operation"] is None
    (charge,) = await gateway.charges(intent["id"])
    assert (charge["amount"], charge["currency"], charge["captured"]) == (1999, "eur", True)
    assert charge["payment_intent"] == confirmed["provider_reference"]
    assert await gateway.read(intent["id"]) == confirmed


async def test_a_second_confirm_is_refused_with_the_intent(gateway: Gateway) -> None:
    intent = await gateway.create()
    first = await gateway.confirm(intent["id"])
    second = await gateway.confirm(intent["id"])
    assert (second.status, second.code) == (409, "intent_already_confirmed")
    assert second.json["error"]["payment_intent"] == first.json
    assert len(await gateway.charges(intent["id"])) == 1


async def test_racing_confirms_charge_once(gateway: Gateway) -> None:
    intent = await gateway.create()
    answers = await asyncio.gather(*(gateway.confirm(intent["id"]) for _ in range(20)))
    assert sorted(a.status for a in answers) == [200] + [409] * 19
    assert len(await gateway.charges(intent["id"])) == 1


async def test_a_decline_is_an_outcome(gateway: Gateway) -> None:
    intent = await gateway.create()
    answer = await gateway.confirm(intent["id"], "pm_card_visa_chargeDeclinedInsufficientFunds")
    assert answer.status == 200
    assert answer.json["status"] == "failed"
    error = answer.json["last_payment_error"]
    assert (error["code"], error["decline_code"]) == ("card_declined", "insufficient_funds")
    assert answer.json["amount_received"] == 0


async def test_an_unusable_token_fails_the_payment(gateway: Gateway) -> None:
    intent = await gateway.create()
    answer = await gateway.confirm(intent["id"], "pm_unheard_of")
    assert answer.status == 200
    assert answer.json["status"] == "failed"
    assert answer.json["last_payment_error"]["code"] == "payment_method_rejected"
    assert await gateway.charges(intent["id"]) == []


async def test_a_hold_waits_for_its_capture(gateway: Gateway) -> None:
    intent = await gateway.create(capture_method="manual")
    answer = await gateway.confirm(intent["id"])
    assert answer.json["status"] == "requires_capture"
    assert answer.json["amount_capturable"] == 1999
    assert answer.json["authorization_expires_at"] is not None
    (charge,) = await gateway.charges(intent["id"])
    assert charge["captured"] is False


async def test_a_lost_reply_is_unknown_until_the_event_tells(gateway: Gateway) -> None:
    """F02: the provider committed, and its reply never came."""
    await gateway.sandbox("DELETE", "/_sandbox/faults")
    fault = {"on": "confirm", "kind": "drop_reply", "count": 1}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)
    intent = await gateway.create()
    answer = await gateway.confirm(intent["id"])
    assert answer.status == 200
    assert answer.json["status"] in {"processing", "succeeded"}  # the event may be quicker

    async def final_status() -> bool:
        return bool((await gateway.read(intent["id"]))["status"] == "succeeded")

    await until(final_status)
    assert (await gateway.read(intent["id"]))["payment_method"]["last4"] == "4242"
    assert len(await gateway.charges(intent["id"])) == 1
    faults = await gateway.sandbox("GET", "/_sandbox/faults")
    assert '"drop_reply"' in str(faults).replace("'", '"')
    await gateway.sandbox("DELETE", "/_sandbox/faults")


async def test_every_answer_says_who_and_how_long(gateway: Gateway) -> None:
    intent = await gateway.create()
    answer = await gateway.confirm(intent["id"])
    assert re.fullmatch(r"req_[0-9a-z]{26}", answer.headers["Request-Id"])
    parts = dict(p.strip().split(";dur=") for p in answer.headers["Server-Timing"].split(","))
    assert set(parts) == {"gateway", "db", "provider", "lock"}
    assert float(parts["db"]) > 0
    assert float(parts["provider"]) > 0
    assert answer.headers["Cache-Control"] == "no-store"
