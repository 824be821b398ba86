"""Payouts whose lines are wrong by order, and what the judge's books say of each."""

from typing import Any

import pytest

from tests.sandbox.caller import Caller, Json, card_payment
from tests.sandbox.test_payouts import ROWS, available, cut, lines_of, paid

NET = 1_000 - 54


async def tampered(stripe: Caller, tamper: str, **more: Any) -> tuple[Json, list[Json]]:
    """A payout of three charges, tampered with, and its lines."""
    for order in range(3):
        await paid(stripe, 1_000, metadata={"mark": "ours", "order": str(order)})
    [payout] = await cut(stripe, tamper=tamper, **more)
    assert payout["tamper"] == tamper
    return payout, await lines_of(stripe, payout["id"])


async def test_without_tampering_the_judge_sees_the_same_lines(stripe: Caller) -> None:
    await paid(stripe, 1_000)
    [payout] = await cut(stripe, tamper=None)
    [told] = (await stripe.control("GET", "ledger"))["payouts"]
    assert (told["id"], told["amount"], told["tamper"]) == (payout["id"], NET, None)
    [line] = told["lines"]
    [listed] = await lines_of(stripe, payout["id"])
    assert {name: listed[name] for name in line} == line


async def test_wrong_amount(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "wrong_amount", by=-7)
    said = payout["tampered"]
    assert (said["expected"], said["found"]) == (1_000, 993)
    assert [line["amount"] for line in lines] == [1_000, 1_000, 993]
    assert lines[-1]["id"] == said["transaction"]
    assert lines[-1]["source"] == said["charge"]
    assert payout["amount"] == sum(line["net"] for line in lines) == 3 * NET - 7
    assert (await stripe.get(f"/v1/charges/{said['charge']}"))["amount_captured"] == 1_000
    assert await available(stripe) == 0


async def test_wrong_fee(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "wrong_fee")
    assert [line["fee"] for line in lines] == [54, 54, 59]
    assert [line["amount"] for line in lines] == [1_000] * 3
    assert lines[-1]["fee_details"][0]["amount"] == 59
    assert payout["amount"] == sum(line["net"] for line in lines)


async def test_missing_line(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "missing_line")
    assert len(lines) == 2
    assert payout["amount"] == 2 * NET
    missing = payout["tampered"]["transaction"]
    assert (await stripe.get(f"{ROWS}/{missing}"))["status"] == "available"
    assert await available(stripe) == NET  # the provider still owes it
    assert await cut(stripe) == []  # and never pays


async def test_late_line(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "late_line")
    assert payout["amount"] == sum(line["net"] for line in lines) == 2 * NET
    [later] = await cut(stripe)
    [line] = await lines_of(stripe, later["id"])
    assert line["id"] == payout["tampered"]["transaction"]


async def test_duplicate_line(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "duplicate_line")
    assert payout["amount"] == sum(line["net"] for line in lines) == 4 * NET
    said = payout["tampered"]
    twins = [line["id"] for line in lines if line["source"] == said["charge"]]
    assert sorted(twins) == sorted([said["transaction"], said["twin_of"]])


async def test_extra_line_bears_our_mark_and_nothing_else_of_ours(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "extra_line")
    assert payout["amount"] == sum(line["net"] for line in lines) == 4 * NET
    said = payout["tampered"]
    charge = await stripe.get(f"/v1/charges/{said['charge']}")
    assert charge["metadata"] == {"mark": "ours"}
    assert charge["payment_intent"] == said["payment_intent"]
    assert charge["balance_transaction"] == said["transaction"]
    intent = await stripe.get(f"/v1/payment_intents/{said['payment_intent']}")
    assert (intent["latest_charge"], intent["metadata"]) == (charge["id"], {"mark": "ours"})
    assert charge["id"] in {each["id"] for each in await stripe.charges()}


async def test_extra_line_of_a_lone_charge_is_told_its_marks(stripe: Caller) -> None:
    await paid(stripe, 1_000, metadata={"mark": "ours", "order": "1"})
    assert "metadata" in await refused(stripe, {"tamper": "extra_line"})
    [payout] = await cut(stripe, tamper="extra_line", metadata={"mark": "ours"})
    charge = await stripe.get(f"/v1/charges/{payout['tampered']['charge']}")
    assert charge["metadata"] == {"mark": "ours"}


