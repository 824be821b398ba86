"""`Idempotency-Key` over HTTP, with two API processes on one database."""

import asyncio
import json
from typing import Any

import pytest

from tests.api.test_bad_input import counts, is_error
from tests.gateway import Gateway, Response

CARD = {"type": "card", "token": "pm_card_visa"}
CONFIRM = {"payment_method": CARD, "return_url": "https://shop.example/done"}


async def post(
    gateway: Gateway, path: str, body: Any, key: str, *, raw: bytes | None = None, **more: Any
) -> Response:
    headers = {"Idempotency-Key": key}
    return await gateway.call("POST", path, body, raw=raw, headers=headers, **more)


async def create(gateway: Gateway, key: str, **more: Any) -> Response:
    body = {"amount": 1999, "currency": "eur", **more}
    return await post(gateway, "/payment-intents", body, key)


async def test_the_first_answer_again_byte_for_byte(gateway: Gateway) -> None:
    first = await create(gateway, "bytes-1", reference="o-1")
    again = [await create(gateway, "bytes-1", reference="o-1") for _ in range(6)]
    assert first.status == 201
    assert "Idempotent-Replayed" not in first.headers
    for answer in again:
        assert (answer.status, answer.body) == (200, first.body)
        assert answer.headers["Idempotent-Replayed"] == "true"
        assert answer.headers["Request-Id"] != first.headers["Request-Id"]
    assert "client_secret" in first.json


@pytest.mark.parametrize(
    "raw",
    [
        b'{"amount":5,"currency":"eur","metadata":{"a":"1","b":"2"}}',
        b'{ "metadata" : {"b":"2","a":"1"},\n\t"currency":"eur", "amount": 5 }',
        b'{"amount":5,"currency":"eur","metadata":{"b":"2","a":"1"},"capture_method":"automatic"}',
        b'{"\\u0061mount":5,"currency":"eur","metadata":{"a":"1","b":"2"},"reference":null}',
    ],
)
async def test_the_same_parameters_in_another_spelling(gateway: Gateway, raw: bytes) -> None:
    """F08: order, white space, defaults written out, escapes: the same request."""
    answer = await post(gateway, "/payment-intents", None, "spelling", raw=raw)
    assert answer.status in (200, 201), answer
    reference = await post(
        gateway,
        "/payment-intents",
        {"amount": 5, "currency": "eur", "metadata": {"a": "1", "b": "2"}},
        "spelling",
    )
    assert reference.body == answer.body


async def test_one_text_in_two_unicode_spellings_is_one_text(gateway: Gateway) -> None:
    first = await create(gateway, "nfc", reference="caf\u00e9")
    again = await create(gateway, "nfc", reference="cafe\u0301")
    assert (again.status, again.body) == (200, first.body)


@pytest.mark.parametrize(
    "other",
    [
        {"amount": 2000},
        {"currency": "usd"},
        {"reference": "x"},
        {"metadata": {"a": "1"}},
        {"session_id": "s" * 16},
    ],
)
async def test_other_parameters_are_refused(gateway: Gateway, other: dict[str, Any]) -> None:
    key = f"other {sorted(other)}"
    first = await create(gateway, key)
    no = await create(gateway, key, **other)
    is_error(no, 422, "idempotency_key_reused", "Idempotency-Key")
    assert no.json["error"]["type"] == "idempotency"
    assert (await create(gateway, key)).body == first.body


async def test_one_point_zero_is_not_one(gateway: Gateway) -> None:
    """Refused before it is compared; the key is left as it was."""
    first = await create(gateway, "one", amount=1)
    raw = b'{"amount":1.0,"currency":"eur"}'
    no = await post(gateway, "/payment-intents", None, "one", raw=raw)
    is_error(no, 400, "parameter_invalid", "amount")
    assert (await create(gateway, "one", amount=1)).body == first.body


async def test_another_path_is_another_key(gateway: Gateway) -> None:
    first, second = await gateway.create(), await gateway.create()
    for intent in (first, second):
        answer = await post(gateway, f"/payment-intents/{intent['id']}/cancel", {}, "same")
        assert (answer.status, answer.json["id"]) == (200, intent["id"])
        assert answer.json["status"] == "cancelled"
    confirmed = await post(gateway, f"/payment-intents/{first['id']}/confirm", CONFIRM, "same")
    is_intent_error(confirmed, "intent_already_confirmed", "cancelled")


def is_intent_error(answer: Response, code: str, status: str) -> None:
    assert (answer.status, answer.code) == (409, code), answer
    assert answer.json["error"]["payment_intent"]["status"] == status


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\tbed", "soft\u00adhyphen"])
async def test_a_bad_key_is_refused(gateway: Gateway, key: str) -> None:
    is_error(await create(gateway, key), 400, "parameter_invalid", "Idempotency-Key")


async def test_the_longest_key_is_taken(gateway: Gateway) -> None:
    assert (await create(gateway, "x" * 255)).status == 201


