"""Lines of Stripe's balance: amounts and dates held to literals, in the one direction there is;
what a line belongs to; and what is no line.
"""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from paygate.domain.payments.outcome import Unknown
from paygate.domain.settlements.outcome import FeePart, Line, LineCategory
from paygate.providers.stripe.balance_lines import line
from tests.providers.stripe_lines import MIDNIGHT, charge, dispute, read, refund, row
from tests.providers.stripe_objects import INSTALLATION, METADATA

C = LineCategory


@pytest.fixture
def new_york() -> Iterator[None]:
    """The machine's own time is New York's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def test_a_charge() -> None:
    assert line(row(), payout="po_3Q") == Line(
        provider_reference="txn_3Q",
        category=C.CHARGE,
        provider_category="charge",
        gross=1999,
        fee=83,
        net=1916,
        currency="eur",
        available_on=date(2026, 2, 28),
        created_at=datetime(2026, 2, 26, 0, 2, 3, tzinfo=UTC),
        customer_amount=1999,
        customer_currency="eur",
        exchange_rate=None,
        source_reference="ch_3Q",
        payment_reference="pi_3Q",
        fees=(FeePart("provider_fee", 83, "eur"),),
        attempt=METADATA["paygate_attempt"],
        installation=INSTALLATION,
        merchant="default",
        intent=METADATA["paygate_intent"],
        payout_reference="po_3Q",
    )


@pytest.mark.parametrize(
    ("currency", "theirs", "ours"),
    [
        ("jpy", 1_000, 1_000),
        ("krw", 1_000, 1_000),
        ("eur", 1_000, 1_000),
        ("huf", 100_000, 100_000),
        ("isk", 100_000, 1_000),
        ("ugx", 100_000, 1_000),
        ("mga", 10, 1_000),
        ("kwd", 5_120, 5_120),
        ("bhd", 10, 10),
        ("vnd", 3_500_000_000, 3_500_000_000),
        ("idr", 2**53 - 1, None),
        ("idr", 999_999_999_999_999, 999_999_999_999_999),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_amounts_are_told_in_our_smallest_units(
    currency: str, theirs: int, ours: int | None, sign: int
) -> None:
    found = line(row(currency=currency, amount=sign * theirs, fee=0, net=sign * theirs))
    if ours is None:
        assert isinstance(found, Unknown)
        return
    assert isinstance(found, Line)
    assert (found.gross, found.net, found.currency) == (sign * ours, sign * ours, currency)


def test_a_fee_is_told_in_the_same_units() -> None:
    part = {"amount": 2_900, "currency": "isk", "type": "stripe_fee"}
    found = read(currency="isk", amount=100_000, fee=2_900, net=97_100, fee_details=[part])
    assert (found.gross, found.fee, found.net) == (1_000, 29, 971)
    assert found.fees == (FeePart("provider_fee", 29, "isk"),)


def test_an_isk_amount_that_is_no_whole_krona_is_none() -> None:
    assert isinstance(line(row(currency="isk", amount=100_050, fee=0, net=100_050)), Unknown)


def test_the_parts_of_a_fee() -> None:
    parts = [
        {"amount": 70, "currency": "eur", "type": "stripe_fee"},
        {"amount": 13, "currency": "eur", "type": "tax"},
        {"amount": 10, "currency": "eur", "type": "application_fee"},
        {"amount": -10, "currency": "eur", "type": "lunar_rebate"},
    ]
    assert read(fee_details=parts).fees == (
        FeePart("provider_fee", 70, "eur"),
        FeePart("tax", 13, "eur"),
        FeePart("application_fee", 10, "eur"),
        FeePart("lunar_rebate", -10, "eur"),
    )


@pytest.mark.parametrize(
    "details",
    [
        None,
        7,
        [],
        [None],
        [{"amount": 82, "currency": "eur", "type": "stripe_fee"}],
        [{"amount": 83, "currency": "usd", "type": "stripe_fee"}],
        [{"amount": "83", "currency": "eur", "type": "stripe_fee"}],
        [{"amount": 83, "currency": "eur", "type": "Stripe fee!"}],
        [{"amount": 83, "currency": "eur", "type": "stripe_fee"}] * 1_000,
    ],
)
def test_parts_that_are_not_the_whole_fee_are_left_out(details: object) -> None:
    found = read(fee_details=details)
    assert (found.fee, found.fees) == (83, ())


@pytest.mark.parametrize(
    ("seconds", "day"),
    [
        (MIDNIGHT, date(2026, 2, 28)),
        (MIDNIGHT + 86_399, date(2026, 2, 28)),
        (MIDNIGHT - 1, date(2026, 2, 27)),
        (1_835_395_200, date(2028, 2, 29)),
    ],
)
@pytest.mark.usefixtures("new_york")
def test_funds_are_available_on_a_day_in_utc(seconds: int, day: date) -> None:
    """In New York midnight UTC is the evening before."""
    assert datetime.fromtimestamp(MIDNIGHT).date() == date(2026, 2, 27)  # noqa: DTZ006 -- as there
    assert read(available_on=seconds).available_on == day


def test_a_refund_bears_the_mark_of_its_own_order() -> None:
    found = read(type="refund", reporting_category="refund", amount=-500, source=refund())
    assert (found.category, found.gross, found.customer_amount) == (C.REFUND, -500, -500)
    assert (found.source_reference, found.payment_reference) == ("re_3Q", "pi_3Q")
    assert (found.attempt, found.merchant) == ("re_01j000000000000000000000", "default")
    assert found.intent is None


def test_a_refund_that_somebody_made_elsewhere_bears_no_mark() -> None:
    source = refund(metadata={}, payment_intent=None)
    found = read(type="refund", reporting_category="refund", amount=-500, source=source)
    assert (found.attempt, found.installation) == (None, None)
    assert found.payment_reference == "pi_3Q"  # by its charge


def test_a_dispute_bears_the_mark_of_its_payment() -> None:
    found = read(type="adjustment", reporting_category="dispute", amount=-1999, source=dispute())
    assert (found.category, found.customer_amount) == (C.DISPUTE, -1999)
    assert (found.source_reference, found.payment_reference) == ("du_3Q", "pi_3Q")
    assert found.attempt == METADATA["paygate_attempt"]


def test_a_payouts_own_row() -> None:
    source = {"id": "po_3Q", "object": "payout", "amount": 9_000, "currency": "eur"}
    found = read(type="payout", reporting_category="payout", amount=-9_000, source=source)
    assert (found.category, found.gross, found.source_reference) == (C.PAYOUT, -9_000, "po_3Q")
    assert (found.customer_amount, found.customer_currency) == (None, None)


@pytest.mark.parametrize("source", [None, 7, "ch_3Q", {"id": "ch_3Q"}, {"object": "transfer"}])
def test_a_source_that_is_not_shown_tells_nothing(source: object) -> None:
    found = read(source=source)
    assert (found.payment_reference, found.attempt, found.customer_amount) == (None, None, None)
    assert found.source_reference in {None, "ch_3Q"}


@pytest.mark.parametrize(
    "changes",
    [
        {"on_behalf_of": "acct_theirs"},
        {"transfer_data": {"destination": "acct_theirs"}},
        {"destination": {"id": "acct_theirs", "object": "account"}},
    ],
)
def test_money_of_a_connected_account_is_named_so(changes: dict[str, Any]) -> None:
    assert read(source=charge(**changes)).connected_account == "acct_theirs"
    of_refund = read(type="refund", amount=-500, source=refund(charge=charge(**changes)))
    assert of_refund.connected_account == "acct_theirs"
    assert read().connected_account is None


@pytest.mark.parametrize(
    "changes",
    [
        {"object": "charge"},
        {"id": None},
        {"id": "txn 3Q"},
        {"id": "x" * 256},
        {"amount": None, "net": -83},
        {"amount": "1999"},
        {"amount": 1999.5},
        {"amount": True, "net": -82},
        {"amount": 10**15 + 1, "fee": 0, "net": 10**15 + 1},
        {"amount": 10**400, "fee": 0, "net": 10**400},
        {"fee": None},
        {"net": None},
        {"net": 1917},
        {"currency": None},
        {"currency": "EUR"},
        {"currency": "lunar"},
        {"currency": "x" * 5_000},
        {"available_on": None},
        {"available_on": -1},
        {"available_on": 10**18},
        {"created": None},
        {"created": "yesterday"},
    ],
)
def test_a_row_that_makes_no_sense_is_no_line(changes: dict[str, Any]) -> None:
    found = line(row(**changes))
    assert isinstance(found, Unknown)
    for value in changes.values():
        assert str(value) not in found.message or value in {None, True, -1}


@pytest.mark.parametrize("body", [None, [], "txn_3Q", 7, {}, {"object": "balance_transaction"}])
def test_what_is_no_row_is_no_line(body: object) -> None:
    assert isinstance(line(body), Unknown)


def test_a_row_that_cannot_be_read_is_named() -> None:
    found = line(row(net=1))
    assert found == Unknown("the amounts of the line txn_3Q make no sense")
