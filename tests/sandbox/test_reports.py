"""Reports of payouts: ordered, made, told of, fetched; and every column of Stripe's."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
import stripe as official

from paygate_sandbox.resources.reports.columns import major
from tests.sandbox.caller import PUBLISHABLE_KEY, SECRET_KEY, Caller, Json, card_payment
from tests.sandbox.test_payouts import DAY, INTENTS, cut, lines_of, paid
from tests.stripe_oracle import ABSENT, DESCRIPTION

RUNS = "/v1/reporting/report_runs"
TYPE = "payout_reconciliation.itemized.5"
NAMES = DESCRIPTION / "payout_reconciliation_itemized_5_columns.json"


async def order(stripe: Caller, **parameters: Any) -> Json:
    return await stripe.post(RUNS, {"report_type": TYPE, "parameters": parameters})


async def fetch(stripe: Caller, url: str, key: str = SECRET_KEY) -> tuple[int, str, str]:
    sent = {"Authorization": f"Bearer {key}"}
    async with stripe.session.get(url, headers=sent) as response:
        return response.status, response.content_type, await response.text()


async def made(stripe: Caller, **parameters: Any) -> list[dict[str, str]]:
    """The lines of a report, by their columns' names."""
    run = await order(stripe, **parameters)
    assert (run["status"], run["result"]) == ("pending", None)
    await stripe.advance(5)
    run = await stripe.get(f"{RUNS}/{run['id']}")
    assert (run["status"], run["error"]) == ("succeeded", None)
    status, kind, text = await fetch(stripe, run["result"]["url"])
    assert (status, kind) == (200, "text/csv")
    assert len(text.encode()) == run["result"]["size"]
    return list(csv.DictReader(io.StringIO(text)))


async def test_the_report_of_a_payout_says_what_its_list_says(stripe: Caller) -> None:
    intent = await paid(stripe, 10_050, metadata={"order": "7"}, description='=1+1, a "book"')
    await stripe.post("/v1/refunds", {"payment_intent": intent["id"], "amount": 50})
    await paid(stripe, 500, "jpy")
    in_eur, in_jpy = await cut(stripe)
    charge, refund = await made(stripe, payout=in_eur["id"])
    [back, listed] = await lines_of(stripe, in_eur["id"])
    assert (
        list(charge) == (await stripe.get(f"/v1/reporting/report_types/{TYPE}"))["default_columns"]
    )
    assert charge["automatic_payout_id"] == in_eur["id"]
    assert (charge["balance_transaction_id"], charge["source_id"]) == (
        listed["id"],
        intent["latest_charge"],
    )
    assert (charge["gross"], charge["fee"], charge["net"]) == ("100.50", "3.16", "97.34")
    assert (charge["currency"], charge["reporting_category"]) == ("eur", "charge")
    assert charge["description"] == '=1+1, a "book"'
    assert (refund["balance_transaction_id"], refund["gross"]) == (back["id"], "-0.50")
    assert (refund["customer_facing_amount"], refund["customer_facing_currency"]) == (
        "-0.50",
        "eur",
    )
    total = sum(Decimal(line["net"]) for line in (charge, refund))
    assert total == Decimal(in_eur["amount"]) / 100
    [line] = await made(stripe, payout=in_jpy["id"])
    assert (line["gross"], line["fee"], line["net"]) == ("500", "15", "485")


def test_amounts_in_major_units() -> None:
    told = [major(5, "eur"), major(-5, "eur"), major(-12_345, "usd"), major(1_230, "kwd")]
    assert told == ["0.05", "-0.05", "-123.45", "1.230"]
    assert [major(500, "jpy"), major(-500, "jpy"), major(0, "eur")] == ["500", "-500", "0.00"]
    assert major(3_500_000_000, "vnd") == "3500000000"
    assert major(250_000, "ugx") == "2500.00"  # Stripe's own exponent, not ISO 4217's


