"""Bad input: each is refused in Stripe's words, and none leaves a trace."""

import base64
from typing import Any

import pytest

from tests.sandbox.caller import PUBLISHABLE_KEY, SECRET_KEY, Caller, card_payment

INTENTS = "/v1/payment_intents"
GOOD = {"amount": 1000, "currency": "eur"}

BAD_CREATIONS: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"currency": "eur"}, "parameter_missing", "amount"),
    ({"amount": 1000}, "parameter_missing", "currency"),
    (GOOD | {"colour": "red"}, "parameter_unknown", "colour"),
    (GOOD | {"metadata": "x"}, None, "metadata"),
    (GOOD | {"metadata": {"k" * 41: "v"}}, None, "metadata"),
    (GOOD | {"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
    (GOOD | {"metadata": {f"k{n}": "v" for n in range(51)}}, None, "metadata"),
    (GOOD | {"amount": "10.5"}, "parameter_invalid_integer", "amount"),
    (GOOD | {"amount": "1e3"}, "parameter_invalid_integer", "amount"),
    (GOOD | {"amount": "9" * 30}, "parameter_invalid_integer", "amount"),
    (GOOD | {"amount": "\u0661\u0660\u0660\u0660"}, "parameter_invalid_integer", "amount"),
    (GOOD | {"amount": 0}, "parameter_invalid_integer", "amount"),
    (GOOD | {"amount": -1}, "parameter_invalid_integer", "amount"),
    (GOOD | {"amount": {"x": 1}}, None, "amount"),
    (GOOD | {"amount": 49}, "amount_too_small", "amount"),
    (GOOD | {"amount": 100_000_000}, "amount_too_large", "amount"),
    ({"amount": 1001, "currency": "kwd"}, "parameter_invalid_integer", "amount"),
    ({"amount": 1050, "currency": "isk"}, "parameter_invalid_integer", "amount"),
    (GOOD | {"currency": "xxx"}, None, "currency"),
    (GOOD | {"capture_method": "later"}, None, "capture_method"),
    (GOOD | {"confirm": "yes"}, None, "confirm"),
    (GOOD | {"description": "d" * 1001}, None, "description"),
    (GOOD | {"payment_method": ""}, "parameter_invalid_empty", "payment_method"),
    (GOOD | {"statement_descriptor_suffix": "s" * 23}, None, "statement_descriptor_suffix"),
    (GOOD | {"payment_method_types": "card"}, None, "payment_method_types"),
    (GOOD | {"payment_method_types": ["cheque"]}, None, "payment_method_types[0]"),
    (GOOD | {"customer": "cus_1"}, "resource_missing", "customer"),
    (GOOD | {"return_url": "https://a.example"}, None, "return_url"),
    (card_payment(return_url="nowhere"), "url_invalid", "return_url"),
    (GOOD | {"transfer_data": {"destination": "acct_1"}}, None, "transfer_data"),
    (GOOD | {"shipping": {"name": "A"}}, "parameter_missing", "shipping[address]"),
    (
        GOOD | {"payment_method_types": ["card"], "automatic_payment_methods": {"enabled": True}},
        None,
        None,
    ),
    (GOOD | {"expand": ["customer.name"]}, None, None),
    (GOOD | {"expand": ["nothing"]}, None, None),
    (GOOD | {"expand": ["latest_charge.payment_intent.latest_charge.a.b"]}, None, "expand"),
]


@pytest.mark.parametrize(("params", "code", "param"), BAD_CREATIONS)
async def test_bad_creations(
    stripe: Caller, params: dict[str, Any], code: str | None, param: str | None
) -> None:
    answer = await stripe.call("POST", INTENTS, params, key="k")
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error.get("code") == code
    assert answer.error.get("param") == param
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert (await stripe.get(INTENTS))["data"] == []
    assert await stripe.event_types() == []


BAD_BODIES = [
    "amount=1000&amount[x]=1&currency=eur",
    "amount[x]=1&amount=1000&currency=eur",
    "amount",
    "metadata[[a]]=1",
    "metadata" + "[a]" * 9 + "=1",
    "description=%ff%fe",
    "&".join(f"a{n}=1" for n in range(1001)),
]


@pytest.mark.parametrize("body", BAD_BODIES)
async def test_bad_bodies(stripe: Caller, body: str) -> None:
    answer = await stripe.call("POST", INTENTS, body=body)
    assert answer.status == 400, answer.body


async def test_a_json_body_is_refused(stripe: Caller) -> None:
    answer = await stripe.call(
        "POST", INTENTS, body='{"amount": 1}', headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400
    assert "x-www-form-urlencoded" in answer.error["message"]


async def test_a_huge_body_is_refused(stripe: Caller) -> None:
    answer = await stripe.call("POST", INTENTS, body="description=" + "x" * 2_000_000)
    assert answer.status == 413


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "You did not provide an API key"),
        ("Bearer ", "You did not provide an API key"),
        ("Basic !!!", "You did not provide an API key"),
        ("Bearer sk_test_wrong_key_0000", "Invalid API Key provided: sk_test_"),
        ("Bearer ключ", "Invalid API Key provided"),
        (f"Bearer {PUBLISHABLE_KEY}", "publishable API key"),
    ],
)
async def test_keys(stripe: Caller, header: str, message: str) -> None:
    answer = await stripe.call("GET", INTENTS, headers={"Authorization": header})
    assert answer.status == 401
    assert message in answer.error["message"]
    assert "wrong_key" not in answer.error["message"]


