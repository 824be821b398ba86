"""Push transfers: instructions, money that comes whole, in parts or too much, and goes back."""

from typing import Any

import aiohttp
import pytest

from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import Caller
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_webhooks import subscribe

INTENTS = "/v1/payment_intents"
RAILS = [
    ("eur", "eu_bank_transfer", "iban"),
    ("gbp", "gb_bank_transfer", "sort_code"),
    ("jpy", "jp_bank_transfer", "zengin"),
    ("mxn", "mx_bank_transfer", "spei"),
    ("usd", "us_bank_transfer", "aba"),
]


async def a_customer(stripe: Caller) -> str:
    return str((await stripe.post("/v1/customers", {"name": "Ada"}))["id"])


def transfer(customer: str, currency: str = "eur", country: str = "DE", **more: Any) -> Any:
    kind = {each: rail for each, rail, _ in RAILS}[currency]
    details: dict[str, Any] = {"type": kind}
    if kind == "eu_bank_transfer":
        details[kind] = {"country": country}
    return {
        "amount": 1000,
        "currency": currency,
        "customer": customer,
        "payment_method_types": ["customer_balance"],
        "payment_method_data": {"type": "customer_balance"},
        "payment_method_options": {
            "customer_balance": {"funding_type": "bank_transfer", "bank_transfer": details}
        },
        "confirm": True,
        **more,
    }


async def fund(
    stripe: Caller, customer: str, amount: int, currency: str = "eur", **more: Any
) -> Any:
    return await stripe.post(
        f"/v1/test_helpers/customers/{customer}/fund_cash_balance",
        {"amount": amount, "currency": currency, **more},
    )


async def cash(stripe: Caller, customer: str) -> Any:
    return (await stripe.get(f"/v1/customers/{customer}/cash_balance"))["available"]


def instructions(intent: dict[str, Any]) -> dict[str, Any]:
    action = intent["next_action"]
    assert action["type"] == "display_bank_transfer_instructions"
    shown: dict[str, Any] = action["display_bank_transfer_instructions"]
    return shown


async def news(stripe: Caller, count: int) -> list[str]:
    return (await stripe.event_types())[-count:]


@pytest.mark.parametrize(("currency", "kind", "address"), RAILS)
async def test_every_rail(stripe: Caller, currency: str, kind: str, address: str) -> None:
    customer = await a_customer(stripe)
    intent = await stripe.post(INTENTS, transfer(customer, currency))
    assert intent["status"] == "requires_action"
    assert intent["payment_method_types"] == ["customer_balance"]
    shown = instructions(intent)
    assert (shown["amount_remaining"], shown["currency"]) == (1000, currency)
    assert shown["type"] == kind
    assert shown["reference"]
    [account] = shown["financial_addresses"]
    assert account["type"] == address
    assert account[address]
    second = instructions(await stripe.post(INTENTS, transfer(customer, currency)))
    assert second["financial_addresses"] == shown["financial_addresses"]
    assert second["reference"] != shown["reference"]
    assert await stripe.charges() == []
    await fund(stripe, customer, 1000, currency)
    paid = await stripe.get(f"{INTENTS}/{intent['id']}")
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 1000)


@pytest.mark.parametrize("country", ["BE", "DE", "ES", "FR", "IE", "NL"])
async def test_a_euro_account_of_each_country(stripe: Caller, country: str) -> None:
    customer = await a_customer(stripe)
    intent = await stripe.post(INTENTS, transfer(customer, country=country))
    iban = instructions(intent)["financial_addresses"][0]["iban"]
    assert iban["country"] == country
    number = iban["iban"][4:] + iban["iban"][:4]
    assert number.startswith(iban["iban"][4:])
    assert int("".join(str(int(each, 36)) for each in number)) % 97 == 1


