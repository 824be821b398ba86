"""Customers: made, changed, found, and named by payments."""

from typing import Any

import pytest

from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import Caller, card_payment

CUSTOMERS = "/v1/customers"
INTENTS = "/v1/payment_intents"
ADA: dict[str, Any] = {"name": "Ada", "email": "ada@example.com", "metadata": {"a": "1"}}


async def test_made_once_under_one_key(stripe: Caller) -> None:
    first = await stripe.call("POST", CUSTOMERS, ADA, key="k")
    again = await stripe.call("POST", CUSTOMERS, ADA, key="k")
    assert again.raw == first.raw
    made = first.body
    assert made["id"].startswith("cus_")
    assert (made["name"], made["email"], made["metadata"]) == (
        "Ada",
        "ada@example.com",
        {"a": "1"},
    )
    assert await stripe.get(f"{CUSTOMERS}/{made['id']}") == made
    assert (await stripe.get(CUSTOMERS))["data"] == [made]
    assert await stripe.event_types() == ["customer.created"]


async def test_changed(stripe: Caller) -> None:
    made = await stripe.post(CUSTOMERS, ADA)
    path = f"{CUSTOMERS}/{made['id']}"
    changed = await stripe.post(
        path,
        {"name": "", "address": {"city": "Graz", "country": "AT"}, "metadata": {"a": "", "b": "2"}},
    )
    assert changed["name"] is None
    assert changed["email"] == "ada@example.com"
    assert changed["address"]["city"] == "Graz"
    assert changed["address"]["line1"] is None
    assert changed["metadata"] == {"b": "2"}
    assert (await stripe.post(path, {"address": ""}))["address"] is None
    await stripe.post(path, {"email": "ada@example.com"})
    assert await stripe.event_types() == ["customer.created"] + 2 * ["customer.updated"]
    events = await stripe.get("/v1/events", limit=1)
    assert "address" in events["data"][0]["data"]["previous_attributes"]


async def test_listed_and_found_by_email(stripe: Caller) -> None:
    made = [
        (await stripe.post(CUSTOMERS, {"email": f"{name}@example.com"}))["id"]
        for name in ("a", "b", "a")
    ]
    page = await stripe.get(CUSTOMERS, limit=2)
    assert [each["id"] for each in page["data"]] == [made[2], made[1]]
    assert page["has_more"]
    found = await stripe.get(CUSTOMERS, email="a@example.com")
    assert [each["id"] for each in found["data"]] == [made[2], made[0]]


async def test_named_by_payments(stripe: Caller) -> None:
    customer = await stripe.post(CUSTOMERS, ADA)
    intent = await stripe.post(
        INTENTS, card_payment(customer=customer["id"], expand=["customer", "latest_charge"])
    )
    assert intent["customer"] == customer
    assert intent["latest_charge"]["customer"] == customer["id"]
    await stripe.post(INTENTS, card_payment())
    for path in (INTENTS, "/v1/charges"):
        found = await stripe.get(path, customer=customer["id"])
        assert [each["customer"] for each in found["data"]] == [customer["id"]]
        answer = await stripe.call("GET", path, {"customer": "cus_none"})
        assert (answer.status, answer.error["param"]) == (400, "customer")
    other = await stripe.post(INTENTS, {"amount": 1000, "currency": "eur"})
    changed = await stripe.post(f"{INTENTS}/{other['id']}", {"customer": customer["id"]})
    assert changed["customer"] == customer["id"]


async def test_deleted(stripe: Caller) -> None:
    kept = await stripe.post(CUSTOMERS, {"name": "Bob"})
    made = await stripe.post(CUSTOMERS, ADA)
    paid = await stripe.post(INTENTS, card_payment(customer=made["id"]))
    path = f"{CUSTOMERS}/{made['id']}"
    gone = {"id": made["id"], "object": "customer", "deleted": True}
    assert (await stripe.call("DELETE", path)).body == gone
    assert await stripe.get(path) == gone
    assert (await stripe.get(CUSTOMERS))["data"] == [kept]
    assert (await stripe.event_types())[-1] == "customer.deleted"
    for method, verb in (("DELETE", ""), ("POST", ""), ("GET", "/cash_balance")):
        assert (await stripe.call(method, f"{path}{verb}")).status == 404
    error = await stripe.refused(INTENTS, card_payment(customer=made["id"]))
    assert (error["code"], error["param"]) == ("resource_missing", "customer")
    again = await stripe.get(f"{INTENTS}/{paid['id']}", **{"expand[0]": "customer"})
    assert again["customer"] == gone


@pytest.mark.parametrize(
    ("method", "verb"),
    [
        ("GET", ""),
        ("POST", ""),
        ("DELETE", ""),
        ("GET", "/cash_balance"),
        ("GET", "/cash_balance_transactions"),
    ],
)
async def test_missing(stripe: Caller, method: str, verb: str) -> None:
    answer = await stripe.call(method, f"{CUSTOMERS}/cus_none{verb}")
    assert answer.status == 404
    assert (answer.error["code"], answer.error["param"]) == ("resource_missing", "id")


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"name": "n" * 257}, "name"),
        ({"colour": "red"}, "colour"),
        ({"balance": 5}, "balance"),
        ({"metadata": {"k": "v" * 501}}, "metadata[k]"),
        ({"address": {"planet": "Mars"}}, "address[planet]"),
    ],
)
async def test_bad_parameters(stripe: Caller, params: dict[str, Any], param: str) -> None:
    assert (await stripe.refused(CUSTOMERS, params))["param"] == param
    assert (await stripe.get(CUSTOMERS))["data"] == []


async def test_faults_strike_them(sandbox: Sandbox, stripe: Caller) -> None:
    await stripe.fault("customers", "error_after")
    assert (await stripe.call("POST", CUSTOMERS, ADA, key="k")).status == 500
    assert len((await stripe.get(CUSTOMERS))["data"]) == 1
    await sandbox.stop()
    stripe.url = await sandbox.start()
    assert len((await stripe.get(CUSTOMERS))["data"]) == 1
