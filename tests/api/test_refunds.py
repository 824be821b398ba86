"""Refunds over HTTP: made, read, listed; malformed ones leave nothing behind."""

from typing import Any

import pytest

from tests.api.shops import Shop, open_shop
from tests.gateway import Gateway, until


async def paid(shop: Shop, **more: Any) -> dict[str, Any]:
    """A payment of 1999 that succeeded."""
    created = await shop.call("POST", "/payment-intents", {"amount": 1999, "currency": "eur"})
    body = {
        "payment_method": {"type": "card", "token": "pm_card_visa", **more},
        "return_url": "https://shop.example/done",
    }
    answer = await shop.call("POST", f"/payment-intents/{created.json['id']}/confirm", body)
    assert answer.json["status"] == "succeeded", answer
    return answer.json


async def test_a_part_then_the_rest_in_the_same_answers(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    intent = await paid(shop)
    path = f"/payment-intents/{intent['id']}"
    part = await shop.call("POST", f"{path}/refund", {"amount": 500, "reason": "duplicate"})
    assert part.status == 201, part
    assert {name: part.json[name] for name in ("object", "amount", "status", "reason")} == {
        "object": "refund",
        "amount": 500,
        "status": "succeeded",
        "reason": "duplicate",
    }
    assert part.json["customer_message"].startswith("We have refunded ")
    rest = await shop.call("POST", f"{path}/refund", {})
    now = (await shop.call("GET", path)).json
    assert (rest.json["amount"], now["status"], now["amount_refundable"]) == (1499, "refunded", 0)
    again = await shop.call("POST", f"{path}/refund", {"amount": 1})
    assert (again.status, again.code) == (409, "nothing_to_refund")
    assert again.json["error"]["payment_intent"]["id"] == intent["id"]
    listed = await shop.call("GET", f"/refunds?payment_intent={intent['id']}&status=succeeded")
    assert [r["id"] for r in listed.json["data"]] == [rest.json["id"], part.json["id"]]
    read = await shop.call("GET", f"/refunds/{part.json['id']}")
    assert read.json == part.json

    async def told() -> bool:
        events = (await shop.call("GET", "/events?limit=100")).json["data"]
        return [e["data"]["object"]["id"] for e in events if e["type"] == "refund.succeeded"] == [
            rest.json["id"],
            part.json["id"],
        ]

    await until(told)


BODIES: list[tuple[Any, str, str | None]] = [
    ({"amount": 0}, "amount_too_small", "amount"),
    ({"amount": -1}, "amount_too_small", "amount"),
    ({"amount": 2000}, "amount_too_large", "amount"),
    ({"amount": 10**30}, "amount_too_large", "amount"),
    ({"amount": 5.0}, "parameter_invalid", "amount"),
    ({"amount": "5"}, "parameter_invalid", "amount"),
    ({"amount": True}, "parameter_invalid", "amount"),
    ({"reason": "because"}, "parameter_invalid", "reason"),
    ({"currency": "eur"}, "parameter_unknown", "currency"),
    ([], "parameter_invalid", None),
]


async def test_malformed_ones_leave_nothing(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    path = f"/payment-intents/{(await paid(shop))['id']}/refund"
    for body, code, param in BODIES:
        answer = await shop.call("POST", path, body)
        assert (answer.status, answer.code, answer.json["error"]["param"]) == (400, code, param)
    assert (await shop.call("GET", "/refunds")).json["data"] == []


async def test_another_merchants_is_not_there(gateway: Gateway) -> None:
    shop, other = await open_shop(gateway), await open_shop(gateway)
    path = f"/payment-intents/{(await paid(shop))['id']}/refund"
    made = await shop.call("POST", path, {"amount": 5})
    for method, where in (
        ("POST", path),
        ("GET", f"/refunds/{made.json['id']}"),
        ("POST", f"/refunds/{made.json['id']}/approve"),
        ("POST", f"/refunds/{made.json['id']}/reject"),
    ):
        headers = {"Paygate-Actor": "eve@other.example"}
        answer = await other.call(method, where, {} if method == "POST" else None, headers=headers)
        assert (answer.status, answer.code) == (404, "resource_missing"), where
    assert (await other.call("GET", "/refunds")).json["data"] == []


@pytest.mark.parametrize("role", ["support", "finance", "auditor"])
async def test_without_a_limit_only_sellers_refund(gateway: Gateway, role: str) -> None:
    shop = await open_shop(gateway)
    path = f"/payment-intents/{(await paid(shop))['id']}/refund"
    answer = await shop.call("POST", path, {"amount": 1}, key=(await shop.made(role))["key"])
    refused = "refund_limit_exceeded" if role == "support" else "role_not_allowed"
    assert (answer.status, answer.code) == (403, refused)


async def test_a_refund_of_the_dashboard_is_heard_of(gateway: Gateway) -> None:
    """Made at the provider, with the provider's own call; its event brings it."""
    shop = await open_shop(gateway)
    intent = await paid(shop)
    session = gateway._session
    assert session is not None
    headers = {"Authorization": f"Bearer {gateway.ready['sandbox_secret_key']}"}
    form = {"payment_intent": intent["provider_reference"], "amount": "700"}
    url = f"{gateway.ready['sandbox_url']}/v1/refunds"
    async with session.post(url, data=form, headers=headers) as response:
        theirs = await response.json()
        assert response.ok, theirs

    async def heard() -> list[dict[str, Any]]:
        return list((await shop.call("GET", "/refunds")).json["data"])

    (found,) = await until(heard)
    assert (found["provider_reference"], found["amount"]) == (theirs["id"], 700)
    now = (await shop.call("GET", f"/payment-intents/{intent['id']}")).json
    assert (now["amount_refunded"], now["amount_refundable"]) == (700, 1299)
