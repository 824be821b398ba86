"""Debits: a mandate, a bank that takes its time, and its yes or no."""

from typing import Any

import pytest

from paygate_sandbox.resources.bank_accounts import FAILURES, US_ACCOUNTS
from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import Caller

INTENTS = "/v1/payment_intents"
METHODS = "/v1/payment_methods"
MANDATE: dict[str, Any] = {
    "customer_acceptance": {
        "type": "online",
        "accepted_at": 1_700_000_000,
        "online": {"ip_address": "203.0.113.7", "user_agent": "Browser/1"},
    }
}
PAYER = {"name": "Ada", "email": "ada@example.com"}
GOOD, GOOD_SLOW = "AT611904300234573201", "AT321904300235473204"
BAD, BAD_SLOW = "AT861904300235473202", "AT051904300235473205"
UNUSABLE = "AT511904300000066666"
ANSWER_SECONDS = 180


def debit(token: str = "pm_usBankAccount_success", **more: Any) -> dict[str, Any]:
    return {
        "amount": 5000,
        "currency": "usd",
        "payment_method_types": ["us_bank_account"],
        "payment_method": token,
        "mandate_data": MANDATE,
        "confirm": True,
        **more,
    }


def sepa(method: str, **more: Any) -> dict[str, Any]:
    return debit(method, currency="eur", payment_method_types=["sepa_debit"], **more)


async def account(stripe: Caller, iban: str) -> str:
    described = {"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": PAYER}
    return str((await stripe.post(METHODS, described))["id"])


async def test_it_goes_through(stripe: Caller) -> None:
    answer = await stripe.call("POST", INTENTS, debit(metadata={"paygate_attempt": "a"}), key="k")
    path = f"{INTENTS}/{answer.body['id']}"
    pending = await stripe.get(path, **{"expand[0]": "latest_charge"})
    assert pending["status"] == "processing"
    assert (pending["amount_received"], pending["next_action"]) == (0, None)
    charge = pending["latest_charge"]
    assert (charge["status"], charge["paid"], charge["captured"]) == ("pending", False, False)
    details = charge["payment_method_details"]["us_bank_account"]
    assert (details["last4"], details["routing_number"]) == ("6789", "110000000")
    await stripe.advance(ANSWER_SECONDS - 30)
    assert (await stripe.get(path))["status"] == "processing"
    [booked] = await stripe.charges()
    assert (booked["status"], booked["amount_captured"]) == ("pending", 0)
    await stripe.advance(30)
    paid = await stripe.get(path)
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 5000)
    [booked] = await stripe.charges()
    assert (booked["status"], booked["amount_captured"]) == ("succeeded", 5000)
    assert booked["idempotency_key"] == "k"
    await stripe.advance(1)
    [line] = (await stripe.get("/v1/balance_transactions"))["data"]
    assert (line["type"], line["fee"], line["source"]) == ("payment", 40, charge["id"])
    assert await stripe.event_types() == [
        "payment_intent.created",
        "charge.pending",
        "payment_intent.processing",
        "charge.succeeded",
        "payment_intent.succeeded",
        "charge.updated",
    ]


FAILING = [token for token, account in US_ACCOUNTS.items() if account.failure]


@pytest.mark.parametrize("token", FAILING)
async def test_it_fails(stripe: Caller, token: str) -> None:
    intent = await stripe.post(INTENTS, debit(token))
    assert intent["status"] == "processing"
    await stripe.advance(ANSWER_SECONDS)
    failed = await stripe.get(f"{INTENTS}/{intent['id']}")
    code = US_ACCOUNTS[token].failure or ""
    assert failed["status"] == "requires_payment_method"
    assert failed["payment_method"] is None
    error = failed["last_payment_error"]
    assert (error["code"], error["message"]) == (code, FAILURES[code])
    assert error["charge"] == failed["latest_charge"]
    charge = await stripe.get(f"/v1/charges/{error['charge']}")
    assert (charge["status"], charge["failure_code"]) == ("failed", code)
    assert (await stripe.event_types())[-2:] == ["charge.failed", "payment_intent.payment_failed"]
    [booked] = await stripe.charges()
    assert (booked["status"], booked["amount_captured"]) == ("failed", 0)
    assert (await stripe.get("/v1/balance_transactions"))["data"] == []


async def test_another_account_pays_a_failed_one(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, debit("pm_usBankAccount_noAccount"))
    await stripe.advance(ANSWER_SECONDS)
    again = await stripe.post(
        f"{INTENTS}/{intent['id']}/confirm",
        {"payment_method": "pm_usBankAccount_success", "mandate_data": MANDATE},
    )
    assert (again["status"], again["last_payment_error"]) == ("processing", None)
    await stripe.advance(ANSWER_SECONDS)
    assert sorted(each["status"] for each in await stripe.charges()) == ["failed", "succeeded"]


async def test_one_that_is_never_answered_cannot_be_cancelled(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, debit("pm_usBankAccount_processing"))
    await stripe.advance(30 * 86_400)
    path = f"{INTENTS}/{intent['id']}"
    assert (await stripe.get(path))["status"] == "processing"
    for verb in ("cancel", "confirm"):
        error = await stripe.refused(f"{path}/{verb}")
        assert error["code"] == "payment_intent_unexpected_state"


