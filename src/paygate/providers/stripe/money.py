"""What Stripe counts in, currency by currency; pure.

Elsewhere an amount is ISO 4217's smallest unit. Stripe's differs where its own page says so
(https://docs.stripe.com/currencies, "Zero-decimal currencies" and "Special cases"): a wrong
row here is a charge a hundred times too large, so every row is tested by hand-written values.
This file must never round: what does not convert exactly is refused.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from paygate.domain.money import EXPONENTS, Currency

# fmt: off
ZERO_DECIMAL: Final = frozenset({
    "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga",
    "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
})
# fmt: on
"""Stripe's amount is whole units. MGA is here, though ISO gives the ariary two digits."""

WHOLE_SENT_AS_HUNDREDTHS: Final = frozenset({"isk", "ugx"})
"""Whole currencies that Stripe, for its oldest callers, still takes times 100."""

THREE_DECIMAL: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
"""Thousandths, of which the last digit must be 0."""

_TWO_DECIMAL_EXPONENT: Final = 2
_THREE_DECIMAL_EXPONENT: Final = 3
_MAX_UNITS: Final = 999_999_999_999
"""Twelve digits: "Maximum charge amounts", card payments."""
_MAX_TOLD: Final = 10**15
"""Beyond any amount that Stripe has; keeps a hostile number out of our arithmetic."""


class NotRepresentable(ValueError):
    """The two ways of counting do not meet at this amount, or Stripe lacks the currency."""


class Scale(msgspec.Struct, frozen=True):
    """Stripe's units = ours * `multiply` / `divide`, and a charge is a multiple of `step`."""

    multiply: int
    divide: int
    step: int


def _scale(currency: str, ours: int) -> Scale | None:
    if currency in ZERO_DECIMAL:
        return Scale(1, 10**ours, 1)
    if currency in WHOLE_SENT_AS_HUNDREDTHS:
        return Scale(100, 10**ours, 100)
    if currency in THREE_DECIMAL:
        return Scale(1, 1, 10)
    # "Currencies are two-decimal unless otherwise specified": true of those that ISO also gives
    # two digits. Of the rest (CLF, UYI, UYW, IQD, LYD) Stripe says nothing, and we do not guess.
    return Scale(1, 1, 1) if ours == _TWO_DECIMAL_EXPONENT else None


SCALES: Final[Mapping[str, Scale]] = MappingProxyType(
    {
        currency: scale
        for currency, exponent in EXPONENTS.items()
        if (scale := _scale(currency, exponent)) is not None
    }
)


def to_provider(amount: int, currency: Currency) -> int:
    """The `amount` that Stripe must be sent.

    Raises:
        NotRepresentable: Stripe cannot charge exactly this.
    """
    scale = _scale_of(currency)
    units, rest = divmod(amount * scale.multiply, scale.divide)
    if rest or units % scale.step or units > _MAX_UNITS:
        raise NotRepresentable(f"stripe cannot charge {amount} smallest units of {currency}")
    return units


def from_provider(units: int, currency: str) -> int:
    """Our smallest units for an amount that Stripe names.

    Not held to the step of charges: what Stripe reports may be finer than what it lets us ask.

    Raises:
        NotRepresentable: it is no whole number of smallest units.
    """
    scale = _scale_of(currency)
    amount, rest = divmod(units * scale.divide, scale.multiply)
    if rest:
        raise NotRepresentable(f"{units} of stripe's units is no whole amount of {currency}")
    return amount


def exponent_of(currency: str) -> int:
    """How many digits Stripe's reports write behind the decimal mark: those of its own units.

    Raises:
        NotRepresentable: Stripe lacks the currency, as far as is known here.
    """
    _scale_of(currency)
    if currency in ZERO_DECIMAL:
        return 0
    return _THREE_DECIMAL_EXPONENT if currency in THREE_DECIMAL else _TWO_DECIMAL_EXPONENT


def told(units: object, currency: str) -> int | None:
    """The same of a value that nobody vouches for, of either sign; None when it is no amount."""
    if not isinstance(units, int) or isinstance(units, bool) or abs(units) > _MAX_TOLD:
        return None
    try:
        return from_provider(units, currency)
    except NotRepresentable:
        return None


def representable(amount: int, currency: Currency) -> bool:
    """Whether `to_provider` would succeed."""
    try:
        to_provider(amount, currency)
    except NotRepresentable:
        return False
    return True


def _scale_of(currency: str) -> Scale:
    scale = SCALES.get(currency)
    if scale is None:
        raise NotRepresentable("stripe's unit for this currency is not known")
    return scale
