"""Every malformed, contradictory or unauthorised request: one clear error, nothing left behind."""

import json
from typing import Any

import asyncpg
import pytest

from tests.gateway import Gateway, Response

GOOD = {"amount": 1999, "currency": "eur"}
SECRET = "xxSECRETxx"


async def counts(gateway: Gateway, *more: str) -> dict[str, int]:
    """How many rows there are of what a request of the API makes, but for the audit log. (Events of
    the provider come when they like, of what another test paid on the gateway that all share.)
    """
    connection = await asyncpg.connect(gateway.ready["database_url"])
    tables = ("payment_intent", "attempt", "event", "idempotency_key", *more)
    found = {t: await connection.fetchval(f"SELECT count(*) FROM {t}") for t in tables}
    await connection.close()
    return found


def is_error(answer: Response, status: int, code: str, param: str | None = None) -> None:
    assert (answer.status, answer.code) == (status, code), answer
    error = answer.json["error"]
    assert set(error) == {"type", "code", "message", "param", "doc_url", "request_id", "retriable"}
    assert error["request_id"] == answer.headers["Request-Id"]
    assert error["param"] == param
    assert error["message"]
    assert SECRET not in answer.body.decode()
    assert answer.headers["Content-Type"] == "application/json"


TWICE = (400, "malformed_json")
BODIES: list[tuple[str, Any, int, str, str | None]] = [
    ("not JSON", b"{", 400, "malformed_json", None),
    ("empty", b"", 400, "malformed_json", None),
    ("two values", b'{"amount":1,"currency":"eur"} {}', 400, "malformed_json", None),
    ("not UTF-8", b'{"amount":1,"currency":"\xff"}', 400, "malformed_json", None),
    ("a name twice", b'{"amount":1,"currency":"eur","amount":1}', *TWICE, "amount"),
    ("twice, spelled", b'{"amount":1,"currency":"eur","\\u0061mount":2}', *TWICE, "amount"),
    ("twice, inside", b'{"amount":1,"currency":"eur","metadata":{"a":"x","a":"y"}}', *TWICE, "a"),
    ("an array", b"[]", 400, "parameter_invalid", None),
    ("null", b"null", 400, "parameter_invalid", None),
    ("deep nesting", b"[" * 60_000, 400, "parameter_invalid", None),
    ("no amount", {"currency": "eur"}, 400, "parameter_missing", "amount"),
    ("no currency", {"amount": 5}, 400, "parameter_missing", "currency"),
    ("float", b'{"amount":19.99,"currency":"eur"}', 400, "parameter_invalid", "amount"),
    ("whole float", b'{"amount":1.0,"currency":"eur"}', 400, "parameter_invalid", "amount"),
    ("exponent", b'{"amount":1e3,"currency":"eur"}', 400, "parameter_invalid", "amount"),
    ("string", {**GOOD, "amount": "1999"}, 400, "parameter_invalid", "amount"),
    ("boolean", {**GOOD, "amount": True}, 400, "parameter_invalid", "amount"),
    ("null amount", {**GOOD, "amount": None}, 400, "parameter_invalid", "amount"),
    ("zero", {**GOOD, "amount": 0}, 400, "amount_too_small", "amount"),
    ("negative", {**GOOD, "amount": -1}, 400, "amount_too_small", "amount"),
    ("over the limit", {**GOOD, "amount": 100_000_000}, 400, "amount_too_large", "amount"),
    ("beyond 64 bits", {**GOOD, "amount": 10**30}, 400, "amount_too_large", "amount"),
    ("unknown currency", {**GOOD, "currency": "xyz"}, 400, "currency_unknown", "currency"),
    ("upper case", {**GOOD, "currency": "EUR"}, 400, "currency_unknown", "currency"),
    ("gold", {**GOOD, "currency": "xau"}, 400, "currency_unknown", "currency"),
    (
        "not representable",
        {"amount": 1001, "currency": "kwd"},
        400,
        "amount_not_representable",
        "amount",
    ),
    ("unknown field", {**GOOD, "status": "succeeded"}, 400, "parameter_unknown", "status"),
    (
        "mass assignment",
        {**GOOD, "amount_received": 5},
        400,
        "parameter_unknown",
        "amount_received",
    ),
    (
        "unknown choice",
        {**GOOD, "capture_method": SECRET},
        400,
        "parameter_invalid",
        "capture_method",
    ),
    (
        "no method types",
        {**GOOD, "payment_method_types": []},
        400,
        "parameter_invalid",
        "payment_method_types",
    ),
    (
        "metadata not text",
        {**GOOD, "metadata": {"a": 1}},
        400,
        "parameter_invalid",
        "metadata[...]",
    ),
    (
        "too much metadata",
        {**GOOD, "metadata": {str(n): "" for n in range(51)}},
        400,
        "parameter_invalid",
        "metadata",
    ),
    ("long reference", {**GOOD, "reference": "x" * 201}, 400, "parameter_invalid", "reference"),
    (
        "bad descriptor",
        {**GOOD, "statement_descriptor": "<script>"},
        400,
        "parameter_invalid",
        "statement_descriptor",
    ),
    (
        "a session that a header trims",
        {**GOOD, "session_id": " 0123456789abcdef"},
        400,
        "parameter_invalid",
        "session_id",
    ),
    (
        "a session that no header carries",
        {**GOOD, "session_id": "0123456789abcde\u0142"},
        400,
        "parameter_invalid",
        "session_id",
    ),
    ("oversized", {**GOOD, "description": "x" * 70_000}, 413, "body_too_large", None),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "param"), [case[1:] for case in BODIES], ids=[c[0] for c in BODIES]
)
async def test_a_bad_body_leaves_nothing(
    gateway: Gateway, body: Any, status: int, code: str, param: str | None
) -> None:
    before = await counts(gateway)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await gateway.call("POST", "/payment-intents", raw=raw)
    is_error(answer, status, code, param)
    assert await counts(gateway) == before