@pytest.mark.skipif(not NAMES.exists(), reason=ABSENT)
async def test_every_column_of_stripes(stripe: Caller) -> None:
    columns: list[str] = json.loads(NAMES.read_text())["columns"]
    assert len(columns) == 69
    customer = await stripe.post(
        "/v1/customers", {"email": "ana@shop.example", "name": "Ana", "address": {"city": "Graz"}}
    )
    intent = await paid(stripe, 2_000, customer=customer["id"], metadata={"key": "of the payment"})
    await stripe.post(
        "/v1/refunds",
        {"payment_intent": intent["id"], "amount": 500, "metadata": {"key": "of the refund"}},
    )
    other = await paid(stripe, 1_000)
    await stripe.control("POST", "disputes", {"charge": other["latest_charge"]})
    await stripe.control(
        "POST", "adjustments", {"type": "stripe_fee", "amount": -10, "currency": "eur"}
    )
    [payout] = await cut(stripe)
    charge, refund, _, dispute, fee = await made(stripe, payout=payout["id"], columns=columns)
    assert list(charge) == columns
    assert (charge["customer_email"], charge["customer_address_city"]) == (
        "ana@shop.example",
        "Graz",
    )
    assert (charge["card_brand"], charge["payment_method_type"]) == ("Visa", "card")
    assert charge["payment_intent_id"] == refund["payment_intent_id"] == intent["id"]
    assert charge["payment_metadata[key]"] == "of the payment"
    assert (charge["refund_metadata[key]"], refund["refund_metadata[key]"]) == (
        "",
        "of the refund",
    )
    assert (dispute["dispute_reason"], dispute["charge_id"]) == (
        "fraudulent",
        other["latest_charge"],
    )
    assert (dispute["gross"], dispute["fee"], dispute["net"]) == ("-10.00", "15.00", "-25.00")
    assert (fee["charge_id"], fee["source_id"], fee["net"]) == ("", "", "-0.10")


async def test_columns_come_in_the_order_that_was_asked_for(stripe: Caller) -> None:
    await paid(stripe)
    [payout] = await cut(stripe)
    columns = ["net", "payment_metadata[a b]", "currency"]
    [line] = await made(stripe, payout=payout["id"], columns=columns)
    assert list(line.items()) == [
        ("net", "96.85"),
        ("payment_metadata[a b]", ""),
        ("currency", "eur"),
    ]


