"""The hosted card fields: what a browser gets, and the one call that it may make."""

from typing import Any

import pytest

from paygate_sandbox.resources.card_numbers import CARD_NUMBERS
from paygate_sandbox.resources.cards import CARDS
from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import PUBLISHABLE_KEY, Caller, Response, card_payment
from tests.sandbox.test_refusals import GOOD

INTENTS = "/v1/payment_intents"
METHODS = "/v1/payment_methods"
NUMBER = "4242424242424242"


def typed(number: str = NUMBER, **more: Any) -> dict[str, Any]:
    cvc = "1234" if CARDS[CARD_NUMBERS.get(number, "pm_card_visa")].brand == "amex" else "123"
    card = {"number": number, "exp_month": 11, "exp_year": 2031, "cvc": cvc, **more}
    return {"type": "card", "card": card}


async def from_frame(
    stripe: Caller, params: dict[str, Any], origin: str | None = None, **more: Any
) -> Response:
    """As the frame's script calls: with the publishable key, from the sandbox's own origin."""
    headers = {"Authorization": f"Bearer {PUBLISHABLE_KEY}", "Origin": origin or stripe.url}
    return await stripe.call("POST", METHODS, params, headers=headers, **more)


@pytest.mark.parametrize("number", CARD_NUMBERS)
async def test_every_test_number_is_its_tokens_card(stripe: Caller, number: str) -> None:
    answer = await from_frame(stripe, typed(number))
    assert answer.status == 200, answer.body
    card, token = answer.body["card"], CARD_NUMBERS[number]
    assert (card["brand"], card["last4"]) == (CARDS[token].brand, number[-4:])
    assert (card["exp_month"], card["exp_year"]) == (11, 2031)
    by_number = await stripe.call("POST", INTENTS, card_payment(answer.body["id"]))
    by_token = await stripe.call("POST", INTENTS, card_payment(token))
    assert by_number.status == by_token.status
    if by_number.status == 402:
        assert by_number.error["decline_code"] == by_token.error["decline_code"]
        return
    assert by_number.body["status"] == by_token.body["status"]
    if by_number.body["latest_charge"] is not None:
        charge = await stripe.get(f"/v1/charges/{by_number.body['latest_charge']}")
        shown = charge["payment_method_details"]["card"]
        assert (shown["last4"], shown["exp_year"]) == (number[-4:], 2031)


async def test_the_same_number_has_the_same_fingerprint(stripe: Caller) -> None:
    numbers = (NUMBER, "4242 4242 4242 4242", "378282246310005", "371449635398431")
    prints = [
        (await from_frame(stripe, typed(number, cvc=cvc))).body["card"]["fingerprint"]
        for number, cvc in zip(numbers, ("123", "123", "1234", "1234"), strict=True)
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    token = await stripe.get(f"{METHODS}/pm_card_visa")
    assert token["card"]["fingerprint"] == prints[0]


async def test_the_payer_is_told_with_it(stripe: Caller) -> None:
    params = typed() | {"billing_details": {"name": "Ada", "email": "ada@example.com"}}
    answer = await from_frame(stripe, params)
    assert answer.body["billing_details"]["name"] == "Ada"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"number": "4111111111111111"}, "incorrect_number"),
        ({"number": "nonsense"}, "incorrect_number"),
        ({"exp_month": 13}, "invalid_expiry_month"),
        ({"exp_year": 2019}, "invalid_expiry_year"),
        ({"exp_year": 19}, "invalid_expiry_year"),
        ({"cvc": "12"}, "invalid_cvc"),
        ({"cvc": "1234"}, "invalid_cvc"),
    ],
)
async def test_what_is_mistyped(stripe: Caller, change: dict[str, Any], code: str) -> None:
    params = typed()
    params["card"] |= change
    answer = await from_frame(stripe, params)
    assert (answer.status, answer.error["type"]) == (402, "card_error")
    assert answer.error["code"] == code
    assert params["card"]["number"].encode() not in answer.raw


async def test_no_whole_number_is_kept(sandbox: Sandbox, stripe: Caller) -> None:
    answer = await from_frame(stripe, typed(), key="k")
    assert "Idempotency-Key" not in answer.headers
    await from_frame(stripe, typed("4111111111111111"), key="k")
    await stripe.post(INTENTS, card_payment(answer.body["id"]))
    database = sandbox.parts.database
    await database.committed()
    dump = "\n".join(database.connection.iterdump())
    for number in (NUMBER, "4111111111111111"):
        assert number not in dump
        assert number.encode().hex().upper() not in dump.upper()
    assert dump.count('INSERT INTO "idempotency_keys"') == 0


@pytest.mark.parametrize("origin", ["https://shop.example", "null", "http://127.0.0.1:1"])
async def test_only_the_frame_may_send_a_number(stripe: Caller, origin: str) -> None:
    answer = await from_frame(stripe, typed(), origin)
    assert (answer.status, answer.error["code"]) == (401, "secret_key_required")
    headers = {"Authorization": f"Bearer {PUBLISHABLE_KEY}"}
    answer = await stripe.call("POST", METHODS, typed(), headers=headers)
    assert answer.status == 401
    # Not even the server, with its secret key.
    answer = await stripe.call("POST", METHODS, typed(), headers={"Origin": stripe.url})
    assert answer.status == 402
    assert "generally unsafe" in answer.error["message"]


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("POST", INTENTS, GOOD),
        ("GET", INTENTS, {}),
        ("GET", f"{METHODS}/pm_card_visa", {}),
        ("POST", "/v1/customers", {}),
    ],
)
async def test_the_publishable_key_is_good_for_nothing_else(
    stripe: Caller, method: str, path: str, params: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {PUBLISHABLE_KEY}", "Origin": stripe.url}
    answer = await stripe.call(method, path, params, headers=headers)
    assert (answer.status, answer.error["code"]) == (401, "secret_key_required")


async def test_the_frame_takes_cards_only(stripe: Caller) -> None:
    answer = await from_frame(stripe, typed() | {"type": "sepa_debit"})
    assert (answer.status, answer.error["param"]) == (400, "type")
    answer = await from_frame(stripe, {"type": "card", "card": {"token": "tok_visa"}})
    assert answer.error["code"] == "parameter_unknown"


async def test_faults_strike_it(stripe: Caller) -> None:
    await stripe.fault("payment_methods", "error_before")
    assert (await from_frame(stripe, typed())).status == 500
    assert (await from_frame(stripe, typed())).status == 200


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/js/sandbox-fields.js", "text/javascript"),
        ("/card-fields", "text/html"),
        ("/card-fields/card-fields.js", "text/javascript"),
        ("/card-fields/card-fields.css", "text/css"),
    ],
)
async def test_what_is_served(stripe: Caller, path: str, kind: str) -> None:
    async with stripe.session.get(
        stripe.url + path, headers={"Origin": "https://a.example"}
    ) as got:
        assert got.status == 200
        assert got.content_type == kind
        assert "Access-Control-Allow-Origin" not in got.headers
        assert "X-Frame-Options" not in got.headers
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        policy = got.headers["Content-Security-Policy"]
    if path == "/card-fields":
        assert "frame-ancestors *" in policy
        assert "script-src 'self'" in policy
    async with stripe.session.post(stripe.url + path) as refused:
        assert refused.status == 404


async def test_no_other_site_may_read_an_answer(stripe: Caller) -> None:
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    async with stripe.session.options(stripe.url + METHODS, headers=headers) as preflight:
        assert "Access-Control-Allow-Origin" not in preflight.headers
    answer = await from_frame(stripe, typed())
    assert "Access-Control-Allow-Origin" not in answer.headers
