"""What a line of Stripe's balance is for, by its type and reporting category alone."""

from typing import Any

import pytest

from paygate.domain.settlements.outcome import LineCategory
from paygate.providers.stripe.line_categories import of_report, of_row
from tests.providers.stripe_lines import read

C = LineCategory
MAPPED = [
    # type, reporting category, ours: all types of the API's description
    ("adjustment", "dispute", C.DISPUTE),
    ("adjustment", "dispute_reversal", C.DISPUTE_REVERSAL),
    ("adjustment", "refund_failure", C.REFUND_FAILURE),
    ("adjustment", "fee", C.FEE),
    ("adjustment", "currency_conversion", C.CONVERSION),
    ("adjustment", "other_adjustment", C.ADJUSTMENT),
    ("adjustment", "adjustment", C.ADJUSTMENT),
    ("advance", "advance", C.ADVANCE),
    ("advance_funding", "advance_funding", C.ADVANCE),
    ("anticipation_repayment", "anticipation_repayment", C.ADVANCE),
    ("application_fee", "platform_earning", C.TRANSFER),
    ("application_fee_refund", "platform_earning_refund", C.TRANSFER),
    ("charge", "charge", C.CHARGE),
    ("climate_order_purchase", "climate_order_purchase", C.ADJUSTMENT),
    ("climate_order_refund", "climate_order_refund", C.ADJUSTMENT),
    ("connect_collection_transfer", "connect_collection_transfer", C.TRANSFER),
    ("contribution", "contribution", C.ADJUSTMENT),
    ("fee_credit_funding", "fee", C.FEE),
    ("inbound_transfer", "transfer", C.TRANSFER),
    ("inbound_transfer_reversal", "transfer_reversal", C.TRANSFER),
    ("issuing_authorization_hold", "issuing_authorization_hold", C.ADJUSTMENT),
    ("issuing_authorization_release", "issuing_authorization_release", C.ADJUSTMENT),
    ("issuing_dispute", "issuing_dispute", C.ADJUSTMENT),
    ("issuing_transaction", "issuing_transaction", C.ADJUSTMENT),
    ("obligation_outbound", "obligation", C.TRANSFER),
    ("obligation_reversal_inbound", "obligation", C.TRANSFER),
    ("payment", "charge", C.CHARGE),
    ("payment_failure_refund", "charge_failure", C.CHARGE_FAILURE),
    ("payment_network_reserve_hold", "payment_network_reserved_funds", C.RESERVE),
    ("payment_network_reserve_release", "payment_network_reserved_funds", C.RESERVE),
    ("payment_refund", "refund", C.REFUND),
    ("payment_refund", "refund_failure", C.REFUND_FAILURE),
    ("payment_reversal", "charge_failure", C.CHARGE_FAILURE),
    ("payment_unreconciled", "unreconciled_customer_funds", C.ADJUSTMENT),
    ("payout", "payout", C.PAYOUT),
    ("payout_cancel", "payout_reversal", C.PAYOUT_FAILURE),
    ("payout_failure", "payout_reversal", C.PAYOUT_FAILURE),
    ("payout_minimum_balance_hold", "minimum_balance_hold", C.RESERVE),
    ("payout_minimum_balance_release", "payout_minimum_balance_release", C.RESERVE),
    ("refund", "refund", C.REFUND),
    ("refund", "partial_capture_reversal", C.PARTIAL_CAPTURE_REVERSAL),
    ("refund_failure", "refund_failure", C.REFUND_FAILURE),
    ("reserve_hold", "risk_reserved_funds", C.RESERVE),
    ("reserve_release", "risk_reserved_funds", C.RESERVE),
    ("reserve_transaction", "connect_reserved_funds", C.RESERVE),
    ("reserved_funds", "risk_reserved_funds", C.RESERVE),
    ("stripe_balance_payment_debit", "stripe_balance_payment_debit", C.TRANSFER),
    ("stripe_balance_payment_debit_reversal", "stripe_balance_payment_debit_reversal", C.TRANSFER),
    ("stripe_fee", "fee", C.FEE),
    ("stripe_fee", "network_cost", C.FEE),
    ("stripe_fx_fee", "fee", C.FEE),
    ("tax_fee", "tax", C.TAX),
    ("tax_fund", "tax", C.TAX),
    ("topup", "topup", C.TOPUP),
    ("topup_reversal", "topup_reversal", C.TOPUP),
    ("transfer", "transfer", C.TRANSFER),
    ("transfer_cancel", "transfer_reversal", C.TRANSFER),
    ("transfer_failure", "transfer_reversal", C.TRANSFER),
    ("transfer_refund", "transfer_reversal", C.TRANSFER),
]


@pytest.mark.parametrize(("kind", "reporting", "ours"), MAPPED)
def test_what_a_row_is_for(kind: str, reporting: str, ours: LineCategory) -> None:
    found = read(type=kind, reporting_category=reporting, source=None)
    assert (found.category, found.provider_category) == (ours, reporting)
    assert of_report(reporting) is ours  # a report has no column for the type


def test_every_type_of_the_description_has_its_row_here() -> None:
    kinds = {kind for kind, _, _ in MAPPED}
    assert len(kinds) == 50
    for kind in kinds - {"adjustment"}:
        of_its_own = of_row(kind, None)
        assert of_its_own[0] is not C.UNKNOWN
        assert of_row(kind, kind)[0] is of_its_own[0]  # Stripe says the type again


@pytest.mark.parametrize(
    ("kind", "reporting", "word"),
    [
        ("lunar_fee", "fee", "lunar_fee"),
        ("lunar_fee", "lunar_fee", "lunar_fee"),
        ("stripe_fee", "lunar_fee", "lunar_fee"),
        ("adjustment", "lunar_settlement", "lunar_settlement"),
        ("adjustment", None, "adjustment"),
        ("charge", "refund", "charge/refund"),
        ("stripe_fee", "charge", "stripe_fee/charge"),
        ("transfer", "fee", "transfer/fee"),
        (None, "charge", "charge"),
        (None, None, "none"),
        ("Fee!", "fee", "fee"),
        (7, "x" * 1_000, "none"),
    ],
)
def test_a_word_that_is_not_known_decides_nothing(kind: Any, reporting: Any, word: str) -> None:
    found = read(type=kind, reporting_category=reporting)
    assert (found.category, found.provider_category) == (C.UNKNOWN, word)
    assert (found.gross, found.net) == (1999, 1916)  # and its money counts


def test_a_category_of_a_report_that_is_not_known() -> None:
    assert of_report("lunar_settlement") is C.UNKNOWN


@pytest.mark.parametrize("text", ["Chargeback withdrawal for ch_3Q", "Stripe fee", "REFUND", ""])
def test_what_is_written_on_a_row_decides_nothing(text: str) -> None:
    assert read(description=text) == read(description=None)
