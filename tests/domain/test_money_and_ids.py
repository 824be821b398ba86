"""Money is whole, ids sort by time, and neither accepts what only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paygate.domain.errors import ErrorCode, Refusal
from paygate.domain.ids import PREFIXES, is_id, make_id, milliseconds_of
from paygate.domain.money import EXPONENTS, Currency, check_amount, major_units, parse_currency


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [("eur", 2), ("jpy", 0), ("kwd", 3), ("isk", 0), ("clf", 4), ("huf", 2)],
)
def test_exponents_are_iso_4217s(currency: str, exponent: int) -> None:
    assert EXPONENTS[parse_currency(currency)] == exponent


@pytest.mark.parametrize("text", ["EUR", "eu", "", "xau", "xts", "eur ", "€", "euro", "\x00"])
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_currency(text)
    assert caught.value.code is ErrorCode.CURRENCY_UNKNOWN


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "eur", "19.99 EUR"),
        (5, "eur", "0.05 EUR"),
        (5, "jpy", "5 JPY"),
        (1, "kwd", "0.001 KWD"),
        (-1999, "usd", "-19.99 USD"),
    ],
)
def test_major_units_are_exact(amount: int, currency: str, text: str) -> None:
    assert major_units(amount, Currency(currency)) == text


@given(st.integers())
def test_an_amount_is_between_one_and_the_limit(amount: int) -> None:
    if 1 <= amount <= 1000:
        assert check_amount(amount, maximum=1000) == amount
    else:
        with pytest.raises(Refusal) as caught:
            check_amount(amount, maximum=1000)
        expected = ErrorCode.AMOUNT_TOO_SMALL if amount < 1 else ErrorCode.AMOUNT_TOO_LARGE
        assert caught.value.code is expected


milliseconds = st.integers(0, 2**48 - 1)
randomness = st.binary(min_size=10, max_size=10)


@given(milliseconds, milliseconds, randomness, randomness)
def test_ids_sort_as_they_were_made(a: int, b: int, x: bytes, y: bytes) -> None:
    first, second = make_id("pi_", a, x), make_id("pi_", b, y)
    assert (a, x) != (b, y) or first == second
    assert ((a, x) < (b, y)) == (first < second)
    assert milliseconds_of(first) == a
    assert is_id("pi_", first)


@pytest.mark.parametrize(
    "text", ["", "pi_", "pi_" + "0" * 25, "pi_" + "0" * 27, "pi_" + "I" * 26, "at_" + "0" * 26]
)
def test_what_is_no_id_is_not_taken_for_one(text: str) -> None:
    assert not is_id("pi_", text)


def test_prefixes_are_distinct() -> None:
    assert len(set(PREFIXES.values())) == len(PREFIXES)
