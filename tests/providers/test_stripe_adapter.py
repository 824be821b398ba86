"""What the adapter sends, and what it makes of good answers."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest

from paygate.crypto.secret import Secret
from paygate.domain.money import Currency
from paygate.domain.payments.outcome import ActionRequired, Answer, Approved, Declined, Unknown
from paygate.domain.payments.payment_intent import CaptureMethod
from paygate.providers.absence import Absent
from paygate.providers.contract import ConfirmOrder, Provider, SignatureError
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.translate import API_VERSION
from tests.providers.conftest import API_KEY, WEBHOOK_SECRET, order, settings, stripes_errors
from tests.providers.stripe_objects import (
    METADATA,
    challenged,
    decline,
    event,
    held,
    payment,
    refused,
    signature,
)
from tests.providers.stripe_server import Request, StripeServer, answer, error
from tests.stripe_oracle import ABSENT, oracle

DATE: Final = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
SINCE: Final = datetime(2026, 11, 24, 3, 0, 0, 500_000, tzinfo=UTC)
UNTIL: Final = SINCE + timedelta(hours=1)


def test_it_is_a_provider(provider: StripeProvider) -> None:
    port: Provider = provider
    assert port.name == "stripe"
    assert port.livemode is False


async def test_a_confirm_sends_this_and_nothing_else(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment())
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
    assert found.as_of == DATE
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/v1/payment_intents", "")
    assert request.form == {
        "amount": "1999",
        "currency": "eur",
        "confirm": "true",
        "capture_method": "automatic",
        "payment_method_types[0]": "card",
        "payment_method": "pm_card_visa",
        "metadata[paygate_installation]": "inst_test",
        "metadata[paygate_merchant]": "default",
        "metadata[paygate_intent]": METADATA["paygate_intent"],
        "metadata[paygate_attempt]": METADATA["paygate_attempt"],
        "expand[0]": "latest_charge",
        "return_url": "https://gateway.example/3ds",
    }
    assert request.headers["idempotency-key"] == METADATA["paygate_attempt"]
    assert request.headers["stripe-version"] == API_VERSION
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert "x-stripe-client-telemetry" not in request.headers


@pytest.mark.parametrize(
    ("changes", "form"),
    [
        ({"capture_method": CaptureMethod.MANUAL}, {"capture_method": "manual"}),
        ({"currency": Currency("isk"), "amount": 5}, {"currency": "isk", "amount": "500"}),
        ({"currency": Currency("mga"), "amount": 500}, {"amount": "5"}),
        ({"description": "Tea & cakes ☕"}, {"description": "Tea & cakes ☕"}),
        ({"statement_descriptor": "TEA"}, {"statement_descriptor_suffix": "TEA"}),
    ],
)
async def test_an_order_in_stripes_words(
    changes: dict[str, Any], form: dict[str, str], server: StripeServer, provider: StripeProvider
) -> None:
    await provider.confirm(order(**changes), timeout_seconds=5)
    assert server.requests[0].form.items() >= form.items()


async def test_no_return_url_sends_none(server: StripeServer, provider: StripeProvider) -> None:
    await provider.confirm(order(return_url=None), timeout_seconds=5)
    assert "return_url" not in server.requests[0].form


async def test_an_order_sent_again_is_the_same_bytes(server: StripeServer) -> None:
    """Also by another process, from a row that was stored in between."""
    server.otherwise = answer(payment())
    first = order(description="d", statement_descriptor="s")
    stored = msgspec.json.decode(msgspec.json.encode(first), type=ConfirmOrder)
    for each in (first, stored):
        provider = StripeProvider(settings(server.url))
        await provider.confirm(each, timeout_seconds=5)
        await provider.close()
    one, two = server.requests
    assert one.body == two.body
    assert one.headers["idempotency-key"] == two.headers["idempotency-key"]


async def test_a_hold(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = answer(held())
    found = await provider.confirm(order(capture_method=CaptureMethod.MANUAL), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
    assert found.outcome.captured is False
    assert found.outcome.authorization_expires_at is not None


async def test_money_captured_against_the_order_is_doubted(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment())
    found = await provider.confirm(order(capture_method=CaptureMethod.MANUAL), timeout_seconds=5)
    assert isinstance(found.outcome, Unknown)
    assert found.provider_reference == "pi_3Q"


async def test_an_approval_of_another_amount_keeps_its_name(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment(amount=999, amount_received=999))
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Unknown)
    assert (found.provider_reference, found.amount) == ("pi_3Q", 999)


async def test_a_challenge(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = answer(challenged())
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, ActionRequired)
    assert found.outcome.next_action is not None


async def test_a_decline_names_the_payment(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = error(402, **decline(payment_intent=refused()))
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Declined)
    assert (found.provider_reference, found.as_of) == ("pi_3Q", DATE)


async def test_a_decline_of_another_payment_is_unknown(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(402, **decline(payment_intent=refused(metadata={})))
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Unknown)
    assert found.provider_reference is None


@pytest.mark.parametrize("date", ["", "yesterday", "Tue, 99 Nov 2026 03:42:00 GMT"])
async def test_an_answer_without_a_usable_date_has_no_time(
    date: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment(), 200, {"Date": date})
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
    assert found.as_of is None


async def test_unknown_keys_and_values_are_tolerated(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment(brand_new={"a": [1]}, capture_method="by_moonlight"))
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)


async def test_a_look_up(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = answer(payment())
    found = await provider.retrieve("pi_3Q", timeout_seconds=5)
    assert isinstance(found, Answer)
    assert isinstance(found.outcome, Approved)
    assert found.attempt == METADATA["paygate_attempt"]
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/v1/payment_intents/pi_3Q")
    assert request.form == {"expand[0]": "latest_charge"}
    assert "idempotency-key" not in request.headers


async def test_what_stripe_does_not_have_is_absent(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(
        404, type="invalid_request_error", code="resource_missing", param="intent"
    )
    assert await provider.retrieve("pi_gone", timeout_seconds=5) == Absent()


@pytest.mark.parametrize("reference", ["", "../refunds", "pi_1?x=1", "pi 1", "pi_ü"])
async def test_what_cannot_be_an_id_is_not_asked_for(
    reference: str, server: StripeServer, provider: StripeProvider
) -> None:
    assert await provider.retrieve(reference, timeout_seconds=5) == Absent()
    assert not server.requests


def _pages(count: int, size: int) -> list[list[dict[str, Any]]]:
    return [[payment(id=f"pi_{page}_{n}") for n in range(size)] for page in range(count)]


async def test_a_list_is_read_page_by_page(server: StripeServer, provider: StripeProvider) -> None:
    pages = _pages(3, 2)
    for number, page in enumerate(pages):
        body = {"object": "list", "data": page, "has_more": number < 2, "url": "/v1/x"}
        server.script.append(answer(body))
    found = [item async for item in provider.list_created(SINCE, UNTIL, timeout_seconds=5)]
    assert [a.provider_reference for a in found] == [item["id"] for page in pages for item in page]
    assert all(a.as_of == DATE for a in found)
    window = {
        "created[gte]": str(int(SINCE.timestamp())),
        "created[lte]": str(int(UNTIL.timestamp()) + 1),
        "limit": "100",
        "expand[0]": "data.latest_charge",
    }
    assert [request.form for request in server.requests] == [
        window,
        window | {"starting_after": "pi_0_1"},
        window | {"starting_after": "pi_1_1"},
    ]


async def test_a_list_shows_payments_that_are_not_ours(
    server: StripeServer, provider: StripeProvider
) -> None:
    foreign = payment(id="pi_foreign", metadata={}, currency="zzz")
    body = {"object": "list", "data": [foreign, payment()], "has_more": False, "url": "/v1/x"}
    server.otherwise = answer(body)
    found = [item async for item in provider.list_created(SINCE, UNTIL, timeout_seconds=5)]
    assert [item.attempt for item in found] == [None, METADATA["paygate_attempt"]]
    assert isinstance(found[0].outcome, Unknown)


@pytest.mark.parametrize("body", [event(payment()), b"\xff", b""])
def test_a_delivery_is_verified_whatever_it_says(provider: StripeProvider, body: bytes) -> None:
    headers = {"stripe-signature": signature(body, WEBHOOK_SECRET, DATE)}
    provider.verify_event(body, headers, DATE)
    with pytest.raises(SignatureError):
        provider.verify_event(body, headers, DATE + timedelta(minutes=6))
    with pytest.raises(SignatureError):
        provider.verify_event(body + b" ", headers, DATE)


def test_what_is_no_event_is_a_value_error(provider: StripeProvider) -> None:
    assert provider.read_event(event(payment())).answer is not None
    with pytest.raises(ValueError, match="not JSON"):
        provider.read_event(b"\xff")


def test_representable(provider: StripeProvider) -> None:
    assert provider.representable(1999, Currency("eur"))
    assert not provider.representable(1, Currency("mga"))


@pytest.mark.parametrize(
    ("api_key", "livemode"),
    [("sk_test_x", False), ("rk_test_x", False), ("sk_live_x", True), ("rk_live_x", True)],
)
def test_the_mode_is_the_keys(api_key: str, livemode: bool) -> None:
    adapter = StripeProvider(settings("https://api.stripe.com/", api_key=Secret(api_key)))
    assert adapter.livemode is livemode


@pytest.mark.parametrize(
    "changes",
    [
        {"api_key": Secret("pk_test_leak")},
        {"api_key": Secret("leak")},
        {"api_key": Secret("")},
        {"webhook_secrets": ()},
        {"webhook_secrets": (Secret("whsec_leak"), Secret(""))},
        {"installation": ""},
        {"webhook_tolerance_seconds": 0},
        {"api_base": "api.stripe.com"},
        {"api_base": "ftp://api.stripe.com"},
        {"api_base": "http://api.stripe.com", "api_key": Secret("sk_live_leak")},
    ],
)
def test_settings_that_cannot_work_are_refused_and_not_quoted(changes: dict[str, Any]) -> None:
    given = settings("https://api.stripe.com", **changes)
    with pytest.raises(ValueError, match=r".") as caught:
        StripeProvider(given)
    assert "leak" not in str(caught.value) + repr(given)


def test_nothing_shows_a_secret(provider: StripeProvider, server: StripeServer) -> None:
    shown = repr(provider) + repr(settings(server.url)) + repr(provider._wire.__dict__)
    assert API_KEY not in shown
    assert WEBHOOK_SECRET not in shown


def test_stripes_description_is_asked() -> None:
    """The `server` fixture holds every request to it; this says when it could not."""
    if oracle() is None:
        pytest.skip(ABSENT)
    wrong = Request("POST", "/v1/payment_intents", "", {}, b"amount=1&currency=eur&colour=red")
    assert stripes_errors([wrong])


async def test_the_same_attempt_under_another_intents_id_is_this_orders_payment(
    server: StripeServer, provider: StripeProvider
) -> None:
    """After a restore the intent was made anew: the attempt's id, which is its key, is the same."""
    server.otherwise = answer(payment(metadata=METADATA | {"paygate_intent": "pi_before"}))
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
    for mark in ("paygate_attempt", "paygate_installation"):
        server.otherwise = answer(payment(metadata=METADATA | {mark: "other"}))
        found = await provider.confirm(order(), timeout_seconds=5)
        assert isinstance(found.outcome, Unknown)
        assert found.provider_reference is None
