"""Programs written for other API versions: each is answered, all in one shape, or told why not."""

import asyncio
from datetime import date

import pytest
import stripe as official
from yarl import URL

from paygate_sandbox.protocol.errors import StripeError
from paygate_sandbox.protocol.versions import API_VERSION, VERSIONS, check_version
from paygate_sandbox.server import Sandbox
from tests.sandbox.caller import SECRET_KEY, Caller, Response, card_payment
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_webhooks import ENDPOINTS

INTENTS = "/v1/payment_intents"
TODAY = date(2026, 11, 29)


async def ask(stripe: Caller, version: str, path: str = INTENTS) -> Response:
    return await stripe.call("GET", path, headers={"Stripe-Version": version})


def test_the_versions_of_two_years_are_known() -> None:
    assert VERSIONS[-1] == API_VERSION
    assert list(VERSIONS) == sorted(set(VERSIONS))
    first, last = (date.fromisoformat(version[:10]) for version in (VERSIONS[0], API_VERSION))
    assert 22 * 30 < (last - first).days <= 2 * 365
    assert len(VERSIONS) == 24, "a release a month"


async def test_every_version_is_answered_in_the_pinned_shape(stripe: Caller) -> None:
    made = await stripe.call("POST", INTENTS, card_payment())
    assert made.headers["Stripe-Version"] == API_VERSION, "of a call that asks for none"
    path = f"{INTENTS}/{made.body['id']}"
    for version in (*VERSIONS, "2025-08-27.preview"):
        answer = await ask(stripe, version, path)
        assert (answer.status, answer.raw) == (200, made.raw), version
        assert answer.headers["Stripe-Version"] == API_VERSION


async def test_refusals_and_replays_say_the_shape_too(stripe: Caller) -> None:
    older = {"Stripe-Version": "2024-11-20.acacia"}
    paid = await stripe.call("POST", INTENTS, card_payment(), key="k", headers=older)
    again = await stripe.call("POST", INTENTS, card_payment(), key="k", headers=older)
    assert again.headers["Idempotent-Replayed"] == "true"
    refused = await stripe.call("POST", INTENTS, {}, headers=older)
    unknown = await stripe.call("POST", INTENTS, {}, headers={"Stripe-Version": "2020-08-27"})
    assert (refused.status, unknown.status) == (400, 400)
    for answer in (paid, again, refused, unknown):
        assert answer.headers["Stripe-Version"] == API_VERSION


@pytest.mark.parametrize(
    "version", ["2026-10-28.dahlia", "2026-11-29.dahlia", "2026-10-28.endive", "2026-10-28.preview"]
)
def test_a_later_release_is_taken(version: str) -> None:
    check_version(version, TODAY)


@pytest.mark.parametrize(
    "version",
    [
        "2026-11-30.dahlia",  # tomorrow
        "2026-10-28.clover",  # a name that went before
        "2026-09-31.dahlia",  # no day
        "2026-10-28",
        "2026-10-28.",
        "2026-10-28.Dahlia",
        "2026-10-28.dahlia\n",
        "2026-10-28.dahlia.dahlia",
        "9999-99-99.zinnia",
    ],
)
def test_a_later_release_that_cannot_be_is_refused(version: str) -> None:
    with pytest.raises(StripeError, match="Invalid Stripe API version"):
        check_version(version, TODAY)


@pytest.mark.parametrize(
    "version",
    [
        "2024-06-20",  # Stripe's, but too old
        "2020-08-27",
        "2024-11-20",  # without its name
        "2024-11-20.basil",  # of another series
        "2024-11-21.acacia",  # no release
        "2025-01-28.preview",
        "acacia",
        "latest",
        "",
        "\u0662\u0660\u0662\u0664-11-20.acacia",
        "x" * 5000,
    ],
)
async def test_an_unknown_version_is_refused_as_stripe_does(stripe: Caller, version: str) -> None:
    answer = await stripe.call(
        "POST", INTENTS, card_payment(), key="k", headers={"Stripe-Version": version}
    )
    assert answer.status == 400
    assert set(answer.error) == {"type", "message", "request_log_url"}
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["message"].startswith(f"Invalid Stripe API version: {version[:60]}.")
    assert answer.headers["Stripe-Should-Retry"] == "false"
    assert len(answer.raw) < 500
    assert (await stripe.get(INTENTS))["data"] == []
    assert (await stripe.call("POST", INTENTS, card_payment(), key="k")).status == 200


async def test_the_key_is_asked_for_first(stripe: Caller) -> None:
    headers = {"Authorization": "Bearer sk_test_wrong", "Stripe-Version": "latest"}
    assert (await stripe.call("GET", INTENTS, headers=headers)).status == 401


async def test_a_beta_is_refused_by_its_name(stripe: Caller) -> None:
    answer = await ask(stripe, "2024-11-20.acacia; some_beta=v1")
    assert answer.status == 400
    message = answer.error["message"]
    assert message.startswith("Invalid Stripe API version: 2024-11-20.acacia; some_beta=v1. ")
    assert "You do not have permission to pass this beta header: some_beta." in message


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Stripe-Version: %s\r\nStripe-Version: %s\r\n" % ((API_VERSION.encode(),) * 2), 400),
        (b"Stripe-Version: \xff\xfe\r\n", 400),
        (b"Authorization: Bearer \xff\xfe\r\n", 401),
    ],
)
async def test_headers_that_no_client_sends(sandbox: Sandbox, headers: bytes, status: int) -> None:
    if b"Authorization" not in headers:
        headers += b"Authorization: Bearer %s\r\n" % SECRET_KEY.encode()
    request = b"GET /v1/payment_intents HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(sandbox.parts.base_url).port)
    writer.write(request % headers)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'"type":"invalid_request_error"' in answer


async def test_webhooks_are_of_the_pinned_shape(stripe: Caller, receiver: Receiver) -> None:
    form = {"url": receiver.url, "enabled_events": ["*"], "api_version": "2025-06-30.basil"}
    endpoint = await stripe.post(ENDPOINTS, form)
    assert endpoint["api_version"] == API_VERSION
    older = {"Stripe-Version": "2025-06-30.basil"}
    await stripe.call("POST", INTENTS, card_payment(), headers=older)
    await receiver.wait_for(3)
    assert {delivery.event["api_version"] for delivery in receiver.deliveries} == {API_VERSION}


async def test_an_endpoint_of_an_unknown_version_is_refused(stripe: Caller) -> None:
    form = {"url": "https://a.example", "enabled_events": ["*"], "api_version": "2020-08-27"}
    answer = await stripe.call("POST", ENDPOINTS, form)
    assert (answer.status, answer.error["param"]) == (400, "api_version")
    assert "Invalid Stripe API version: 2020-08-27" in answer.error["message"]


@pytest.mark.parametrize("version", [VERSIONS[0], "2025-08-27.basil"])
async def test_a_program_of_an_older_release_pays(
    sandbox: Sandbox, http: official.AIOHTTPClient, version: str
) -> None:
    client = official.StripeClient(
        SECRET_KEY,
        stripe_version=version,
        base_addresses={"api": sandbox.parts.base_url},
        http_client=http,
    )
    params: official.params.PaymentIntentCreateParams = {
        "amount": 1000,
        "currency": "eur",
        "payment_method_types": ["card"],
        "payment_method": "pm_card_visa",
        "confirm": True,
    }
    paid = await client.v1.payment_intents.create_async(params)
    assert paid.status == "succeeded"
    assert paid.last_response is not None
    assert paid.last_response.headers["Stripe-Version"] == API_VERSION
