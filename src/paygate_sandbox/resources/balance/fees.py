"""What Stripe takes of a charge and of an instant payout.

Pure data and arithmetic, in minor units. It must never book anything.
"""

from typing import Final

# 2.9 % and a fixed part, in minor units of the currency.
_FEE_PER_MILLE: Final = 29
_FIXED_FEES: Final = {"usd": 30, "eur": 25, "gbp": 20, "chf": 30, "cad": 30, "aud": 30}
# Banks are cheaper: so many per mille, and at most so much.
_BANK_FEES: Final = {
    "customer_balance": (5, 500),
    "sepa_debit": (8, 500),
    "us_bank_account": (8, 500),
}
# Whole currencies that are counted in hundredths: there is no part of a unit.
_WHOLE: Final = {"isk": 100, "ugx": 100}
_INSTANT_PER_MILLE: Final = 15
_LEAST_INSTANT: Final = 50


def fee_on(amount: int, currency: str, method: str = "card") -> int:
    if method in _BANK_FEES:
        per_mille, most = _BANK_FEES[method]
        return min(most, (amount * per_mille + 500) // 1000)
    fee = (amount * _FEE_PER_MILLE + 500) // 1000 + _FIXED_FEES.get(currency, 0)
    return min(amount, fee - fee % _WHOLE.get(currency, 1))


def instant_fee(amount: int) -> int:
    return max(_LEAST_INSTANT, (amount * _INSTANT_PER_MILLE + 500) // 1000)
