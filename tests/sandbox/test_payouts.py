"""Payouts: what they take of the balance, what their lists tell, and how they end."""

from typing import Any

import pytest
import stripe as official

from tests.sandbox.caller import SECRET_KEY, Caller, Json, card_payment

INTENTS = "/v1/payment_intents"
ROWS = "/v1/balance_transactions"
DAY = 86_400


async def paid(stripe: Caller, amount: int = 10_000, currency: str = "eur", **more: Any) -> Json:
    """A payment whose money is available at once."""
    return await stripe.post(
        INTENTS,
        card_payment(
            "pm_card_bypassPending",
            amount=amount,
            currency=currency,
            capture_method="automatic",
            **more,
        ),
    )


async def cut(stripe: Caller, **order: Any) -> list[Json]:
    payouts: list[Json] = (await stripe.control("POST", "payouts", order))["payouts"]
    return payouts


async def lines_of(stripe: Caller, payout: str, **more: Any) -> list[Json]:
    """All rows that the list tells of a payout, without its own."""
    listed = await stripe.get(ROWS, payout=payout, limit=100, **more)
    return [row for row in listed["data"] if row["type"] != "payout"]


async def available(stripe: Caller, currency: str = "eur") -> int:
    balance = await stripe.get("/v1/balance")
    amounts = {line["currency"]: line["amount"] for line in balance["available"]}
    return int(amounts.get(currency, 0))


async def test_a_payout_of_all_that_is_available_sums(stripe: Caller) -> None:
    first = await paid(stripe)
    await stripe.post("/v1/refunds", {"payment_intent": first["id"], "amount": 2_500})
    await paid(stripe, 5_000)
    await stripe.post(INTENTS, card_payment(amount=70_000, capture_method="automatic"))  # T+2
    before = await available(stripe)
    [told] = await cut(stripe)
    payout = await stripe.get(f"/v1/payouts/{told['id']}")
    assert (payout["amount"], payout["currency"], payout["automatic"]) == (before, "eur", True)
    assert payout["reconciliation_status"] == "completed"
    assert await available(stripe) == 0
    listed = await stripe.get(ROWS, payout=told["id"])
    [own, *lines] = listed["data"]
    assert (own["type"], own["amount"], own["id"]) == (
        "payout",
        -before,
        payout["balance_transaction"],
    )
    assert [line["reporting_category"] for line in lines] == ["charge", "refund", "charge"]
    assert sum(line["net"] for line in lines) == payout["amount"]
    assert await cut(stripe) == []  # nothing is left


async def test_funds_come_after_two_days_and_are_announced(stripe: Caller) -> None:
    await stripe.post(INTENTS, card_payment(capture_method="automatic"))
    assert await available(stripe) == 0
    assert await cut(stripe) == []
    await stripe.advance(2 * DAY)
    assert await available(stripe) == 1_000 - 54
    [event] = (await stripe.get("/v1/events", type="balance.available"))["data"]
    assert event["data"]["object"]["available"][0]["amount"] == 1_000 - 54
    [payout] = await cut(stripe)
    assert payout["amount"] == 1_000 - 54


async def test_every_currency_has_a_payout_of_its_own(stripe: Caller) -> None:
    await paid(stripe, 4_000, "usd")
    await paid(stripe, 1_500, "eur")
    await paid(stripe, 500, "jpy")
    assert [each["currency"] for each in await cut(stripe, currency="usd")] == ["usd"]
    assert [each["currency"] for each in await cut(stripe)] == ["eur", "jpy"]


