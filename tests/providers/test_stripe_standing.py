"""What a refused or doubtful capture, cancel or customer is taken to say."""

import time
from typing import Any, Final

import pytest

from paygate.domain.payments.outcome import (
    ActionRequired,
    Approved,
    Cancelled,
    Declined,
    Outcome,
    Pending,
    Rejected,
    Unknown,
)
from paygate.providers.contract import (
    CancelOrder,
    KeySpent,
)
from paygate.providers.stripe.adapter import StripeProvider
from tests.providers.conftest import order
from tests.providers.stripe_calls import (
    INVALID,
    Called,
    Kind,
    call,
    cancel,
    capture,
    customer,
    in_the_way,
)
from tests.providers.stripe_objects import (
    cancelled,
    challenged,
    debited,
    decline,
    held,
    payment,
    refused,
)
from tests.providers.stripe_server import Behaviour, StripeServer, answer, error, hang
from tests.providers.test_stripe_faults import SOON


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (payment(), Approved),
        (payment(amount_received=500), Approved),
        (cancelled(), Cancelled),
        (debited(), Pending),
        (held(), Unknown),
        (challenged(), Rejected),
        (refused(), Rejected),
        (payment(currency="usd"), Unknown),
    ],
)
async def test_a_capture_that_the_state_forbids_tells_how_it_stands(
    made: dict[str, Any],
    expected: type[Outcome],
    server: StripeServer,
    provider: StripeProvider,
) -> None:
    server.script.append(in_the_way(made))
    found = await capture(provider)
    assert isinstance(found.outcome, expected)
    assert found.provider_reference == "pi_3Q"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (payment(), Approved),
        (cancelled(), Cancelled),
        (debited(), Pending),
        (challenged(), ActionRequired),
        (refused(), Declined),
    ],
)
async def test_a_cancel_that_the_state_forbids_tells_how_it_stands(
    made: dict[str, Any],
    expected: type[Outcome],
    server: StripeServer,
    provider: StripeProvider,
) -> None:
    server.script.append(in_the_way(made))
    found = await cancel(provider)
    assert isinstance(found.outcome, expected)
    assert found.provider_reference == "pi_3Q"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        in_the_way(),
        in_the_way("pi_3Q"),
        in_the_way(payment(status="brand_new")),
        in_the_way(debited(), replayed=True),
        in_the_way(debited(), replayed=True, code="brand_new"),
        in_the_way(code="charge_already_captured"),
        in_the_way(code="charge_expired_for_capture"),
    ],
)
@pytest.mark.parametrize("kind", ["capture", "cancel"])
async def test_what_a_refusal_does_not_show_or_shows_as_it_was_is_asked_for(
    kind: Kind, refusal: Behaviour, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.extend([refusal, answer(payment())])
    assert isinstance(await call(provider, kind), Approved)
    assert [request.method for request in server.requests] == ["POST", "GET"]
    assert server.requests[1].path == "/v1/payment_intents/pi_3Q"


@pytest.mark.parametrize("kind", ["capture", "cancel"])
@pytest.mark.parametrize(
    "then",
    [
        error(404, type=INVALID, code="resource_missing"),
        error(401, type=INVALID),
        error(500, type="api_error"),
        answer(payment(id="pi_other")),
        hang,
    ],
)
async def test_a_standing_that_cannot_be_learnt_is_unknown(
    then: Behaviour, kind: Kind, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(in_the_way())
    server.otherwise = then
    started = time.monotonic()
    assert isinstance(await call(provider, kind, SOON), Unknown)
    assert time.monotonic() - started < 60, "both calls share one deadline"


@pytest.mark.parametrize("kind", ["capture", "cancel"])
async def test_the_standing_of_another_payment_is_not_believed(
    kind: Kind, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(in_the_way(payment(id="pi_other")))
    assert isinstance(await call(provider, kind), Unknown)


@pytest.mark.parametrize(
    ("made", "amount"),
    [
        (payment(id="pi_other"), 1999),
        (payment(currency="usd"), 1999),
        (payment(livemode=True), 1999),
        (payment(), 500),
        (held(), 1999),
    ],
)
async def test_a_capture_that_does_not_agree_is_doubted(
    made: dict[str, Any], amount: int, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(made)
    assert isinstance((await capture(provider, amount=amount)).outcome, Unknown)


@pytest.mark.parametrize("made", [payment(), held(), debited(), challenged(), refused()])
async def test_a_cancel_that_is_no_cancel_is_doubted(
    made: dict[str, Any], server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(made)
    found = await cancel(provider)
    assert isinstance(found.outcome, Unknown)
    assert found.provider_reference == "pi_3Q"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (error(400, type=INVALID, code="amount_too_large"), "order_refused"),
        (error(400, type=INVALID, code="amount_too_small"), "order_refused"),
        (error(400, type=INVALID, param="amount_to_capture"), "order_refused"),
        (error(402, **decline(code="capture_failed")), "order_refused"),
        (error(402, **decline(payment_intent=held())), "order_refused"),
        (error(404, type=INVALID, message="Unrecognized request URL"), "provider_configuration"),
    ],
)
async def test_a_capture_that_certainly_took_nothing_is_refused(
    refusal: Behaviour, reason: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = refusal
    found = await capture(provider)
    assert isinstance(found.outcome, Rejected)
    assert found.outcome.reason == reason
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("made", "expected"),
    [(payment(), Approved), (cancelled(), Cancelled), (refused(), Rejected), (debited(), Pending)],
)
async def test_a_refusal_that_shows_how_the_payment_stands_is_read_so(
    made: dict[str, Any],
    expected: type[Outcome],
    server: StripeServer,
    provider: StripeProvider,
) -> None:
    server.script.append(error(402, **decline(payment_intent=made)))
    assert isinstance((await capture(provider)).outcome, expected)


@pytest.mark.parametrize(
    ("kind", "expected"), [("capture", Unknown), ("cancel", Unknown), ("customer", KeySpent)]
)
async def test_a_key_sent_with_another_order_proves_nothing(
    kind: Kind, expected: type[Called], server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(400, type="idempotency_error", message="Keys for idempotent")
    assert isinstance(await call(provider, kind), expected)


async def test_a_cancel_of_what_stripe_does_not_have_is_unknown(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = error(404, type=INVALID, code="resource_missing", param="intent")
    assert isinstance((await cancel(provider)).outcome, Unknown)


@pytest.mark.parametrize(
    "reference", ["", "../refunds", "pi_1?x=1", "pi 1", "pi_ü", "pi_1/capture"]
)
async def test_what_cannot_be_an_id_is_not_sent(
    reference: str, server: StripeServer, provider: StripeProvider
) -> None:
    asked = CancelOrder(key="at_3", provider_reference=reference)
    found = await capture(provider, provider_reference=reference)
    assert isinstance(found.outcome, Rejected)
    assert isinstance((await provider.cancel(asked, timeout_seconds=5)).outcome, Unknown)
    assert not server.requests


@pytest.mark.parametrize(
    "body",
    [
        customer(object="account"),
        customer(id=None),
        customer(id="cus 1"),
        customer(livemode=True),
        customer(metadata={}),
        customer(metadata={"paygate_installation": "other", "paygate_customer": "cus_01"}),
        customer(metadata={"paygate_installation": "inst_test", "paygate_customer": "cus_02"}),
        {},
    ],
)
async def test_another_customer_is_not_believed(
    body: dict[str, Any], server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = answer(body)
    assert isinstance(await call(provider, "customer"), Unknown)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (error(400, type=INVALID, code="email_invalid", param="email"), "customer_refused"),
        (error(400, type=INVALID, param="name"), "customer_refused"),
        (error(400, type=INVALID, param="metadata"), "provider_configuration"),
        (error(404, type=INVALID), "provider_configuration"),
    ],
)
async def test_a_customer_refused(
    refusal: Behaviour, reason: str, server: StripeServer, provider: StripeProvider
) -> None:
    server.otherwise = refusal
    found = await call(provider, "customer")
    assert isinstance(found, Rejected)
    assert found.reason == reason


REPLAYED: Final = {"Idempotent-Replayed": "true"}


@pytest.mark.parametrize(
    "first",
    [
        answer(challenged(), 200, REPLAYED),
        answer(payment(status="processing"), 200, REPLAYED),
        error(402, REPLAYED, **decline(), payment_intent=refused()),
    ],
)
async def test_a_confirm_given_again_shows_the_payment_as_it_was_and_is_asked_for(
    first: Behaviour, server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(first)
    server.otherwise = answer(payment())
    found = await provider.confirm(order(), timeout_seconds=5)
    assert isinstance(found.outcome, Approved)
    assert [r.method for r in server.requests] == ["POST", "GET"]


async def test_a_confirm_given_again_is_no_news_while_the_payment_cannot_be_asked_for(
    server: StripeServer, provider: StripeProvider
) -> None:
    server.script.append(answer(challenged(), 200, REPLAYED))
    server.otherwise = error(500, type="api_error")
    found = await provider.confirm(order(), timeout_seconds=1)
    assert isinstance(found.outcome, Unknown)
