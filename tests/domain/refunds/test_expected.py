"""When the payer sees the money: working days, in which no weekend is one."""

from datetime import date

import pytest

from paygate.domain.payments.outcome import BankTransfer, Card
from paygate.domain.refunds.expected import expected_by

CARD = Card("visa", "4242", 4, 2030)


@pytest.mark.parametrize(
    ("asked", "card", "bank"),
    [
        (date(2026, 11, 27), date(2026, 12, 11), date(2026, 12, 4)),  # a Friday
        (date(2026, 11, 28), date(2026, 12, 11), date(2026, 12, 4)),  # the Saturday after
        (date(2026, 11, 29), date(2026, 12, 11), date(2026, 12, 4)),  # the Sunday
        (date(2026, 11, 30), date(2026, 12, 14), date(2026, 12, 7)),  # the Monday
        (date(2028, 2, 25), date(2028, 3, 10), date(2028, 3, 3)),  # across a leap day
    ],
)
def test_weekends_do_not_count(asked: date, card: date, bank: date) -> None:
    assert expected_by(asked, CARD) == expected_by(asked, None) == card
    assert expected_by(asked, BankTransfer("push", "DE")) == bank
    assert max(card.weekday(), bank.weekday()) < 5