CONFIRM = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://s.example/",
}
CONFIRMS: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("no method", {"return_url": "https://s.example/"}, "parameter_missing", "payment_method"),
    (
        "no return_url",
        {"payment_method": CONFIRM["payment_method"]},
        "parameter_missing",
        "return_url",
    ),
    (
        "http return_url",
        CONFIRM | {"return_url": "http://s.example/"},
        "parameter_invalid",
        "return_url",
    ),
    (
        "script return_url",
        CONFIRM | {"return_url": "javascript:alert(1)"},
        "parameter_invalid",
        "return_url",
    ),
    (
        "newline in return_url",
        CONFIRM | {"return_url": "https://s.example/\r\nx: y"},
        "parameter_invalid",
        "return_url",
    ),
    ("another amount", CONFIRM | {"amount": 5}, "amount_mismatch", "amount"),
    ("another currency", CONFIRM | {"currency": "usd"}, "currency_mismatch", "currency"),
    (
        "unknown type",
        CONFIRM | {"payment_method": {"type": "cash", "token": "x"}},
        "parameter_invalid",
        "payment_method.type",
    ),
    (
        "card field",
        CONFIRM | {"payment_method": {"type": "card", "token": "x", "cvc": "1"}},
        "parameter_unknown",
        "payment_method.cvc",
    ),
    (
        "odd token",
        CONFIRM | {"payment_method": {"type": "card", "token": "a b"}},
        "parameter_invalid",
        "payment_method.token",
    ),
]


@pytest.mark.parametrize(
    ("body", "code", "param"), [case[1:] for case in CONFIRMS], ids=[c[0] for c in CONFIRMS]
)
async def test_a_bad_confirm_sends_nothing(
    gateway: Gateway, body: dict[str, Any], code: str, param: str | None
) -> None:
    intent = await gateway.create()
    before = await counts(gateway)
    answer = await gateway.call("POST", f"/payment-intents/{intent['id']}/confirm", body)
    is_error(answer, 400, code, param)
    assert await counts(gateway) == before
    assert await gateway.read(intent["id"]) == intent
    assert await gateway.charges(intent["id"]) == []


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""],
)
async def test_only_json_is_taken(gateway: Gateway, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    answer = await gateway.call("POST", "/payment-intents", GOOD, headers=headers)
    is_error(answer, 415, "content_type_unsupported")


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer x",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer pgw_test_sk_" + "0" * 26 + "_" + "a" * 32 + "_000000",
        "Bearer " + "x" * 4000,
    ],
)
async def test_a_wrong_key_opens_nothing(gateway: Gateway, authorization: str) -> None:
    before = await counts(gateway)
    headers = {"Authorization": authorization}
    answer = await gateway.call("POST", "/payment-intents", GOOD, headers=headers)
    is_error(answer, 401, "api_key_invalid")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert await counts(gateway) == before