async def test_the_way_of_a_payout(stripe: Caller) -> None:
    await paid(stripe)
    [told] = await cut(stripe, arrival_in_days=1)
    path = f"/v1/payouts/{told['id']}"
    now = (await stripe.control("GET", "clock"))["now"]
    payout = await stripe.get(path)
    assert payout["status"] == "pending"
    assert payout["arrival_date"] == (now // DAY + 1) * DAY
    await stripe.advance(60)
    assert (await stripe.get(path))["status"] in {"in_transit", "paid"}
    await stripe.advance(DAY)
    arrived = await stripe.get(path)
    assert (arrived["status"], arrived["trace_id"]["value"]) == ("paid", None)
    events = await stripe.event_types()
    await stripe.advance(DAY)
    traced = await stripe.get(path)
    assert traced["trace_id"]["value"] is not None
    assert await stripe.event_types() == events  # nobody is told of the bank's reference
    assert [each for each in events if each.startswith("payout.")] == [
        "payout.created",
        "payout.updated",
        "payout.reconciliation_completed",
        "payout.updated",
        "payout.updated",
        "payout.paid",
    ]


async def test_a_payout_that_arrives_at_once(stripe: Caller) -> None:
    await paid(stripe)
    [told] = await cut(stripe, arrival_in_days=0)
    assert told["status"] == "paid"


async def test_a_paid_payout_fails_and_its_money_is_in_the_next(stripe: Caller) -> None:
    await paid(stripe, 50_000)
    [first] = await cut(stripe, arrival_in_days=0, fail=True, failure_code="no_account")
    assert first["status"] == "paid"
    lines = await lines_of(stripe, first["id"])
    await stripe.advance(2 * DAY)
    failed = await stripe.get(
        f"/v1/payouts/{first['id']}", **{"expand[]": "failure_balance_transaction"}
    )
    assert (failed["status"], failed["failure_code"]) == ("failed", "no_account")
    row = failed["failure_balance_transaction"]
    assert (row["type"], row["reporting_category"]) == ("payout_failure", "payout_reversal")
    assert (row["amount"], row["source"]) == (first["amount"], first["id"])
    await paid(stripe, 12_000)
    [second] = await cut(stripe)
    assert second["amount"] == first["amount"] + 12_000 - 373
    types = [line["type"] for line in await lines_of(stripe, second["id"])]
    assert types == ["charge", "payout_failure"]
    assert await lines_of(stripe, first["id"]) == lines  # the old lines are still the old payout's
    assert "payout.failed" in await stripe.event_types()


async def test_more_refunds_than_sales_debit_the_bank(stripe: Caller) -> None:
    intent = await paid(stripe, 10_000)
    await cut(stripe)
    await stripe.post("/v1/refunds", {"payment_intent": intent["id"]})
    [payout] = await cut(stripe)
    assert payout["amount"] == -10_000
    [own, line] = (await stripe.get(ROWS, payout=payout["id"]))["data"]
    assert (own["amount"], line["amount"]) == (10_000, -10_000)
    assert await available(stripe) == 0


async def test_lines_that_are_known_later(stripe: Caller) -> None:
    for _ in range(4):
        await paid(stripe)
    [told] = await cut(stripe, reconciliation="in_progress", arrival_in_days=0)
    path = f"/v1/payouts/{told['id']}"
    assert (told["status"], told["reconciliation_status"]) == ("paid", "in_progress")
    assert (await stripe.get(ROWS, payout=told["id"]))["data"] == []
    await stripe.advance(6 * 3_600)
    assert len((await stripe.get(ROWS, payout=told["id"]))["data"]) == 3  # of five
    assert (await stripe.get(path))["reconciliation_status"] == "in_progress"
    assert "payout.reconciliation_completed" not in await stripe.event_types()
    await stripe.advance(6 * 3_600)
    assert len((await stripe.get(ROWS, payout=told["id"]))["data"]) == 5
    assert (await stripe.get(path))["reconciliation_status"] == "completed"
    assert (await stripe.event_types())[-1] == "payout.reconciliation_completed"


async def test_a_payout_by_hand_has_no_list(stripe: Caller) -> None:
    await paid(stripe, 50_000)
    free = await available(stripe)
    payout = await stripe.post(
        "/v1/payouts", {"amount": 20_000, "currency": "eur", "metadata": {"week": "48"}}
    )
    assert (payout["automatic"], payout["reconciliation_status"]) == (False, "not_applicable")
    assert await available(stripe) == free - 20_000
    answer = await stripe.call("GET", ROWS, {"payout": payout["id"]})
    assert (answer.status, answer.error["message"]) == (
        400,
        "Balance transaction history can only be filtered on automatic transfers, not manual.",
    )
    refusal = await stripe.refused("/v1/payouts", {"amount": free, "currency": "eur"})
    assert refusal["code"] == "balance_insufficient"
    # Its row is a line of the next automatic one, so that this one sums.
    [rest] = await cut(stripe)
    assert rest["amount"] == free - 20_000
    types = [line["type"] for line in (await stripe.get(ROWS, payout=rest["id"]))["data"]]
    assert types == ["payout", "payout", "charge"]


async def test_a_payout_by_hand_of_everything_leaves_nothing(stripe: Caller) -> None:
    await paid(stripe)
    [payout] = await cut(stripe, manual=True)
    assert (payout["automatic"], await available(stripe)) == (False, 0)
    await paid(stripe, 3_000)
    [later] = await cut(stripe)
    [line] = await lines_of(stripe, later["id"])
    assert line["amount"] == 3_000


async def test_an_instant_payout_costs_a_fee_of_its_own(stripe: Caller) -> None:
    await paid(stripe, 31_000)
    free = await available(stripe)
    payout = await stripe.post(
        "/v1/payouts", {"amount": 30_000, "currency": "eur", "method": "instant"}
    )
    [fee] = (await stripe.get(ROWS, type="stripe_fee"))["data"]
    assert (fee["amount"], fee["source"], fee["reporting_category"]) == (-450, None, "fee")
    assert await available(stripe) == free - 30_450 < 0
    balance = await stripe.get("/v1/balance")
    assert balance["instant_available"][0]["amount"] == 0
    await stripe.advance(1_800)
    assert (await stripe.get(f"/v1/payouts/{payout['id']}"))["status"] == "paid"


async def test_cancelling_a_payout(stripe: Caller) -> None:
    await paid(stripe)
    free = await available(stripe)
    payout = await stripe.post("/v1/payouts", {"amount": 500, "currency": "eur"})
    cancelled = await stripe.post(f"/v1/payouts/{payout['id']}/cancel")
    assert (cancelled["status"], await available(stripe)) == ("canceled", free)
    [row] = (await stripe.get(ROWS, type="payout_cancel"))["data"]
    assert (row["amount"], row["id"]) == (500, cancelled["failure_balance_transaction"])
    await stripe.refused(f"/v1/payouts/{payout['id']}/cancel")
    [automatic] = await cut(stripe)
    await stripe.refused(f"/v1/payouts/{automatic['id']}/cancel")
    await stripe.advance(3 * DAY)
    assert (await stripe.get(f"/v1/payouts/{payout['id']}"))["status"] == "canceled"


async def test_lists_of_payouts(stripe: Caller) -> None:
    for currency in ("eur", "usd", "gbp"):
        await paid(stripe, 1_000, currency)
        await cut(stripe, arrival_in_days=0 if currency == "usd" else 3)
    listed = (await stripe.get("/v1/payouts"))["data"]
    assert [each["currency"] for each in listed] == ["gbp", "usd", "eur"]
    [paid_out] = (await stripe.get("/v1/payouts", status="paid"))["data"]
    assert paid_out["currency"] == "usd"
    later = {"arrival_date[gt]": paid_out["arrival_date"]}
    assert len((await stripe.get("/v1/payouts", **later))["data"]) == 2
    page = await stripe.get("/v1/payouts", limit=1, starting_after=listed[0]["id"])
    assert [each["id"] for each in page["data"]] == [paid_out["id"]]
    noted = await stripe.post(f"/v1/payouts/{paid_out['id']}", {"metadata": {"bank": "ok"}})
    assert noted["metadata"] == {"bank": "ok"}
    answer = await stripe.call("GET", "/v1/payouts/po_none")
    assert (answer.status, answer.error["param"]) == (404, "payout")


async def test_lines_with_their_sources_whole(stripe: Caller) -> None:
    disputed = await paid(stripe, metadata={"order": "7"})
    await stripe.control("POST", "disputes", {"charge": disputed["latest_charge"]})
    refunded = await paid(stripe, 4_000)
    await stripe.post("/v1/refunds", {"payment_intent": refunded["id"]})
    await stripe.control(
        "POST", "adjustments", {"type": "stripe_fee", "amount": -100, "currency": "eur"}
    )
    [payout] = await cut(stripe)
    lines = await lines_of(stripe, payout["id"], **{"expand[]": "data.source"})
    fee, refund, charge, dispute, first = [line["source"] for line in lines]
    assert fee is None
    assert (refund["object"], refund["payment_intent"]) == ("refund", refunded["id"])
    assert (charge["object"], charge["payment_intent"]) == ("charge", refunded["id"])
    assert (dispute["object"], dispute["payment_intent"], dispute["charge"]) == (
        "dispute",
        disputed["id"],
        disputed["latest_charge"],
    )
    assert (first["metadata"], first["payment_intent"]) == ({"order": "7"}, disputed["id"])
    deeper = await lines_of(stripe, payout["id"], **{"expand[]": "data.source.charge"})
    assert deeper[1]["source"]["charge"]["id"] == refunded["latest_charge"]
    answer = await stripe.call("GET", ROWS, {"expand[]": "data.source.evidence"})
    assert answer.status == 400


async def test_a_long_payout_is_paged(stripe: Caller) -> None:
    for _ in range(25):
        await paid(stripe, 1_000)
    [payout] = await cut(stripe)
    seen: list[Json] = []
    while True:
        after = {"starting_after": seen[-1]["id"]} if seen else {}
        page = await stripe.get(ROWS, payout=payout["id"], limit=10, **after)
        seen += page["data"]
        if not page["has_more"]:
            break
    assert len({row["id"] for row in seen}) == len(seen) == 26
    assert sum(row["net"] for row in seen) == 0


async def test_the_official_client_walks_a_payout(
    stripe: Caller, http: official.AIOHTTPClient
) -> None:
    for _ in range(3):
        await paid(stripe, 1_000)
    [payout] = await cut(stripe)
    client = official.StripeClient(
        SECRET_KEY, base_addresses={"api": stripe.url}, http_client=http, max_network_retries=0
    )
    [listed] = (await client.v1.payouts.list_async()).data
    assert (listed.id, listed.amount) == (payout["id"], 3 * (1_000 - 54))
    rows = await client.v1.balance_transactions.list_async(
        {"payout": listed.id, "limit": 2, "expand": ["data.source"]}
    )
    walked = [row async for row in rows.auto_paging_iter()]
    assert [row.type for row in walked] == ["payout", "charge", "charge", "charge"]
    source = walked[1].source
    assert isinstance(source, official.Charge)
    assert source.payment_intent is not None
    with pytest.raises(official.InvalidRequestError) as caught:
        await client.v1.payouts.create_async({"amount": 1, "currency": "eur"})
    assert caught.value.code == "balance_insufficient"
