"""`GET /payment-intents`: pages, filters, and one audit entry a list."""

from typing import Any
from urllib.parse import urlencode

import pytest

from tests.api.shops import Shop, audited, open_shop
from tests.gateway import Gateway, Response


async def made(shop: Shop, **more: Any) -> dict[str, Any]:
    body = {"amount": 1999, "currency": "eur", **more}
    answer = await shop.call("POST", "/payment-intents", body)
    assert answer.status == 201, answer
    intent = answer.json
    del intent["client_secret"]
    return intent


async def listed(shop: Shop, **query: Any) -> Response:
    return await shop.call("GET", f"/payment-intents?{urlencode(query)}")


async def found(shop: Shop, **query: Any) -> list[str]:
    answer = await listed(shop, **query)
    assert answer.status == 200, answer
    return [intent["id"] for intent in answer.json["data"]]


@pytest.fixture
async def shop(gateway: Gateway) -> Shop:
    return await open_shop(gateway)


async def test_newest_first_and_whole(shop: Shop) -> None:
    intents = [await made(shop) for _ in range(3)]
    answer = await listed(shop)
    assert answer.json == {
        "object": "list",
        "data": intents[::-1],
        "has_more": False,
        "url": "/payment-intents",
    }


async def test_pages_cover_everything_once(shop: Shop) -> None:
    ids = [(await made(shop))["id"] for _ in range(7)][::-1]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        answer = (await listed(shop, **query)).json
        seen += [intent["id"] for intent in answer["data"]]
        if not answer["has_more"]:
            break
        query["starting_after"] = seen[-1]
    assert seen == ids
    back = await listed(shop, limit=3, ending_before=ids[4])
    assert [i["id"] for i in back.json["data"]] == ids[1:4]
    assert back.json["has_more"]


async def test_filters_alone_and_together(gateway: Gateway, shop: Shop) -> None:
    customer = {"email": "ana@shop.example"}
    first = await made(shop, reference="order 1/\u00e9", customer=customer)
    again = await made(shop, reference="order 1/\u00e9")
    other = await made(shop, customer={"id": first["customer"]})
    await shop.call("POST", f"/payment-intents/{again['id']}/cancel")
    assert await found(shop, reference="order 1/\u00e9") == [again["id"], first["id"]]
    assert await found(shop, reference="order 1/e\u0301") == [again["id"], first["id"]]
    assert await found(shop, reference="order 1") == []
    assert await found(shop, customer=first["customer"]) == [other["id"], first["id"]]
    assert await found(shop, status="cancelled") == [again["id"]]
    assert await found(shop, status="created", reference="order 1/\u00e9") == [first["id"]]
    assert await found(shop, status="succeeded") == []
    assert await found(shop, created_after=again["created_at"]) == [other["id"]]
    before = await found(shop, created_before=other["created_at"])
    assert before == [again["id"], first["id"]]
    assert await found(shop, created_after="2030-01-01T00:00:00Z") == []
    for long_ago in ("1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"):
        assert await found(shop, created_before=long_ago) == []
        assert await found(shop, created_after=long_ago) == await found(shop)
    for far_off in ("9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z"):
        assert await found(shop, created_after=far_off) == []
        assert await found(shop, created_before=far_off) == await found(shop)
    assert await found(shop, created_before="2020-01-01T00:00:00+02:00") == []


async def test_another_merchants_are_not_listed(gateway: Gateway, shop: Shop) -> None:
    await gateway.create(reference="whose")
    mine = await made(shop, reference="whose")
    assert await found(shop, reference="whose") == [mine["id"]]


async def test_a_list_is_one_audit_entry(gateway: Gateway, shop: Shop) -> None:
    ids = [(await made(shop))["id"] for _ in range(2)][::-1]
    answer = await listed(shop, limit=2, status="created")
    (entry,) = (await audited(gateway))[answer.headers["Request-Id"]]
    assert (entry.action, entry.merchant) == ("payment_intent.list", shop.merchant)
    assert entry.details == {"query": "limit=2&status=created", "ids": ",".join(ids)}


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("status=paid", "parameter_invalid", "status"),
        ("status=created&status=failed", "parameter_invalid", "status"),
        ("limit=0", "parameter_invalid", "limit"),
        ("limit=101", "parameter_invalid", "limit"),
        ("limit=ten", "parameter_invalid", "limit"),
        ("created_after=yesterday", "parameter_invalid", "created_after"),
        ("created_after=2026-11-24T12:00:00", "parameter_invalid", "created_after"),
        ("reference=", "parameter_invalid", "reference"),
        ("amount=5", "parameter_unknown", "amount"),
        ("starting_after=key_1", "parameter_invalid", "starting_after"),
    ],
)
async def test_a_bad_query_is_refused(shop: Shop, query: str, code: str, param: str) -> None:
    answer = await shop.call("GET", f"/payment-intents?{query}")
    assert (answer.status, answer.code) == (400, code), answer
    assert answer.json["error"]["param"] == param
