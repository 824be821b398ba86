"""A payer's challenge, through the sandbox's own page and back by the callback's address."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from paygate.api.edge.browser_pages import NOTHING_HERE
from paygate.domain.access.roles import Action
from paygate.domain.audit import Result
from paygate.domain.payments.attempt import Attempt
from paygate.settings import load
from paygate.wiring.keys import open_records
from tests.api.shops import audited, open_shop
from tests.gateway import Gateway, Response, until
from tests.storage.stored import TABLE_OF, select

RETURN_URL = "https://shop.example/done?order=7&c=%20x#top"
REQUIRED = "pm_card_threeDSecure2Required"
DECLINED = "pm_card_threeDSecureRequiredChargeDeclined"


class Challenge(NamedTuple):
    """A payment that waits for its payer."""

    gateway: Gateway
    intent: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.intent["id"])

    async def answer(self, outcome: str) -> str:
        """Answer the challenge; where the provider sends the browser."""
        url = self.intent["next_action"]["redirect_to_url"]["url"]
        page = await self.gateway.visit("GET", url)
        assert page.status == 200
        answered = await self.gateway.visit("POST", url, {"outcome": outcome})
        assert answered.status == 303
        back = answered.headers["Location"]
        api_url = self.gateway.ready["api_url"]
        assert back.startswith(f"{api_url}/payment-intents/{self.id}/3ds-callback?state=")
        return back

    def page(self, status: str) -> str:
        """The merchant's page, as the payer comes there."""
        ours = f"payment_intent={self.id}&status={status}"
        return f"https://shop.example/done?order=7&c=%20x&{ours}#top"

    async def sent_on(self, back: str, status: str, method: str = "GET") -> Response:
        """The browser follows; it is sent on to the merchant's page with this status."""
        answer = await self.gateway.visit(method, back)
        assert (answer.status, answer.headers["Location"]) == (303, self.page(status))
        assert answer.body == b""
        is_private(answer)
        return answer

    async def now(self) -> dict[str, Any]:
        return await self.gateway.read(self.id)


def is_private(answer: Response) -> None:
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers.getall("Cache-Control") == ["no-store"]  # type: ignore[attr-defined]
    assert "Set-Cookie" not in answer.headers


def is_plain_refusal(answer: Response) -> None:
    assert (answer.status, answer.body) == (400, NOTHING_HERE)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Location" not in answer.headers
    is_private(answer)


async def challenge(gateway: Gateway, token: str = REQUIRED, **more: Any) -> Challenge:
    intent = await gateway.create(**more)
    confirmed = (await gateway.confirm(intent["id"], token, return_url=RETURN_URL)).json
    assert confirmed["status"] == "requires_action", confirmed
    action = confirmed["next_action"]
    assert action["type"] == "redirect_to_url"
    assert action["redirect_to_url"]["return_url"] == RETURN_URL
    assert action["redirect_to_url"]["url"].startswith(gateway.ready["sandbox_url"])
    return Challenge(gateway, confirmed)


@pytest.fixture
async def no_events(gateway: Gateway) -> AsyncIterator[None]:
    """The provider's events come too late to matter: what happens, the callback did."""
    await gateway.sandbox(
        "POST", "/_sandbox/faults", {"on": "webhook", "kind": "delay", "count": 50, "seconds": 5}
    )
    yield
    await gateway.sandbox("DELETE", "/_sandbox/faults")


@pytest.mark.usefixtures("no_events")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("token", "capture_method", "outcome", "status"),
    [
        (REQUIRED, "automatic", "complete", "succeeded"),
        (REQUIRED, "manual", "complete", "requires_capture"),
        (REQUIRED, "automatic", "fail", "failed"),
        (DECLINED, "automatic", "complete", "failed"),
    ],
)
async def test_the_payer_comes_back_to_the_merchant(
    gateway: Gateway, token: str, capture_method: str, outcome: str, status: str, method: str
) -> None:
    waiting = await challenge(gateway, token, capture_method=capture_method)
    assert await gateway.charges(waiting.id) == []
    back = await waiting.answer(outcome)
    assert (await waiting.now())["status"] == "requires_action"
    await waiting.sent_on(back, status, method)
    intent = await waiting.now()
    assert (intent["status"], intent["next_action"]) == (status, None)
    if status == "failed":
        code = "authentication_failed" if outcome == "fail" else "card_declined"
        assert intent["last_payment_error"]["code"] == code
        assert intent["amount_received"] == 0
    else:
        (charge,) = await gateway.charges(waiting.id)
        assert charge["captured"] is (status == "succeeded")
    # Once more: the same way on, and nothing new.
    await waiting.sent_on(back, status, method)
    assert await waiting.now() == intent


