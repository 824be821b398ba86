"""Bank transfers through the real parts: the payer's bank is the sandbox's test helper."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from tests.gateway import Gateway, Response, until

PUSH: Final = {"type": "bank_transfer", "flow": "push", "country": "DE"}
MANDATE: Final = {
    "accepted_at": "2026-11-01T10:00:00Z",
    "ip_address": "203.0.113.9",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
}
DEBIT: Final = {
    "type": "bank_transfer",
    "flow": "debit",
    "token": "pm_usBankAccount_success",
    "mandate": MANDATE,
}
DAYS: Final = 7 * 86400


async def create(gateway: Gateway, currency: str = "eur", **more: Any) -> dict[str, Any]:
    given = {"payment_method_types": ["card", "bank_transfer"]} | more
    return await gateway.create(1999, currency, **given)


async def confirm(gateway: Gateway, intent: dict[str, Any], method: Any, **more: Any) -> Response:
    body = {"payment_method": method} | more
    return await gateway.call("POST", f"/payment-intents/{intent['id']}/confirm", body)


async def pushed(gateway: Gateway, **more: Any) -> dict[str, Any]:
    """An intent that waits for its transfer."""
    answer = await confirm(gateway, await create(gateway, **more), PUSH)
    assert (answer.status, answer.json["status"]) == (200, "requires_action")
    return answer.json


async def stripe(gateway: Gateway, method: str, path: str, form: Any = None) -> dict[str, Any]:
    key = f"Bearer {gateway.ready['sandbox_secret_key']}"
    url = f"{gateway.ready['sandbox_url']}/v1/{path}"
    answer = await gateway.visit(method, url, form, Authorization=key)
    assert answer.status == 200, answer
    return answer.json


async def payer(gateway: Gateway, intent: dict[str, Any]) -> str:
    """The provider's customer of an intent."""
    theirs = await stripe(gateway, "GET", f"payment_intents/{intent['provider_reference']}")
    return str(theirs["customer"])


async def transfer(gateway: Gateway, intent: dict[str, Any], amount: int) -> None:
    form = {"amount": str(amount), "currency": intent["currency"]}
    customer = await payer(gateway, intent)
    await stripe(gateway, "POST", f"test_helpers/customers/{customer}/fund_cash_balance", form)


