"""Money is an integer of the currency's smallest unit, and never anything else.

Exponents come from ISO 4217's own table (the `iso4217` package). A provider may
count otherwise; its adapter keeps that table, and nothing here knows of it.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NewType

from iso4217 import Currency as IsoCurrency

from paygate.domain.errors import ErrorCode, Refusal

Currency = NewType("Currency", str)
"""A lower-case ISO 4217 code that has a smallest unit, such as `eur`."""

EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    {c.code.lower(): c.exponent for c in IsoCurrency if c.exponent is not None}
)
"""Digits after the decimal point. Codes without a unit (gold, SDR) are not money here."""


def parse_currency(text: str) -> Currency:
    """The currency that a request names.

    Raises:
        Refusal: `currency_unknown` unless it is a lower-case ISO 4217 code with a smallest unit.
    """
    if text not in EXPONENTS:
        raise Refusal(
            ErrorCode.CURRENCY_UNKNOWN,
            "currency must be a lower-case ISO 4217 code, such as eur",
            param="currency",
        )
    return Currency(text)


def check_amount(amount: int, *, maximum: int, param: str = "amount") -> int:
    """An amount that a request may ask for: 1 to `maximum` smallest units.

    Raises:
        Refusal: `amount_too_small` or `amount_too_large`.
    """
    if amount < 1:
        raise Refusal(
            ErrorCode.AMOUNT_TOO_SMALL, f"{param} must be a positive integer", param=param
        )
    if amount > maximum:
        raise Refusal(ErrorCode.AMOUNT_TOO_LARGE, f"{param} must not exceed {maximum}", param=param)
    return amount


def decimal_units(amount: int, currency: str) -> str:
    """The exact decimal, by the currency's exponent: `1999, eur` is `19.99`; no locale, no float.

    Raises KeyError: it is no currency that has a smallest unit.
    """
    exponent = EXPONENTS[currency]
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(exponent + 1, "0")
    whole, fraction = (digits[:-exponent], "." + digits[-exponent:]) if exponent else (digits, "")
    return f"{sign}{whole}{fraction}"


def major_units(amount: int, currency: Currency) -> str:
    """How a person reads it: `1999, eur` is `19.99 EUR`."""
    return f"{decimal_units(amount, currency)} {currency.upper()}"