async def test_one_that_will_be_disputed_goes_through(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, debit("pm_usBankAccount_dispute"))
    await stripe.advance(ANSWER_SECONDS)
    assert (await stripe.get(f"{INTENTS}/{intent['id']}"))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("iban", "seconds", "status"),
    [
        (GOOD, ANSWER_SECONDS, "succeeded"),
        (GOOD_SLOW, 2 * ANSWER_SECONDS, "succeeded"),
        (BAD, ANSWER_SECONDS, "requires_payment_method"),
        (BAD_SLOW, 2 * ANSWER_SECONDS, "requires_payment_method"),
    ],
)
async def test_sepa(stripe: Caller, iban: str, seconds: int, status: str) -> None:
    intent = await stripe.post(
        INTENTS, sepa(await account(stripe, iban), expand=["latest_charge", "payment_method"])
    )
    assert intent["status"] == "processing"
    assert intent["payment_method"]["sepa_debit"]["last4"] == iban[-4:]
    assert intent["payment_method"]["billing_details"]["email"] == PAYER["email"]
    details = intent["latest_charge"]["payment_method_details"]["sepa_debit"]
    assert (details["country"], details["bank_code"]) == ("AT", "19043")
    mandate = await stripe.get(f"/v1/mandates/{details['mandate']}")
    assert mandate["single_use"] == {"amount": 5000, "currency": "eur"}
    assert mandate["customer_acceptance"]["online"]["ip_address"] == "203.0.113.7"
    path = f"{INTENTS}/{intent['id']}"
    await stripe.advance(seconds - 30)
    assert (await stripe.get(path))["status"] == "processing"
    await stripe.advance(30)
    assert (await stripe.get(path))["status"] == status


async def test_sepa_described_in_place(stripe: Caller) -> None:
    params = sepa("", mandate_data={"customer_acceptance": {"type": "offline"}})
    del params["payment_method"]
    params["payment_method_data"] = {
        "type": "sepa_debit",
        "sepa_debit": {"iban": "at61 1904 3002 3457 3201"},
        "billing_details": PAYER,
    }
    assert (await stripe.post(INTENTS, params))["status"] == "processing"


async def test_it_survives_a_restart_and_takes_part_in_faults(
    sandbox: Sandbox, stripe: Caller
) -> None:
    await stripe.fault("confirm", "error_after")
    answer = await stripe.call("POST", INTENTS, debit(), key="k")
    assert answer.status == 500
    await sandbox.stop()
    stripe.url = await sandbox.start()
    await stripe.advance(ANSWER_SECONDS)
    [booked] = await stripe.charges()
    assert (booked["status"], booked["idempotency_key"]) == ("succeeded", "k")


ONLINE = "mandate_data[customer_acceptance][online]"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"mandate_data": None}, "payment_intent_mandate_invalid", None),
        (
            {"mandate_data": {"customer_acceptance": {"type": "online"}}},
            "parameter_missing",
            ONLINE,
        ),
        (
            {
                "mandate_data": {
                    "customer_acceptance": {"type": "online", "online": {"ip_address": "::1"}}
                }
            },
            "parameter_missing",
            f"{ONLINE}[user_agent]",
        ),
        ({"currency": "eur"}, None, "currency"),
        ({"capture_method": "manual"}, None, "capture_method"),
        ({"payment_method": "pm_usBankAccount_nobody"}, "resource_missing", "payment_method"),
        (
            {"payment_method_types": ["card"]},
            "payment_intent_incompatible_payment_method",
            "payment_method",
        ),
    ],
)
async def test_refused(
    stripe: Caller, change: dict[str, Any], code: str | None, param: str | None
) -> None:
    params = {name: value for name, value in (debit() | change).items() if value is not None}
    error = await stripe.refused(INTENTS, params)
    assert (error.get("code"), error.get("param")) == (code, param)
    assert await stripe.charges() == []
    assert (await stripe.get(INTENTS))["data"] == []


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"sepa_debit": {"iban": UNUSABLE}}, "bank_account_unusable", "sepa_debit[iban]"),
        ({"sepa_debit": {"iban": "AT12"}}, "invalid_bank_account_iban", "sepa_debit[iban]"),
        ({"sepa_debit": {"iban": "DE89370400440532013000"}}, None, "sepa_debit[iban]"),
        ({"sepa_debit": {}}, "parameter_missing", "sepa_debit"),
        ({"billing_details": {"name": "Ada"}}, "parameter_missing", "billing_details[email]"),
        ({"us_bank_account": {"account_number": "1"}}, None, "us_bank_account"),
    ],
)
async def test_accounts_that_are_refused(
    stripe: Caller, params: dict[str, Any], code: str | None, param: str
) -> None:
    good = {"type": "sepa_debit", "sepa_debit": {"iban": GOOD}, "billing_details": PAYER}
    error = await stripe.refused(METHODS, good | params)
    assert (error.get("code"), error["param"]) == (code, param)


async def test_an_account_number_is_not_kept(sandbox: Sandbox, stripe: Caller) -> None:
    method = await account(stripe, GOOD)
    record = sandbox.parts.objects.find("payment_method", method)
    assert record is not None
    assert GOOD not in repr(record)
    assert (await stripe.call("GET", "/v1/mandates/mandate_none")).status == 404
