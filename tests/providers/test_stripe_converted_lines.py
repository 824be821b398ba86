"""Lines of Stripe's balance in another currency than the payer's: the rate, and what moved."""

from typing import Any

import pytest

from paygate.domain.settlements.line import FACT_OF
from paygate.domain.settlements.outcome import LineCategory
from tests.providers.stripe_lines import charge, converted, dispute, refund

C = LineCategory


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("1.16634", "1.16634"),
        ("0.1", "0.1"),
        ("1.10", "1.10"),
        ("0.123456789012345678901234567890", "0.123456789012345678901234567890"),
        ("1", "1"),
        ("2.5e-3", "0.0025"),
        ("1E+2", "100"),
        ("null", None),
        ("0", None),
        ("-1.1", None),
        ("true", None),
        ('"1.1"', None),
        ("1e400", None),
        ("1e999999999999999999999", None),
        ("1e-999999", None),
    ],
)
def test_a_rate_is_told_to_the_last_digit(written: str, read_as: str | None) -> None:
    source = charge(currency="usd", amount=2_000, amount_captured=2_000)
    assert converted(source, 1999, written).exchange_rate == read_as


def test_what_the_payer_paid_in_another_currency() -> None:
    source = charge(currency="jpy", amount=10_000, amount_captured=10_000)
    found = converted(source, 6_100, "0.0061")
    assert (found.gross, found.currency) == (6_100, "eur")
    assert (found.customer_amount, found.customer_currency) == (10_000, "jpy")


def test_their_units_of_the_payers_currency_are_not_ours() -> None:
    source = refund(currency="isk", amount=50_000)
    found = converted(source, -330, "0.0066", type="refund", reporting_category="refund")
    assert (found.customer_amount, found.customer_currency) == (-500, "isk")


@pytest.mark.parametrize(
    ("kind", "reporting", "source", "amount", "theirs"),
    [
        ("refund", "refund", refund(currency="usd", amount=550), -500, -550),
        ("refund_failure", "refund_failure", refund(currency="usd", amount=550), 500, 550),
        ("adjustment", "dispute", dispute(currency="usd", amount=2_200), -1999, -2_200),
        ("adjustment", "dispute_reversal", dispute(currency="usd", amount=2_200), 1999, 2_200),
        (
            "payment_failure_refund",
            "charge_failure",
            charge(currency="usd", amount=2_200, amount_captured=2_200),
            -1999,
            -2_200,
        ),
    ],
)
def test_what_moved_at_the_payer_has_the_sign_of_the_row(
    kind: str, reporting: str, source: dict[str, Any], amount: int, theirs: int
) -> None:
    found = converted(source, amount, "0.9086", type=kind, reporting_category=reporting)
    assert (found.customer_amount, found.customer_currency) == (theirs, "usd")


PART = charge(currency="jpy", amount=10_000, amount_captured=4_000)
"""Of a hold of 10,000 yen, 4,000 were taken."""


def test_a_part_of_a_hold_in_one_row() -> None:
    found = converted(PART, 2_440, "0.0061")
    assert (found.gross, found.customer_amount) == (2_440, 4_000)


def test_a_part_of_a_hold_in_two_rows() -> None:
    whole = converted(PART, 6_100, "0.0061")
    rest = converted(
        PART, -3_660, "0.0061", type="refund", reporting_category="partial_capture_reversal"
    )
    assert (whole.gross + rest.gross, rest.category) == (2_440, C.PARTIAL_CAPTURE_REVERSAL)
    assert (whole.customer_amount, rest.customer_amount) == (10_000, -6_000)


def test_a_part_of_a_hold_in_two_rows_whose_second_is_a_refunds() -> None:
    """As Stripe's own rows are of the type of a refund, so may their source be one."""
    source = refund(currency="jpy", amount=6_000, metadata={})
    rest = converted(
        source, -3_660, "0.0061", type="refund", reporting_category="partial_capture_reversal"
    )
    assert (rest.category, rest.customer_amount) == (C.PARTIAL_CAPTURE_REVERSAL, -6_000)
    assert rest.payment_reference == "pi_3Q"


@pytest.mark.parametrize(
    "source",
    [
        charge(currency="jpy", amount=10_000, amount_captured=4_000),
        charge(currency="usd", amount="1999"),
        charge(currency="usd", amount=10**16),
        charge(currency="usd", amount_captured=None),
        charge(currency="lunar"),
        charge(currency=7),
    ],
)
def test_what_moved_at_the_payer_is_never_guessed(source: dict[str, Any]) -> None:
    """Without a rate nobody can say of which of two amounts a row is."""
    found = converted(source, 2_440, "null")
    assert (found.customer_amount, found.customer_currency) == (None, None)
    assert found.gross == 2_440


def test_fees_and_transfers_move_nothing_at_the_payer() -> None:
    source = dispute(currency="usd")
    found = converted(source, -1_500, "0.9", type="stripe_fee", reporting_category="fee")
    assert (found.category, found.customer_amount) == (C.FEE, None)
    assert found.category not in FACT_OF
