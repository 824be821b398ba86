"""Disputes over HTTP, as the provider makes and decides them."""

from typing import Any

import pytest

from tests.api.shops import Shop, open_shop
from tests.api.test_refunds import paid
from tests.gateway import Gateway, until

PATH = "/disputes"


async def ordered(gateway: Gateway, intent: dict[str, Any], **order: Any) -> str:
    """A dispute that the payer's bank begins; the provider's id of it."""
    charge = (await gateway.charges(intent["id"]))[0]["id"]
    made = await gateway.sandbox("POST", "/_sandbox/disputes", {"charge": charge, **order})
    return str(made["id"])


async def heard(shop: Shop, reference: str, *statuses: str) -> dict[str, Any]:
    """The dispute as it is shown once it is known, and has one of these statuses."""

    async def look() -> dict[str, Any] | None:
        listed = (await shop.call("GET", f"{PATH}?limit=100")).json["data"]
        found = [d for d in listed if d["provider_reference"] == reference]
        return found[0] if found and (not statuses or found[0]["status"] in statuses) else None

    return dict(await until(look))


async def booked(shop: Shop, reference: str, name: str, amount: int) -> dict[str, Any]:
    """The dispute once so much of its money is booked."""

    async def look() -> dict[str, Any] | None:
        shown = await heard(shop, reference)
        return shown if shown["money"][name] == amount else None

    return dict(await until(look))


async def test_a_chargeback_from_its_arrival_to_its_win(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    intent = await paid(shop)
    reference = await ordered(gateway, intent, reason="product_not_received")
    dispute = await booked(shop, reference, "withdrawn", 1999)
    assert dispute == {
        "object": "dispute",
        "id": dispute["id"],
        "livemode": False,
        "payment_intent": intent["id"],
        "kind": "chargeback",
        "status": "needs_response",
        "amount": 1999,
        "currency": "eur",
        "reason": "product_not_received",
        "network_reason_code": dispute["network_reason_code"],
        "refundable": False,
        "evidence_due_by": dispute["evidence_due_by"],
        "past_due": False,
        "pending_operation": None,
        "evidence": dispute["evidence"],
        "money": {"withdrawn": 1999, "reinstated": 0, "fee": 1500, "currency": "eur"},
        "money_in_other_currencies": [],
        "provider_reference": reference,
        "version": dispute["version"],
        "created_at": dispute["created_at"],
        "updated_at": dispute["updated_at"],
        "closed_at": None,
    }
    assert dispute["id"].startswith("dp_")
    now = (await shop.call("GET", f"/payment-intents/{intent['id']}")).json
    assert (now["disputed"], now["amount_refundable"], now["status"]) == (True, 0, "succeeded")
    refused = await shop.call("POST", f"/payment-intents/{intent['id']}/refund", {"amount": 1})
    assert (refused.status, refused.code) == (409, "payment_disputed")
    assert refused.json["error"]["payment_intent"]["id"] == intent["id"]
    form = {"evidence[uncategorized_text]": "winning_evidence"}
    await gateway.provider_call(f"disputes/{reference}", form)
    await heard(shop, reference, "under_review", "won")
    won = await heard(shop, reference, "won")
    assert won["money"] == {"withdrawn": 1999, "reinstated": 1999, "fee": 1500, "currency": "eur"}
    assert (won["evidence"]["submission_count"], won["closed_at"] is not None) == (1, True)
    refund = await shop.call("POST", f"/payment-intents/{intent['id']}/refund", {})
    assert (refund.status, refund.json["amount"]) == (201, 1999)
    events = (await shop.call("GET", "/events?limit=100")).json["data"]
    types = {e["type"] for e in events if e["data"]["object"]["id"] == dispute["id"]}
    assert types == {"dispute.created", "dispute.updated", "dispute.closed"}


async def test_an_inquiry_moves_nothing_and_a_full_refund_closes_it(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    intent = await paid(shop)
    reference = await ordered(gateway, intent, kind="inquiry")
    inquiry = await heard(shop, reference, "warning_needs_response")
    assert (inquiry["kind"], inquiry["refundable"], inquiry["money"]["withdrawn"]) == (
        "inquiry",
        True,
        0,
    )
    path = f"/payment-intents/{intent['id']}"
    assert (await shop.call("GET", path)).json["amount_refundable"] == 1999
    refund = await shop.call("POST", f"{path}/refund", {})
    assert "a full refund closes the inquiry" in refund.json["notice"]
    closed = await heard(shop, reference, "warning_closed")
    assert closed["closed_at"] is not None


async def test_lists_are_filtered_and_the_alert_names_the_dispute(gateway: Gateway) -> None:
    shop = await open_shop(gateway)
    first, second = await paid(shop), await paid(shop)
    one = await heard(shop, await ordered(gateway, first, amount=500))
    two = await heard(shop, await ordered(gateway, second, kind="inquiry"))

    async def ids(query: str) -> list[str]:
        listed = await shop.call("GET", f"{PATH}?{query}")
        assert listed.status == 200, listed
        return [d["id"] for d in listed.json["data"]]

    assert await ids("") == [two["id"], one["id"]]
    assert await ids("limit=1") == [two["id"]]
    assert await ids(f"limit=1&starting_after={two['id']}") == [one["id"]]
    assert await ids(f"ending_before={one['id']}") == [two["id"]]
    assert await ids(f"payment_intent={first['id']}") == [one["id"]]
    assert await ids("status=warning_needs_response") == [two["id"]]
    assert await ids("status=lost") == []

    async def alerted() -> bool:
        listed = (await shop.call("GET", "/alerts?limit=100")).json["data"]
        subjects = {a["subject"]["id"] for a in listed if a["type"] == "dispute_opened"}
        return subjects == {one["id"], two["id"]}

    await until(alerted)


@pytest.mark.parametrize(
    ("query", "param"),
    [("status=open", "status"), ("payment_intent=", "payment_intent"), ("kind=inquiry", "kind")],
)
async def test_what_a_list_refuses(gateway: Gateway, query: str, param: str) -> None:
    answer = await gateway.call("GET", f"{PATH}?{query}")
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_another_merchants_dispute_is_not_there(gateway: Gateway) -> None:
    shop, other = await open_shop(gateway), await open_shop(gateway)
    dispute = await heard(shop, await ordered(gateway, await paid(shop)))
    for missing in (dispute["id"], "dp_" + "0" * 26, "du_1", "x"):
        answer = await other.call("GET", f"{PATH}/{missing}")
        assert (answer.status, answer.code) == (404, "resource_missing")
    assert (await other.call("GET", PATH)).json["data"] == []
    read = await shop.call("GET", f"{PATH}/{dispute['id']}")
    assert (read.status, read.json["id"]) == (200, dispute["id"])


@pytest.mark.parametrize("role", ["operator", "support", "finance", "auditor"])
async def test_who_may_read(gateway: Gateway, role: str) -> None:
    shop = await open_shop(gateway)
    key = (await shop.made(role))["key"]
    assert (await shop.call("GET", PATH, key=key)).status == 200