async def becomes(gateway: Gateway, intent: dict[str, Any], status: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        now = await gateway.read(intent["id"])
        return now if now["status"] == status else None

    return dict(await until(look))


async def alerts(gateway: Gateway, kind: str, subject: str) -> list[dict[str, Any]]:
    found = (await gateway.call("GET", "/alerts?limit=100")).json["data"]
    return [a for a in found if (a["type"], a["subject"]["id"]) == (kind, subject)]


@pytest.mark.parametrize(
    ("currency", "country", "scheme", "numbers"),
    [
        ("eur", "DE", "iban", {"iban", "bic"}),
        ("eur", "IE", "iban", {"iban", "bic"}),
        ("gbp", None, "sort_code", {"sort_code", "account_number"}),
        ("usd", None, "aba", {"routing_number", "account_number"}),
        ("jpy", "JP", "zengin", {"bank_code", "branch_code", "account_number"}),
        ("mxn", "MX", "spei", {"clabe"}),
    ],
)
async def test_the_payer_is_told_where_to_send_the_money(
    gateway: Gateway, currency: str, country: str | None, scheme: str, numbers: set[str]
) -> None:
    intent = await create(gateway, currency)
    answer = await confirm(gateway, intent, PUSH | {"country": country})
    assert answer.status == 200, answer
    waiting = answer.json
    assert (waiting["status"], waiting["pending_operation"]) == ("requires_action", None)
    instructions = waiting["next_action"]["bank_transfer"]
    assert waiting["next_action"]["type"] == "display_bank_transfer_instructions"
    assert (instructions["amount_remaining"], instructions["amount_received"]) == (1999, 0)
    assert (instructions["currency"], bool(instructions["reference"])) == (currency, True)
    account = next(a for a in instructions["accounts"] if a["scheme"] == scheme)
    assert account["holder"]
    assert numbers <= {name for name, value in account.items() if value}
    began = datetime.fromisoformat(waiting["created_at"])
    ends = datetime.fromisoformat(instructions["expires_at"])
    assert timedelta(days=14) <= ends - began < timedelta(days=14, minutes=5)
    method = waiting["payment_method"]
    assert (method["type"], method["flow"], method["last4"]) == ("bank_transfer", "push", None)
    assert await gateway.read(intent["id"]) == waiting
    assert await gateway.charges(intent["id"]) == []


async def test_money_comes_in_parts(gateway: Gateway) -> None:
    intent = await pushed(gateway)
    await transfer(gateway, intent, 1500)

    async def partly() -> dict[str, Any] | None:
        now = await gateway.read(intent["id"])
        instructions = now["next_action"]["bank_transfer"]
        return now if instructions["amount_received"] == 1500 else None

    now = await until(partly)
    assert (now["status"], now["amount_received"]) == ("requires_action", 0)
    instructions, before = (
        now["next_action"]["bank_transfer"],
        intent["next_action"]["bank_transfer"],
    )
    assert instructions == before | {"amount_remaining": 499, "amount_received": 1500}
    await transfer(gateway, intent, 499)
    paid = await becomes(gateway, intent, "succeeded")
    assert (paid["amount_received"], paid["next_action"]) == (1999, None)
    assert (paid["payment_method"]["flow"], paid["payment_method"]["country"]) == ("push", "DE")
    (charge,) = await gateway.charges(intent["id"])
    assert (charge["amount"], charge["captured"]) == (1999, True)


async def test_the_provider_knows_a_customer_of_ours_once(gateway: Gateway) -> None:
    customer = {"email": "ada@shop.example", "name": "Ada"}
    first = await pushed(gateway, customer=customer)
    second = await pushed(gateway, customer={"id": first["customer"]})
    theirs = await payer(gateway, first)
    assert await payer(gateway, second) == theirs
    known = await stripe(gateway, "GET", f"customers/{theirs}")
    assert (known["email"], known["name"]) == ("ada@shop.example", "Ada")
    assert known["metadata"]["paygate_customer"] == first["customer"]
    stranger = await pushed(gateway)
    assert stranger["customer"] is None
    assert await payer(gateway, stranger) != theirs


async def test_too_much_is_a_persons_to_decide(gateway: Gateway) -> None:
    intent = await pushed(gateway, customer={"name": "Ada"})
    await transfer(gateway, intent, 2500)
    paid = await becomes(gateway, intent, "succeeded")
    assert paid["amount_received"] == 1999
    (alert,) = await until(lambda: alerts(gateway, "transfer_excess", intent["customer"]))
    assert "501 eur" in alert["message"]
    assert alert["subject"]["object"] == "customer"


async def test_what_had_come_before_a_cancel_is_a_persons_to_decide(gateway: Gateway) -> None:
    intent = await pushed(gateway)
    await transfer(gateway, intent, 1500)
    await until(lambda: _received(gateway, intent))
    answer = await gateway.call("POST", f"/payment-intents/{intent['id']}/cancel", {})
    assert (answer.status, answer.json["status"]) == (200, "cancelled")
    (alert,) = await until(lambda: alerts(gateway, "transfer_excess", intent["id"]))
    assert "1500" in alert["message"]
    await transfer(gateway, intent, 499)  # too late: it pays for nothing any more

    async def counted() -> bool:
        (now,) = await alerts(gateway, "transfer_excess", intent["id"])
        return "1999 eur" in now["message"]

    await until(counted)
    assert (await gateway.read(intent["id"]))["status"] == "cancelled"
    assert await gateway.charges(intent["id"]) == []


async def _received(gateway: Gateway, intent: dict[str, Any]) -> bool:
    now = await gateway.read(intent["id"])
    return bool(now["next_action"]["bank_transfer"]["amount_received"])


@pytest.fixture(scope="module")
async def ahead(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway whose provider's clock may be moved on: others would be told that theirs is off."""
    gateway = Gateway.start(tmp_path_factory.mktemp("ahead"))
    await gateway.open()
    yield gateway
    await gateway.close()
    assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        ("pm_usBankAccount_success", "succeeded", None),
        ("pm_usBankAccount_insufficientFunds", "failed", "insufficient_funds"),
        ("pm_usBankAccount_accountClosed", "failed", "account_closed"),
    ],
)
async def test_a_debit_is_answered_days_later(
    ahead: Gateway, token: str, status: str, code: str | None
) -> None:
    intent = await create(ahead, "usd")
    answer = await confirm(ahead, intent, DEBIT | {"token": token})
    assert answer.status == 200, answer
    waiting = answer.json
    assert (waiting["status"], waiting["pending_operation"]) == ("processing", "confirm")
    assert waiting["payment_method"]["flow"] == "debit"
    assert len(waiting["payment_method"]["last4"]) == 4
    await ahead.sandbox("POST", "/_sandbox/clock", {"advance_seconds": DAYS})
    ended = await becomes(ahead, intent, status)
    assert ended["amount_received"] == (1999 if status == "succeeded" else 0)
    if code is not None:
        error = ended["last_payment_error"]
        assert code in (error["code"], error["decline_code"])


