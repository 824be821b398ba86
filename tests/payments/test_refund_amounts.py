"""F30 for refunds: to the smallest unit on both sides, out and back, in parts of captured parts.

Each direction is held against literals of its own: where both are wrong, they agree.
"""

from typing import Any

import pytest

from tests.gateway import Gateway, until

MOST = 99_999_999


async def captured(gateway: Gateway, currency: str, amount: int, taken: int) -> dict[str, Any]:
    """A payment of which so much was taken."""
    intent = await gateway.create(amount, currency, capture_method="manual")
    held = await gateway.confirm(intent["id"])
    assert held.status == 200, held
    path = f"/payment-intents/{intent['id']}/capture"
    answer = await gateway.call("POST", path, {"amount": taken})
    assert answer.status == 200, answer
    assert (answer.json["status"], answer.json["amount_received"]) == ("succeeded", taken)
    return answer.json


async def given_back(gateway: Gateway, intent: dict[str, Any]) -> list[int]:
    """In what the provider counts in, by its own ledger."""
    ledger = await gateway.sandbox("GET", "/_sandbox/ledger")
    reference = intent["provider_reference"]
    return [r["amount"] for r in ledger["refunds"] if r["payment_intent"] == reference]


@pytest.mark.parametrize(
    ("currency", "taken", "part", "theirs"),
    [
        ("eur", MOST, MOST - 1, [MOST - 1, 1]),
        ("usd", 1999, 1, [1, 1998]),
        ("jpy", 98_990, 500, [500, 98_490]),
        ("jpy", MOST, 1, [1, MOST - 1]),
        ("krw", 1000, 999, [999, 1]),
        ("kwd", 5120, 10, [10, 5110]),
        ("kwd", 99_999_990, 1230, [1230, 99_998_760]),
        ("isk", 999_999, 3, [300, 99_999_600]),
        ("mga", 5000, 500, [5, 45]),
    ],
)
async def test_a_part_and_the_rest_of_a_captured_part(
    gateway: Gateway, currency: str, taken: int, part: int, theirs: list[int]
) -> None:
    """Of what was captured, never of what was held (R1, R3, R4)."""
    held = taken if taken >= 500_000 else 2 * taken
    intent = await captured(gateway, currency, held, taken)
    path = f"/payment-intents/{intent['id']}/refund"
    first = await gateway.call("POST", path, {"amount": part})
    assert (first.json["amount"], first.json["currency"]) == (part, currency)
    over = await gateway.call("POST", path, {"amount": taken - part + 1})
    assert over.code in {"amount_too_large", "amount_not_representable"}
    rest = await gateway.call("POST", path, {})
    assert (rest.json["amount"], rest.json["status"]) == (taken - part, "succeeded")
    assert await given_back(gateway, intent) == theirs
    now = await gateway.read(intent["id"])
    assert (now["status"], now["amount_refunded"], now["amount"]) == ("refunded", taken, held)


@pytest.mark.parametrize(
    ("currency", "theirs", "ours"),
    [
        ("eur", 1000, 1000),
        ("jpy", 1000, 1000),
        ("kwd", 1230, 1230),
        ("isk", 300, 3),
        ("mga", 5, 500),
    ],
)
async def test_one_of_the_dashboard_is_read_back_in_ours(
    gateway: Gateway, currency: str, theirs: int, ours: int
) -> None:
    """The other direction alone (R2)."""
    intent = await captured(gateway, currency, 50_000, 50_000)
    form = {"payment_intent": intent["provider_reference"], "amount": str(theirs)}
    await gateway.provider_call("refunds", form)
    path = f"/refunds?payment_intent={intent['id']}"

    async def heard() -> list[dict[str, Any]]:
        return list((await gateway.call("GET", path)).json["data"])

    (found,) = await until(heard)
    assert (found["amount"], found["currency"], found["status"]) == (ours, currency, "succeeded")
    assert (await gateway.read(intent["id"]))["amount_refundable"] == 50_000 - ours


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        (0, "amount_too_small"),
        (-1, "amount_too_small"),
        (1, "amount_not_representable"),
        (1235, "amount_not_representable"),
        (5121, "amount_too_large"),
        (2**63, "amount_too_large"),
        (19.99, "parameter_invalid"),
    ],
)
async def test_what_cannot_be_given_back_exactly_is_refused(
    gateway: Gateway, amount: Any, code: str
) -> None:
    intent = await captured(gateway, "kwd", 5120, 5120)
    refused = await gateway.call(
        "POST", f"/payment-intents/{intent['id']}/refund", {"amount": amount}
    )
    assert (refused.status, refused.code) == (400, code)
    assert await given_back(gateway, intent) == []
    assert (await gateway.read(intent["id"]))["amount_refundable"] == 5120
