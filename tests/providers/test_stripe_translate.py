"""What a PaymentIntent is taken to say, case by case, and that nothing makes the reader raise."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.payments.outcome import (
    ActionRequired,
    Advice,
    Answer,
    Approved,
    Cancelled,
    Card,
    Declined,
    Outcome,
    PaymentError,
    Pending,
    RedirectToUrl,
    Unknown,
)
from paygate.providers.stripe.declines import may_reveal, payment_error
from paygate.providers.stripe.translate import payment as translate
from tests.providers.stripe_objects import (
    CREATED,
    INSTALLATION,
    METADATA,
    challenged,
    charge,
    decline,
    held,
    payment,
    refused,
)

NOW = datetime(2026, 11, 24, 3, 42, tzinfo=UTC)
VISA = Card("visa", "4242", 4, 2030)


def outcome(body: object) -> Outcome:
    return translate(body, livemode=False, as_of=NOW).outcome


def test_an_answer_names_the_payment() -> None:
    assert translate(payment(), livemode=False, as_of=NOW) == Answer(
        outcome=Approved(True, 1999, 0, VISA),
        provider_reference="pi_3Q",
        as_of=NOW,
        amount=1999,
        currency="eur",
        attempt=METADATA["paygate_attempt"],
        installation=INSTALLATION,
        merchant="default",
        intent=METADATA["paygate_intent"],
    )


REDIRECT = RedirectToUrl("https://hooks.stripe.com/3ds", "https://shop.example/r")
EXPIRES = datetime.fromtimestamp(CREATED + 604_800, UTC)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (payment(amount_received=1000), Approved(True, 1000, 0, VISA)),
        (payment(latest_charge="ch_1"), Approved(True, 1999, 0)),
        (payment(latest_charge=None, payment_method={"card": {}}), Approved(True, 1999, 0)),
        (
            payment(latest_charge=None, payment_method={"card": {"brand": "amex"}}),
            Approved(True, 1999, 0, Card("amex")),
        ),
        (held(), Approved(False, 0, 1999, VISA, EXPIRES)),
        (held(latest_charge=charge()), Approved(False, 0, 1999, VISA)),
        (held(amount_capturable=500), Approved(False, 0, 500, VISA, EXPIRES)),
        (challenged(), ActionRequired(REDIRECT)),
        (challenged(next_action=None), ActionRequired(None)),
        (challenged(next_action={"type": "use_stripe_sdk"}), ActionRequired(None)),
        (
            challenged(next_action={"redirect_to_url": {"url": "javascript:alert(1)"}}),
            ActionRequired(None),
        ),
        (payment(status="processing", amount_received=0), Pending(VISA)),
        (payment(status="canceled", cancellation_reason="expired"), Cancelled("expired")),
        (payment(status="canceled", cancellation_reason={"a": 1}), Cancelled()),
        (
            payment(currency="isk", amount=500, amount_received=500),
            Approved(True, 5, 0, VISA),
        ),
    ],
)
def test_statuses(body: dict[str, Any], expected: Outcome) -> None:
    assert outcome(body) == expected


def test_a_decline_says_why() -> None:
    assert outcome(refused()) == Declined(
        PaymentError(
            "card_declined", "The card was declined.", "generic_decline", Advice.TRY_AGAIN_LATER
        )
    )


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "pi_3Q",
        {},
        {"error": {}},
        payment(object="charge"),
        payment(id=None),
        payment(id=7),
        payment(id="pi_3Q/../../v1/refunds"),
        payment(id=""),
        payment(livemode=True),
        payment(livemode=None),
        payment(livemode=0),
        payment(status=None),
        payment(status="half_succeeded"),
        payment(status=["succeeded"]),
        payment(amount=None),
        payment(amount="1999"),
        payment(amount=1999.0),
        payment(amount=True),
        payment(amount=0),
        payment(amount=-1999),
        payment(amount=10**30),
        payment(amount_received=None),
        payment(amount_received=0),
        payment(amount_received=2000),
        payment(amount_received=-1),
        payment(amount_received=True),
        payment(currency=None),
        payment(currency="EUR"),
        payment(currency="zzz"),
        payment(currency="isk"),  # 19.99 krónur do not exist
        held(amount_capturable=0),
        held(amount_capturable=2000),
        payment(status="requires_payment_method"),
        payment(status="requires_confirmation"),
        refused(last_payment_error="card_declined"),
        refused(last_payment_error="card_declined", latest_charge=None),
    ],
)
def test_what_is_not_understood_is_unknown(body: object) -> None:
    found = outcome(body)
    assert isinstance(found, Unknown)
    assert not found.idle


@pytest.mark.parametrize("status", ["requires_payment_method", "requires_confirmation"])
def test_a_payment_that_nobody_has_begun_is_idle(status: str) -> None:
    untouched = {"amount_received": 0, "latest_charge": None}
    found = outcome(payment(status=status, **untouched))
    assert isinstance(found, Unknown)
    assert found.idle
    assert isinstance(outcome(refused(status=status, latest_charge=None)), Declined)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"brand": 1, "last4": "42424242", "exp_month": 13, "exp_year": "2030"}, Card()),
        ({"brand": "VISA <b>", "last4": 4242, "exp_month": True, "exp_year": -1}, Card()),
        ({"wallet": {"type": "apple_pay"}}, VISA),
    ],
)
def test_a_card_is_shown_as_far_as_it_makes_sense(card: dict[str, Any], expected: Card) -> None:
    found = outcome(payment(latest_charge=charge(card=card)))
    assert isinstance(found, Approved)
    assert found.payment_method == expected


@pytest.mark.parametrize("capture_before", [None, "soon", -1, 10**18, True, 1.5])
def test_a_strange_expiry_is_no_expiry(capture_before: object) -> None:
    found = outcome(held(latest_charge=charge(card={"capture_before": capture_before})))
    assert isinstance(found, Approved)
    assert found.authorization_expires_at is None


@pytest.mark.parametrize("metadata", [None, [], {"paygate_attempt": 7}, {}])
def test_a_payment_that_is_not_ours_has_no_attempt(metadata: object) -> None:
    answer = translate(payment(metadata=metadata), livemode=False, as_of=None)
    assert (answer.provider_reference, answer.attempt, answer.installation) == ("pi_3Q", None, None)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (decline(), "card_declined", "The card was declined."),
        (
            decline(decline_code="insufficient_funds"),
            "card_declined",
            "The card has insufficient funds.",
        ),
        (
            decline(code="expired_card", decline_code="expired_card"),
            "expired_card",
            "The card has expired.",
        ),
        (decline(code="incorrect_cvc"), "incorrect_cvc", "The card's security code is wrong."),
        (
            decline(code="processing_error"),
            "processing_error",
            "The card could not be processed just now.",
        ),
        (
            decline(code="authentication_required", decline_code="authentication_required"),
            "authentication_required",
            "The bank asks for the payer's authentication.",
        ),
        (
            {"type": "invalid_request_error", "code": "payment_intent_authentication_failure"},
            "authentication_failed",
            "The payer was not authenticated.",
        ),
        (decline(code="brand_new"), "card_declined", "The card was declined."),
        ({"type": "api_error"}, "payment_failed", "The payment failed."),
        ({}, "payment_failed", "The payment failed."),
        ({"type": [], "code": {}, "decline_code": 1}, "payment_failed", "The payment failed."),
    ],
)
def test_decline_codes(error: dict[str, Any], code: str, message: str) -> None:
    found = payment_error(error)
    assert (found.code, found.message) == (code, message)


def test_an_unknown_decline_code_is_passed_on_but_not_anything() -> None:
    assert payment_error(decline(decline_code="new_reason")).decline_code == "new_reason"
    assert payment_error(decline(decline_code="pm_secret <script>")).decline_code is None
    assert payment_error(decline(advice_code="new_advice")).advice is None


@pytest.mark.parametrize(
    "decline_code", ["lost_card", "stolen_card", "pickup_card", "fraudulent", "merchant_blacklist"]
)
def test_what_the_payer_must_not_learn_is_in_the_decline_code_alone(decline_code: str) -> None:
    found = payment_error(decline(decline_code=decline_code))
    assert found == PaymentError(
        "card_declined", "The card was declined.", decline_code, Advice.TRY_AGAIN_LATER
    )
    assert not may_reveal(decline_code)


def test_other_decline_codes_may_be_shown() -> None:
    assert may_reveal("insufficient_funds")
    assert may_reveal(None)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(["succeeded", "requires_capture", "payment_intent", "eur", "isk", "pi_1"])
)
JSON_ISH = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=20,
)


@given(JSON_ISH)
def test_nothing_makes_it_raise(body: object) -> None:
    assert isinstance(outcome(body), Unknown)


@given(st.dictionaries(st.sampled_from(sorted(payment())), JSON_ISH))
def test_no_replaced_field_makes_it_raise_or_approve_nonsense(changes: dict[str, Any]) -> None:
    answer = translate(payment(**changes), livemode=False, as_of=None)
    if isinstance(answer.outcome, Approved):
        assert answer.provider_reference
        assert answer.amount is not None
        assert answer.outcome.amount_received + answer.outcome.amount_capturable > 0
        assert answer.outcome.amount_received <= answer.amount


@given(JSON_ISH, JSON_ISH)
def test_no_nested_field_makes_it_raise(card: object, action: object) -> None:
    details = {"payment_method_details": {"card": card}}
    outcome(payment(latest_charge=details, next_action=action))
    outcome(challenged(latest_charge=details, next_action={"redirect_to_url": action}))
    outcome(refused(last_payment_error={"type": "card_error", "decline_code": card}))


@pytest.mark.parametrize("unfit", ["\ud800", "\n", " ", "\u00e9"])
def test_what_cannot_be_written_down_or_is_no_address_is_left_out(unfit: str) -> None:
    """JSON can name half a character, which no record can hold: it would never be concluded."""
    redirect = {"url": f"https://hooks.stripe.com/{unfit}", "return_url": f"\ud800{unfit}"}
    said = translate(
        challenged(next_action={"type": "redirect_to_url", "redirect_to_url": redirect}),
        livemode=False,
        as_of=None,
    )
    assert said.outcome == ActionRequired(None)
    marked = translate(payment(metadata={"paygate_merchant": "\udfff"}), livemode=False, as_of=None)
    assert msgspec.json.encode(marked)
    assert marked.merchant is None
