"""Looking up a payment method at Stripe: what is sent, and what of the answer is believed."""

from typing import Any, Final

import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import BankTransfer, Card, NotSent, Rejected, Unknown
from paygate.domain.payments.payment_method import CardToken, DirectDebit, Mandate, Tokened
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.answers import to_payment_method
from paygate.providers.stripe.translate import API_VERSION
from tests.making import START
from tests.providers.stripe_calls import INVALID
from tests.providers.stripe_server import StripeServer, answer, error, reset
from tests.providers.test_stripe_faults import RATE_LIMIT

TOKEN: Final = CardToken("pm_1")
CARD: Final = Card("visa", "4242", 4, 2030)
EUR: Final = Currency("eur")


def method(**changes: Any) -> dict[str, Any]:
    return {
        "id": "pm_1",
        "object": "payment_method",
        "billing_details": {"email": "ada@shop.example", "name": "Ada"},
        "card": {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2030},
        "customer": None,
        "livemode": False,
        "type": "card",
    } | changes


async def look(
    provider: StripeProvider, instrument: Tokened = TOKEN, currency: Currency = EUR
) -> object:
    return await provider.payment_method(instrument, currency, timeout_seconds=5)


async def test_one_read_is_sent_and_nothing_else(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(method())
    assert await look(provider) == CARD
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/v1/payment_methods/pm_1")
    assert (request.query, request.body) == ("", b"")
    assert request.headers["stripe-version"] == API_VERSION
    assert "idempotency-key" not in request.headers


@pytest.mark.parametrize(
    ("currency", "kind", "details", "shown"),
    [
        (
            "eur",
            "sepa_debit",
            {"country": "AT", "last4": "3201"},
            BankTransfer("debit", "AT", "3201"),
        ),
        ("usd", "us_bank_account", {"last4": "6789"}, BankTransfer("debit", None, "6789")),
    ],
)
async def test_an_account_is_of_the_kind_that_its_currency_is_debited_by(
    server: StripeServer,
    provider: StripeProvider,
    currency: str,
    kind: str,
    details: dict[str, Any],
    shown: BankTransfer,
) -> None:
    server.otherwise = answer(method(**{"type": kind, "card": None, kind: details}))
    debit = DirectDebit("pm_1", Mandate(START, "192.0.2.1", "Browser/1"))
    assert await look(provider, debit, Currency(currency)) == shown
    other = Currency("usd" if currency == "eur" else "eur")
    assert isinstance(await look(provider, debit, other), Rejected)
    assert isinstance(await look(provider), Rejected)


async def test_a_test_token_is_answered_with_a_new_method(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(method(id="pm_1Q"))
    assert await look(provider, CardToken("pm_card_visa")) == CARD


def test_in_live_mode_the_answer_is_of_the_very_token() -> None:
    def believed(**changes: Any) -> object:
        return to_payment_method(TOKEN, "card", method(livemode=True, **changes), livemode=True)

    assert believed() == CARD
    assert isinstance(believed(id="pm_2"), Unknown)


@pytest.mark.parametrize(
    "changes", [{"customer": "cus_1"}, {"customer": {"id": "cus_1"}}, {"customer_account": "acct"}]
)
async def test_a_method_of_a_customer_of_stripes_cannot_be_paid_with(
    server: StripeServer, provider: StripeProvider, changes: dict[str, Any]
) -> None:
    server.otherwise = answer(method(**changes))
    found = await look(provider)
    assert isinstance(found, Rejected)
    assert found.reason == "payment_method_rejected"


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "card"},
        {"id": None},
        {"id": "pm 1"},
        {"livemode": True},
        {"livemode": None},
        {"card": None},
        {"card": {}},
    ],
)
async def test_an_answer_that_is_not_understood_is_unknown(
    server: StripeServer, provider: StripeProvider, changes: dict[str, Any]
) -> None:
    server.otherwise = answer(method(**changes))
    assert isinstance(await look(provider), Unknown)


@pytest.mark.parametrize(
    ("status", "fields", "reason"),
    [
        (404, {"code": "resource_missing", "param": "payment_method"}, "payment_method_rejected"),
        (400, {"code": "livemode_mismatch"}, "payment_method_rejected"),
        (401, {}, "provider_configuration"),
        (403, {"code": "secret_key_required"}, "provider_configuration"),
        (404, {"message": "Unrecognized request URL"}, None),
        (400, {"code": "brand_new"}, None),
        (404, {"code": "resource_missing", "type": "api_error"}, None),
    ],
)
async def test_what_a_no_means(
    server: StripeServer,
    provider: StripeProvider,
    status: int,
    fields: dict[str, Any],
    reason: str | None,
) -> None:
    server.otherwise = error(status, **({"type": INVALID} | fields))
    found = await look(provider)
    assert getattr(found, "reason", None) == reason
    assert isinstance(found, Unknown if reason is None else Rejected)
    assert "pm_1" not in repr(found)


async def test_silence_is_unknown_and_a_rate_limit_certain(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = reset
    assert isinstance(await look(provider), Unknown)
    assert len(server.requests) > 1, "a read may be repeated"
    server.otherwise = RATE_LIMIT
    assert isinstance(await look(provider), NotSent)
    await server.stop()
    assert isinstance(await look(provider), NotSent)
    await server.start()
