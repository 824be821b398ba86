"""How the account settles: in another currency, later, and a partial capture in one row or two."""

from typing import Any

import pytest

from paygate_sandbox.server import Sandbox, SandboxOptions
from tests.sandbox.caller import Caller, Json, card_payment
from tests.sandbox.test_payouts import DAY, INTENTS, ROWS, available, cut, lines_of, paid
from tests.sandbox.test_tampered_payouts import refused


async def account(stripe: Caller, **order: Any) -> Json:
    told: Json = await stripe.control("POST", "account", order)
    return told


async def rows_of(stripe: Caller, charge: str) -> list[Json]:
    rows: list[Json] = (await stripe.get(ROWS, source=charge))["data"]
    return rows[::-1]


async def test_another_currency_is_settled_at_the_rate_of_then(stripe: Caller) -> None:
    await account(stripe, settlement_currency="usd", rates={"eur": "1.10"})
    intent = await paid(stripe, 10_000, "eur")
    [row] = await rows_of(stripe, intent["latest_charge"])
    assert (row["amount"], row["currency"], row["exchange_rate"]) == (11_000, "usd", 1.1)
    assert (row["fee"], row["fee_details"][0]["currency"]) == (349, "usd")
    charge = await stripe.get(f"/v1/charges/{intent['latest_charge']}")
    assert (charge["amount_captured"], charge["currency"]) == (10_000, "eur")
    await account(stripe, rates={"eur": "1.15"})
    for third in (3_333, 3_333, 3_334):
        await stripe.post("/v1/refunds", {"payment_intent": intent["id"], "amount": third})
    rows = (await stripe.get(ROWS, type="refund"))["data"]
    assert [each["amount"] for each in rows] == [-3_834, -3_833, -3_833]  # 115.00 went back
    assert {(each["currency"], each["exchange_rate"]) for each in rows} == {("usd", 1.15)}
    assert await available(stripe, "usd") == 11_000 - 349 - 11_500
    [payout] = await cut(stripe)
    assert (payout["currency"], payout["amount"]) == ("usd", 11_000 - 349 - 11_500)


async def test_a_dispute_in_another_currency(stripe: Caller) -> None:
    await account(stripe, settlement_currency="usd", rates={"eur": "1.10"})
    intent = await paid(stripe, 10_000, "eur")
    dispute = await stripe.control("POST", "disputes", {"charge": intent["latest_charge"]})
    [row] = dispute["balance_transactions"]
    assert (dispute["amount"], dispute["currency"]) == (10_000, "eur")
    assert (row["amount"], row["fee"], row["currency"]) == (-11_000, 1_500, "usd")


@pytest.mark.parametrize(
    ("currency", "amount", "into", "rate", "settled"),
    [
        ("jpy", 1_000, "usd", "0.0067", 670),
        ("usd", 1_000, "jpy", "149.25", 1_493),  # 1492.5: away from zero
        ("kwd", 10_000, "eur", "3.01", 3_010),
        ("gbp", 999, "eur", "1.1537", 1_153),
        ("chf", 1_000, "eur", "1.05", 1_050),
    ],
)
async def test_rates_are_between_major_units(
    stripe: Caller, currency: str, amount: int, into: str, rate: str, settled: int
) -> None:
    await account(stripe, settlement_currency=into, rates={currency: rate})
    intent = await paid(stripe, amount, currency)
    [row] = await rows_of(stripe, intent["latest_charge"])
    assert (row["amount"], row["currency"]) == (settled, into)


async def test_what_has_no_rate_settles_in_itself(stripe: Caller) -> None:
    await account(stripe, settlement_currency="usd", rates={"eur": "1.10"})
    await paid(stripe, 1_000, "gbp")
    await paid(stripe, 1_000, "usd")
    assert {each["currency"] for each in await cut(stripe)} == {"gbp", "usd"}
    assert (await stripe.get("/v1/account"))["default_currency"] == "usd"


async def captured_in_part(stripe: Caller) -> str:
    intent = await stripe.post(INTENTS, card_payment(amount=10_000, capture_method="manual"))
    await stripe.post(f"{INTENTS}/{intent['id']}/capture", {"amount_to_capture": 6_000})
    return str(intent["latest_charge"])