async def test_a_missing_key_opens_nothing(gateway: Gateway) -> None:
    answer = await gateway.call("POST", "/payment-intents", GOOD, key=None)
    is_error(answer, 401, "api_key_missing")


async def test_a_key_with_one_wrong_character_opens_nothing(gateway: Gateway) -> None:
    key = gateway.ready["secret_key"]
    other = "b" if key[50] != "b" else "c"
    answer = await gateway.call("POST", "/payment-intents", GOOD, key=key[:50] + other + key[51:])
    is_error(answer, 401, "api_key_invalid")


async def test_a_publishable_key_may_not_create(gateway: Gateway) -> None:
    key = gateway.ready["publishable_key"]
    answer = await gateway.call("POST", "/payment-intents", GOOD, key=key)
    is_error(answer, 403, "role_not_allowed")


@pytest.mark.parametrize("intent", ["pi_" + "0" * 26, "pi_x", "x", "pi_%7a", "pi_" + "0" * 500])
async def test_an_unknown_id_is_not_found(gateway: Gateway, intent: str) -> None:
    is_error(await gateway.call("GET", f"/payment-intents/{intent}"), 404, "resource_missing", "id")
    answer = await gateway.confirm(intent)
    is_error(answer, 404, "resource_missing", "id")


async def test_unknown_paths_and_methods(gateway: Gateway) -> None:
    for path in ("/nothing-here", "/payment-intents/..%2f..", "//"):
        is_error(await gateway.call("GET", path), 404, "route_unknown")
    answer = await gateway.call("DELETE", "/payment-intents")
    is_error(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize("name", ["", "x" * 101, "a\tb"])
async def test_an_actor_that_is_no_name_is_refused(gateway: Gateway, name: str) -> None:
    answer = await gateway.call("POST", "/payment-intents", GOOD, headers={"Paygate-Actor": name})
    is_error(answer, 400, "parameter_invalid", "Paygate-Actor")


async def test_every_error_has_the_whole_address_of_its_explanation(gateway: Gateway) -> None:
    docs = f"{gateway.ready['api_url']}/docs#"
    answer = await gateway.call("GET", "/nothing-here")
    assert answer.json["error"]["doc_url"] == f"{docs}route_unknown"
    raw = await gateway.wire(b"nonsense\r\n\r\n")
    assert f'"doc_url":"{docs}request_malformed"'.encode() in raw


@pytest.mark.parametrize("blank", ["", " ", "\t\n ", "\u00a0", "\u200b\u2060", "\u3164", "\u2800"])
@pytest.mark.parametrize(
    ("path", "name", "more"),
    [
        ("/payment-intents/pi_1/cancel", "reason", {}),
        ("/discrepancies/dc_1/resolve", "reason", {"action": "explain"}),
        ("/settlements/st_1/lines/sl_1/match", "reason", {"candidate": None}),
        ("/alerts/al_1/acknowledge", "note", {}),
    ],
)
async def test_a_text_for_people_has_something_to_see(
    gateway: Gateway, path: str, name: str, more: dict[str, Any], blank: str
) -> None:
    answer = await gateway.call("POST", path, {**more, name: blank})
    is_error(answer, 400, "parameter_invalid", name)
    assert answer.json["error"]["message"] == f"{name}: must have a character that can be seen"
    answer = await gateway.call("POST", path, {**more, name: f"{blank}ok"})
    assert answer.status == 404, answer