async def test_a_payer_who_never_comes_back_is_concluded_by_the_event(gateway: Gateway) -> None:
    waiting = await challenge(gateway)
    back = await waiting.answer("complete")

    async def succeeded() -> bool:
        return bool((await waiting.now())["status"] == "succeeded")

    await until(succeeded)
    intent = await waiting.now()
    await waiting.sent_on(back, "succeeded")
    assert await waiting.now() == intent


async def test_an_abandoned_challenge_stays(gateway: Gateway) -> None:
    """Looking at the page is no answer, nor is coming back without one."""
    waiting = await challenge(gateway)
    url = waiting.intent["next_action"]["redirect_to_url"]["url"]
    assert (await gateway.visit("GET", url)).status == 200
    await waiting.sent_on(await callback_of(waiting), "requires_action")
    assert await waiting.now() == waiting.intent
    assert await gateway.charges(waiting.id) == []


async def test_without_a_challenge_nobody_is_sent_anywhere(gateway: Gateway) -> None:
    intent = await gateway.create()
    confirmed = (await gateway.confirm(intent["id"], "pm_card_threeDSecureOptional")).json
    assert (confirmed["status"], confirmed["next_action"]) == ("succeeded", None)


async def test_a_provider_that_hangs_does_not_keep_the_payer(gateway: Gateway) -> None:
    waiting = await challenge(gateway)
    hang = {"on": "retrieve", "kind": "hang", "count": 20, "seconds": 8}
    await gateway.sandbox("POST", "/_sandbox/faults", hang)
    back = await waiting.answer("complete")
    begun = time.monotonic()
    await waiting.sent_on(back, "processing")
    assert time.monotonic() - begun < 6
    await gateway.sandbox("DELETE", "/_sandbox/faults")

    async def succeeded() -> bool:
        return bool((await waiting.now())["status"] == "succeeded")

    await until(succeeded)
    assert len(await gateway.charges(waiting.id)) == 1


@pytest.mark.usefixtures("no_events")
async def test_what_is_not_ours_is_a_plain_page_and_changes_nothing(gateway: Gateway) -> None:
    waiting, other = await challenge(gateway), await challenge(gateway)
    back = await waiting.answer("complete")
    address, _, query = back.partition("?")
    state = parse_qs(query)["state"][0]
    elsewhere = parse_qs(urlsplit(await callback_of(other)).query)["state"][0]
    before = await waiting.now()
    for forged in (
        address,
        f"{address}?",
        f"{address}?state=",
        f"{address}?state=x",
        f"{address}?state={state[:-1]}",
        f"{address}?state={state}0",
        f"{address}?state={state.swapcase()}",
        f"{address}?state={elsewhere}",
        f"{address}?state={state}&state={state}",
        f"{address}?state={state}&state={elsewhere}",
        f"{address}?state={state}{'&x=1' * 30}",
        f"{address}?state=%ff%00{state}",
        f"{address}?redirect_status=succeeded&payment_intent={waiting.id}",
        back.replace(waiting.id, other.id),
        back.replace(waiting.id, "pi_" + "0" * 26),
        back.replace(waiting.id, "nonsense"),
    ):
        for method in ("GET", "POST"):
            is_plain_refusal(await gateway.visit(method, forged))
    assert await waiting.now() == before
    assert await other.now() == other.intent
    await waiting.sent_on(back, "succeeded")


@pytest.mark.usefixtures("no_events")
async def test_what_the_browser_says_of_the_outcome_is_not_believed(gateway: Gateway) -> None:
    waiting = await challenge(gateway)
    back = await waiting.answer("fail")
    lie = back.replace("redirect_status=failed", "redirect_status=succeeded")
    assert lie != back
    await waiting.sent_on(f"{lie}&status=succeeded&return_url=https://evil.example/", "failed")
    assert (await waiting.now())["status"] == "failed"