async def test_a_partial_capture_in_one_row(stripe: Caller) -> None:
    [row] = await rows_of(stripe, await captured_in_part(stripe))
    assert (row["amount"], row["fee"]) == (6_000, 199)


async def test_a_partial_capture_in_two_rows(stripe: Caller) -> None:
    await account(stripe, partial_capture="two_rows")
    charge = await captured_in_part(stripe)
    whole, back = await rows_of(stripe, charge)
    assert (whole["amount"], whole["fee"], whole["type"]) == (10_000, 199, "charge")
    assert (back["amount"], back["fee"], back["reporting_category"]) == (
        -4_000,
        0,
        "partial_capture_reversal",
    )
    assert whole["available_on"] == back["available_on"]
    shown = await stripe.get(f"/v1/charges/{charge}")
    assert (shown["amount_captured"], shown["amount_refunded"]) == (6_000, 0)
    assert shown["balance_transaction"] == whole["id"]
    await stripe.advance(2 * DAY)
    [payout] = await cut(stripe)
    assert payout["amount"] == 6_000 - 199
    lines = await lines_of(stripe, payout["id"], **{"expand[]": "data.source"})
    assert [line["source"]["id"] for line in lines] == [charge, charge]


async def test_two_rows_in_another_currency_sum_to_what_was_captured(stripe: Caller) -> None:
    await account(
        stripe, settlement_currency="usd", rates={"eur": "1.0853"}, partial_capture="two_rows"
    )
    whole, back = await rows_of(stripe, await captured_in_part(stripe))
    assert (whole["amount"], back["amount"]) == (10_853, -4_341)  # 6_512: 6000 at that rate


@pytest.mark.parametrize("days", [0, 7])
async def test_funds_come_as_late_as_ordered(stripe: Caller, days: int) -> None:
    await account(stripe, available_in_days=days)
    await stripe.post(INTENTS, card_payment(capture_method="automatic"))
    if days:
        await stripe.advance((days - 1) * DAY)
        assert await available(stripe) == 0
        await stripe.advance(DAY)
    assert await available(stripe) == 946


async def test_the_account_is_told_and_survives_a_restart(
    stripe: Caller, sandbox: Sandbox, options: SandboxOptions
) -> None:
    assert await stripe.control("GET", "account") == {
        "settlement_currency": None,
        "rates": {},
        "available_in_days": 2,
        "partial_capture": "one_row",
    }
    told = await account(stripe, settlement_currency="usd", rates={"eur": "1.0853"})
    await sandbox.stop()
    again = Sandbox(options)
    try:
        restarted = Caller(await again.start(), stripe.session)
        assert await restarted.control("GET", "account") == told
    finally:
        await again.stop()
        await sandbox.start()  # for its fixture to stop
    fresh = Caller(sandbox.parts.base_url, stripe.session)
    reset = await account(fresh, settlement_currency=None, rates={})
    assert reset["settlement_currency"] is None


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"rates": {"eur": "1.1"}}, "settlement_currency"),
        ({"settlement_currency": "usd", "rates": {"eur": 1.1}}, "Expected `str`"),
        ({"settlement_currency": "usd", "rates": {"eur": "-1"}}, "regex"),
        ({"settlement_currency": "usd", "rates": {"eur": "1e3"}}, "regex"),
        ({"settlement_currency": "usd", "rates": {"eur": "0.0"}}, "no money"),
        ({"settlement_currency": "usd", "rates": {"xyz": "1"}}, "unknown currency: xyz"),
        ({"settlement_currency": "xyz"}, "unknown currency: xyz"),
        ({"settlement_currency": "USD"}, "regex"),
        ({"available_in_days": 91}, "<= 90"),
        ({"partial_capture": "three_rows"}, "Invalid enum"),
        ({"fees": 1}, "unknown field"),
    ],
)
async def test_accounts_that_make_no_sense(stripe: Caller, order: Any, says: str) -> None:
    assert says in await refused(stripe, order, "account")