REFUSED: Final = [
    # what is sent, the parameter that the answer names, its code
    (PUSH | {"country": None}, "country", "parameter_invalid"),
    (PUSH | {"country": "US"}, "country", "parameter_invalid"),
    (PUSH | {"country": "de"}, "country", "parameter_invalid"),
    (PUSH | {"country": "DEU"}, "country", "parameter_invalid"),
    (PUSH | {"token": "pm_1"}, "token", "parameter_invalid"),
    (PUSH | {"mandate": MANDATE}, "mandate", "parameter_invalid"),
    (PUSH | {"flow": "pull"}, "flow", "parameter_invalid"),
    ({"type": "bank_transfer"}, None, "parameter_missing"),
    ({"type": "cheque"}, "type", "parameter_invalid"),
    ({"flow": "push"}, None, "parameter_missing"),
    (DEBIT | {"token": None}, "token", "parameter_missing"),
    (DEBIT | {"token": "pm 1"}, "token", "parameter_invalid"),
    (DEBIT | {"mandate": None}, "mandate", "parameter_missing"),
    (DEBIT | {"country": "DE"}, "country", "parameter_invalid"),
    (
        DEBIT | {"mandate": MANDATE | {"accepted_at": "2126-01-01T00:00:00Z"}},
        "mandate.accepted_at",
        "parameter_invalid",
    ),
    (
        DEBIT | {"mandate": MANDATE | {"accepted_at": "1970-01-01T00:00:00Z"}},
        "mandate.accepted_at",
        "parameter_invalid",
    ),
    (
        DEBIT | {"mandate": MANDATE | {"accepted_at": "2026-11-01T10:00:00"}},
        "mandate.accepted_at",
        "parameter_invalid",
    ),
    (
        DEBIT | {"mandate": MANDATE | {"ip_address": "203.0.113.999"}},
        "mandate.ip_address",
        "parameter_invalid",
    ),
    (
        DEBIT | {"mandate": MANDATE | {"user_agent": "x" * 501}},
        "mandate.user_agent",
        "parameter_invalid",
    ),
    (
        DEBIT | {"mandate": MANDATE | {"user_agent": "a\r\nb"}},
        "mandate.user_agent",
        "parameter_invalid",
    ),
    (DEBIT | {"mandate": MANDATE | {"more": 1}}, None, "parameter_unknown"),
]


