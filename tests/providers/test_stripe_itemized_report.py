"""Stripe's itemised report: its columns, its units, its marks, and what of it is refused."""

from datetime import UTC, date, datetime

import pytest

from paygate.domain.settlements.outcome import Line, LineCategory
from paygate.domain.settlements.reports.rows import ReportUnreadable
from paygate.providers.stripe.itemized_report import LAYOUT
from tests.domain.settlements.reports.reading import cells_of, csv_of, read

ROW = {
    "automatic_payout_id": "po_1",
    "automatic_payout_effective_at": "2026-11-27 00:00:00",
    "balance_transaction_id": "txn_1",
    "created_utc": "2026-11-25 10:11:12",
    "created": "2026-11-25 05:11:12",
    "available_on_utc": "2026-11-27 00:00:00",
    "available_on": "2026-11-26 19:00:00",
    "currency": "eur",
    "gross": "19.99",
    "fee": "0.88",
    "net": "19.11",
    "reporting_category": "charge",
    "source_id": "ch_1",
    "description": "Ana",
    "customer_facing_amount": "23.50",
    "customer_facing_currency": "usd",
    "charge_id": "ch_1",
    "payment_intent_id": "pi_1",
    "customer_email": "ana@example.com",
    "payment_metadata[paygate_installation]": "in_1",
    "payment_metadata[paygate_merchant]": "default",
    "payment_metadata[paygate_intent]": "pi_ours",
    "payment_metadata[paygate_attempt]": "at_1",
}


def report(*rows: dict[str, str]) -> bytes:
    return csv_of(tuple(rows[0]), *(tuple(row.values()) for row in rows))


def one(**changes: str) -> Line | str:
    lines, refused = read(LAYOUT, report(ROW | changes))
    return lines[0] if lines else refused[0].message


def test_a_line_is_read_by_its_headers() -> None:
    expected = Line(
        provider_reference="txn_1",
        payout_reference="po_1",
        category=LineCategory.CHARGE,
        provider_category="charge",
        gross=1999,
        fee=88,
        net=1911,
        currency="eur",
        available_on=date(2026, 11, 27),
        created_at=datetime(2026, 11, 25, 10, 11, 12, tzinfo=UTC),
        customer_amount=2350,
        customer_currency="usd",
        source_reference="ch_1",
        payment_reference="pi_1",
        attempt="at_1",
        installation="in_1",
        merchant="default",
        intent="pi_ours",
    )
    assert one() == expected
    shuffled = dict(sorted(ROW.items(), reverse=True))
    assert read(LAYOUT, report(shuffled)) == ([expected], [])


def test_a_refund_s_own_mark_comes_before_its_payment_s() -> None:
    marks = {
        "refund_metadata[paygate_installation]": "in_1",
        "refund_metadata[paygate_merchant]": "second",
        "refund_metadata[paygate_refund]": "re_ours",
    }
    found = one(**marks, gross="-5.00", fee="0.00", net="-5.00", reporting_category="refund")
    assert isinstance(found, Line)
    assert (found.attempt, found.merchant, found.customer_amount) == ("re_ours", "second", -2350)


@pytest.mark.parametrize(
    ("currency", "written", "amount"),
    [
        ("jpy", "500", 500),
        ("jpy", "500.00", None),
        ("kwd", "1.235", 1235),
        ("kwd", "1.2350", None),
        ("eur", "1.235", None),
        ("isk", "500.00", 500),
        ("isk", "500.50", None),
        ("mga", "500", 50_000),
        ("vnd", "3500000000", 3_500_000_000),
        ("EUR", "-0.01", -1),
        ("eur", "1,000.00", None),
        ("eur", "1e3", None),
        ("eur", "", None),
        ("xau", "1.00", None),
    ],
)
def test_amounts_are_read_by_stripe_s_own_exponents(
    currency: str, written: str, amount: int | None
) -> None:
    zero = "0" if currency in {"jpy", "vnd", "mga"} else "0.00"
    found = one(currency=currency, gross=written, fee=zero, net=written)
    assert (found.gross if isinstance(found, Line) else None) == amount


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"net": "19.12"}, "net is not gross less fee"),
        ({"balance_transaction_id": ""}, "balance_transaction_id is empty"),
        ({"automatic_payout_id": ""}, "automatic_payout_id is empty"),
        ({"reporting_category": ""}, "reporting_category is empty"),
        ({"created_utc": "2026-11-25"}, "created is no"),
        ({"created_utc": "2026-11-25 25:00:00"}, "created is no"),
        ({"available_on_utc": "27.11.2026"}, "available_on is no"),
        ({"currency": "doge"}, "currency is none"),
        ({"balance_transaction_id": "4242424242424242"}, "balance_transaction_id holds"),
    ],
)
def test_a_bad_line_is_refused_and_the_rest_goes_on(changes: dict[str, str], told: str) -> None:
    lines, refused = read(LAYOUT, report(ROW, ROW | changes, ROW))
    assert (len(lines), [each.line for each in refused]) == (2, [3])
    assert refused[0].message.startswith(told)


def test_columns_in_utc_come_before_those_of_the_report_s_own_zone() -> None:
    row = {key: value for key, value in ROW.items() if not key.endswith("_utc")}
    lines, refused = read(LAYOUT, report(row | {"available_on": "2026-11-27 10:00:00"}))
    assert (lines[0].available_on, refused) == (date(2026, 11, 27), [])
    assert lines[0].created_at.hour == 5


def test_an_unknown_category_is_kept_as_the_word_that_it_is() -> None:
    found = one(reporting_category="lunar_fee")
    assert isinstance(found, Line)
    assert (found.category, found.provider_category) == (LineCategory.UNKNOWN, "lunar_fee")


def test_what_names_a_payer_is_not_kept() -> None:
    assert "ana" not in repr(cells_of(LAYOUT, report(ROW))).lower()


def test_a_column_that_is_missing_stops_the_file_and_what_was_found_is_listed() -> None:
    row = {("netto" if key == "net" else key): value for key, value in ROW.items()}
    with pytest.raises(ReportUnreadable, match=r"Missing: net\. Found: automatic_payout_id, "):
        read(LAYOUT, report(row))


def test_what_is_released_beside_a_charge_moved_nothing_at_the_payer_s_side() -> None:
    moved = {"gross": "-8.00", "fee": "0.00", "net": "-8.00"}
    found = one(reporting_category="partial_capture_reversal", **moved)
    assert isinstance(found, Line)
    assert (found.gross, found.customer_amount, found.customer_currency) == (-800, 0, "usd")
