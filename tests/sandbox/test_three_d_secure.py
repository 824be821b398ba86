"""The customer's challenge, through the hosted page."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.sandbox.caller import Caller, card_payment

INTENTS = "/v1/payment_intents"
RETURN_URL = "https://shop.example/back?order=7"


async def challenged(stripe: Caller, token: str, **more: Any) -> dict[str, Any]:
    intent = await stripe.post(INTENTS, card_payment(token, return_url=RETURN_URL, **more))
    assert intent["status"] == "requires_action"
    assert intent["next_action"]["type"] == "redirect_to_url"
    assert intent["next_action"]["redirect_to_url"]["return_url"] == RETURN_URL
    assert await stripe.charges() == []
    return intent


async def answer(stripe: Caller, intent: dict[str, Any], outcome: str) -> dict[str, list[str]]:
    url = intent["next_action"]["redirect_to_url"]["url"]
    async with stripe.session.get(url) as page:
        assert page.status == 200
        assert "€10.00 eur" in await page.text()
    async with stripe.session.post(
        url, data={"outcome": outcome}, allow_redirects=False
    ) as response:
        assert response.status == 303
        back = urlsplit(response.headers["Location"])
    assert (back.netloc, back.path) == ("shop.example", "/back")
    return parse_qs(back.query)


@pytest.mark.parametrize("method", ["automatic_async", "manual"])
async def test_completed(stripe: Caller, method: str) -> None:
    intent = await challenged(stripe, "pm_card_threeDSecure2Required", capture_method=method)
    query = await answer(stripe, intent, "complete")
    assert query == {
        "order": ["7"],
        "payment_intent": [intent["id"]],
        "payment_intent_client_secret": [intent["client_secret"]],
        "redirect_status": ["succeeded"],
    }
    paid = await stripe.get(f"{INTENTS}/{intent['id']}", **{"expand[0]": "latest_charge"})
    assert paid["status"] == ("requires_capture" if method == "manual" else "succeeded")
    assert paid["next_action"] is None
    secure = paid["latest_charge"]["payment_method_details"]["card"]["three_d_secure"]
    assert secure["result"] == "authenticated"
    assert "payment_intent.requires_action" in await stripe.event_types()


async def test_failed(stripe: Caller) -> None:
    intent = await challenged(stripe, "pm_card_authenticationRequired")
    query = await answer(stripe, intent, "fail")
    assert query["redirect_status"] == ["failed"]
    failed = await stripe.get(f"{INTENTS}/{intent['id']}")
    assert failed["status"] == "requires_payment_method"
    error = failed["last_payment_error"]
    assert error["code"] == "payment_intent_authentication_failure"
    assert await stripe.charges() == []


async def test_abandoned(stripe: Caller) -> None:
    """The customer looks at the page and closes it: nothing happens until somebody cancels."""
    intent = await challenged(stripe, "pm_card_threeDSecure2Required")
    url = intent["next_action"]["redirect_to_url"]["url"]
    before = await stripe.event_types()
    for _ in range(2):
        async with stripe.session.get(url) as page:
            assert page.status == 200
    await stripe.advance(29 * 86_400)  # events are kept for thirty
    assert await stripe.get(f"{INTENTS}/{intent['id']}") == intent
    assert await stripe.event_types() == before
    async with stripe.session.post(url, data={"outcome": "shrug"}) as refused:
        assert refused.status == 400
    await stripe.post(f"{INTENTS}/{intent['id']}/cancel")
    async with stripe.session.get(url) as page:
        assert page.status == 410
    assert await stripe.charges() == []


@pytest.mark.parametrize(
    ("return_url", "back"),
    [
        ("https://shop.example", "https://shop.example?"),
        ("https://shop.example/b?a=1&a=2&c=%20x#top", "https://shop.example/b?a=1&a=2&c=%20x&"),
        ("shop://paid", "shop://paid?"),
    ],
)
async def test_the_way_back_keeps_its_own_query(stripe: Caller, return_url: str, back: str) -> None:
    intent = await stripe.post(
        INTENTS, card_payment("pm_card_threeDSecure2Required", return_url=return_url)
    )
    url = intent["next_action"]["redirect_to_url"]["url"]
    async with stripe.session.post(
        url, data={"outcome": "complete"}, allow_redirects=False
    ) as response:
        target = response.headers["Location"]
    assert target.startswith(f"{back}payment_intent={intent['id']}&")
    assert target.endswith("#top") == return_url.endswith("#top")


async def test_a_charge_after_the_challenge_comes_of_the_confirms_key(stripe: Caller) -> None:
    params = card_payment("pm_card_threeDSecure2Required", return_url=RETURN_URL)
    intent = (await stripe.call("POST", INTENTS, params, key="k")).body
    await answer(stripe, intent, "complete")
    [booked] = await stripe.charges()
    assert booked["idempotency_key"] == "k"


async def test_frictionless(stripe: Caller) -> None:
    paid = await stripe.post(
        INTENTS, card_payment("pm_card_threeDSecureOptional", expand=["latest_charge"])
    )
    assert paid["status"] == "succeeded"
    secure = paid["latest_charge"]["payment_method_details"]["card"]["three_d_secure"]
    assert (secure["authentication_flow"], secure["result"]) == ("frictionless", "authenticated")
    plain = await stripe.post(INTENTS, card_payment(expand=["latest_charge"]))
    assert plain["latest_charge"]["payment_method_details"]["card"]["three_d_secure"] is None


async def test_declined_after_the_challenge(stripe: Caller) -> None:
    intent = await challenged(stripe, "pm_card_threeDSecureRequiredChargeDeclined")
    query = await answer(stripe, intent, "complete")
    assert query["redirect_status"] == ["failed"]
    failed = await stripe.get(f"{INTENTS}/{intent['id']}")
    assert failed["last_payment_error"]["decline_code"] == "generic_decline"


async def test_an_answer_counts_once_and_a_cancelled_one_not_at_all(stripe: Caller) -> None:
    first = await challenged(stripe, "pm_card_threeDSecure2Required")
    await answer(stripe, first, "complete")
    second = await challenged_again(stripe)
    await stripe.post(f"{INTENTS}/{second['id']}/cancel")
    for intent in (first, second):
        url = intent["next_action"]["redirect_to_url"]["url"]
        async with stripe.session.post(url, data={"outcome": "complete"}) as response:
            assert response.status == 410
    assert len(await stripe.charges()) == 1


async def challenged_again(stripe: Caller) -> dict[str, Any]:
    return await stripe.post(
        INTENTS, card_payment("pm_card_threeDSecure2Required", return_url=RETURN_URL)
    )


async def test_without_return_url_the_sdk_acts(stripe: Caller) -> None:
    intent = await stripe.post(INTENTS, card_payment("pm_card_threeDSecure2Required"))
    assert intent["next_action"]["type"] == "use_stripe_sdk"


async def test_an_optional_challenge_is_asked_for(stripe: Caller) -> None:
    plain = await stripe.post(INTENTS, card_payment("pm_card_threeDSecureOptional"))
    assert plain["status"] == "succeeded"
    asked = await stripe.post(
        INTENTS,
        card_payment(
            "pm_card_threeDSecureOptional",
            payment_method_options={"card": {"request_three_d_secure": "any"}},
        ),
    )
    assert asked["status"] == "requires_action"


async def test_a_guessed_address_shows_nothing(stripe: Caller) -> None:
    intent = await challenged(stripe, "pm_card_threeDSecure2Required")
    async with stripe.session.get(f"{stripe.url}/3ds/{intent['id']}/guess") as response:
        assert response.status == 410
