"""A payer's browser: a publishable key and an intent's client secret, and nothing beyond."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from paygate.domain.payments.payment_intent import FINAL, Status
from paygate.flows.access.authenticate_client import AFTER_THE_END, closes_at
from tests.api.shops import audited, open_shop
from tests.gateway import Gateway, Response
from tests.making import START, make_intent

PUBLIC = {
    *("object", "id", "livemode", "amount", "currency", "status", "payment_method_types"),
    *("payment_method", "next_action", "last_payment_error", "created_at"),
}
SESSION = "session-0123456789"
CONFIRM = {
    "payment_method": {"type": "card", "token": "pm_card_visa"},
    "return_url": "https://shop.example/done",
}
UNKNOWN = "pi_" + "0" * 26


class Browser:
    """What a page has: the publishable key, perhaps a secret and a session."""

    def __init__(self, gateway: Gateway, secret: str | None, session: str | None = None) -> None:
        self.gateway = gateway
        self.headers = {"Authorization": f"Bearer {gateway.ready['publishable_key']}"}
        if secret is not None:
            self.headers["Paygate-Client-Secret"] = secret
        if session is not None:
            self.headers["Paygate-Session"] = session

    async def read(self, intent: str) -> Response:
        return await self.gateway.call("GET", f"/payment-intents/{intent}", headers=self.headers)

    async def confirm(self, intent: str, key: str | None = None, **more: Any) -> Response:
        headers = self.headers | ({} if key is None else {"Idempotency-Key": key})
        path = f"/payment-intents/{intent}/confirm"
        return await self.gateway.call("POST", path, CONFIRM | more, headers=headers)


async def test_the_secret_shows_the_public_view_and_confirms(gateway: Gateway) -> None:
    intent, secret = await gateway.create_with_secret(metadata={"internal": "yes"})
    browser = Browser(gateway, secret)
    seen = await browser.read(intent["id"])
    assert (seen.status, set(seen.json)) == (200, PUBLIC)
    assert seen.json == {name: intent[name] for name in PUBLIC}
    confirmed = await browser.confirm(intent["id"])
    assert (confirmed.status, set(confirmed.json)) == (200, PUBLIC)
    assert confirmed.json["status"] == "succeeded"
    assert (await gateway.read(intent["id"]))["status"] == "succeeded"
    assert len(await gateway.charges(intent["id"])) == 1


async def test_at_its_end_it_still_shows_and_confirms_no_more(gateway: Gateway) -> None:
    intent, secret = await gateway.create_with_secret()
    browser = Browser(gateway, secret)
    first = await browser.confirm(intent["id"], "k")
    again = await browser.confirm(intent["id"], "k")
    assert (again.status, again.body) == (200, first.body)
    other = await browser.confirm(intent["id"])
    assert (other.status, other.code) == (409, "intent_already_confirmed")
    assert set(other.json["error"]["payment_intent"]) == PUBLIC
    assert (await browser.read(intent["id"])).json["status"] == "succeeded"


@pytest.mark.parametrize(
    "token", ["pm_card_visa_chargeDeclinedLostCard", "pm_card_visa_chargeDeclinedStolenCard"]
)
async def test_what_a_thief_must_not_learn_is_for_the_server(gateway: Gateway, token: str) -> None:
    intent, secret = await gateway.create_with_secret()
    method = {"type": "card", "token": token}
    answer = await Browser(gateway, secret).confirm(intent["id"], payment_method=method)
    error = answer.json["last_payment_error"]
    assert error == {"code": "card_declined", "message": "The card was declined."}
    assert b"lost" not in answer.body
    assert b"stolen" not in answer.body
    payment_error = (await gateway.read(intent["id"]))["last_payment_error"]
    assert payment_error["decline_code"] in ("lost_card", "stolen_card")


async def test_a_browser_never_gets_the_servers_answer(gateway: Gateway) -> None:
    """The same key, path and parameters: two sides, two keys."""
    intent, secret = await gateway.create_with_secret()
    path = f"/payment-intents/{intent['id']}/confirm"
    server = await gateway.call("POST", path, CONFIRM, headers={"Idempotency-Key": "shared"})
    assert server.status == 200
    browser = await Browser(gateway, secret).confirm(intent["id"], "shared")
    assert (browser.status, browser.code) == (409, "intent_already_confirmed")
    assert set(browser.json["error"]["payment_intent"]) == PUBLIC


async def wrong_ways(gateway: Gateway) -> dict[str, tuple[Browser, str]]:
    """Every way to have no right to an intent."""
    intent, secret = await gateway.create_with_secret(session_id=SESSION)
    other, other_secret = await gateway.create_with_secret()
    shop = await open_shop(gateway)
    body = {"amount": 5, "currency": "eur"}
    foreign = (await shop.call("POST", "/payment-intents", body)).json
    changed = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    mine = intent["id"]
    return {
        "no secret": (Browser(gateway, None, SESSION), mine),
        "a wrong secret": (Browser(gateway, changed, SESSION), mine),
        "another intent's secret": (Browser(gateway, other_secret, SESSION), mine),
        "no secret's form": (Browser(gateway, "hunter2", SESSION), mine),
        "no session": (Browser(gateway, secret), mine),
        "a wrong session": (Browser(gateway, secret, SESSION + "x"), mine),
        "another merchant's": (Browser(gateway, foreign["client_secret"]), foreign["id"]),
        "an unknown one": (Browser(gateway, f"{UNKNOWN}_secret_" + "x" * 24), UNKNOWN),
        "no id": (Browser(gateway, secret, SESSION), "nonsense"),
        "another with this secret": (Browser(gateway, secret, SESSION), other["id"]),
    }


async def test_all_wrong_ways_are_answered_alike(gateway: Gateway) -> None:
    bodies = set()
    for browser, intent in (await wrong_ways(gateway)).values():
        for answer in (await browser.read(intent), await browser.confirm(intent)):
            assert answer.status == 404, answer
            error = answer.json["error"]
            del error["request_id"]
            bodies.add(tuple(sorted((k, str(v)) for k, v in error.items())))
            for secret in (browser.headers.get("Paygate-Client-Secret"), SESSION):
                assert (secret or "\0").encode() not in answer.body
    assert len(bodies) == 1


async def test_the_session_belongs_to_the_secret(gateway: Gateway) -> None:
    intent, secret = await gateway.create_with_secret(session_id=SESSION)
    assert (await Browser(gateway, secret, SESSION).read(intent["id"])).status == 200
    plain, plain_secret = await gateway.create_with_secret()
    assert (await Browser(gateway, plain_secret, SESSION).read(plain["id"])).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/payment-intents", {"amount": 5, "currency": "eur"}),
        ("GET", "/payment-intents", None),
        ("POST", "/payment-intents/{id}/cancel", {}),
        ("GET", "/api-keys", None),
        ("GET", "/alerts", None),
        ("GET", "/customers/cus_" + "0" * 26, None),
    ],
)
async def test_a_publishable_key_does_nothing_else(
    gateway: Gateway, method: str, path: str, body: Any
) -> None:
    intent, secret = await gateway.create_with_secret()
    headers = Browser(gateway, secret).headers
    answer = await gateway.call(method, path.format(id=intent["id"]), body, headers=headers)
    assert (answer.status, answer.code) == (403, "role_not_allowed")


async def test_secrets_are_in_no_log_list_or_audit_entry(gateway: Gateway) -> None:
    intent, secret = await gateway.create_with_secret(session_id=SESSION, reference="leak-1")
    browser = Browser(gateway, secret, SESSION)
    await browser.confirm(intent["id"])
    await browser.read(intent["id"])
    await Browser(gateway, secret, "wrong-session-0123").read(intent["id"])
    listed = await gateway.call("GET", "/payment-intents?reference=leak-1")
    random = secret.rpartition("_")[2].encode()
    assert random not in listed.body
    assert random not in (await gateway.call("GET", f"/payment-intents/{intent['id']}")).body
    assert random.decode() not in gateway.log.read_text()
    assert SESSION not in gateway.log.read_text()
    entries = [entry for found in (await audited(gateway)).values() for entry in found]
    mine = [e for e in entries if e.subject is not None and e.subject.id == intent["id"]]
    assert len(mine) >= 5
    assert random.decode() not in repr(entries)
    assert SESSION not in repr(entries)


async def test_two_browsers_and_a_server_race(gateway: Gateway) -> None:
    intent, secret = await gateway.create_with_secret()
    browser = Browser(gateway, secret)
    answers = await asyncio.gather(
        *(browser.confirm(intent["id"]) for _ in range(10)),
        *(gateway.confirm(intent["id"]) for _ in range(10)),
    )
    assert sorted({a.status for a in answers}) == [200, 409]
    assert [a.status for a in answers].count(200) == 1
    assert len(await gateway.charges(intent["id"])) == 1


def test_a_secret_ends_an_hour_after_the_payment_or_with_its_own_time() -> None:
    ttl, hour = timedelta(hours=24), AFTER_THE_END
    intent = make_intent()
    assert closes_at(intent, ttl) == START + ttl + hour
    for status in FINAL:
        for after in (timedelta(minutes=5), timedelta(hours=23), timedelta(hours=30)):
            ended = _ended(status, after)
            assert closes_at(ended, ttl) == min(START + after, START + ttl) + hour


def _ended(status: Status, after: timedelta) -> Any:
    return msgspec.structs.replace(make_intent(), status=status, final_at=START + after)
