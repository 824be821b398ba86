"""Transfers, debits, captures, cancels and customers: what is sent, and what silence means."""

from typing import Final

import pytest

from paygate.domain.money import Currency
from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    Cancelled,
    NotSent,
    Pending,
    Rejected,
    TransferInstructions,
    Unknown,
)
from paygate.domain.payments.payment_method import DirectDebit, Mandate, PushTransfer
from paygate.providers.contract import (
    CustomerMade,
    CustomerOrder,
    KeySpent,
)
from paygate.providers.stripe.adapter import StripeProvider
from paygate.providers.stripe.translate import API_VERSION
from tests.providers.conftest import order
from tests.providers.stripe_calls import (
    DATE,
    GOOD,
    INVALID,
    KINDS,
    Kind,
    call,
    cancel,
    capture,
    customer,
)
from tests.providers.stripe_objects import (
    METADATA,
    asked_to_transfer,
    cancelled,
    debited,
    payment,
)
from tests.providers.stripe_server import Behaviour, StripeServer, answer, error, hang
from tests.providers.test_stripe_faults import AMBIGUOUS, IN_USE, RATE_LIMIT


async def test_a_transfer_is_asked_for(server: StripeServer, provider: StripeProvider) -> None:
    server.otherwise = answer(asked_to_transfer())
    asked = order(instrument=PushTransfer("DE"), customer="cus_Q", return_url=None)
    found = await provider.confirm(asked, timeout_seconds=5)
    assert isinstance(found.outcome, ActionRequired)
    assert isinstance(found.outcome.next_action, TransferInstructions)
    form, options = server.requests[0].form, "payment_method_options[customer_balance]"
    assert {key: form[key] for key in form if not key.startswith("metadata")} == {
        "amount": "1999",
        "currency": "eur",
        "confirm": "true",
        "capture_method": "automatic",
        "payment_method_types[0]": "customer_balance",
        "payment_method_data[type]": "customer_balance",
        f"{options}[funding_type]": "bank_transfer",
        f"{options}[bank_transfer][type]": "eu_bank_transfer",
        f"{options}[bank_transfer][eu_bank_transfer][country]": "DE",
        "customer": "cus_Q",
        "expand[0]": "latest_charge",
    }


@pytest.mark.parametrize("currency", ["gbp", "jpy", "mxn", "usd"])
async def test_every_rail_is_as_stripe_describes_it(
    currency: str, server: StripeServer, provider: StripeProvider
) -> None:
    asked = order(instrument=PushTransfer(), customer="cus_Q", currency=Currency(currency))
    await provider.confirm(asked, timeout_seconds=5)
    assert len(server.requests) == 1  # held to the description by `server`


@pytest.mark.parametrize(("currency", "kind"), [("eur", "sepa_debit"), ("usd", "us_bank_account")])
async def test_a_debit_is_asked_for(
    currency: str, kind: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(debited(currency=currency))
    debit = DirectDebit("pm_1", Mandate(DATE, "2001:db8::1", "Browser/1"))
    asked = order(instrument=debit, currency=Currency(currency), return_url=None)
    found = await provider.confirm(asked, timeout_seconds=5)
    assert isinstance(found.outcome, Pending)
    acceptance = "mandate_data[customer_acceptance]"
    wanted = {
        "payment_method_types[0]": kind,
        "payment_method": "pm_1",
        f"{acceptance}[type]": "online",
        f"{acceptance}[accepted_at]": str(int(DATE.timestamp())),
        f"{acceptance}[online][ip_address]": "2001:db8::1",
        f"{acceptance}[online][user_agent]": "Browser/1",
    }
    assert server.requests[0].form.items() >= wanted.items()


async def test_a_capture_sends_this_and_nothing_else(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment())
    found = await capture(provider)
    assert isinstance(found.outcome, Approved)
    assert found.outcome.amount_received == 1999
    assert found.outcome.payment_method is not None
    assert (found.provider_reference, found.as_of) == ("pi_3Q", DATE)
    assert found.attempt == METADATA["paygate_attempt"]
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/payment_intents/pi_3Q/capture")
    assert request.form == {"amount_to_capture": "1999", "expand[0]": "latest_charge"}
    assert request.headers["idempotency-key"] == "at_2"
    assert request.headers["stripe-version"] == API_VERSION


async def test_a_capture_counts_in_stripes_units(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(payment(currency="isk", amount=5000, amount_received=2000))
    found = await capture(provider, amount=20, currency=Currency("isk"))
    assert isinstance(found.outcome, Approved)
    assert (found.outcome.amount_received, found.amount) == (20, 50)
    assert server.requests[0].form["amount_to_capture"] == "2000"


async def test_a_cancel_sends_this_and_nothing_else(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(cancelled())
    found = await cancel(provider)
    assert isinstance(found.outcome, Cancelled)
    assert (found.provider_reference, found.as_of) == ("pi_3Q", DATE)
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/payment_intents/pi_3Q/cancel")
    assert request.form == {}
    assert request.headers["idempotency-key"] == "at_3"


async def test_a_customer_sends_this_and_nothing_else(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(customer())
    assert await call(provider, "customer") == CustomerMade("cus_Q")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/customers")
    marks = {
        "metadata[paygate_installation]": "inst_test",
        "metadata[paygate_merchant]": "default",
        "metadata[paygate_customer]": "cus_01",
    }
    assert request.form == {"email": "ada@shop.example", "name": "Ada"} | marks
    assert request.headers["idempotency-key"] == "cus_01-1"
    nobody = CustomerOrder(key="cus_01-1", customer="cus_01", merchant="default")
    await provider.make_customer(nobody, timeout_seconds=5)
    assert server.requests[1].form == marks


PATIENT: Final = 3.0
"""Seconds for a call: a slow machine may not even have sent it in half a one."""
OF_CONFIRMS: Final = {"another amount", "another attempt", "less than was asked"}
"""A part may be captured, and a payment bears its confirm's attempt for ever."""


@KINDS
@pytest.mark.parametrize("fault", [k for k in AMBIGUOUS if k not in OF_CONFIRMS])
async def test_what_may_have_happened_is_unknown(
    fault: str, kind: Kind, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(AMBIGUOUS[fault])
    server.otherwise = GOOD[kind]  # were it tried again, it would be done
    found = await call(provider, kind, 0.2 if AMBIGUOUS[fault] is hang else PATIENT)
    spent = kind == "customer" and fault == "500 replayed"
    assert isinstance(found, KeySpent if spent else Unknown), found
    assert len(server.requests) == 1, "the adapter repeated what may have happened"
    assert not isinstance(await call(provider, kind), Unknown)


@KINDS
async def test_a_refused_connection_is_certain(
    kind: Kind, server: StripeServer, provider: StripeProvider
) -> None:
    await server.stop()
    try:
        assert isinstance(await call(provider, kind), NotSent)
    finally:
        await server.start()


@KINDS
@pytest.mark.parametrize("certain", [RATE_LIMIT, IN_USE])
async def test_what_did_not_begin_is_tried_again_with_the_same_bytes(
    certain: Behaviour, kind: Kind, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([certain, certain])
    server.otherwise = GOOD[kind]
    assert not isinstance(await call(provider, kind, 10), NotSent | Unknown)
    assert len({(r.body, r.headers["idempotency-key"]) for r in server.requests}) == 1


@KINDS
@pytest.mark.parametrize("status", [401, 403])
async def test_our_key_refused_is_our_configuration(
    status: int, kind: Kind, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(status, type=INVALID, message="sk_test_***")
    found = await call(provider, kind)
    assert isinstance(found, Rejected)
    assert found.reason == "provider_configuration"