async def test_paid_in_one(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    created = transfer(customer, metadata={"paygate_attempt": "att_1"})
    intent = await stripe.call("POST", INTENTS, created, key="att_1")
    funded = await fund(stripe, customer, 1000)
    assert (funded["type"], funded["net_amount"], funded["ending_balance"]) == (
        "funded",
        1000,
        1000,
    )
    paid = await stripe.get(f"{INTENTS}/{intent.body['id']}", **{"expand[0]": "latest_charge"})
    assert paid["status"] == "succeeded"
    assert paid["next_action"] is None
    charge = paid["latest_charge"]
    assert charge["payment_method_details"] == {"customer_balance": {}, "type": "customer_balance"}
    assert (charge["status"], charge["amount_captured"]) == ("succeeded", 1000)
    assert charge["customer"] == customer
    await stripe.advance(1)
    [line] = (await stripe.get("/v1/balance_transactions"))["data"]
    assert (line["type"], line["reporting_category"], line["net"]) == ("payment", "charge", 995)
    assert await stripe.event_types() == [
        "customer.created",
        "payment_intent.created",
        "payment_intent.requires_action",
        "customer_cash_balance_transaction.created",
        "customer_cash_balance_transaction.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated",
    ]
    [booked] = await stripe.charges()
    assert (booked["idempotency_key"], booked["status"]) == ("att_1", "succeeded")
    assert booked["metadata"] == {"paygate_attempt": "att_1"}
    assert await cash(stripe, customer) is None


async def test_paid_in_parts_and_too_much(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    intent = await stripe.post(INTENTS, transfer(customer))
    path = f"{INTENTS}/{intent['id']}"
    await fund(stripe, customer, 400)
    waiting = await stripe.get(path)
    assert waiting["status"] == "requires_action"
    assert instructions(waiting)["amount_remaining"] == 600
    assert instructions(waiting)["reference"] == instructions(intent)["reference"]
    assert (await news(stripe, 1)) == ["payment_intent.partially_funded"]
    assert await stripe.charges() == []
    assert await cash(stripe, customer) is None
    await fund(stripe, customer, 900)
    assert (await stripe.get(path))["status"] == "succeeded"
    assert await cash(stripe, customer) == {"eur": 300}
    assert await news(stripe, 3) == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "cash_balance.funds_available",
    ]
    [booked] = await stripe.charges()
    assert booked["amount_captured"] == 1000
    moves = await stripe.get(f"/v1/customers/{customer}/cash_balance_transactions")
    assert [(each["type"], each["net_amount"]) for each in moves["data"]] == [
        ("applied_to_payment", -600),
        ("funded", 900),
        ("applied_to_payment", -400),
        ("funded", 400),
    ]


async def test_a_cancelled_one_gives_its_part_back(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    intent = await stripe.post(INTENTS, transfer(customer))
    await fund(stripe, customer, 400)
    cancelled = await stripe.post(f"{INTENTS}/{intent['id']}/cancel")
    assert cancelled["status"] == "canceled"
    assert cancelled["next_action"] is None
    assert await cash(stripe, customer) == {"eur": 400}
    assert await news(stripe, 3) == [
        "customer_cash_balance_transaction.created",
        "cash_balance.funds_available",
        "payment_intent.canceled",
    ]
    await fund(stripe, customer, 600)
    assert (await stripe.get(f"{INTENTS}/{intent['id']}"))["status"] == "canceled"
    assert await cash(stripe, customer) == {"eur": 1000}
    assert await stripe.charges() == []


async def test_what_lies_there_pays_first(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    await fund(stripe, customer, 1500)
    assert await news(stripe, 1) == ["cash_balance.funds_available"]
    paid = await stripe.post(INTENTS, transfer(customer))
    assert paid["status"] == "succeeded"
    short = await stripe.post(INTENTS, transfer(customer))
    assert short["status"] == "requires_action"
    assert instructions(short)["amount_remaining"] == 500
    assert await news(stripe, 3) == [
        "payment_intent.requires_action",
        "customer_cash_balance_transaction.created",
        "payment_intent.partially_funded",
    ]
    assert await cash(stripe, customer) is None


async def test_whom_money_pays_for(stripe: Caller) -> None:
    customer, stranger = await a_customer(stripe), await a_customer(stripe)
    theirs = await stripe.post(INTENTS, transfer(stranger))
    pounds = await stripe.post(INTENTS, transfer(customer, "gbp"))
    first = await stripe.post(INTENTS, transfer(customer))
    second = await stripe.post(INTENTS, transfer(customer))
    third = await stripe.post(INTENTS, transfer(customer))
    await fund(stripe, customer, 1000, reference="an invoice")
    await fund(stripe, customer, 1000, reference=f"order {instructions(third)['reference']}")
    states = {
        each["id"]: (await stripe.get(f"{INTENTS}/{each['id']}"))["status"]
        for each in (theirs, pounds, first, second, third)
    }
    assert [name for name, status in states.items() if status == "succeeded"] == [
        first["id"],
        third["id"],
    ]


async def test_other_terms_give_the_part_back(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    intent = await stripe.post(INTENTS, transfer(customer))
    path = f"{INTENTS}/{intent['id']}"
    await fund(stripe, customer, 400)
    changed = await stripe.post(path, {"amount": 300})
    assert changed["status"] == "requires_confirmation"
    assert await cash(stripe, customer) == {"eur": 400}
    assert (await stripe.post(f"{path}/confirm"))["status"] == "succeeded"
    assert await cash(stripe, customer) == {"eur": 100}


async def test_confirmed_again_it_keeps_its_reference_and_its_part(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    intent = await stripe.post(INTENTS, transfer(customer))
    await fund(stripe, customer, 400)
    again = await stripe.post(f"{INTENTS}/{intent['id']}/confirm")
    assert instructions(again)["reference"] == instructions(intent)["reference"]
    assert instructions(again)["amount_remaining"] == 600
    assert await cash(stripe, customer) is None


async def test_created_first_and_confirmed_later(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    params = transfer(customer)
    method = {
        name: params.pop(name)
        for name in ("payment_method_data", "payment_method_options", "confirm")
    }
    intent = await stripe.post(INTENTS, params)
    del method["confirm"]
    waiting = await stripe.post(f"{INTENTS}/{intent['id']}/confirm", method)
    assert instructions(waiting)["amount_remaining"] == 1000
    method = await stripe.get(f"/v1/payment_methods/{waiting['payment_method']}")
    assert method["type"] == "customer_balance"


async def test_it_survives_a_restart(sandbox: Sandbox, stripe: Caller) -> None:
    customer = await a_customer(stripe)
    intent = await stripe.post(INTENTS, transfer(customer))
    await fund(stripe, customer, 400)
    await sandbox.stop()
    stripe.url = await sandbox.start()
    await fund(stripe, customer, 600)
    assert (await stripe.get(f"{INTENTS}/{intent['id']}"))["status"] == "succeeded"


async def test_faults_strike_it(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    await stripe.fault("confirm", "drop_reply")
    with pytest.raises(aiohttp.ClientError):
        await stripe.call("POST", INTENTS, transfer(customer), key="k")
    again = await stripe.call("POST", INTENTS, transfer(customer), key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    await fund(stripe, customer, 1000)
    [booked] = await stripe.charges()
    assert booked["payment_intent"] == again.body["id"]


async def test_parts_are_told_by_webhook(stripe: Caller, receiver: Receiver) -> None:
    wanted = (
        "payment_intent.partially_funded",
        "cash_balance.funds_available",
        "customer_cash_balance_transaction.created",
    )
    await subscribe(stripe, receiver.url, *wanted)
    customer = await a_customer(stripe)
    await stripe.post(INTENTS, transfer(customer))
    await fund(stripe, customer, 400)
    await fund(stripe, customer, 700)
    await receiver.wait_for(6)
    assert sorted(receiver.types()) == sorted([*wanted[:2], *4 * wanted[2:]])


async def test_funding_takes_effect_once_under_one_key(stripe: Caller) -> None:
    customer = await a_customer(stripe)
    path = f"/v1/test_helpers/customers/{customer}/fund_cash_balance"
    for _ in range(2):
        await stripe.post(path, {"amount": 700, "currency": "eur"}, key="k")
    assert await cash(stripe, customer) == {"eur": 700}


OPTIONS = "payment_method_options[customer_balance]"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"customer": None}, "parameter_missing", "customer"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"currency": "chf"}, None, "currency"),
        ({"currency": "usd"}, None, "currency"),
        ({"capture_method": "manual"}, None, "capture_method"),
        (
            {"payment_method_types": ["card"]},
            "payment_intent_incompatible_payment_method",
            "payment_method",
        ),
        ({"payment_method_options": None}, "parameter_missing", f"{OPTIONS}[funding_type]"),
        (
            {"payment_method_options": {"customer_balance": {"funding_type": "bank_transfer"}}},
            "parameter_missing",
            f"{OPTIONS}[bank_transfer]",
        ),
        (
            {
                "payment_method_options": {
                    "customer_balance": {"bank_transfer": {"type": "eu_bank_transfer"}}
                }
            },
            "parameter_missing",
            f"{OPTIONS}[bank_transfer][eu_bank_transfer]",
        ),
        ({"payment_method": "pm_card_visa"}, None, None),
        ({"payment_method_data": {"type": "cheque"}}, None, "payment_method_data[type]"),
        ({"error_on_requires_action": True}, None, "error_on_requires_action"),
        (
            {"mandate_data": {"customer_acceptance": {"type": "offline"}}},
            None,
            "mandate_data",
        ),
    ],
)
async def test_refused(
    stripe: Caller, change: dict[str, Any], code: str | None, param: str | None
) -> None:
    params = transfer(await a_customer(stripe)) | change
    params = {name: value for name, value in params.items() if value is not None}
    error = await stripe.refused(INTENTS, params)
    assert (error.get("code"), error.get("param")) == (code, param)
    assert (await stripe.get(INTENTS))["data"] == []


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"amount": 0, "currency": "eur"}, "amount"),
        ({"amount": 5}, "currency"),
        ({"amount": 5, "currency": "chf"}, "currency"),
    ],
)
async def test_bad_fundings(stripe: Caller, params: dict[str, Any], param: str) -> None:
    customer = await a_customer(stripe)
    path = f"/v1/test_helpers/customers/{customer}/fund_cash_balance"
    assert (await stripe.refused(path, params))["param"] == param
    assert await cash(stripe, customer) is None
