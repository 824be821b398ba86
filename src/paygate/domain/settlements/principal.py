"""What a line moved for the payer, apart from fees: in the currency of the payment, whatever the
balance is kept in. There is no tolerance for it.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

from paygate.domain.money import EXPONENTS
from paygate.domain.settlements.discrepancy import Amount
from paygate.domain.settlements.outcome import Line

_DIGITS: Final = 6
"""Decimals that a rate is taken to be exact to, where fewer are shown: 1.1 is 1.100000."""
_MOST_DIGITS: Final = 18
_MOST: Final = 10**18
"""Of what is told: records keep 64 bits."""
_MOST_RATE: Final = Decimal(10) ** 9
"""Beyond any two currencies; keeps a hostile number out of our arithmetic."""


def principal_in(line: Line, currency: str) -> int | None:
    """What the line moved in `currency`, signed; None when it moved another currency."""
    told = None if line.customer_amount is None else line.customer_currency
    if told is not None and told != currency:
        return None
    if line.currency == currency:
        return line.gross
    return None if told is None else line.customer_amount


def moved(line: Line) -> Amount:
    """What the line says that it moved, in the payer's currency where it tells it."""
    if line.customer_amount is None or line.customer_currency is None:
        return Amount(line.gross, line.currency)
    return Amount(line.customer_amount, line.customer_currency)


def is_converted(line: Line) -> bool:
    """Whether the payer's currency is not the balance's."""
    if line.customer_amount is None or line.customer_currency is None:
        return False
    return line.customer_currency != line.currency


def at_its_rate(line: Line) -> Amount | None:
    """What a converted line must come to on the balance, when its `gross` is not that. None: it
    agrees, up to the rounding of amount and rate, or nothing can be said.

    Providers differ in whether a rate is of whole or of smallest units, so that either agrees. A
    rate by which it would be more than records keep is told as the most that they do.
    """
    if not is_converted(line) or line.exchange_rate is None:
        return None
    assert line.customer_amount is not None
    assert line.customer_currency is not None
    rate = _rate(line.exchange_rate)
    if rate is None or line.customer_currency not in EXPONENTS or line.currency not in EXPONENTS:
        return None
    shift = EXPONENTS[line.currency] - EXPONENTS[line.customer_currency]
    digits = max(_DIGITS, -int(rate.as_tuple().exponent))
    slack = Decimal(abs(line.customer_amount)).scaleb(-digits)
    for shifted in (shift, 0):
        exactly = (line.customer_amount * rate).scaleb(shifted)
        if abs(exactly - line.gross) <= slack.scaleb(shifted) + 1:
            return None
    expected = (line.customer_amount * rate).scaleb(shift).to_integral_value()
    return Amount(max(-_MOST, min(_MOST, int(expected))), line.currency)


def _rate(text: str) -> Decimal | None:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        return None
    if not rate.is_finite() or not 0 < rate < _MOST_RATE:
        return None
    return rate if -int(rate.as_tuple().exponent) <= _MOST_DIGITS else None