async def test_basic_authentication(stripe: Caller) -> None:
    basic = base64.b64encode(f"{SECRET_KEY}:".encode()).decode()
    answer = await stripe.call("GET", INTENTS, headers={"Authorization": f"Basic {basic}"})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("GET", "/v1/"),
        ("DELETE", INTENTS),
        ("POST", f"{INTENTS}/pi_1/explode"),
        ("POST", f"{INTENTS}//confirm"),
        ("GET", "/v2/core"),
        ("GET", "/"),
    ],
)
async def test_unknown_urls(stripe: Caller, method: str, path: str) -> None:
    answer = await stripe.call(method, path)
    assert answer.status == 404
    assert "Unrecognized request URL" in answer.error["message"]


@pytest.mark.parametrize(
    ("method", "path", "param"),
    [
        ("GET", f"{INTENTS}/pi_none", "intent"),
        ("POST", f"{INTENTS}/pi_none/confirm", "intent"),
        ("POST", f"{INTENTS}/pi_none/capture", "intent"),
        ("POST", f"{INTENTS}/pi_none/cancel", "intent"),
        ("POST", f"{INTENTS}/pi_none", "intent"),
        ("GET", "/v1/charges/ch_none", "id"),
        ("GET", "/v1/balance_transactions/txn_none", "id"),
        ("GET", "/v1/events/evt_none", "id"),
        ("GET", "/v1/webhook_endpoints/we_none", "webhook_endpoint"),
        ("DELETE", "/v1/webhook_endpoints/we_none", "webhook_endpoint"),
    ],
)
async def test_missing_objects(stripe: Caller, method: str, path: str, param: str) -> None:
    answer = await stripe.call(method, path)
    assert answer.status == 404
    assert answer.error["code"] == "resource_missing"
    assert answer.error["param"] == param
    assert "none'" in answer.error["message"]


async def test_headers_of_every_answer(stripe: Caller) -> None:
    answer = await stripe.call("POST", INTENTS, GOOD, key="k")
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.headers["Stripe-Version"] == "2026-08-26.dahlia"
    assert answer.headers["Idempotency-Key"] == "k"
    assert answer.headers["Original-Request"] == answer.headers["Request-Id"]
    assert "Idempotent-Replayed" not in answer.headers
    refused = await stripe.call("POST", INTENTS, {})
    assert refused.headers["Request-Id"] in refused.error["request_log_url"]


async def test_a_wrong_client_secret_is_refused(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, GOOD)
    path = f"{INTENTS}/{intent['id']}"
    assert await stripe.get(path, client_secret=intent["client_secret"]) == intent
    answer = await stripe.call("GET", path, {"client_secret": "guess"})
    assert answer.status == 400