async def test_unknown_line(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "unknown_line")
    [line] = [each for each in lines if each["source"] is None]
    assert (line["reporting_category"], line["amount"]) == ("lunar_fee", -100)
    assert payout["amount"] == sum(each["net"] for each in lines)


async def test_wrong_total(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "wrong_total", by=3)
    assert payout["amount"] == sum(line["net"] for line in lines) + 3


async def test_unbooked_charge(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "unbooked_charge")
    assert payout["amount"] == sum(line["net"] for line in lines) == 2 * NET
    said = payout["tampered"]
    charge = await stripe.get(f"/v1/charges/{said['charge']}")
    assert (charge["balance_transaction"], charge["amount_captured"]) == (None, 1_000)
    rows = (await stripe.get(ROWS, limit=100))["data"]
    assert said["transaction"] not in {row["id"] for row in rows}
    assert await available(stripe) == 0


async def test_wrong_currency(stripe: Caller) -> None:
    payout, lines = await tampered(stripe, "wrong_currency")
    assert payout["amount"] == sum(line["net"] for line in lines) == 3 * NET
    said = payout["tampered"]
    assert (said["expected"], said["found"]) == ("eur", "usd")
    [line] = [each for each in lines if each["id"] == said["transaction"]]
    assert (line["source"], line["amount"], line["currency"]) == (said["source"], 1_000, "eur")
    charge = await stripe.get(f"/v1/charges/{said['charge']}")
    other = await stripe.get(f"/v1/charges/{said['source']}")
    assert (charge["currency"], other["currency"]) == ("eur", "usd")
    assert other["payment_intent"] == charge["payment_intent"]


async def test_declined_line(stripe: Caller) -> None:
    assert "declined" in await refused(stripe, {"tamper": "declined_line", "charge": "ch_1"})
    await paid(stripe, 1_000)
    assert "no charge was declined" in await refused(stripe, {"tamper": "declined_line"})
    order = card_payment("pm_card_chargeDeclined", amount=500, currency="eur")
    made = await stripe.call("POST", "/v1/payment_intents", order)
    assert made.status == 402, made.body
    payout, lines = await tampered(stripe, "declined_line")
    said = payout["tampered"]
    charge = await stripe.get(f"/v1/charges/{said['charge']}")
    assert (charge["status"], charge["amount_captured"]) == ("failed", 0)
    [line] = [each for each in lines if each["id"] == said["transaction"]]
    assert (line["amount"], line["fee"], line["source"]) == (500, 40, charge["id"])
    assert payout["amount"] == sum(each["net"] for each in lines)


@pytest.mark.parametrize(
    ("tamper", "kind", "by", "net"),
    [
        ("extra_refund", "refund", None, -1_000),
        ("extra_refund", "refund", -300, -300),
        ("extra_chargeback", "dispute", -300, -300 - 1_500),
    ],
)
async def test_money_goes_back_and_nobody_tells(
    stripe: Caller, tamper: str, kind: str, by: int | None, net: int
) -> None:
    payout, lines = await tampered(stripe, tamper, by=by)
    said = payout["tampered"]
    [line] = [each for each in lines if each["id"] == said["transaction"]]
    assert (line["net"], line["source"], line["reporting_category"]) == (net, said[kind], kind)
    assert payout["amount"] == sum(each["net"] for each in lines) == 3 * NET + net
    made = await stripe.get(f"/v1/{kind}s/{said[kind]}")
    assert (made["charge"], made["amount"]) == (said["charge"], -(by or -1_000))
    charge = await stripe.get(f"/v1/charges/{said['charge']}")
    assert (charge["amount_refunded"], charge["disputed"]) == (0, False)
    events = (await stripe.get("/v1/events", limit=100))["data"]
    assert not [each for each in events if kind in each["type"]]


