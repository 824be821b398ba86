"""Every clear no that Stripe may give to a confirm, and what the caller is told."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.payments.outcome import Declined, Outcome, Rejected, Unknown
from paygate.providers.stripe.api_errors import of_cancel, of_capture, of_confirm
from tests.providers.stripe_objects import decline, held, payment, refused
from tests.providers.test_stripe_translate import JSON_ISH

NOW: Final = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
INVALID: Final = "invalid_request_error"
USED_UP: Final = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
    "attachment. It may not be used again."
)


def outcome(status: int, **error: Any) -> Outcome:
    return of_confirm(status, {"error": error}, livemode=False, as_of=NOW).outcome


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (400, {"code": "resource_missing", "param": "payment_method"}, "payment_method_rejected"),
        (404, {"code": "resource_missing", "param": "payment_method"}, "payment_method_rejected"),
        (400, {"code": "payment_method_unexpected_state"}, "payment_method_rejected"),
        (400, {"code": "livemode_mismatch"}, "payment_method_rejected"),
        (400, {"message": USED_UP}, "payment_method_rejected"),
        (400, {"param": "payment_method"}, "payment_method_rejected"),
        (400, {"code": "payment_method_unactivated"}, "provider_configuration"),
        (400, {"code": "parameter_unknown", "param": "confirm"}, "provider_configuration"),
        (400, {"param": "payment_method_types"}, "provider_configuration"),
        (404, {"message": "Unrecognized request URL"}, "provider_configuration"),
        (401, {}, "provider_configuration"),
        (401, {"code": "api_key_expired"}, "provider_configuration"),
        (403, {"code": "platform_api_key_expired"}, "provider_configuration"),
        (403, {}, "provider_configuration"),
        (403, {"code": "more_permissions_required"}, "provider_configuration"),
    ],
)
def test_rejected(status: int, error: dict[str, Any], reason: str) -> None:
    found = outcome(status, type=INVALID, **error)
    assert isinstance(found, Rejected)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (402, decline(), "card_declined"),
        (400, decline(), "card_declined"),
        (400, {"code": "amount_too_small", "param": "amount"}, "amount_too_small"),
        (400, {"code": "amount_too_large"}, "amount_too_large"),
        (400, {"code": "parameter_invalid_integer", "param": "amount"}, "amount_invalid"),
        (400, {"param": "currency"}, "currency_not_supported"),
        (400, {"code": "url_invalid", "param": "return_url"}, "return_url_invalid"),
        (400, {"param": "return_url"}, "return_url_invalid"),
        (400, {"param": "statement_descriptor_suffix"}, "statement_descriptor_invalid"),
        (400, {"param": "description"}, "description_invalid"),
        (400, {"code": "payment_intent_authentication_failure"}, "authentication_failed"),
    ],
)
def test_declined(status: int, error: dict[str, Any], code: str) -> None:
    found = outcome(status, **({"type": INVALID} | error))
    assert isinstance(found, Declined)
    assert found.error.code == code


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "idempotency_error", "message": "Keys for idempotent requests"}),
        (400, {"type": INVALID, "code": "payment_intent_unexpected_state"}),
        (400, {"type": "api_error"}),
        (400, {"type": "brand_new_error"}),
        (400, {}),
        (402, {"type": INVALID}),
        (402, {"type": "api_error"}),
        (402, {}),
    ],
)
def test_unknown(status: int, error: dict[str, Any]) -> None:
    assert isinstance(outcome(status, **error), Unknown)


def test_a_key_known_with_other_parameters_is_said_to_be_looked_up() -> None:
    error = {"error": {"type": "idempotency_error"}}
    for found in (outcome(400, type="idempotency_error"), of_capture(400, error)):
        assert isinstance(found, Unknown)
        assert "is to be looked up" in found.message
    assert of_cancel(400, error) == of_capture(400, error)


def test_another_accounts_key_refuses_no_capture() -> None:
    """It knows no such payment, which says nothing of the one that is meant."""
    for code in ("resource_missing", "resource_already_exists", None):
        found = of_capture(404, {"error": {"type": INVALID, "code": code}})
        assert isinstance(found, Unknown) is (code == "resource_missing")
    refused_order = of_capture(400, {"error": {"type": INVALID, "code": "amount_too_large"}})
    assert isinstance(refused_order, Rejected)
    assert refused_order.reason == "order_refused"


@pytest.mark.parametrize("body", [None, [], {}, {"error": "invalid_client"}, {"error": [1]}])
def test_a_no_that_is_not_stripes_is_unknown(body: object) -> None:
    for status in (400, 401, 402, 403, 404):
        answer = of_confirm(status, body, livemode=False, as_of=NOW)
        assert isinstance(answer.outcome, Unknown)


def test_a_decline_names_the_payment() -> None:
    body = {"error": decline(payment_intent=refused())}
    answer = of_confirm(402, body, livemode=False, as_of=NOW)
    assert isinstance(answer.outcome, Declined)
    assert (answer.provider_reference, answer.amount, answer.as_of) == ("pi_3Q", 1999, NOW)


@pytest.mark.parametrize(
    "made",
    [
        payment(),
        held(),
        payment(status="processing"),
        payment(status="requires_action"),
        payment(status="brand_new"),
        refused(livemode=True),
        refused(id=None),
        {},
        [],
        "pi_3Q",
    ],
)
def test_a_no_with_a_payment_that_is_not_at_rest_is_unknown(made: object) -> None:
    body = {"error": decline(payment_intent=made)}
    assert isinstance(of_confirm(402, body, livemode=False, as_of=NOW).outcome, Unknown)


def test_a_refusal_of_a_payment_that_was_made_keeps_its_name() -> None:
    made = payment(status="requires_payment_method", amount_received=0)
    error = {"type": INVALID, "message": USED_UP, "payment_intent": made}
    answer = of_confirm(400, {"error": error}, livemode=False, as_of=NOW)
    assert isinstance(answer.outcome, Rejected)
    assert answer.provider_reference == "pi_3Q"


def test_stripes_sentences_are_not_repeated() -> None:
    for status in (400, 401, 402, 403, 404):
        found = outcome(status, type=INVALID, message="No such PaymentMethod: 'pm_secret'")
        assert "pm_secret" not in repr(found)


@given(st.sampled_from([400, 401, 402, 403, 404, 418]), JSON_ISH, JSON_ISH)
def test_nothing_makes_it_raise_or_approve(status: int, body: object, inner: object) -> None:
    of_confirm(status, body, livemode=False, as_of=None)
    answer = of_confirm(
        status,
        {"error": {"type": inner, "code": body, "param": inner, "payment_intent": body}},
        livemode=False,
        as_of=None,
    )
    assert isinstance(answer.outcome, Declined | Rejected | Unknown)
