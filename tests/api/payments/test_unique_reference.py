"""One order, one payment on the wire, and from two processes at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.shops import Shop, audited, open_shop
from tests.gateway import Gateway, Response
from tests.upgrades.older import serve, until_listening

TRIES = 200
CARD = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}


@pytest.fixture
async def shop(gateway: Gateway) -> Shop:
    return await open_shop(gateway)


async def order(shop: Shop, key: str | None = None, **more: Any) -> Response:
    body = {"amount": 1999, "currency": "eur", "reference": "order-1", "unique_reference": True}
    headers = {} if key is None else {"Idempotency-Key": key}
    return await shop.call("POST", "/payment-intents", body | more, headers=headers)


async def test_a_second_order_is_refused_with_the_first(shop: Shop) -> None:
    first = await order(shop)
    assert first.status == 201
    assert "unique_reference" not in first.json
    second = await order(shop)
    assert (second.status, second.code) == (409, "reference_in_use")
    error = second.json["error"]
    assert (error["param"], error["retriable"]) == ("reference", False)
    shown = await shop.call("GET", f"/payment-intents/{first.json['id']}")
    assert error["payment_intent"] == shown.json
    assert "client_secret" not in second.body.decode()
    (entry,) = (await audited(shop.gateway))[error["request_id"]]
    assert (entry.action, entry.result) == ("payment_intent.create", "refused")
    assert (await order(shop, unique_reference=False)).status == 201


async def test_the_order_is_free_when_its_payment_has_failed(shop: Shop) -> None:
    first = (await order(shop)).json["id"]
    declined = CARD | {"payment_method": {"type": "card", "token": "pm_card_chargeDeclined"}}
    failed = await shop.call("POST", f"/payment-intents/{first}/confirm", declined)
    assert failed.json["status"] == "failed"
    second = (await order(shop)).json["id"]
    paid = await shop.call("POST", f"/payment-intents/{second}/confirm", CARD)
    assert paid.json["status"] == "succeeded"
    third = await order(shop)
    assert (third.code, third.json["error"]["payment_intent"]) == ("reference_in_use", paid.json)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"unique_reference": True}, "parameter_missing", "reference"),
        ({"unique_reference": True, "reference": None}, "parameter_missing", "reference"),
        ({"unique_reference": "yes", "reference": "o"}, "parameter_invalid", "unique_reference"),
        ({"unique_reference": None, "reference": "o"}, "parameter_invalid", "unique_reference"),
    ],
)
async def test_what_cannot_be_unique_is_refused(
    shop: Shop, body: dict[str, Any], code: str, param: str
) -> None:
    answer = await shop.call("POST", "/payment-intents", {"amount": 1999, "currency": "eur"} | body)
    assert (answer.status, answer.code) == (400, code)
    assert answer.json["error"]["param"] == param


async def test_a_retry_of_the_winner_is_the_winner(shop: Shop) -> None:
    first = await order(shop, "tab 1")
    again = await order(shop, "tab 1")
    assert (again.status, again.body) == (200, first.body)
    refused = await order(shop, "tab 2")
    assert refused.code == "reference_in_use"
    path = f"/payment-intents/{first.json['id']}/cancel"
    assert (await shop.call("POST", path, {})).status == 200
    later = await order(shop, "tab 2")
    assert (later.status, "Idempotent-Replayed" in later.headers) == (201, False)


@pytest.fixture
async def beside(gateway: Gateway) -> AsyncIterator[Gateway]:
    """A second node on the data of the first."""
    node, second = serve(gateway, None, {})
    try:
        await asyncio.to_thread(until_listening, second)
        await second.open()
        yield second
        await second.close()
    finally:
        assert node.stop() == 0, node.log.read_text()


async def test_of_two_hundred_at_two_nodes_one_wins(shop: Shop, beside: Gateway) -> None:
    """Keyed and not, on a reference that nobody had and on one that is free again."""
    shops = (shop, shop._replace(gateway=beside))
    for round_ in range(2):
        answers = await asyncio.gather(
            *(
                order(shops[number % 2], f"{round_} {number}" if number % 4 < 2 else None)
                for number in range(TRIES)
            )
        )
        (won,) = [answer for answer in answers if answer.status == 201]
        refused = [answer for answer in answers if answer is not won]
        told = Counter((a.code, a.json["error"]["payment_intent"]["id"]) for a in refused)
        assert told == {("reference_in_use", won.json["id"]): TRIES - 1}
        listed = await shop.call("GET", "/payment-intents?status=created")
        assert [intent["id"] for intent in listed.json["data"]] == [won.json["id"]]
        cancel = f"/payment-intents/{won.json['id']}/cancel"
        assert (await shop.call("POST", cancel, {})).status == 200
