"""Lists, their cursors and filters, and expansion."""

from typing import Any

import pytest

from tests.sandbox.caller import Caller, card_payment

INTENTS = "/v1/payment_intents"


async def make(stripe: Caller, count: int) -> list[str]:
    made = [await stripe.post(INTENTS, card_payment()) for _ in range(count)]
    return [intent["id"] for intent in made]


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["data"]]


async def test_newest_first_and_has_more(stripe: Caller) -> None:
    made = await make(stripe, 12)
    page = await stripe.get(INTENTS)
    assert ids(page) == made[:1:-1]
    assert page["has_more"]
    assert page["url"] == INTENTS
    rest = await stripe.get(INTENTS, starting_after=page["data"][-1]["id"])
    assert ids(rest) == made[1::-1]
    assert not rest["has_more"]


async def test_backwards(stripe: Caller) -> None:
    made = await make(stripe, 6)
    page = await stripe.get(INTENTS, ending_before=made[1], limit=2)
    assert ids(page) == [made[3], made[2]]
    assert page["has_more"]


@pytest.mark.parametrize(("limit", "expected"), [("0", 1), ("-3", 1), ("1000", 3)])
async def test_the_limit_is_clamped(stripe: Caller, limit: str, expected: int) -> None:
    await make(stripe, 3)
    assert len((await stripe.get(INTENTS, limit=limit))["data"]) == expected


async def test_by_time_of_creation(stripe: Caller) -> None:
    old = await make(stripe, 2)
    edge = (await stripe.get(f"{INTENTS}/{old[1]}"))["created"]
    await stripe.advance(100)
    new = await make(stripe, 2)
    created = (await stripe.get(f"{INTENTS}/{new[0]}"))["created"]
    assert ids(await stripe.get(INTENTS, **{"created[gt]": edge})) == new[::-1]
    assert ids(await stripe.get(INTENTS, **{"created[gte]": created})) == new[::-1]
    assert ids(await stripe.get(INTENTS, **{"created[lt]": created})) == old[::-1]
    assert ids(await stripe.get(INTENTS, **{"created[lte]": edge})) == old[::-1]
    both = await stripe.get(INTENTS, **{"created[gte]": edge, "created[lte]": created, "limit": 1})
    assert both["has_more"]
    following = await stripe.get(INTENTS, starting_after=new[0], **{"created[gte]": edge})
    assert ids(following) == old[::-1]


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"starting_after": "pi_none"}, "resource_missing", "starting_after"),
        ({"ending_before": "pi_none"}, "resource_missing", "ending_before"),
        ({"starting_after": "a", "ending_before": "b"}, None, "ending_before"),
        ({"limit": "many"}, "parameter_invalid_integer", "limit"),
        ({"created[about]": 1}, "parameter_unknown", "created[about]"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"status": "succeeded"}, "parameter_unknown", "status"),
    ],
)
async def test_bad_lists(
    stripe: Caller, params: dict[str, Any], code: str | None, param: str
) -> None:
    answer = await stripe.call("GET", INTENTS, params)
    assert (answer.status, answer.error.get("code")) == (400, code)
    assert answer.error["param"] == param


async def test_balance_transactions_by_their_fields(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, card_payment(capture_method="automatic"))
    other = await stripe.post(INTENTS, card_payment(capture_method="automatic", currency="usd"))
    path = "/v1/balance_transactions"
    [line] = (await stripe.get(path, source=intent["latest_charge"]))["data"]
    assert line["currency"] == "eur"
    [line] = (await stripe.get(path, currency="usd"))["data"]
    assert line["source"] == other["latest_charge"]
    assert len((await stripe.get(path, type="charge"))["data"]) == 2
    assert (await stripe.get(path, type="anything"))["data"] == []
    answer = await stripe.call("GET", path, {"payout": "po_none"})
    assert answer.error["code"] == "resource_missing"


async def test_events_by_type(stripe: Caller) -> None:
    await stripe.post(INTENTS, card_payment())
    charges = await stripe.get("/v1/events", type="charge.*")
    assert [event["type"] for event in charges["data"]] == ["charge.succeeded"]
    two = await stripe.get(
        "/v1/events", **{"types[]": "payment_intent.created", "types[1]": "charge.succeeded"}
    )
    assert len(two["data"]) == 2
    one = two["data"][0]
    assert await stripe.get(f"/v1/events/{one['id']}") == one
    await stripe.advance(33 * 86_400)  # thirty days after the funds became available, too
    assert (await stripe.get("/v1/events"))["data"] == []
    assert (await stripe.call("GET", f"/v1/events/{one['id']}")).status == 404


async def test_expansion(stripe: Caller) -> None:
    intent = await stripe.post(
        INTENTS,
        card_payment(
            capture_method="automatic",
            expand=["latest_charge.balance_transaction.source", "payment_method", "customer"],
        ),
    )
    charge = intent["latest_charge"]
    assert charge["balance_transaction"]["source"]["id"] == charge["id"]
    assert intent["payment_method"]["card"]["last4"] == "4242"
    assert intent["customer"] is None
    listed = await stripe.get(INTENTS, **{"expand[]": "data.latest_charge"})
    assert listed["data"][0]["latest_charge"]["id"] == charge["id"]
    bare = await stripe.call("GET", INTENTS, {"expand": ["latest_charge"]})
    assert bare.status == 400
    assert "'data.latest_charge'" in bare.error["message"]


async def test_the_account_and_an_empty_balance(stripe: Caller) -> None:
    account = await stripe.get("/v1/account")
    assert account["id"].startswith("acct_")
    assert account == await stripe.get("/v1/account")
    balance = await stripe.get("/v1/balance")
    assert balance["available"][0]["amount"] == 0
