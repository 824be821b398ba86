"""Windows and ages: weekends, month ends, and that timing is no error before its time is over."""

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from paygate.domain.settlements.discrepancy import Amount, DiscrepancyKind
from paygate.domain.settlements.judge import Terms
from paygate.domain.settlements.outcome import LineCategory
from paygate.domain.settlements.unsettled import Owed, is_asked_for, judge_unsettled
from paygate.domain.settlements.working_days import (
    age_bucket,
    age_days,
    is_past,
    working_days_after,
)
from tests.domain.settlements.books import line, payment, refund

C = LineCategory


@pytest.mark.parametrize(
    ("day", "count", "end"),
    [
        (date(2026, 12, 29), 3, date(2027, 1, 1)),  # holidays are the provider's to know
        (date(2028, 2, 28), 2, date(2028, 3, 1)),
        (date(2026, 3, 6), 1, date(2026, 3, 9)),  # a Friday
        (date(2026, 3, 7), 1, date(2026, 3, 9)),  # a Saturday
        (date(2026, 3, 2), 5, date(2026, 3, 9)),
        (date(2026, 3, 7), 0, date(2026, 3, 7)),
    ],
)
def test_working_days_leave_weekends_out(day: date, count: int, end: date) -> None:
    assert working_days_after(day, count) == end
    assert not is_past(day, count, end)
    assert is_past(day, count, end + timedelta(days=1))


@pytest.mark.parametrize(
    ("days", "bucket"),
    [
        *((0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3"), (4, "4-7"), (7, "4-7")),
        *((8, "8-30"), (30, "8-30"), (31, "31+"), (4000, "31+")),
    ],
)
def test_ages_have_five_buckets(days: int, bucket: str) -> None:
    since = datetime(2026, 3, 28, 23, 59, tzinfo=UTC)
    assert age_days(since, since + timedelta(days=days, hours=23)) == days
    assert age_bucket(days) == bucket


def test_what_begins_later_has_no_age() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    assert age_days(now + timedelta(days=3), now) == 0


def test_a_holidays_money_is_not_late_until_the_providers_day_and_the_window() -> None:
    """Taken on Thursday, 24 December, available on the 29th: late from Saturday, 2 January."""
    fact = payment("1", 6000, changed_at=datetime(2026, 12, 24, 18, tzinfo=UTC))
    theirs = line("txn_1", C.CHARGE, 6000, available_on=date(2026, 12, 29))
    on_time = Terms(date(2027, 1, 1), 3)
    assert is_asked_for(Owed(fact), on_time)
    assert judge_unsettled(Owed(fact), theirs, on_time) is None
    late = judge_unsettled(Owed(fact), theirs, Terms(date(2027, 1, 2), 3))
    assert late is not None
    assert (late.kind, late.about, late.since) == (
        DiscrepancyKind.LATE,
        fact.id,
        datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_what_the_balance_never_had_is_missing_once_it_is_old_enough_to_ask() -> None:
    fact = payment("1", 6000)
    young = Terms(date(2026, 3, 5), 3)
    assert not is_asked_for(Owed(fact), young)
    assert judge_unsettled(Owed(fact), None, young) is None
    missing = judge_unsettled(Owed(fact), None, Terms(date(2026, 3, 6), 3))
    assert missing is not None
    assert missing.kind is DiscrepancyKind.MISSING_AT_PROVIDER
    assert (missing.expected, missing.found) == (Amount(6000, "eur"), Amount(0, "eur"))


def test_a_refund_is_missed_with_its_sign_and_one_that_was_not_paid_is_not() -> None:
    back = refund("1", payment("1", 6000), 2500)
    old = Terms(date(2026, 4, 1), 3)
    missing = judge_unsettled(Owed(back), None, old)
    assert missing is not None
    assert missing.expected == Amount(-2500, "eur")
    assert judge_unsettled(Owed(replace(back, settles=False)), None, old) is None
