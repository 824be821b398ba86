"""The table of what Stripe counts in, by values written by hand from its "Supported currencies"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.money import EXPONENTS, Currency
from paygate.providers.stripe.money import (
    SCALES,
    NotRepresentable,
    from_provider,
    representable,
    to_provider,
)

ZERO_DECIMAL = "bif clp djf gnf jpy kmf krw pyg rwf vnd vuv xaf xof xpf"


@pytest.mark.parametrize(
    ("currency", "ours", "stripes"),
    [
        ("eur", 1999, 1999),
        ("usd", 1, 1),
        ("huf", 1045, 1045),  # whole in payouts only
        ("twd", 80045, 80045),
        ("mru", 150, 150),  # ISO gives two digits and Stripe names no exception
        ("isk", 5, 500),
        ("ugx", 5, 500),
        ("mga", 500, 5),  # five ariary
        ("kwd", 5120, 5120),
        ("bhd", 10, 10),
        ("jod", 1230, 1230),
        ("omr", 1230, 1230),
        ("tnd", 1230, 1230),
        *((currency, 500, 500) for currency in ZERO_DECIMAL.split()),
    ],
)
def test_amounts_convert_both_ways(currency: str, ours: int, stripes: int) -> None:
    assert to_provider(ours, Currency(currency)) == stripes
    assert from_provider(stripes, currency) == ours
    assert representable(ours, Currency(currency))


@pytest.mark.parametrize(
    ("currency", "ours"),
    [
        ("mga", 501),  # a fifth of an ariary is not Stripe's to charge
        ("mga", 1),
        ("kwd", 5124),
        ("tnd", 1),
        ("clf", 10000),  # four digits
        ("uyw", 10000),
        ("uyi", 5),
        ("iqd", 1000),  # ISO gives three digits, Stripe names no exception: not to be guessed
        ("lyd", 1000),
        ("xau", 1),
        ("eur", 1_000_000_000_000),  # thirteen digits
        ("isk", 10_000_000_000),  # twelve, but not when sent as hundredths
    ],
)
def test_what_stripe_cannot_charge_exactly_is_refused(currency: str, ours: int) -> None:
    assert not representable(ours, Currency(currency))
    with pytest.raises(NotRepresentable):
        to_provider(ours, Currency(currency))


@pytest.mark.parametrize(("currency", "stripes"), [("isk", 550), ("ugx", 1), ("zzz", 1)])
def test_what_is_no_whole_amount_of_ours_is_refused(currency: str, stripes: int) -> None:
    with pytest.raises(NotRepresentable):
        from_provider(stripes, currency)


def test_a_report_may_be_finer_than_a_charge() -> None:
    assert from_provider(5124, "kwd") == 5124


def test_every_currency_is_decided() -> None:
    left_out = {currency for currency in EXPONENTS if currency not in SCALES}
    assert left_out == {"clf", "uyw", "uyi", "iqd", "lyd"}


@given(st.sampled_from(sorted(SCALES)), st.integers(min_value=1, max_value=10**13))
def test_what_can_be_sent_comes_back_as_it_was(currency: str, amount: int) -> None:
    if representable(amount, Currency(currency)):
        assert from_provider(to_provider(amount, Currency(currency)), currency) == amount
