"""Money in the currency that the account settles in.

It must never round anything but what is converted, nor know what the money is for.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from paygate_sandbox.resources.currencies import exponent
from paygate_sandbox.settling import Settling


@dataclass(frozen=True, slots=True)
class Settled:
    """An amount in minor units of the settlement currency. `rate` None: nothing was converted."""

    amount: int
    currency: str
    rate: Decimal | None = None


def settle(settling: Settling, amount: int, currency: str) -> Settled:
    """What an amount comes to on the balance, at the rate of now, half a unit away from zero."""
    into = settling.currency
    rate = settling.rates.get(currency)
    if into is None or into == currency or rate is None:
        return Settled(amount, currency)
    factor = Decimal(rate)
    shift = exponent(into) - exponent(currency)
    exactly = (Decimal(amount) * factor).scaleb(shift)
    return Settled(int(exactly.to_integral_value(ROUND_HALF_UP)), into, factor)