@pytest.mark.parametrize(("method", "param", "code"), REFUSED)
async def test_what_makes_no_sense_is_refused(
    gateway: Gateway, method: Any, param: str | None, code: str
) -> None:
    intent = await create(gateway)
    answer = await confirm(gateway, intent, method)
    assert (answer.status, answer.code) == (400, code), answer
    if param is not None:
        assert answer.json["error"]["param"] == f"payment_method.{param}"
    assert await gateway.read(intent["id"]) == intent


async def test_what_the_provider_cannot_do_is_refused_before_it_is_asked(gateway: Gateway) -> None:
    for method, where in ((PUSH, "country"), (DEBIT, "flow")):
        answer = await confirm(gateway, await create(gateway, "chf"), method)
        assert (answer.status, answer.code) == (400, "parameter_invalid")
        assert answer.json["error"]["param"] == f"payment_method.{where}"
        assert "chf" in answer.json["error"]["message"]


async def test_a_type_that_the_intent_does_not_allow(gateway: Gateway) -> None:
    cards_alone = await create(gateway, payment_method_types=["card"])
    answer = await confirm(gateway, cards_alone, PUSH)
    assert (answer.status, answer.code) == (400, "payment_method_type_not_allowed")
    transfers_alone = await create(gateway, payment_method_types=["bank_transfer"])
    card = await gateway.confirm(transfers_alone["id"])
    assert (card.status, card.code) == (400, "payment_method_type_not_allowed")
    held = await create(gateway, capture_method="manual")
    answer = await confirm(gateway, held, PUSH)
    assert (answer.status, answer.code) == (400, "payment_method_type_not_allowed")
    body = {"amount": 1, "currency": "eur", "capture_method": "manual"}
    body["payment_method_types"] = ["bank_transfer"]
    answer = await gateway.call("POST", "/payment-intents", body)
    assert (answer.status, answer.code) == (400, "parameter_invalid")
    assert answer.json["error"]["param"] == "capture_method"


async def test_only_a_card_needs_a_way_back(gateway: Gateway) -> None:
    intent = await create(gateway)
    card = {"type": "card", "token": "pm_card_visa"}
    answer = await confirm(gateway, intent, card)
    assert (answer.status, answer.code) == (400, "parameter_missing")
    assert answer.json["error"]["param"] == "return_url"
    answer = await confirm(gateway, intent, card, return_url="https://shop.example/done")
    assert answer.json["status"] == "succeeded"


async def test_details_that_change_later_reach_the_provider(gateway: Gateway) -> None:
    first = await pushed(gateway, customer={"name": "Ada", "email": "old@shop.example"})
    theirs = await payer(gateway, first)

    async def provider_details() -> tuple[str, str]:
        customer = await stripe(gateway, "GET", f"customers/{theirs}")
        return customer["email"], customer["name"]

    assert await provider_details() == ("old@shop.example", "Ada")
    details = {"id": first["customer"], "email": "new@shop.example"}
    second = await pushed(gateway, customer=details)
    assert await payer(gateway, second) == theirs
    assert await provider_details() == ("new@shop.example", "Ada")
    # The worker tells it where no transfer follows.
    await gateway.create(customer=details | {"name": "Ada L."})

    async def arrived() -> bool:
        return await provider_details() == ("new@shop.example", "Ada L.")

    await until(arrived)


async def test_a_payer_who_was_deleted_at_the_provider_is_made_known_anew(gateway: Gateway) -> None:
    """One payment fails for it, and says so; the next goes to another customer there."""
    first = await pushed(gateway, customer={"name": "Ada"})
    theirs = await payer(gateway, first)
    await stripe(gateway, "DELETE", f"customers/{theirs}")
    known = {"id": first["customer"]}
    answer = await confirm(gateway, await create(gateway, customer=known), PUSH)
    assert (answer.status, answer.json["status"]) == (200, "failed")
    assert answer.json["last_payment_error"]["code"] == "customer_refused"
    third = await pushed(gateway, customer=known)
    assert await payer(gateway, third) != theirs