@pytest.mark.parametrize(
    "name", ["Idempotency-Key", "Authorization", "Paygate-Actor", "Content-Type"]
)
async def test_a_header_with_two_values_is_refused(gateway: Gateway, name: str) -> None:
    """Which of the two counted would be a matter of taste."""
    value = {"Authorization": f"Bearer {gateway.ready['secret_key']}"}.get(name, "application/json")
    head = (
        f"POST /payment-intents HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n"
        f"Authorization: Bearer {gateway.ready['secret_key']}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: twice\r\nPaygate-Actor: me\r\n{name}: {value}\r\n"
        "Connection: close\r\n\r\n"
    )
    answer = await gateway.wire(head.encode() + b'{"amount":1999,"currency":"eur"}')
    assert b"400 Bad Request" in answer
    assert b'"parameter_invalid"' in answer
    assert name.lower().encode() in answer


async def test_a_refused_confirm_leaves_the_key_free(gateway: Gateway) -> None:
    intent = await gateway.create()
    path = f"/payment-intents/{intent['id']}/confirm"
    no = await post(gateway, path, CONFIRM | {"amount": 1}, "free")
    is_error(no, 400, "amount_mismatch", "amount")
    answer = await post(gateway, path, CONFIRM, "free")
    assert (answer.status, answer.json["status"]) == (200, "succeeded")


async def test_a_declined_card_is_an_answer(gateway: Gateway) -> None:
    intent = await gateway.create()
    path = f"/payment-intents/{intent['id']}/confirm"
    body = CONFIRM | {"payment_method": CARD | {"token": "pm_card_chargeDeclined"}}
    first, again = [await post(gateway, path, body, "declined") for _ in range(2)]
    assert (first.status, first.json["status"]) == (200, "failed")
    assert (again.body, again.headers["Idempotent-Replayed"]) == (first.body, "true")


async def test_two_hundred_creates_with_one_key(gateway: Gateway) -> None:
    before = await counts(gateway)
    answers = await asyncio.gather(*(create(gateway, "two hundred") for _ in range(200)))
    assert {a.status for a in answers} <= {200, 201}
    assert [a.status for a in answers].count(201) == 1
    assert len({a.body for a in answers}) == 1
    made = {"payment_intent", "event", "idempotency_key"}
    assert await counts(gateway) == {t: n + (t in made) for t, n in before.items()}


async def test_a_hundred_confirms_with_one_key(gateway: Gateway) -> None:
    """F07: one executes, the others get its answer; the provider's ledger has one charge."""
    intent = await gateway.create()
    path = f"/payment-intents/{intent['id']}/confirm"
    answers = await asyncio.gather(*(post(gateway, path, CONFIRM, "f07") for _ in range(100)))
    assert {a.status for a in answers} == {200}
    assert len({a.body for a in answers}) == 1
    assert sum("Idempotent-Replayed" not in a.headers for a in answers) == 1
    assert json.loads(answers[0].body)["status"] == "succeeded"
    assert len(await gateway.charges(intent["id"])) == 1


async def test_a_hundred_confirms_with_a_key_each(gateway: Gateway) -> None:
    """Exactly one wins; the others are told the state, and nothing else is charged."""
    intent = await gateway.create()
    path = f"/payment-intents/{intent['id']}/confirm"
    answers = await asyncio.gather(*(post(gateway, path, CONFIRM, f"{n}") for n in range(100)))
    won = [a for a in answers if a.status == 200]
    lost = [a for a in answers if a.status != 200]
    assert len(won) == 1
    assert {(a.status, a.code) for a in lost} == {(409, "intent_already_confirmed")}
    assert len(await gateway.charges(intent["id"])) == 1


async def test_waiting_for_the_lock_shows_in_the_timing(gateway: Gateway) -> None:
    fault = {"on": "confirm", "kind": "slow", "count": 1}
    await gateway.sandbox("POST", "/_sandbox/faults", fault)
    intent = await gateway.create()
    path = f"/payment-intents/{intent['id']}/confirm"
    answers = await asyncio.gather(*(post(gateway, path, CONFIRM, "slow") for _ in range(4)))
    faults = await gateway.sandbox("GET", "/_sandbox/faults")
    await gateway.sandbox("DELETE", "/_sandbox/faults")
    assert "slow" in json.dumps(faults)
    waited = [a for a in answers if "lock;dur=0.000" not in a.headers["Server-Timing"]]
    assert len(waited) >= 1
    assert len({a.body for a in answers}) == 1


async def test_cancel_races_confirm(gateway: Gateway) -> None:
    """Twenty times: one of the two wins, and the provider agrees."""
    ends = set()
    for number in range(20):
        intent = await gateway.create()
        path = f"/payment-intents/{intent['id']}"
        confirmed, cancelled = await asyncio.gather(
            post(gateway, f"{path}/confirm", CONFIRM, f"confirm {number}"),
            post(gateway, f"{path}/cancel", {"reason": "changed my mind"}, f"cancel {number}"),
        )
        final = await gateway.read(intent["id"])
        charges = await gateway.charges(intent["id"])
        ends.add(final["status"])
        if final["status"] == "cancelled":
            assert cancelled.status == 200
            is_intent_error(confirmed, "intent_already_confirmed", "cancelled")
            assert final["cancellation_reason"] == "changed my mind"
            assert charges == []
        else:
            assert (confirmed.status, final["status"]) == (200, "succeeded")
            assert cancelled.status == 409
            assert cancelled.code in ("state_conflict", "operation_pending"), "over, or under way"
            assert len(charges) == 1
    assert ends <= {"cancelled", "succeeded"}
