"""When a payer sees the money again, as far as anybody can say.

Providers and banks name working days: 5 to 10 for a card
(https://docs.stripe.com/refunds), 3 to 5 for a bank account. The later end is what is promised.
"""

from datetime import date, timedelta
from typing import Final

from paygate.domain.payments.outcome import BankTransfer, PaymentMethod

CARD_WORKING_DAYS: Final = 10
BANK_WORKING_DAYS: Final = 5
_SATURDAY: Final = 5


def expected_by(asked_on: date, method: PaymentMethod | None) -> date:
    """The day by which the payer's bank shows the money."""
    days = BANK_WORKING_DAYS if isinstance(method, BankTransfer) else CARD_WORKING_DAYS
    day = asked_on
    while days:
        day += timedelta(days=1)
        days -= day.weekday() < _SATURDAY
    return day