async def test_the_report_of_an_interval(stripe: Caller) -> None:
    for currency in ("eur", "usd"):
        await paid(stripe, 1_000, currency)
    early = await cut(stripe, arrival_in_days=0)
    await paid(stripe, 2_000)
    await cut(stripe, arrival_in_days=1)
    await paid(stripe, 4_000)
    await stripe.post("/v1/payouts", {"amount": 100, "currency": "eur"})
    start = early[0]["arrival_date"]
    refusal = await stripe.refused(
        RUNS,
        {
            "report_type": TYPE,
            "parameters": {"interval_start": start, "interval_end": start + DAY},
        },
    )
    assert refusal["param"] == "parameters[interval_end]"
    await stripe.advance(3 * DAY // 2 + 3_600)
    known = (await stripe.get(f"/v1/reporting/report_types/{TYPE}"))["data_available_end"]
    assert known >= start + DAY
    lines = await made(stripe, interval_start=start, interval_end=start + DAY)
    assert [line["automatic_payout_id"] for line in lines] == [each["id"] for each in early]
    only = await made(stripe, interval_start=start, interval_end=start + DAY, currency="usd")
    assert [line["currency"] for line in only] == ["usd"]
    none = await made(
        stripe, interval_start=start, interval_end=start + DAY, reporting_category="refund"
    )
    assert none == []


async def test_times_are_in_the_zone_that_was_asked_for(stripe: Caller) -> None:
    await paid(stripe)
    [payout] = await cut(stripe)
    [line] = await made(
        stripe,
        payout=payout["id"],
        timezone="Asia/Tokyo",
        columns=[
            "available_on_utc",
            "automatic_payout_effective_at",
            "automatic_payout_effective_at_utc",
        ],
    )
    assert line["automatic_payout_effective_at_utc"].endswith(" 00:00:00")
    assert line["automatic_payout_effective_at"].endswith(" 09:00:00")


async def test_lines_that_are_not_known_yet_are_not_in_the_report(stripe: Caller) -> None:
    for _ in range(4):
        await paid(stripe)
    [payout] = await cut(stripe, reconciliation="in_progress")
    assert await made(stripe, payout=payout["id"]) == []
    await stripe.advance(6 * 3_600)
    assert len(await made(stripe, payout=payout["id"])) == 3
    await stripe.advance(6 * 3_600)
    assert len(await made(stripe, payout=payout["id"])) == 4


async def test_a_run_is_told_of_and_kept(stripe: Caller) -> None:
    await paid(stripe)
    [payout] = await cut(stripe)
    await made(stripe, payout=payout["id"])
    [event] = (await stripe.get("/v1/events", type="reporting.report_run.succeeded"))["data"]
    run = event["data"]["object"]
    assert (await stripe.get(RUNS))["data"] == [run]
    assert (await stripe.get(f"/v1/files/{run['result']['id']}")) == run["result"]
    [file] = (await stripe.get("/v1/files", purpose="finance_report_run"))["data"]
    assert file == run["result"]
    url = run["result"]["url"]
    assert (await fetch(stripe, url, "sk_test_other"))[0] == 401
    assert (await fetch(stripe, url, PUBLISHABLE_KEY))[0] == 401
    await stripe.advance(366 * DAY)
    assert (await fetch(stripe, url))[0] == 404  # expired


async def test_evidence_is_not_given_out(stripe: Caller) -> None:
    file = (await stripe.upload("r.pdf", b"%PDF-1.7 a receipt")).body
    assert (await fetch(stripe, file["url"]))[0] == 404


async def test_a_run_can_stay_pending_for_long(stripe: Caller) -> None:
    await paid(stripe)
    [payout] = await cut(stripe)
    await stripe.fault("reports", "stay_pending", seconds=3_600)
    run = await order(stripe, payout=payout["id"])
    await stripe.advance(3_600)
    assert (await stripe.get(f"{RUNS}/{run['id']}"))["status"] == "pending"
    await stripe.advance(5)
    assert (await stripe.get(f"{RUNS}/{run['id']}"))["status"] == "succeeded"
    assert await stripe.fired("stay_pending") == 1


async def test_a_run_can_fail(stripe: Caller) -> None:
    await paid(stripe)
    [payout] = await cut(stripe)
    await stripe.fault("reports", "fail_run")
    run = await order(stripe, payout=payout["id"])
    await stripe.advance(5)
    failed = await stripe.get(f"{RUNS}/{run['id']}")
    assert (failed["status"], failed["result"]) == ("failed", None)
    assert failed["error"]
    assert (await stripe.event_types())[-1] == "reporting.report_run.failed"


@pytest.mark.parametrize(
    ("report_type", "parameters", "param"),
    [
        ("nonsense.1", {}, "report_type"),
        (TYPE, {}, "parameters[interval_start]"),
        (TYPE, {"interval_start": 1_700_000_000}, "parameters[interval_end]"),
        (
            TYPE,
            {"interval_start": 1_700_000_000, "interval_end": 1_700_000_000},
            "parameters[interval_start]",
        ),
        (TYPE, {"interval_start": 5, "interval_end": 86_400}, "parameters[interval_start]"),
        (TYPE, {"payout": "po_none"}, "parameters[payout]"),
        ("payout_reconciliation.by_id.itemized.4", {}, "parameters[payout]"),
        (TYPE, {"nonsense": 1}, "parameters[nonsense]"),
    ],
)
async def test_runs_that_are_refused(
    stripe: Caller, report_type: str, parameters: Json, param: str
) -> None:
    given = {"report_type": report_type}
    refusal = await stripe.refused(
        RUNS, {**given, "parameters": parameters} if parameters else given
    )
    assert refusal["param"] == param


async def test_columns_zones_and_payouts_by_hand_that_are_refused(stripe: Caller) -> None:
    await paid(stripe)
    by_hand = await stripe.post("/v1/payouts", {"amount": 100, "currency": "eur"})
    [payout] = await cut(stripe)
    for wrong, param in (
        ({"payout": by_hand["id"]}, "payout"),
        ({"payout": payout["id"], "columns": ["net", "profit"]}, "columns"),
        ({"payout": payout["id"], "columns": ["payment_metadata[]"]}, "columns"),
        ({"payout": payout["id"], "timezone": "Mars/Olympus"}, "timezone"),
    ):
        refusal = await stripe.refused(RUNS, {"report_type": TYPE, "parameters": wrong})
        assert refusal["param"] == f"parameters[{param}]"
    answer = await stripe.call("GET", "/v1/reporting/report_types/nonsense.1")
    assert answer.status == 404


async def test_the_official_client_orders_a_report(
    stripe: Caller, http: official.AIOHTTPClient, session: aiohttp.ClientSession
) -> None:
    await stripe.post(INTENTS, card_payment("pm_card_bypassPending", capture_method="automatic"))
    [payout] = await cut(stripe)
    client = official.StripeClient(
        SECRET_KEY, base_addresses={"api": stripe.url}, http_client=http, max_network_retries=0
    )
    known = await client.v1.reporting.report_types.retrieve_async(TYPE)
    assert known.data_available_end % DAY == 0
    run = await client.v1.reporting.report_runs.create_async(
        {
            "report_type": TYPE,
            "parameters": {"payout": payout["id"], "columns": ["net", "source_id"]},
        }
    )
    await stripe.advance(5)
    run = await client.v1.reporting.report_runs.retrieve_async(run.id)
    assert run.status == "succeeded"
    assert run.result is not None
    assert run.result.url is not None
    async with session.get(
        run.result.url, headers={"Authorization": f"Bearer {SECRET_KEY}"}
    ) as response:
        text = await response.text()
    [line] = csv.DictReader(io.StringIO(text))
    assert line["net"] == "9.46"
