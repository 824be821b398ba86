"""Customers come with payment intents: made, found again, brought up to date."""

from typing import Any

import pytest

from tests.api.shops import open_shop
from tests.api.test_bad_input import counts, is_error
from tests.gateway import Gateway, Response

UNKNOWN = "cus_" + "0" * 26


async def create(gateway: Gateway, customer: Any) -> Response:
    body = {"amount": 1999, "currency": "eur", "customer": customer}
    return await gateway.call("POST", "/payment-intents", body)


async def read(gateway: Gateway, customer: str) -> Response:
    return await gateway.call("GET", f"/customers/{customer}")


async def test_a_new_customer(gateway: Gateway) -> None:
    made = await create(gateway, {"email": "ana@shop.example", "name": "Ana"})
    customer = (await read(gateway, made.json["customer"])).json
    assert customer == {
        "object": "customer",
        "id": made.json["customer"],
        "livemode": False,
        "email": "ana@shop.example",
        "name": "Ana",
        "erased_at": None,
        "created_at": customer["created_at"],
    }


async def test_a_known_one_is_brought_up_to_date(gateway: Gateway) -> None:
    first = (await create(gateway, {"email": "ana@shop.example", "name": "Ana"})).json["customer"]
    for details, email in (
        ({"id": first}, "ana@shop.example"),
        ({"id": first, "email": "ana@new.example"}, "ana@new.example"),
    ):
        assert (await create(gateway, details)).json["customer"] == first
        customer = (await read(gateway, first)).json
        assert (customer["email"], customer["name"]) == (email, "Ana")


@pytest.mark.parametrize(
    ("customer", "status", "code", "param"),
    [
        ({}, 400, "parameter_missing", "customer"),
        ({"email": "nobody"}, 400, "parameter_invalid", "customer.email"),
        ({"name": ""}, 400, "parameter_invalid", "customer.name"),
        ({"phone": "1"}, 400, "parameter_unknown", "customer.phone"),
        ("cus_1", 400, "parameter_invalid", "customer"),
        ({"id": UNKNOWN}, 404, "resource_missing", "customer.id"),
        ({"id": "nonsense"}, 404, "resource_missing", "customer.id"),
    ],
)
async def test_a_bad_customer_leaves_nothing(
    gateway: Gateway, customer: Any, status: int, code: str, param: str
) -> None:
    before = await counts(gateway)
    is_error(await create(gateway, customer), status, code, param)
    assert await counts(gateway) == before


async def test_another_merchants_customer_is_missing(gateway: Gateway) -> None:
    mine = (await create(gateway, {"name": "Ana"})).json["customer"]
    shop = await open_shop(gateway)
    assert (await shop.call("GET", f"/customers/{mine}")).status == 404
    body = {"amount": 5, "currency": "eur", "customer": {"id": mine}}
    is_error(
        await shop.call("POST", "/payment-intents", body), 404, "resource_missing", "customer.id"
    )
    assert (await read(gateway, UNKNOWN)).status == 404


async def test_an_erased_customer_shows_no_details(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    body = {"amount": 1999, "currency": "eur", "customer": {"email": "ana@a.example"}}
    made = (await shop.call("POST", "/payment-intents", body)).json
    path = f"/customers/{made['customer']}"
    refused = await shop.call("DELETE", path)
    is_error(refused, 409, "customer_in_use", "id")
    assert made["id"] in refused.json["error"]["message"]
    assert (await shop.call("POST", f"/payment-intents/{made['id']}/cancel")).status == 200
    first = await shop.call("DELETE", path)
    assert first.status == 200
    shown = first.json
    assert (shown["email"], shown["name"]) == (None, None)
    assert shown["erased_at"] is not None
    assert (await shop.call("DELETE", path)).json == shown
    assert (await shop.call("GET", path)).json == shown
    again = {"amount": 5, "currency": "eur", "customer": {"id": made["customer"]}}
    is_error(
        await shop.call("POST", "/payment-intents", again), 409, "customer_erased", "customer.id"
    )


async def test_another_merchants_customer_is_not_erased(gateway: Gateway) -> None:
    mine = (await create(gateway, {"name": "Ana"})).json["customer"]
    shop = await open_shop(gateway)
    is_error(await shop.call("DELETE", f"/customers/{mine}"), 404, "resource_missing", "id")
    assert (await read(gateway, mine)).json["name"] == "Ana"