@pytest.mark.usefixtures("no_events")
async def test_looking_ahead_has_no_effect(gateway: Gateway) -> None:
    waiting = await challenge(gateway)
    back = await waiting.answer("complete")
    for headers in (
        {"Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"X-Moz": "prefetch"},
    ):
        is_plain_refusal(await gateway.visit("GET", back, **headers))
    head = await gateway.visit("HEAD", back)
    assert (head.status, head.body) == (405, b"")
    is_private(head)
    assert (await waiting.now())["status"] == "requires_action"
    await waiting.sent_on(back, "succeeded")


@pytest.mark.usefixtures("no_events")
async def test_many_browsers_at_once_are_one(gateway: Gateway) -> None:
    waiting = await challenge(gateway)
    back = await waiting.answer("complete")
    await asyncio.gather(*(waiting.sent_on(back, "succeeded") for _ in range(8)))
    assert len(await gateway.charges(waiting.id)) == 1
    assert (await waiting.now())["amount_received"] == 1999


async def test_another_merchants_payment_comes_back_too(gateway: Gateway) -> None:
    """The route has no key: whose payment it is, the state says."""
    shop = await open_shop(gateway)
    created = await shop.call("POST", "/payment-intents", {"amount": 700, "currency": "eur"})
    assert created.status == 201, created
    body = {"payment_method": {"type": "card", "token": REQUIRED}, "return_url": RETURN_URL}
    path = f"/payment-intents/{created.json['id']}"
    waiting = Challenge(gateway, (await shop.call("POST", f"{path}/confirm", body)).json)
    answer = await waiting.sent_on(await waiting.answer("complete"), "succeeded")
    assert (await shop.call("GET", path)).json["status"] == "succeeded"
    entries = (await audited(gateway))[answer.headers["Request-Id"]]
    assert {entry.merchant for entry in entries} == {shop.merchant}


@pytest.mark.usefixtures("no_events")
async def test_the_address_is_written_nowhere(gateway: Gateway) -> None:
    """Neither our state nor the provider's own client secret, which its redirect brings along."""
    waiting = await challenge(gateway)
    back = await waiting.answer("complete")
    query = parse_qs(urlsplit(back).query)
    (state,), (secret,) = query["state"], query["payment_intent_client_secret"]
    answers = [
        await waiting.sent_on(back, "succeeded"),
        await gateway.visit("GET", back.replace(state, state[:-1] + "!")),
        await gateway.call("GET", f"/payment-intents/{waiting.id}"),
    ]
    shown = " ".join(f"{a.headers} {a.body!r}" for a in answers) + str(waiting.intent)
    audit = await audited(gateway)
    log = gateway.log.read_text()
    for needle in (state, secret, state.rpartition(".")[2]):
        assert needle not in shown
        assert needle not in log
        assert needle not in str(audit)
    done, refused = audit[answers[0].headers["Request-Id"]], answers[1].headers["Request-Id"]
    assert [e.action for e in done] == [Action.INTENT_AUTHENTICATE] * 2
    assert all((e.actor.type, e.address) == ("client", "127.0.0.1") for e in done)
    for entry in audit.get(refused, []):  # one for each address and minute
        assert (entry.result, entry.details) == (Result.REFUSED, {"code": "callback_state_invalid"})


async def test_a_return_url_of_this_machine_may_be_plain(gateway: Gateway) -> None:
    intent = await gateway.create()
    local = await gateway.confirm(intent["id"], return_url="http://127.0.0.1:3000/done")
    assert local.json["status"] == "succeeded"
    intent = await gateway.create()
    other = await gateway.confirm(intent["id"], return_url="http://shop.example/done")
    assert (other.status, other.code) == (400, "parameter_invalid")
    assert other.json["error"]["param"] == "return_url"


async def callback_of(waiting: Challenge) -> str:
    """The address that the provider was given, from the attempt's own row."""
    gateway = waiting.gateway
    records = await open_records(load({}, data=Path(gateway.ready["data_dir"])))
    connection = await asyncpg.connect(gateway.ready["database_url"])
    rows = await connection.fetch(select(TABLE_OF[Attempt]))
    await connection.close()
    attempts = [records.open(Attempt, tuple(row)) for row in rows]
    (attempt,) = [a for a in attempts if a.intent == waiting.id]
    return str(attempt.callback_url)