async def test_more_than_a_charge_took_does_not_go_back(stripe: Caller) -> None:
    await paid(stripe, 1_000)
    for by in (-1_001, 5):
        for tamper in ("extra_refund", "extra_chargeback"):
            assert "below 0" in await refused(stripe, {"tamper": tamper, "by": by})


async def test_a_named_charge_is_tampered_with(stripe: Caller) -> None:
    await paid(stripe, 1_000)
    second = await paid(stripe, 1_000)
    await paid(stripe, 1_000, "usd")
    made = await cut(stripe, tamper="missing_line", charge=second["latest_charge"])
    [payout] = made
    assert (payout["currency"], payout["tampered"]["charge"]) == ("eur", second["latest_charge"])


async def refused(stripe: Caller, order: Any, path: str = "payouts") -> str:
    async with stripe.session.post(f"{stripe.url}/_sandbox/{path}", json=order) as response:
        body = await response.json()
        assert response.status == 400, body
        return str(body["error"]["message"])


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"tamper": "nonsense"}, "Invalid enum value"),
        ({"tamper": "missing_line"}, "no charge is available"),
        ({"tampering": "missing_line"}, "unknown field"),
        ({"charge": "ch_1"}, "give `tamper`"),
        ({"by": 5}, "give `tamper`"),
        ({"tamper": "late_line", "metadata": {}}, "extra_line"),
        ({"manual": True, "tamper": "late_line"}, "by hand"),
        ({"manual": True, "amount": 1, "currency": "eur"}, "insufficient funds"),
        ({"amount": 5}, "by hand"),
        ({"method": "instant"}, "by hand"),
        ({"lines_in_hours": 3}, "in_progress"),
        ({"failure_code": "no_account"}, "`fail`"),
        ({"fail": True, "failure_code": "bad_mood"}, "unknown failure_code"),
        ({"currency": "EUR"}, "regex"),
        ({"arrival_in_days": -1}, ">= 0"),
        ([], "Expected `object`"),
    ],
)
async def test_orders_that_make_no_sense(stripe: Caller, order: Any, says: str) -> None:
    assert says in await refused(stripe, order)


async def test_a_tampering_that_leaves_nothing_is_refused(stripe: Caller) -> None:
    await paid(stripe, 1_000)
    for tamper in ("wrong_amount", "wrong_fee"):
        by = -1_000 if tamper == "wrong_amount" else 55
        assert "smaller" in await refused(stripe, {"tamper": tamper, "by": by})
    [payout] = await cut(stripe)  # and nothing of it stayed
    assert payout["amount"] == NET


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("reserve_transaction", "risk_reserved_funds"),
        ("reserve_hold", "risk_reserved_funds"),
        ("reserve_release", "risk_reserved_funds"),
        ("stripe_fee", "fee"),
        ("tax_fee", "tax"),
        ("topup", "topup"),
        ("transfer", "transfer"),
        ("adjustment", "other_adjustment"),
        ("advance", "advance"),
    ],
)
async def test_money_that_moves_without_a_payment(stripe: Caller, kind: str, category: str) -> None:
    await paid(stripe, 10_000)
    row = await stripe.control(
        "POST",
        "adjustments",
        {
            "type": kind,
            "reporting_category": category,
            "amount": -300,
            "fee": 7,
            "currency": "eur",
            "description": "as ordered",
        },
    )
    assert (await stripe.get(f"{ROWS}/{row['id']}")) == row
    assert (row["net"], row["reporting_category"], row["source"]) == (-307, category, None)
    [payout] = await cut(stripe)
    [line, _] = await lines_of(stripe, payout["id"])
    assert line == row
    assert payout["amount"] == 10_000 - 315 - 307


async def test_a_type_that_stripe_does_not_describe(stripe: Caller) -> None:
    row = await stripe.control(
        "POST",
        "adjustments",
        {"type": "lunar_fee", "amount": 45, "currency": "eur", "available_in_days": 1},
    )
    assert (row["type"], row["reporting_category"], row["status"]) == (
        "lunar_fee",
        "lunar_fee",
        "pending",
    )
    assert "regex" in await refused(
        stripe, {"type": "Lunar fee", "amount": 1, "currency": "eur"}, "adjustments"
    )
