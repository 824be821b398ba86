"""Refunds at the sandbox: in part and whole, that take their time, and that come back."""

import pytest

from tests.sandbox.caller import Caller, Json, card_payment

REFUNDS = "/v1/refunds"


async def paid(stripe: Caller, token: str = "pm_card_visa", **changes: str) -> Json:
    return await stripe.post("/v1/payment_intents", card_payment(token, **changes))


async def event_types(stripe: Caller) -> list[str]:
    """Of refunds, the oldest first."""
    listed = await stripe.get("/v1/events", limit=100)
    return [e["type"] for e in reversed(listed["data"]) if "refund" in e["type"]]


async def test_a_part_and_then_the_rest(stripe: Caller) -> None:
    intent = await paid(stripe)
    part = await stripe.post(REFUNDS, {"payment_intent": intent["id"], "amount": 300})
    assert (part["status"], part["amount"], part["charge"]) == (
        "succeeded",
        300,
        intent["latest_charge"],
    )
    charge = await stripe.get(f"/v1/charges/{intent['latest_charge']}")
    assert (charge["amount_refunded"], charge["refunded"]) == (300, False)
    order = {"charge": charge["id"], "reason": "requested_by_customer"}
    rest = await stripe.post(REFUNDS, order, key="rest")
    assert (rest["amount"], rest["reason"]) == (700, "requested_by_customer")
    charge = await stripe.get(f"/v1/charges/{charge['id']}")
    assert (charge["amount_refunded"], charge["refunded"]) == (1000, True)
    assert await stripe.post(REFUNDS, order, key="rest") == rest
    listed = await stripe.get(REFUNDS, payment_intent=intent["id"])
    assert [each["id"] for each in listed["data"]] == [rest["id"], part["id"]]
    assert await event_types(stripe) == ["refund.created", "charge.refunded"] * 2
    ledger = await stripe.control("GET", "ledger")
    assert [(r["id"], r["amount"], r["status"]) for r in ledger["refunds"]] == [
        (part["id"], 300, "succeeded"),
        (rest["id"], 700, "succeeded"),
    ]
    moved = await stripe.get("/v1/balance_transactions", source=part["id"])
    assert [(m["amount"], m["fee"], m["type"]) for m in moved["data"]] == [(-300, 0, "refund")]


async def test_what_cannot_be_refunded(stripe: Caller) -> None:
    intent = await paid(stripe)
    charge = intent["latest_charge"]
    over = await stripe.refused(REFUNDS, {"charge": charge, "amount": 1001})
    assert (over["param"], over.get("code")) == ("amount", None)
    await stripe.post(REFUNDS, {"charge": charge})
    again = await stripe.refused(REFUNDS, {"charge": charge, "amount": 1})
    assert again["code"] == "charge_already_refunded"
    held = await paid(stripe, capture_method="manual")
    await stripe.refused(REFUNDS, {"payment_intent": held["id"]})
    await stripe.refused(REFUNDS, {"charge": charge, "payment_intent": intent["id"]})
    assert (await stripe.refused(REFUNDS, {}))["code"] == "parameter_missing"
    missing = await stripe.refused(REFUNDS, {"charge": "ch_none"}, 404)
    assert missing["code"] == "resource_missing"
    await stripe.refused(REFUNDS, {"payment_intent": "pi_none"})
    for wrong in ("0", "-5", "1.5", "x"):
        refused = await stripe.refused(REFUNDS, {"charge": held["latest_charge"], "amount": wrong})
        assert refused["param"] == "amount"
    await stripe.refused(REFUNDS, {"charge": charge, "reason": "expired_uncaptured_charge"})


@pytest.mark.parametrize(
    ("token", "first", "last", "back"),
    [
        ("pm_card_pendingRefund", "pending", "succeeded", 0),
        ("pm_card_refundFail", "succeeded", "failed", 400),
    ],
)
async def test_one_that_takes_its_time(
    stripe: Caller, token: str, first: str, last: str, back: int
) -> None:
    intent = await paid(stripe, token)
    refund = await stripe.post(REFUNDS, {"payment_intent": intent["id"], "amount": 400})
    assert refund["status"] == first
    await stripe.control("POST", "clock", {"advance_seconds": 200})
    after = await stripe.get(f"{REFUNDS}/{refund['id']}")
    assert after["status"] == last
    charge = await stripe.get(f"/v1/charges/{intent['latest_charge']}")
    assert charge["amount_refunded"] == 400 - back
    assert ("refund.failed" in await event_types(stripe)) is (last == "failed")
    if last == "failed":
        moved = after["failure_balance_transaction"]
        returned = await stripe.get(f"/v1/balance_transactions/{moved}")
        assert returned["amount"] == 400
        await stripe.post(REFUNDS, {"payment_intent": intent["id"], "amount": 1000})


async def test_metadata_is_kept_and_changed(stripe: Caller) -> None:
    intent = await paid(stripe)
    refund = await stripe.post(
        REFUNDS, {"payment_intent": intent["id"], "metadata": {"paygate_refund": "re_1"}}
    )
    changed = await stripe.post(f"{REFUNDS}/{refund['id']}", {"metadata": {"note": "x"}})
    assert changed["metadata"] == {"paygate_refund": "re_1", "note": "x"}
    assert (await event_types(stripe))[-2:] == ["refund.updated", "charge.refund.updated"]
    await stripe.refused(f"{REFUNDS}/{refund['id']}/cancel")
    expanded = await stripe.get(f"{REFUNDS}/{refund['id']}", expand=["charge", "payment_intent"])
    assert (expanded["charge"]["object"], expanded["payment_intent"]["id"]) == (
        "charge",
        intent["id"],
    )


async def test_a_list_longer_than_a_page(stripe: Caller) -> None:
    intent = await paid(stripe)
    made = [
        (await stripe.post(REFUNDS, {"payment_intent": intent["id"], "amount": 10}))["id"]
        for _ in range(12)
    ]
    seen: list[str] = []
    more = True
    while more:
        after = {"starting_after": seen[-1]} if seen else {}
        page = await stripe.get(REFUNDS, charge=intent["latest_charge"], limit=5, **after)
        seen += [each["id"] for each in page["data"]]
        more = page["has_more"]
    assert seen == made[::-1]


async def test_a_reply_that_is_lost_is_one_refund(stripe: Caller) -> None:
    intent = await paid(stripe)
    await stripe.fault("refund", "error_after", count=1)
    order = {"payment_intent": intent["id"], "amount": 250}
    lost = await stripe.call("POST", REFUNDS, order, key="re_1")
    assert lost.status == 500
    ledger = await stripe.control("GET", "ledger")
    assert [(r["amount"], r["idempotency_key"]) for r in ledger["refunds"]] == [(250, "re_1")]
